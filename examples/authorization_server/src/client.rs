//! Client authentication at the token, introspection and revocation endpoints (RFC 6749 2.3).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Form;
use axum::RequestExt as _;
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::header;
use oauth_storage::client::Client;
use oauth_storage::endpoint::{ClientAuthentication, FormParameters};

use super::Server;
use super::error::{OAuthError, Result};

/// The form of a request, and the authenticated client.
pub(crate) struct ClientForm {
    pub(crate) client: Client,
    pub(crate) form: FormParameters,
}

impl FromRequest<Arc<Server>> for ClientForm {
    type Rejection = OAuthError;

    async fn from_request(mut incoming: Request, server: &Arc<Server>) -> Result<Self> {
        let address = incoming.extract_parts::<ConnectInfo<SocketAddr>>().await;
        let header = incoming.headers().get(header::AUTHORIZATION);
        let header = header.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned());
        let form: FormParameters = Form::from_request(incoming, server).await?.0;
        let own = ClientAuthentication::from_request(header.as_deref(), &form)?;
        let own = own.ok_or_else(OAuthError::invalid_client)?;
        // Every secret of this server is generated. Any other costs as much as a password, and whoever
        // guesses must not use up what sign-ins need.
        let is_guess =
            own.client_secret.as_ref().is_some_and(|own| !own.expose().starts_with("ocs_"));
        if let (true, Ok(ConnectInfo(address))) = (is_guess, address) {
            server.guesses.check(address)?;
        }
        match own.verify(&*server.storage).await? {
            Some(client) => Ok(Self { client, form }),
            None => Err(refusal(server, &own).await?),
        }
    }
}

/// Says which authentication method was expected, because that is the usual mistake. Everybody who
/// knows the client identifier may know its method.
async fn refusal(server: &Server, own: &ClientAuthentication) -> Result<OAuthError> {
    let client = server.storage.get_client(&server.request(None), &own.client_id, None).await?;
    let expected = client.map(|client| client.metadata.token_endpoint_auth_method);
    Ok(match expected.filter(|expected| *expected != own.method) {
        Some(expected) => {
            OAuthError::invalid_client_because(format!("this client authenticates with {expected}"))
        }
        None => OAuthError::invalid_client(),
    })
}
