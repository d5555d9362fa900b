use axum::extract::State;
use oauth_storage::RequestContext;
use oauth_storage::token::TokenRef;

use crate::{ClientRequest, OAuthError, OAuthState};

/// The handler of a revocation endpoint (RFC 7009): revokes the token and its grant. The response is the same for an
/// unknown token and for one of another client.
///
/// ```
/// use axum::{Router, routing::post};
/// use oauth_storage::MemoryStorage;
///
/// let app: Router = Router::new()
///     .route("/revoke", post(oauth_storage_axum::revoke))
///     .with_state(MemoryStorage::new());
/// ```
///
/// # Errors
/// Responds with the errors of [`ClientRequest`], and with `invalid_request` without the parameter `token`.
pub async fn revoke(
    State(state): State<OAuthState>,
    ClientRequest { client, form, .. }: ClientRequest,
) -> Result<(), OAuthError> {
    let token = form.token.ok_or_else(|| OAuthError::missing("token"))?;
    let (context, token) = (RequestContext::default(), TokenRef::Any(&token));
    Ok(state.storage().revoke_token(&context, &client.client_id, token).await?)
}
