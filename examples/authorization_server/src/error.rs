//! Errors: as JSON for clients, as a page for people.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oauth_storage::Error;
use oauth_storage::client::Client;
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
    /// In seconds.
    retry_after: Option<u64>,
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
        Self { status: StatusCode::BAD_REQUEST, code, description, retry_after: None }
    }

    /// The same error for an unknown client and for a wrong secret.
    pub(crate) fn invalid_client() -> Self {
        Self::invalid_client_because("unknown client, or wrong client authentication")
    }

    pub(crate) fn invalid_client_because(description: impl Into<String>) -> Self {
        let error = Self::new("invalid_client", description);
        Self { status: StatusCode::UNAUTHORIZED, ..error }
    }

    /// No such registration, or another registration access token (401, RFC 7592 2.1).
    pub(crate) fn invalid_token() -> Self {
        let error = Self::new("invalid_token", "no such registration access token");
        Self { status: StatusCode::UNAUTHORIZED, ..error }
    }

    /// The client address has used its attempts (429).
    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let description = format!("Too many attempts. Please try again in {seconds} s.");
        let error = Self::new("temporarily_unavailable", description);
        Self { status: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(seconds), ..error }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = match self.code {
                "invalid_token" => "Bearer realm=\"registrations\", error=\"invalid_token\"",
                _ => "Basic realm=\"clients\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
    }
}

/// Maps a storage error to its error code.
impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        let code = error.oauth_error_code();
        let (status, retry_after) = match error.advice() {
            Advice::FixInput if code != "server_error" => {
                return Self::new(code, error.to_string());
            }
            Advice::Retry | Advice::BackOff => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        tracing::error!(%error, "the storage failed");
        Self { status, retry_after, ..Self::new(code, "internal error; try again later") }
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
        self.add_headers(response.headers_mut());
        response
    }
}

/// The early end of a request to a page: an error page, or another response.
#[derive(Debug)]
pub(crate) struct PageError(Box<Response>);

impl PageError {
    /// An error page, used if there is no trusted redirect URI. It links to the client, if it is known.
    pub(crate) fn page(error: &OAuthError, client: Option<&Client>) -> Self {
        let mut response = (error.status, pages::error(&error.description, client)).into_response();
        error.add_headers(response.headers_mut());
        Self(Box::new(response))
    }

    /// Another response, such as a redirect to the client with an error.
    pub(crate) fn response(response: Response) -> Self {
        Self(Box::new(response))
    }

    /// The form is forged, or comes from an earlier sign-in.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        let error = OAuthError::new("access_denied", message);
        Self::page(&OAuthError { status: StatusCode::FORBIDDEN, ..error }, None)
    }
}

impl<E: Into<OAuthError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self::page(&error.into(), None)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        *self.0
    }
}
