//! Which client asks, at the endpoints that no browser comes to (RFC 6749 2.3).

use axum::http::HeaderMap;
use axum_extra::headers::HeaderMapExt as _;
use axum_extra::headers::authorization::{Authorization, Basic};
use oauth_storage::{Client, FormParameters, Secret, Storage, TokenEndpointAuthMethod};
use percent_encoding::percent_decode_str;

use super::Server;
use super::error::OAuthError;

impl<S: Storage + 'static> Server<S> {
    /// The client, authenticated in the one way that it registered for.
    pub(crate) async fn client(
        &self,
        headers: &HeaderMap,
        form: &FormParameters,
    ) -> Result<Client, OAuthError> {
        let basic = headers.typed_try_get::<Authorization<Basic>>();
        let basic = basic.map_err(|_| OAuthError::invalid_client())?;
        let (client_id, secret, method) = match (basic, &form.client_secret) {
            (Some(_), Some(_)) => {
                return Err(OAuthError::new("invalid_request", "two client authentications"));
            }
            (Some(Authorization(basic)), None) => (
                Some(form_decode(basic.username())),
                Some(Secret::new(form_decode(basic.password()))),
                TokenEndpointAuthMethod::ClientSecretBasic,
            ),
            (None, Some(secret)) => (
                form.client_id.clone(),
                Some(secret.clone()),
                TokenEndpointAuthMethod::ClientSecretPost,
            ),
            (None, None) => (form.client_id.clone(), None, TokenEndpointAuthMethod::None),
        };
        let client_id = client_id.ok_or_else(OAuthError::invalid_client)?;
        if form.client_id.as_ref().is_some_and(|other| *other != client_id) {
            return Err(OAuthError::new("invalid_request", "two client identifiers"));
        }
        let request = self.request();
        let client = self.storage.get_client(&request, &client_id, secret.as_ref()).await?;
        // Without a secret the storage gives the public record of any client. That is enough for
        // one that registered for no authentication.
        client
            .filter(|client| client.metadata.token_endpoint_auth_method == method)
            .ok_or_else(OAuthError::invalid_client)
    }
}

/// Identifier and secret are form-encoded before they become Basic credentials (RFC 6749 2.3.1).
fn form_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
