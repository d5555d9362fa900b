use std::fmt;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oauth_storage::Error;
use oauth_storage::endpoint::{BearerError, ErrorResponse};

use crate::response::no_store;

/// An error response in JSON (RFC 6749 5.2, RFC 6750 3). `?` makes one of an [`Error`] of the storage and of a
/// [`BearerError`].
///
/// An error of the storage that the client did not cause is logged with `tracing`; the client gets a status of 500 or
/// 503 without details.
///
/// ```
/// use axum::http::{StatusCode, header};
/// use axum::response::IntoResponse;
/// use oauth_storage_axum::OAuthError;
///
/// let error = OAuthError::new("invalid_target", "no such resource");
/// assert_eq!(error.status(), StatusCode::BAD_REQUEST);
/// assert_eq!(error.into_response().headers()[header::CACHE_CONTROL], "no-store");
/// ```
#[derive(Debug, Clone)]
pub struct OAuthError(ErrorResponse);

impl OAuthError {
    /// The error with a code, and a description for the developer of the client: status 401 and the challenge `Basic`
    /// for `invalid_client`, else 400.
    ///
    /// The description may quote a request: characters that RFC 6749 5.2 forbids are replaced.
    #[must_use]
    pub fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self(ErrorResponse::new(code).with_description(description))
    }

    /// `invalid_request`: a parameter is missing, repeated or malformed.
    #[must_use]
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// `invalid_request` for a parameter that is missing: `form.token.ok_or_else(|| OAuthError::missing("token"))?`.
    #[must_use]
    pub fn missing(parameter: &str) -> Self {
        Self::invalid_request(format!("the parameter {parameter} is missing"))
    }

    /// `invalid_client`, the same for an unknown client and a wrong secret.
    #[must_use]
    pub fn invalid_client() -> Self {
        Self::new("invalid_client", "unknown client, or wrong client authentication")
    }

    /// `invalid_grant`, the same for every code, refresh token or password that is refused.
    #[must_use]
    pub fn invalid_grant() -> Self {
        Self::new("invalid_grant", "it is unknown, wrong, expired or used, or another client's")
    }

    /// Sets the HTTP status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self(self.0.with_status(status.as_u16()))
    }

    /// Sets the header `Retry-After`.
    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        Self(self.0.with_retry_after(seconds))
    }

    /// Sets the header `WWW-Authenticate`.
    #[must_use]
    pub fn with_challenge(mut self, www_authenticate: impl Into<Option<String>>) -> Self {
        self.0.www_authenticate = www_authenticate.into();
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The error code; `None` for a request to a protected resource without a token.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.0.code
    }

    /// The description.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// The headers, for a response with another body, such as a page.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::from_iter(no_store());
        let challenge = self.0.www_authenticate.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(challenge)) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // RFC 9110 15.5.6. The endpoints with a form take nothing else.
        if self.status() == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        headers
    }
}

impl From<ErrorResponse> for OAuthError {
    fn from(response: ErrorResponse) -> Self {
        Self(response)
    }
}

impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        if error.http_status() >= 500 {
            tracing::error!(%error, "the storage failed");
        }
        Self(error.into())
    }
}

/// With the challenge of [`BearerError::www_authenticate`].
impl From<BearerError> for OAuthError {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Storage(error) => error.into(),
            error => Self(error.into()),
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let (status, headers) = (self.status(), self.headers());
        // A request without a token gets no error information (RFC 6750 3.1).
        match self.0.code {
            Some(_) => (status, headers, Json(self.0.body())).into_response(),
            None => (status, headers).into_response(),
        }
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code().unwrap_or("no access token"))?;
        self.description().map_or(Ok(()), |description| write!(f, ": {description}"))
    }
}

impl std::error::Error for OAuthError {}
