use oauth_storage::client::Client;
use oauth_storage::{RequestContext, Storage};
use serde::Deserialize;
use url::Url;

use crate::OAuthError;
use crate::form::parse;

/// A checked logout request (OpenID Connect RP-Initiated Logout 1.0). Ask the user before the session ends, because any
/// site can send a browser here.
///
/// ```
/// use axum::extract::{RawQuery, State};
/// use axum::response::Redirect;
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_axum::{LogoutRequest, OAuthError};
///
/// /// The user has agreed, and the session has ended.
/// async fn signed_out(
///     State(storage): State<MemoryStorage>,
///     RawQuery(query): RawQuery,
/// ) -> Result<Redirect, OAuthError> {
///     let request = LogoutRequest::read(&storage, &query.unwrap_or_default()).await?;
///     Ok(Redirect::to(request.redirect_uri.as_deref().unwrap_or("/")))
/// }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LogoutRequest {
    /// The client of the `id_token_hint`.
    pub client: Option<Client>,
    /// The address to return to, which the client has registered, with the `state`.
    pub redirect_uri: Option<String>,
}

#[derive(Deserialize)]
struct Parameters {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

impl LogoutRequest {
    /// Reads the parameters of a query or a form.
    ///
    /// # Errors
    /// Returns `invalid_request` if the hint is not an ID token of this server for the client, or if the address to
    /// return to is not one of the `post_logout_redirect_uris` of that client. Without a hint no address is accepted,
    /// because anybody could send the user there.
    pub async fn read<S: Storage + ?Sized>(storage: &S, query: &str) -> Result<Self, OAuthError> {
        let asked: Parameters = parse(query.as_bytes())?;
        let mut client = None;
        if let Some(hint) = &asked.id_token_hint {
            let hint = storage.verify_id_token_hint(hint).await?;
            let client_id = hint.as_ref().and_then(|hint| hint.audience.first());
            let is_for = |own: &String| asked.client_id.as_ref().is_none_or(|id| id == own);
            let client_id = client_id.filter(|own| is_for(own)).ok_or_else(|| {
                OAuthError::invalid_request("The id_token_hint is not of this application.")
            })?;
            client = storage.get_client(&RequestContext::default(), client_id, None).await?;
        }
        let redirect_uri = match asked.post_logout_redirect_uri {
            Some(uri) => Some(address(client.as_ref(), &uri, asked.state.as_deref())?),
            None => None,
        };
        Ok(Self { client, redirect_uri })
    }
}

fn address(client: Option<&Client>, uri: &str, state: Option<&str>) -> Result<String, OAuthError> {
    let unknown = || OAuthError::invalid_request("The address to return to is not registered.");
    client.filter(|client| client.allows_post_logout_redirect_uri(uri)).ok_or_else(unknown)?;
    let mut url = Url::parse(uri).map_err(|_| unknown())?;
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(url.into())
}
