//! What goes wrong: for a client in the words of the RFCs, for a person as a page.

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use oauth_storage::{Advice, Error};
use serde_json::json;

use super::pages;

/// An error of RFC 6749 5.2, or of an RFC that builds on it. As a response it is JSON; the
/// authorization endpoint sends it through the browser instead.
#[derive(Debug)]
pub(crate) struct OAuthError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: String,
}

impl OAuthError {
    /// A mistake of the client's.
    pub(crate) fn new(code: &'static str, description: impl Into<String>) -> Self {
        // The characters that RFC 6749 5.2 leaves out.
        let description = description.into().replace(['"', '\\'], "'");
        Self { status: StatusCode::BAD_REQUEST, code, description }
    }

    /// One answer for a client that is unknown and for one that is not who it says.
    pub(crate) fn invalid_client() -> Self {
        let error = Self::new("invalid_client", "unknown client, or wrong client authentication");
        Self { status: StatusCode::UNAUTHORIZED, ..error }
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new("invalid_request", format!("the parameter {parameter} is missing"))
    }
}

/// The storage says whose mistake it is, and by what name an endpoint tells it.
impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        let code = error.oauth_error_code();
        let failed = |status, description: &str| {
            tracing::error!(%error, "the storage failed");
            Self { status, code, description: description.into() }
        };
        match error.advice() {
            _ if code == "server_error" => {
                failed(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here")
            }
            Advice::FixInput => Self::new(code, error.to_string()),
            Advice::Retry | Advice::BackOff => {
                failed(StatusCode::SERVICE_UNAVAILABLE, "too much to do; try again")
            }
            _ => failed(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here"),
        }
    }
}

/// Not a form, or a parameter twice (RFC 6749 3.2).
impl From<FormRejection> for OAuthError {
    fn from(rejection: FormRejection) -> Self {
        Self::new("invalid_request", rejection.body_text())
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.code, "error_description": self.description }));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge =
                    [(header::WWW_AUTHENTICATE, "Basic realm=\"authorization server\"")];
                (self.status, challenge, body).into_response()
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                (self.status, [(header::RETRY_AFTER, "1")], body).into_response()
            }
            status => (status, body).into_response(),
        }
    }
}

/// An error for the person at the browser: there is no client to send it to, or none to trust.
#[derive(Debug)]
pub(crate) struct PageError {
    status: StatusCode,
    message: String,
}

impl PageError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A form that was not the one this browser was last shown: out of date, or forged.
    pub(crate) fn stale() -> Self {
        let message = "This page is out of date. Go back to the application and start again.";
        Self::new(StatusCode::FORBIDDEN, message)
    }
}

impl<E: Into<OAuthError>> From<E> for PageError {
    fn from(error: E) -> Self {
        let error = error.into();
        Self::new(error.status, error.description)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        (self.status, pages::error(&self.message)).into_response()
    }
}
