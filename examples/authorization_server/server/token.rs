//! The token endpoint (RFC 6749 3.2): from a grant to tokens.

use axum::Json;
use axum::extract::State;
use oauth_storage::{
    GrantType, NewIdToken, NewToken, Redeem, Redeemed, Request, Rotate, Rotated, Secret, Token,
    User,
};
use serde_json::{Map, Value};

use super::client::ClientForm;
use super::error::{OAuthError, Result, ensure, require};
use super::{Server, Shared};

pub(crate) async fn token(
    State(server): Shared,
    asked: ClientForm,
) -> Result<Json<Map<String, Value>>> {
    let name = require(asked.form.grant_type.as_deref(), "grant_type")?;
    let unsupported = || OAuthError::new("unsupported_grant_type", "there is none such here");
    let grant_type = server.grant_types().into_iter().find(|offered| offered.as_str() == name);
    let grant_type = grant_type.ok_or_else(unsupported)?;
    let registered = asked.client.allows_grant_type(grant_type);
    ensure(registered, "unauthorized_client", "the client is not registered for this grant type")?;

    // A client that acts for itself may ask again at any time (RFC 6749 4.4.3).
    let refreshes = grant_type != GrantType::ClientCredentials
        && asked.client.allows_grant_type(GrantType::RefreshToken);
    let new = Pair {
        access_token: Secret::generate()?,
        refresh_token: refreshes.then(Secret::generate).transpose()?,
    };
    let token = match grant_type {
        GrantType::AuthorizationCode => asked.redeem(&server, new.clone()).await?,
        GrantType::RefreshToken => asked.refresh(&server, new.clone()).await?,
        GrantType::ClientCredentials => asked.create(&server, None, new.clone()).await?,
        GrantType::Password => asked.log_in(&server, new.clone()).await?,
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

impl ClientForm {
    /// RFC 6749 4.1.3. Whether the code is this client's, unused and unexpired, and whether
    /// redirect URI and verifier fit, is checked by the very statement that spends it.
    async fn redeem(self, server: &Server, new: Pair) -> Result<Token> {
        let Self { client, form } = self;
        let redirect_uri = client.redirect_uri(form.redirect_uri.as_deref());
        let redeem = Redeem {
            redirect_uri: redirect_uri.ok_or_else(invalid_grant)?.to_owned(),
            client_id: client.client_id,
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
    async fn refresh(self, server: &Server, new: Pair) -> Result<Token> {
        let rotate = Rotate {
            client_id: self.client.client_id,
            refresh_token: require(self.form.refresh_token, "refresh_token")?,
            scope: self.form.scope.map(|scope| scope.parse()).transpose()?,
            new_access_token: new.access_token,
            new_refresh_token: new.refresh_token.ok_or_else(invalid_grant)?,
        };
        match server.storage.rotate_refresh_token(&server.request(None), rotate).await? {
            Rotated::Issued(token) => Ok(*token),
            Rotated::Reused { .. } | Rotated::Invalid => Err(invalid_grant()),
        }
    }

    /// RFC 6749 4.3: for a user, by their password.
    async fn log_in(self, server: &Server, new: Pair) -> Result<Token> {
        require(self.form.username.as_ref(), "username")?;
        require(self.form.password.as_ref(), "password")?;
        let request = Request { form: self.form.clone(), ..server.request(None) };
        let user = server.storage.authenticate(&request).await?.ok_or_else(invalid_grant)?;
        self.create(server, Some(user), new).await
    }

    /// RFC 6749 4.4, where there is no user: for the client itself.
    async fn create(self, server: &Server, user: Option<User>, new: Pair) -> Result<Token> {
        let scope = self.client.requested_scope(self.form.scope.as_deref())?;
        let refresh_token = new.refresh_token;
        let new = NewToken::new(self.client.client_id, scope, new.access_token);
        let new = NewToken { refresh_token, ..new };
        Ok(server.storage.create_token(&server.request(user), new).await?)
    }
}

fn invalid_grant() -> OAuthError {
    OAuthError::new("invalid_grant", "it is unknown, wrong, expired or used, or another client's")
}
