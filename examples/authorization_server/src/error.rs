//! Errors: as JSON for clients, as a page for people.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use oauth_storage::client::Client;
pub(crate) use oauth_storage_axum::OAuthError;

use super::pages;

pub(crate) type Result<T, E = OAuthError> = std::result::Result<T, E>;
pub(crate) type PageResult<T = Response> = Result<T, PageError>;

/// Returns the error unless the condition holds.
pub(crate) fn ensure(holds: bool, code: &'static str, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(OAuthError::new(code, otherwise)) }
}

/// Returns the value, or an error if the parameter is missing.
pub(crate) fn require<T>(value: Option<T>, parameter: &str) -> Result<T> {
    value.ok_or_else(|| OAuthError::missing(parameter))
}

/// The early end of a request to a page: an error page, or another response.
#[derive(Debug)]
pub(crate) struct PageError(Box<Response>);

impl PageError {
    /// An error page, used if there is no trusted redirect URI. It links to the client, if it is known.
    pub(crate) fn page(error: &OAuthError, client: Option<&Client>) -> Self {
        let page = pages::error(error.description().unwrap_or_default(), client);
        Self(Box::new((error.status(), error.headers(), page).into_response()))
    }

    /// Another response, such as a redirect to the client with an error.
    pub(crate) fn response(response: Response) -> Self {
        Self(Box::new(response))
    }

    /// The form is forged, or comes from an earlier sign-in.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        let error = OAuthError::new("access_denied", message);
        Self::page(&error.with_status(StatusCode::FORBIDDEN), None)
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
