//! Token and revocation endpoints (RFC 6749 3.2, RFC 7009), and the protected API (RFC 6750).

use axum::extract::{State, rejection::FormRejection};
use axum::http::{HeaderMap, header::AUTHORIZATION};
use axum::{Form, Json, response::IntoResponse};
use oauth_storage::client::{Client, GrantType};
use oauth_storage::endpoint::{BearerError, ClientAuthentication, FormParameters, require_scope};
use oauth_storage::token::{Token, TokenRef};
use oauth_storage::{GrantStorageExt as _, RequestContext, Storage};
use serde_json::{Value, json};

use crate::{App, HEADERS, Result, refuse};

type Input = Result<Form<FormParameters>, FormRejection>;
type Output = Result<Json<Value>>;

fn authorization(headers: &HeaderMap) -> Option<&str> {
    // A header that cannot be read must not count as absent.
    headers.get(AUTHORIZATION).map(|header| header.to_str().unwrap_or_default())
}

/// The form and its client, authenticated.
async fn client(
    storage: &dyn Storage,
    headers: &HeaderMap,
    input: Input,
) -> Result<(Client, FormParameters)> {
    let Form(form) = input.map_err(|_| refuse("invalid_request"))?;
    let given = ClientAuthentication::from_request(authorization(headers), &form)?;
    let given = given.ok_or(refuse("invalid_client"))?;
    Ok((given.verify(storage).await?.ok_or(refuse("invalid_client"))?, form))
}

pub(crate) async fn token(
    State(storage): App,
    headers: HeaderMap,
    input: Input,
) -> Result<impl IntoResponse> {
    let (client, form) = client(&*storage, &headers, input).await?;
    let context = RequestContext::default();
    let issued = match form.parse_grant_type(&client)? {
        GrantType::AuthorizationCode => {
            let redemption = form.code_redemption(&client)?;
            storage.redeem_authorization_code(&context, redemption).await?.issued()
        }
        GrantType::RefreshToken => {
            let rotation = form.token_rotation(&client)?;
            storage.rotate_refresh_token(&context, rotation).await?.issued()
        }
        _ => return Err(refuse("unsupported_grant_type")),
    };
    // The response to every failed exchange is the same. A replay has also revoked the grant.
    let issued = issued.ok_or(refuse("invalid_grant"))?;
    Ok((HEADERS, Json(issued.token_response())))
}

/// Revokes the token and its grant. The response is the same for an unknown token (RFC 7009 2.2).
pub(crate) async fn revoke(State(storage): App, headers: HeaderMap, input: Input) -> Result<()> {
    let (client, form) = client(&*storage, &headers, input).await?;
    let token = form.token.ok_or(refuse("invalid_request"))?;
    let (context, token) = (RequestContext::default(), TokenRef::Any(&token));
    Ok(storage.revoke_token(&context, &client.client_id, token).await?)
}

/// The user of the request's access token, if the token has this scope.
async fn user(storage: &dyn Storage, headers: &HeaderMap, scope: &str) -> Result<String> {
    let Token { subject, .. } = require_scope(storage, authorization(headers), scope).await?;
    // A client that acts for itself has none (RFC 6749 4.4).
    Ok(subject.ok_or(BearerError::InvalidToken)?)
}

pub(crate) async fn notes(State(storage): App, headers: HeaderMap) -> Output {
    let user = user(&*storage, &headers, "notes:read").await?;
    Ok(Json(json!({ "owner": user, "notes": ["buy tea"] })))
}

/// The applications with access to the user's data: a grant for each sign-in.
pub(crate) async fn applications(State(storage): App, headers: HeaderMap) -> Output {
    let user = user(&*storage, &headers, "account").await?;
    let grants = storage.list_all_grants(&user).await?.into_iter().map(|grant| {
        json!({ "client_id": grant.client_id, "scope": grant.scope, "since": grant.granted_at })
    });
    Ok(Json(grants.collect()))
}

/// Needs no CSRF token, because a browser does not send a bearer token by itself.
pub(crate) async fn disconnect(State(storage): App, headers: HeaderMap, input: Input) -> Output {
    let user = user(&*storage, &headers, "account").await?;
    let form = input.map_err(|_| refuse("invalid_request"))?.0;
    let client_id = form.client_id.ok_or(refuse("invalid_request"))?;
    Ok(Json(json!({ "revoked": storage.revoke_grants_of(&user, &client_id).await? })))
}
