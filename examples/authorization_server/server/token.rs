//! The token endpoint (RFC 6749 3.2): from a grant to tokens.

use axum::Json;
use axum::extract::State;
use oauth_storage::{
    Client, FormParameters, GrantType, NewIdToken, NewToken, Redeem, Redeemed, Rotate, Rotated,
    Secret, Token,
};
use serde_json::{Map, Value};

use super::client::ClientForm;
use super::error::{OAuthError, Result};
use super::{Server, Shared};

pub(crate) async fn token(
    State(server): Shared,
    ClientForm(client, form): ClientForm,
) -> Result<Json<Map<String, Value>>> {
    let name = form.grant_type.as_deref().ok_or_else(|| OAuthError::missing("grant_type"))?;
    let unsupported = OAuthError::new("unsupported_grant_type", "there is no such grant type here");
    let grant_type = name.parse().ok().filter(|known| server.grant_types().contains(known));
    let issued = match grant_type {
        Some(known) if !client.allows_grant_type(known) => {
            let description = "the client is not registered for this grant type";
            return Err(OAuthError::new("unauthorized_client", description));
        }
        Some(GrantType::AuthorizationCode) => redeem(&server, &client, form).await?,
        Some(GrantType::RefreshToken) => refresh(&server, &client, form).await?,
        Some(GrantType::ClientCredentials) => create(&server, &client, form, false).await?,
        Some(GrantType::Password) => create(&server, &client, form, true).await?,
        _ => return Err(unsupported),
    };
    let Issued { token, access_token, refresh_token } = issued;
    let mut response = token.token_response(&access_token, refresh_token.as_ref());
    // OpenID Connect Core 3.1.3.3.
    if token.scope.contains("openid") && token.subject.is_some() {
        let new = NewIdToken::for_token(&token, &access_token);
        let id_token = server.storage.get_id_token(&server.request(None), new).await?;
        response.insert("id_token".into(), id_token.into());
    }
    Ok(Json(response))
}

/// What was stored: the credentials, and the record of the access token.
struct Issued {
    token: Token,
    access_token: Secret,
    refresh_token: Option<Secret>,
}

/// RFC 6749 4.1.3. Whether the code is this client's, unused and unexpired, and whether redirect
/// URI and verifier fit, is checked by the very statement that spends it.
async fn redeem(server: &Server, client: &Client, form: FormParameters) -> Result<Issued> {
    let redirect_uri = client.redirect_uri(form.redirect_uri.as_deref());
    let redeem = Redeem {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.ok_or_else(invalid_grant)?.to_owned(),
        code: form.code.ok_or_else(|| OAuthError::missing("code"))?,
        code_verifier: form.code_verifier,
        access_token: Secret::generate()?,
        refresh_token: new_refresh_token(client)?,
    };
    let (access_token, refresh_token) = (redeem.access_token.clone(), redeem.refresh_token.clone());
    match server.storage.redeem_authorization_code(&server.request(None), redeem).await? {
        Redeemed::Issued(token) => Ok(Issued { token: *token, access_token, refresh_token }),
        // The client is told the same of both. A replay has revoked the grant besides.
        Redeemed::Replayed { .. } | Redeemed::Invalid => Err(invalid_grant()),
    }
}

/// RFC 6749 6, with rotation (RFC 9700 4.14.2).
async fn refresh(server: &Server, client: &Client, form: FormParameters) -> Result<Issued> {
    let rotate = Rotate {
        client_id: client.client_id.clone(),
        refresh_token: form.refresh_token.ok_or_else(|| OAuthError::missing("refresh_token"))?,
        scope: form.scope.map(|scope| scope.parse()).transpose()?,
        new_access_token: Secret::generate()?,
        new_refresh_token: Secret::generate()?,
    };
    let access_token = rotate.new_access_token.clone();
    let refresh_token = Some(rotate.new_refresh_token.clone());
    match server.storage.rotate_refresh_token(&server.request(None), rotate).await? {
        Rotated::Issued(token) => Ok(Issued { token: *token, access_token, refresh_token }),
        Rotated::Reused { .. } | Rotated::Invalid => Err(invalid_grant()),
    }
}

/// RFC 6749 4.3 and 4.4: a user by their password; or the client itself, without a refresh token.
async fn create(
    server: &Server,
    client: &Client,
    form: FormParameters,
    by_password: bool,
) -> Result<Issued> {
    let scope = client.requested_scope(form.scope.as_deref())?;
    let mut new = NewToken::new(&client.client_id, scope, Secret::generate()?);
    let mut request = server.request(None);
    if by_password {
        form.username.as_ref().ok_or_else(|| OAuthError::missing("username"))?;
        form.password.as_ref().ok_or_else(|| OAuthError::missing("password"))?;
        request.form = form;
        request.user = server.storage.authenticate(&request).await?;
        request.user.as_ref().ok_or_else(invalid_grant)?;
        new.refresh_token = new_refresh_token(client)?;
    }
    let (access_token, refresh_token) = (new.access_token.clone(), new.refresh_token.clone());
    let token = server.storage.create_token(&request, new).await?;
    Ok(Issued { token, access_token, refresh_token })
}

fn new_refresh_token(client: &Client) -> Result<Option<Secret>> {
    let refreshes = client.allows_grant_type(GrantType::RefreshToken);
    Ok(refreshes.then(Secret::generate).transpose()?)
}

fn invalid_grant() -> OAuthError {
    OAuthError::new("invalid_grant", "it is unknown, wrong, expired or used, or another client's")
}
