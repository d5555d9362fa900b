//! The token endpoint (RFC 6749 3.2): from a grant to tokens.

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::HeaderMap;
use axum::{Form, Json};
use oauth_storage::{
    Client, FormParameters, GrantType, NewIdToken, NewToken, Redeem, Redeemed, Rotate, Rotated,
    Scope, Secret, Storage, Token,
};
use serde::Serialize;

use super::error::OAuthError;
use super::{Server, Shared};

/// A token response (RFC 6749 5.1, OpenID Connect Core 3.1.3.3).
#[derive(Serialize)]
pub(crate) struct Response {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

pub(crate) async fn token<S: Storage + 'static>(
    State(server): Shared<S>,
    headers: HeaderMap,
    form: Result<Form<FormParameters>, FormRejection>,
) -> Result<Json<Response>, OAuthError> {
    let Form(form) = form?;
    let client = server.client(&headers, &form).await?;
    let name = form.grant_type.as_deref().ok_or_else(|| OAuthError::missing("grant_type"))?;
    let grant_type = name.parse().ok().filter(|known| server.grant_types().contains(known));
    let unsupported = || OAuthError::new("unsupported_grant_type", format!("no {name} here"));
    let grant_type = grant_type.ok_or_else(unsupported)?;
    if !client.allows_grant_type(grant_type) {
        let description = format!("the client is not registered for {grant_type}");
        return Err(OAuthError::new("unauthorized_client", description));
    }
    let tokens = match grant_type {
        GrantType::AuthorizationCode => server.redeem(&client, form).await?,
        GrantType::RefreshToken => server.refresh(&client, form).await?,
        GrantType::ClientCredentials => server.client_credentials(&client, form).await?,
        GrantType::Password => server.password(&client, form).await?,
        _ => return Err(unsupported()),
    };
    server.respond(tokens).await.map(Json)
}

/// What was stored: the credentials, and the record of the access token.
struct Issued {
    token: Token,
    access_token: Secret,
    refresh_token: Option<Secret>,
}

impl<S: Storage + 'static> Server<S> {
    /// RFC 6749 4.1.3. Whether the code is this client's, unused and unexpired, and whether
    /// redirect URI and verifier fit, is checked by the very statement that spends it.
    async fn redeem(&self, client: &Client, form: FormParameters) -> Result<Issued, OAuthError> {
        let redirect_uri = client.redirect_uri(form.redirect_uri.as_deref());
        let redeem = Redeem {
            client_id: client.client_id.clone(),
            redirect_uri: redirect_uri.ok_or_else(invalid_grant)?.to_owned(),
            code: form.code.ok_or_else(|| OAuthError::missing("code"))?,
            code_verifier: form.code_verifier,
            access_token: Secret::generate()?,
            refresh_token: new_refresh_token(client)?,
        };
        let (access_token, refresh_token) =
            (redeem.access_token.clone(), redeem.refresh_token.clone());
        match self.storage.redeem_authorization_code(&self.request(), redeem).await? {
            Redeemed::Issued(token) => Ok(Issued { token: *token, access_token, refresh_token }),
            // The client is told the same; a replay has revoked the grant besides.
            Redeemed::Replayed { .. } | Redeemed::Invalid => Err(invalid_grant()),
        }
    }

    /// RFC 6749 6, with rotation (RFC 9700 4.14.2).
    async fn refresh(&self, client: &Client, form: FormParameters) -> Result<Issued, OAuthError> {
        let rotate = Rotate {
            client_id: client.client_id.clone(),
            refresh_token: form
                .refresh_token
                .ok_or_else(|| OAuthError::missing("refresh_token"))?,
            scope: form.scope.map(|scope| scope.parse()).transpose()?,
            new_access_token: Secret::generate()?,
            new_refresh_token: Secret::generate()?,
        };
        let access_token = rotate.new_access_token.clone();
        let refresh_token = Some(rotate.new_refresh_token.clone());
        match self.storage.rotate_refresh_token(&self.request(), rotate).await? {
            Rotated::Issued(token) => Ok(Issued { token: *token, access_token, refresh_token }),
            Rotated::Reused { .. } | Rotated::Invalid => Err(invalid_grant()),
        }
    }

    /// RFC 6749 4.4: the client acts for itself, so there is no user and no refresh token.
    async fn client_credentials(
        &self,
        client: &Client,
        form: FormParameters,
    ) -> Result<Issued, OAuthError> {
        let access_token = Secret::generate()?;
        let scope = requested_scope(client, form.scope.as_deref())?;
        let new = NewToken::new(&client.client_id, scope, access_token.clone());
        let token = self.storage.create_token(&self.request(), new).await?;
        Ok(Issued { token, access_token, refresh_token: None })
    }

    /// RFC 6749 4.3.
    async fn password(&self, client: &Client, form: FormParameters) -> Result<Issued, OAuthError> {
        let scope = requested_scope(client, form.scope.as_deref())?;
        form.username.as_ref().ok_or_else(|| OAuthError::missing("username"))?;
        form.password.as_ref().ok_or_else(|| OAuthError::missing("password"))?;
        let mut request = self.request();
        request.form = form;
        request.user = self.storage.authenticate(&request).await?;
        if request.user.is_none() {
            return Err(OAuthError::new("invalid_grant", "wrong username or password"));
        }
        let access_token = Secret::generate()?;
        let mut new = NewToken::new(&client.client_id, scope, access_token.clone());
        new.refresh_token = new_refresh_token(client)?;
        let refresh_token = new.refresh_token.clone();
        let token = self.storage.create_token(&request, new).await?;
        Ok(Issued { token, access_token, refresh_token })
    }

    async fn respond(&self, issued: Issued) -> Result<Response, OAuthError> {
        let Issued { token, access_token, refresh_token } = issued;
        let mut id_token = None;
        if token.scope.contains("openid") && token.subject.is_some() {
            let new = NewIdToken::for_token(&token, &access_token);
            id_token = Some(self.storage.get_id_token(&self.request(), new).await?);
        }
        Ok(Response {
            access_token: access_token.expose().to_owned(),
            token_type: "Bearer",
            expires_in: token.expires_in(),
            scope: token.scope,
            refresh_token: refresh_token.map(|token| token.expose().to_owned()),
            id_token,
        })
    }
}

fn invalid_grant() -> OAuthError {
    OAuthError::new("invalid_grant", "unknown, expired or used, or not for this client")
}

/// The scope that is asked for, or all that the client has (RFC 6749 3.3).
pub(crate) fn requested_scope(client: &Client, scope: Option<&str>) -> Result<Scope, OAuthError> {
    let Some(scope) = scope else { return Ok(client.metadata.scope.clone()) };
    let scope: Scope = scope.parse()?;
    if !client.allows_scope(&scope) {
        let description = format!("the client is registered for: {}", client.metadata.scope);
        return Err(OAuthError::new("invalid_scope", description));
    }
    Ok(scope)
}

fn new_refresh_token(client: &Client) -> Result<Option<Secret>, OAuthError> {
    let refreshes = client.allows_grant_type(GrantType::RefreshToken);
    Ok(refreshes.then(Secret::generate).transpose()?)
}
