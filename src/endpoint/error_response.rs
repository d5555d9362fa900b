use serde_json::{Map, Value};

use crate::endpoint::BearerError;
use crate::error::Error;

/// The error response of a token, introspection, revocation or protected endpoint (RFC 6749 5.2, RFC 6750 3).
///
/// ```
/// use oauth_storage::endpoint::ErrorResponse;
///
/// let response = ErrorResponse::new("invalid_client");
/// assert_eq!(response.status, 401);
/// assert_eq!(response.www_authenticate.as_deref(), Some(r#"Basic realm="OAuth""#));
/// assert_eq!(response.body()["error"], "invalid_client");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// The error code; `None` for a request to a protected resource without a token (RFC 6750 3.1).
    pub code: Option<&'static str>,
    /// A text for the developer of the client.
    pub description: Option<String>,
    /// The value of the header `WWW-Authenticate`.
    pub www_authenticate: Option<String>,
    /// The value of the header `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl ErrorResponse {
    /// The response with an error code: status 401 for `invalid_client`, else 400.
    #[must_use]
    pub fn new(code: &'static str) -> Self {
        let is_client = code == "invalid_client";
        Self {
            status: if is_client { 401 } else { 400 },
            code: Some(code),
            description: None,
            www_authenticate: is_client.then(|| r#"Basic realm="OAuth""#.to_owned()),
            retry_after: None,
        }
    }

    /// Sets the description. It may quote a request: characters that RFC 6749 5.2 forbids are replaced.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        let is_allowed = |c| matches!(c, ' '..='~') && c != '"' && c != '\\';
        self.description = Some(description.into().replace(|c| !is_allowed(c), "'"));
        self
    }

    /// Sets the HTTP status.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Sets the number of seconds until a retry can succeed.
    #[must_use]
    pub const fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Returns the body, in JSON. Send it with `Cache-Control: no-store`.
    #[must_use]
    pub fn body(&self) -> Map<String, Value> {
        let code = self.code.map(|code| ("error".to_owned(), code.into()));
        let description = self.description.as_deref();
        let description = description.map(|text| ("error_description".to_owned(), text.into()));
        code.into_iter().chain(description).collect()
    }
}

/// The description of a mistake of the client is the text of the error. Other errors are for the log of the
/// server.
impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        let response = Self::new(error.oauth_error_code()).with_status(error.http_status());
        match response.status {
            400 => response.with_description(error.to_string()),
            503 => response.with_description("try again later").with_retry_after(1),
            _ => response.with_description("internal error"),
        }
    }
}

impl From<BearerError> for ErrorResponse {
    fn from(error: BearerError) -> Self {
        let response = match error {
            BearerError::Storage(error) => return error.into(),
            BearerError::Missing => Self { code: None, ..Self::new("") },
            _ => Self::new(error.code().unwrap_or_default()).with_description(error.to_string()),
        };
        let www_authenticate = error.www_authenticate();
        Self { www_authenticate, ..response.with_status(error.http_status()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::InvalidReason;

    #[test]
    fn a_description_has_only_the_characters_of_rfc_6749() {
        let response = ErrorResponse::new("x").with_description("a\"b\\c\r\n\u{e9} ~");
        assert_eq!(response.body()["error_description"], "a'b'c''' ~");
    }

    #[test]
    fn errors_become_responses() {
        let of = |response: ErrorResponse| (response.status, response.code);
        let invalid = |field, reason| of(Error::invalid(field, reason).into());
        for (field, reason, expected) in [
            ("scope", InvalidReason::NotAllowed, (400, "invalid_scope")),
            ("code", InvalidReason::Missing, (400, "invalid_request")),
            ("grant_type", InvalidReason::Unsupported, (400, "unsupported_grant_type")),
            ("grant_type", InvalidReason::NotAllowed, (400, "unauthorized_client")),
            ("grant_type", InvalidReason::Missing, (400, "invalid_request")),
            ("response_type", InvalidReason::Unsupported, (400, "unsupported_response_type")),
            ("response_type", InvalidReason::NotAllowed, (400, "unauthorized_client")),
            ("access_token", InvalidReason::Duplicate, (500, "server_error")),
        ] {
            assert_eq!(invalid(field, reason), (expected.0, Some(expected.1)), "{field} {reason}");
        }
        let overloaded = || Error::Overloaded { message: "full".into() };
        assert_eq!(of(overloaded().into()), (503, Some("temporarily_unavailable")));
        assert_eq!(
            of(BearerError::Storage(overloaded()).into()),
            (503, Some("temporarily_unavailable"))
        );
        let unavailable = ErrorResponse::from(overloaded());
        assert_eq!((unavailable.retry_after, unavailable.www_authenticate), (Some(1), None));
        let internal = ErrorResponse::from(Error::configuration("the password is wrong"));
        assert_eq!((internal.status, internal.retry_after), (500, None));
        assert_eq!(internal.body()["error_description"], "internal error");
        let missing = ErrorResponse::from(BearerError::Missing);
        assert_eq!((missing.status, missing.body()), (401, Map::new()));
    }
}
