//! Client authentication at the token, introspection and revocation endpoints (RFC 6749 2.3).

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, Request};
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

    async fn from_request(incoming: Request, server: &Arc<Server>) -> Result<Self> {
        let header = incoming.headers().get(header::AUTHORIZATION);
        let header = header.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned());
        let form: FormParameters = Form::from_request(incoming, server).await?.0;
        let own = ClientAuthentication::from_request(header.as_deref(), &form)?;
        let own = own.ok_or_else(OAuthError::invalid_client)?;
        let client = own.verify(&*server.storage).await?;
        Ok(Self { client: client.ok_or_else(OAuthError::invalid_client)?, form })
    }
}
