//! The token endpoint (RFC 6749 3.2).

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use oauth_storage::client::GrantType;
use oauth_storage::grant::IssuedTokens;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::token::NewToken;
use oauth_storage::{TokenPair, User};
use serde_json::{Map, Value};

use super::client::ClientForm;
use super::error::{OAuthError, Result, require};
use super::{Server, Shared};

pub(crate) async fn token(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    asked: ClientForm,
) -> Result<Json<Map<String, Value>>> {
    let grant_type = asked.form.parse_grant_type(&asked.client)?;
    let unsupported = || OAuthError::new("unsupported_grant_type", "there is none such here");
    // The configuration may have changed since the client registered.
    if !server.grant_types().contains(&grant_type) {
        return Err(unsupported());
    }
    let signing_alg = server.signing_alg(&asked.client);
    let IssuedTokens { token, tokens, .. } = match grant_type {
        GrantType::AuthorizationCode => asked.redeem(&server).await?,
        GrantType::RefreshToken => asked.refresh(&server).await?,
        GrantType::ClientCredentials => asked.create(&server, None).await?,
        GrantType::Password => {
            server.sign_ins.check(address)?;
            asked.log_in(&server).await?
        }
        _ => return Err(unsupported()),
    };
    let mut response = token.token_response(&tokens);
    // OpenID Connect Core 3.1.3.3.
    if token.scope.contains("openid") && token.subject.is_some() {
        let new = match grant_type {
            GrantType::RefreshToken => NewIdToken::for_refresh(&token, &tokens.access_token),
            _ => NewIdToken::for_token(&token, &tokens.access_token),
        };
        let new = new.with_signing_alg(signing_alg);
        let id_token = server.storage.get_id_token(&server.request(None), new).await?;
        response.insert("id_token".into(), id_token.into());
    }
    Ok(Json(response))
}

impl ClientForm {
    /// Exchanges a code (RFC 6749 4.1.3). The statement that spends the code also checks its client,
    /// expiry, redirect URI and PKCE verifier.
    async fn redeem(self, server: &Server) -> Result<IssuedTokens> {
        let redemption = self.form.code_redemption(&self.client)?;
        let request = server.request(None);
        let outcome = server.storage.redeem_authorization_code(&request, redemption).await?;
        // The response is the same for a replay, which has revoked the grant.
        outcome.issued().ok_or_else(invalid_grant)
    }

    /// Exchanges a refresh token (RFC 6749 6) for a new pair (RFC 9700 4.14.2).
    async fn refresh(self, server: &Server) -> Result<IssuedTokens> {
        let rotation = self.form.token_rotation(&self.client)?;
        let outcome = server.storage.rotate_refresh_token(&server.request(None), rotation).await?;
        outcome.issued().ok_or_else(invalid_grant)
    }

    /// Issues tokens for a user who gave the client their password (RFC 6749 4.3).
    async fn log_in(self, server: &Server) -> Result<IssuedTokens> {
        let username = require(self.form.username.as_deref(), "username")?;
        let password = require(self.form.password.as_ref(), "password")?;
        let user = server.storage.authenticate(username, password).await?;
        self.create(server, Some(user.ok_or_else(invalid_grant)?)).await
    }

    /// Issues tokens for a user or, without one, for the client itself (RFC 6749 4.4).
    async fn create(self, server: &Server, user: Option<User>) -> Result<IssuedTokens> {
        let scope =
            self.client.requested_scope(self.form.scope.as_deref(), &server.config.settings)?;
        let mut tokens = TokenPair::generate()?;
        // A client that acts for itself needs no refresh token (RFC 6749 4.4.3).
        let settings = &server.config.settings;
        if user.is_none()
            || !self.client.allows_grant_type(GrantType::RefreshToken)
            || !settings.allows_refresh_token(&scope)
        {
            tokens = tokens.without_refresh_token();
        }
        let new = NewToken::new(self.client.client_id, scope, tokens.clone());
        let token = server.storage.create_token(&server.request(user), new).await?;
        Ok(IssuedTokens::new(token, tokens))
    }
}

fn invalid_grant() -> OAuthError {
    OAuthError::new("invalid_grant", "it is unknown, wrong, expired or used, or another client's")
}
