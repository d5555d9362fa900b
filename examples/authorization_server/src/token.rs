//! The token endpoint (RFC 6749 3.2).

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use oauth_storage::client::GrantType;
use oauth_storage::grant::{GrantContext, IssuedTokens};
use oauth_storage::id_token::NewIdToken;
use oauth_storage::token::NewToken;
use oauth_storage::{TokenPair, User};
use oauth_storage_axum::{ClientRequest, Dpop, OAuthError, TokenResponse};

use super::error::{Result, require};
use super::{Server, Shared};

pub(crate) async fn token(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    proof: Dpop,
    asked: ClientRequest,
) -> Result<TokenResponse> {
    let grant_type = asked.form.parse_grant_type(&asked.client)?;
    let unsupported = || OAuthError::new("unsupported_grant_type", "there is none such here");
    // The configuration may have changed since the client registered.
    if !server.config.grant_types().contains(&grant_type) {
        return Err(unsupported());
    }
    let signing_alg = server.signing_alg(&asked.client);
    let issued = match grant_type {
        GrantType::AuthorizationCode | GrantType::RefreshToken | GrantType::DeviceCode => {
            asked.check_proof(&server.storage, &proof).await?;
            asked.exchange(&server.storage, &server.request(None)).await?
        }
        GrantType::ClientCredentials => create(&server, asked, None, proof.0).await?,
        GrantType::Password => {
            server.sign_ins.check(address)?;
            log_in(&server, asked, proof.0).await?
        }
        _ => return Err(unsupported()),
    };
    let mut response = TokenResponse::new(&issued);
    let IssuedTokens { token, tokens, .. } = issued;
    // OpenID Connect Core 3.1.3.3.
    if token.scope.contains("openid") && token.subject.is_some() {
        let new = match grant_type {
            GrantType::RefreshToken => NewIdToken::for_refresh(&token, &tokens.access_token),
            _ => NewIdToken::for_token(&token, &tokens.access_token),
        };
        let new = new.with_signing_alg(signing_alg);
        let id_token = server.storage.get_id_token(&server.request(None), new).await?;
        response = response.with_id_token(id_token);
    }
    Ok(response)
}

/// Issues tokens for a user who gave the client their password (RFC 6749 4.3).
async fn log_in(
    server: &Server,
    asked: ClientRequest,
    jkt: Option<String>,
) -> Result<IssuedTokens> {
    let username = require(asked.form.username.as_deref(), "username")?;
    let password = require(asked.form.password.as_ref(), "password")?;
    let user = server.storage.authenticate(username, password).await?;
    create(server, asked, Some(user.ok_or_else(OAuthError::invalid_grant)?), jkt).await
}

/// Issues tokens for a user or, without one, for the client itself (RFC 6749 4.4).
async fn create(
    server: &Server,
    ClientRequest { client, form, .. }: ClientRequest,
    user: Option<User>,
    jkt: Option<String>,
) -> Result<IssuedTokens> {
    let settings = &server.config.settings;
    let scope = client.requested_scope(form.scope.as_deref(), settings)?;
    let mut tokens = TokenPair::generate()?;
    // A client that acts for itself needs no refresh token (RFC 6749 4.4.3).
    if user.is_none()
        || !client.allows_grant_type(GrantType::RefreshToken)
        || !settings.allows_refresh_token(&scope)
    {
        tokens = tokens.without_refresh_token();
    }
    let new = NewToken::new(client.client_id, scope, tokens.clone())
        .with_context(GrantContext::default().with_jkt(jkt));
    let token = server.storage.create_token(&server.request(user), new).await?;
    Ok(IssuedTokens::new(token, tokens))
}
