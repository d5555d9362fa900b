use axum::extract::State;
use oauth_storage::Scope;
use oauth_storage::client::Client;
use oauth_storage::token::{Token, TokenKind};

use crate::{ClientRequest, IntrospectionResponse, OAuthError, OAuthState};

/// A resource server, which may introspect the access tokens of other clients that give access to it (RFC 7662).
#[derive(Debug, Clone)]
pub struct ResourceServer {
    /// Its client identifier. It must be a confidential client.
    pub client_id: String,
    /// The scope of its resources. It sees an access token whose scope has at least one part of this.
    pub scope: Scope,
}

impl ResourceServer {
    /// A resource server with the scope of its resources.
    pub fn new(client_id: impl Into<String>, scope: Scope) -> Self {
        Self { client_id: client_id.into(), scope }
    }

    /// Returns true if the client is this resource server and the token gives access to it. A resource
    /// server must not take the refresh token of another client for an access token.
    fn may_see(&self, token: &Token, client: &Client) -> bool {
        self.client_id == client.client_id
            && token.kind == TokenKind::Access
            && self.scope.iter().any(|own| token.scope.contains(own))
    }
}

/// The handler of an introspection endpoint (RFC 7662), for the client of the token and for the
/// [resource servers](OAuthState::with_resource_servers). They are confidential clients (RFC 7662 2.1). For everybody
/// else no token is active (RFC 7662 4).
///
/// ```
/// use axum::{Router, routing::post};
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_axum::{OAuthState, ResourceServer, introspect};
///
/// let api = ResourceServer::new("api", "notes:read notes:write".parse()?);
/// let state = OAuthState::new(MemoryStorage::new()).with_resource_servers([api]);
/// let app: Router = Router::new().route("/introspect", post(introspect)).with_state(state);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
///
/// # Errors
/// Responds with the errors of [`ClientRequest`], with `invalid_client` for a public client, and with
/// `invalid_request` without the parameter `token`.
pub async fn introspect(
    State(state): State<OAuthState>,
    request: ClientRequest,
) -> Result<IntrospectionResponse, OAuthError> {
    request.require_secret()?;
    let token = request.form.token.ok_or_else(|| OAuthError::missing("token"))?;
    let (client, servers) = (request.client, state.resource_servers());
    let found = state.storage().introspect(&token).await?.filter(|token| {
        token.client_id == client.client_id || servers.iter().any(|own| own.may_see(token, &client))
    });
    Ok(IntrospectionResponse(found))
}
