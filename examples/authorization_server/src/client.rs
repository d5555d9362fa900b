//! Client authentication at each endpoint that has it (RFC 6749 2.3).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::RequestExt as _;
use axum::extract::{ConnectInfo, FromRequest, Request};
use oauth_storage_axum::{ClientRequest, OAuthError, UnverifiedClientRequest};

use super::assertion::Assertion;
use super::error::Result;
use super::{App, Server};

/// The form of a request and its authenticated client, at a limited rate of guesses.
pub(crate) struct ClientForm(pub(crate) ClientRequest);

impl FromRequest<App> for ClientForm {
    type Rejection = OAuthError;

    async fn from_request(mut incoming: Request, app: &App) -> Result<Self> {
        let server: &Arc<Server> = &app.server;
        let address = incoming.extract_parts::<ConnectInfo<SocketAddr>>().await;
        let request = UnverifiedClientRequest::from_request(incoming, app).await?;
        // Every secret of this server is generated. Any other costs as much as a password, and whoever
        // guesses must not use up what sign-ins need.
        let secret = request.authentication.client_secret.as_ref();
        let is_guess = secret.is_some_and(|own| !own.expose().starts_with("ocs_"));
        if let (true, Ok(ConnectInfo(address))) = (is_guess, address) {
            server.guesses.check(address)?;
        }
        let assertion: Assertion = request.parse_form()?;
        if assertion.is_given() && request.authentication.client_secret.is_none() {
            let client = assertion.verify(server, &request.authentication.client_id).await?;
            return Ok(Self(request.authenticated(client)));
        }
        request.verify(&server.storage).await.map(Self)
    }
}
