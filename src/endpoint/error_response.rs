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
    /// The value of the header `WWW-Authenticate`.
    pub www_authenticate: Option<String>,
}

impl ErrorResponse {
    /// The response with an error code: status 401 for `invalid_client`, else 400.
    #[must_use]
    pub fn new(code: &'static str) -> Self {
        let is_client = code == "invalid_client";
        Self {
            status: if is_client { 401 } else { 400 },
            code: Some(code),
            www_authenticate: is_client.then(|| r#"Basic realm="OAuth""#.to_owned()),
        }
    }

    /// Returns the body, in JSON. Send it with `Cache-Control: no-store`.
    #[must_use]
    pub fn body(&self) -> Map<String, Value> {
        self.code.map(|code| ("error".to_owned(), code.into())).into_iter().collect()
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        Self { status: error.http_status(), ..Self::new(error.oauth_error_code()) }
    }
}

impl From<BearerError> for ErrorResponse {
    fn from(error: BearerError) -> Self {
        let (status, www_authenticate) = (error.http_status(), error.www_authenticate());
        let code = match error {
            BearerError::Missing => None,
            BearerError::InvalidToken => Some("invalid_token"),
            BearerError::InsufficientScope { .. } => Some("insufficient_scope"),
            BearerError::Storage(error) => Some(error.oauth_error_code()),
        };
        Self { status, code, www_authenticate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::InvalidReason;

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
        let missing = ErrorResponse::from(BearerError::Missing);
        assert_eq!((missing.status, missing.body()), (401, Map::new()));
    }
}
