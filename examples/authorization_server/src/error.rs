//! Errors: as JSON for clients, as a page for people.

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oauth_storage::Error;
use oauth_storage::error::Advice;
use serde_json::json;

use super::pages;

pub(crate) type Result<T, E = OAuthError> = std::result::Result<T, E>;
pub(crate) type PageResult<T = Response> = Result<T, PageError>;

/// An error of RFC 6749 5.2, or of an RFC that extends it. As a response it is JSON; the
/// authorization endpoint redirects with it instead.
#[derive(Debug)]
pub(crate) struct OAuthError {
    status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: String,
}

/// Returns the error unless the condition holds.
pub(crate) fn ensure(holds: bool, code: &'static str, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(OAuthError::new(code, otherwise)) }
}

/// Returns the value, or an error if the parameter is missing.
pub(crate) fn require<T>(value: Option<T>, parameter: &str) -> Result<T> {
    let missing = || format!("the parameter {parameter} is missing");
    value.ok_or_else(|| OAuthError::new("invalid_request", missing()))
}

impl OAuthError {
    /// A mistake of the client (400).
    pub(crate) fn new(code: &'static str, description: impl Into<String>) -> Self {
        // A description may quote a request, so characters outside RFC 6749 5.2 are replaced.
        let allowed = |c| matches!(c, ' '..='~') && c != '"' && c != '\\';
        let description = description.into().replace(|c| !allowed(c), "'");
        Self { status: StatusCode::BAD_REQUEST, code, description }
    }

    /// The same error for an unknown client and for failed authentication.
    pub(crate) fn invalid_client() -> Self {
        let error = Self::new("invalid_client", "unknown client, or wrong client authentication");
        Self { status: StatusCode::UNAUTHORIZED, ..error }
    }
}

/// Maps a storage error to its error code.
impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        let code = error.oauth_error_code();
        let status = match error.advice() {
            Advice::FixInput if code != "server_error" => {
                return Self::new(code, error.to_string());
            }
            Advice::Retry | Advice::BackOff => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        tracing::error!(%error, "the storage failed");
        Self { status, ..Self::new(code, "internal error; try again later") }
    }
}

/// Maps a body that is not a form, or a repeated parameter (RFC 6749 3.1 and 3.2).
impl From<FormRejection> for OAuthError {
    fn from(rejection: FormRejection) -> Self {
        Self::new("invalid_request", rejection.body_text())
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code, "error_description": self.description });
        let mut response = (self.status, Json(body)).into_response();
        let (name, value) = match self.status {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Basic realm=\"clients\""),
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "1"),
            _ => return response,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
        response
    }
}

/// An error page, used if there is no trusted client to redirect to.
#[derive(Debug)]
pub(crate) struct PageError(OAuthError);

impl PageError {
    /// The form is out of date, or forged.
    pub(crate) fn stale() -> Self {
        let message = "This page is out of date. Go back to the application and start again.";
        let error = OAuthError::new("access_denied", message);
        Self(OAuthError { status: StatusCode::FORBIDDEN, ..error })
    }
}

impl<E: Into<OAuthError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        (self.0.status, pages::error(&self.0.description)).into_response()
    }
}
