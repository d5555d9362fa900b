//! Who asks, at the endpoints that no browser comes to.

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum_extra::headers::HeaderMapExt as _;
use axum_extra::headers::authorization::{Authorization, Basic};
use oauth_storage::{Client, FormParameters, Secret, TokenEndpointAuthMethod as Method};
use percent_encoding::percent_decode_str;

use super::Server;
use super::error::{OAuthError, Result};

/// The form of a request, and the client that authenticated with it.
pub(crate) struct ClientForm(pub(crate) Client, pub(crate) FormParameters);

impl FromRequest<Arc<Server>> for ClientForm {
    type Rejection = OAuthError;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self> {
        let headers = request.headers().clone();
        let Form(form) = Form::<FormParameters>::from_request(request, server).await?;
        let client = authenticate(server, &headers, &form).await?;
        Ok(Self(client.ok_or_else(OAuthError::invalid_client)?, form))
    }
}

/// The client, if it authenticates in the one way that it registered for (RFC 6749 2.3).
async fn authenticate(
    server: &Server,
    headers: &HeaderMap,
    form: &FormParameters,
) -> Result<Option<Client>> {
    let basic = headers.typed_try_get::<Authorization<Basic>>();
    let basic = basic.map_err(|_| OAuthError::invalid_client())?;
    let basic = basic.map(|Authorization(basic)| {
        (form_decode(basic.username()), Secret::new(form_decode(basic.password())))
    });
    let (client_id, secret, method) = match (basic, form.client_secret.clone()) {
        (None, None) => (form.client_id.clone(), None, Method::None),
        (None, secret) => (form.client_id.clone(), secret, Method::ClientSecretPost),
        (Some((id, secret)), None) if form.client_id.as_ref().is_none_or(|own| *own == id) => {
            (Some(id), Some(secret), Method::ClientSecretBasic)
        }
        _ => return Err(OAuthError::new("invalid_request", "two client authentications")),
    };
    let Some(id) = client_id else { return Ok(None) };
    let client = server.storage.get_client(&server.request(None), &id, secret.as_ref()).await?;
    // Without a secret the storage finds any client. That will do for one that has none.
    Ok(client.filter(|client| client.metadata.token_endpoint_auth_method == method))
}

/// Identifier and secret are form-encoded before they become Basic credentials (RFC 6749 2.3.1).
fn form_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
