//! The token endpoint (RFC 6749 3.2): from a grant to tokens.

use axum::Json;
use axum::extract::State;
use oauth_storage::{
    Client, FormParameters, GrantType, NewIdToken, NewToken, Redeem, Redeemed, Rotate, Rotated,
    Secret, Token,
};
use serde_json::{Map, Value};

use super::client::ClientForm;
use super::error::{OAuthError, Result, ensure, require};
use super::{Server, Shared};

pub(crate) async fn token(
    State(server): Shared,
    ClientForm(client, form): ClientForm,
) -> Result<Json<Map<String, Value>>> {
    let asked = require(form.grant_type.as_deref(), "grant_type")?;
    let unsupported = || OAuthError::new("unsupported_grant_type", "there is none such here");
    let grant_type = server.grant_types().into_iter().find(|offered| offered.as_str() == asked);
    let grant_type = grant_type.ok_or_else(unsupported)?;
    let registered = client.allows_grant_type(grant_type);
    ensure(registered, "unauthorized_client", "the client is not registered for this grant type")?;

    // A client that acts for itself may ask again at any time (RFC 6749 4.4.3).
    let refreshes = grant_type != GrantType::ClientCredentials
        && client.allows_grant_type(GrantType::RefreshToken);
    let new = Pair {
        access_token: Secret::generate()?,
        refresh_token: refreshes.then(Secret::generate).transpose()?,
    };
    let token = match grant_type {
        GrantType::AuthorizationCode => redeem(&server, &client, form, new.clone()).await?,
        GrantType::RefreshToken => refresh(&server, &client, form, new.clone()).await?,
        GrantType::ClientCredentials => create(&server, &client, form, new.clone(), false).await?,
        GrantType::Password => create(&server, &client, form, new.clone(), true).await?,
        _ => return Err(unsupported()),
    };
    let mut response = token.token_response(&new.access_token, new.refresh_token.as_ref());
    // OpenID Connect Core 3.1.3.3.
    if token.scope.contains("openid") && token.subject.is_some() {
        let new = NewIdToken::for_token(&token, &new.access_token);
        let id_token = server.storage.get_id_token(&server.request(None), new).await?;
        response.insert("id_token".into(), id_token.into());
    }
    Ok(Json(response))
}

/// The credentials to issue. The storage keeps their digests alone.
#[derive(Clone)]
struct Pair {
    access_token: Secret,
    refresh_token: Option<Secret>,
}

/// RFC 6749 4.1.3. Whether the code is this client's, unused and unexpired, and whether redirect
/// URI and verifier fit, is checked by the very statement that spends it.
async fn redeem(
    server: &Server,
    client: &Client,
    form: FormParameters,
    new: Pair,
) -> Result<Token> {
    let redirect_uri = client.redirect_uri(form.redirect_uri.as_deref());
    let redeem = Redeem {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.ok_or_else(invalid_grant)?.to_owned(),
        code: require(form.code, "code")?,
        code_verifier: form.code_verifier,
        access_token: new.access_token,
        refresh_token: new.refresh_token,
    };
    match server.storage.redeem_authorization_code(&server.request(None), redeem).await? {
        Redeemed::Issued(token) => Ok(*token),
        // The client is told the same of both. A replay has revoked the grant besides.
        Redeemed::Replayed { .. } | Redeemed::Invalid => Err(invalid_grant()),
    }
}

/// RFC 6749 6, with rotation (RFC 9700 4.14.2).
async fn refresh(
    server: &Server,
    client: &Client,
    form: FormParameters,
    new: Pair,
) -> Result<Token> {
    let rotate = Rotate {
        client_id: client.client_id.clone(),
        refresh_token: require(form.refresh_token, "refresh_token")?,
        scope: form.scope.map(|scope| scope.parse()).transpose()?,
        new_access_token: new.access_token,
        new_refresh_token: new.refresh_token.ok_or_else(invalid_grant)?,
    };
    match server.storage.rotate_refresh_token(&server.request(None), rotate).await? {
        Rotated::Issued(token) => Ok(*token),
        Rotated::Reused { .. } | Rotated::Invalid => Err(invalid_grant()),
    }
}

/// RFC 6749 4.3 and 4.4: a user by their password, or the client itself.
async fn create(
    server: &Server,
    client: &Client,
    form: FormParameters,
    new: Pair,
    by_password: bool,
) -> Result<Token> {
    let scope = client.requested_scope(form.scope.as_deref())?;
    let mut request = server.request(None);
    if by_password {
        require(form.username.as_ref(), "username")?;
        require(form.password.as_ref(), "password")?;
        request.form = form;
        request.user = server.storage.authenticate(&request).await?;
        request.user.as_ref().ok_or_else(invalid_grant)?;
    }
    let refresh_token = new.refresh_token;
    let new = NewToken::new(&client.client_id, scope, new.access_token);
    Ok(server.storage.create_token(&request, NewToken { refresh_token, ..new }).await?)
}

fn invalid_grant() -> OAuthError {
    OAuthError::new("invalid_grant", "it is unknown, wrong, expired or used, or another client's")
}
