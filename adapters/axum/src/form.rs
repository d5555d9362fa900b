use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, OptionalFromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use oauth_storage::endpoint::FormParameters;
use serde::de::DeserializeOwned;

use crate::OAuthError;

/// The maximum length of a form, in bytes.
pub const MAX_FORM_BYTES: usize = 64 * 1024;

/// The parameters of a `POST` request with a form as its body (RFC 6749 3.2).
///
/// `Option<OAuthForm>` is `None` for another method.
///
/// ```
/// use oauth_storage_axum::{OAuthError, OAuthForm};
///
/// async fn sign_in(OAuthForm(form): OAuthForm) -> Result<String, OAuthError> {
///     form.username.ok_or_else(|| OAuthError::missing("username"))
/// }
/// ```
///
/// # Errors
/// Responds with `invalid_request` if a parameter that the type knows is repeated, if one that it requires is missing,
/// if the body is not a form, or with status 413 if it is longer than [`MAX_FORM_BYTES`], and with status 405 if the
/// method is not `POST`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OAuthForm<T = FormParameters>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OAuthForm<T> {
    type Rejection = OAuthError;

    async fn from_request(request: Request, _: &S) -> Result<Self, OAuthError> {
        parse(&read(request).await?).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for OAuthForm<T> {
    type Rejection = OAuthError;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, OAuthError> {
        if request.method() == Method::POST {
            parse(&read(request).await?).map(Self).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Reads the body.
pub(crate) async fn read(mut request: Request) -> Result<Bytes, OAuthError> {
    if request.method() != Method::POST {
        let error = OAuthError::invalid_request("send the parameters in a POST request");
        return Err(error.with_status(StatusCode::METHOD_NOT_ALLOWED));
    }
    if !is_form(request.headers()) {
        let description = "the content type must be application/x-www-form-urlencoded";
        return Err(OAuthError::invalid_request(description));
    }
    DefaultBodyLimit::max(MAX_FORM_BYTES).apply(&mut request);
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        let error = OAuthError::invalid_request("the body is too large, or was cut off");
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => error.with_status(StatusCode::PAYLOAD_TOO_LARGE),
            _ => error,
        }
    })
}

/// Returns true if the body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    media_type
        .is_some_and(|own| own.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// Parses a form or a query. A repeated parameter is an error of the type.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, OAuthError> {
    serde_urlencoded::from_bytes(text)
        .map_err(|error| OAuthError::invalid_request(error.to_string()))
}
