//! Response bodies of endpoints, in JSON.

use serde_json::{Map, Value};

use crate::client::RegisteredClient;
use crate::grant::IssuedTokens;
use crate::token::{Token, TokenKind, TokenPair};

/// Returns the body of an introspection response (RFC 7662 2.2) for the result of
/// [`introspect`](crate::GrantStorage::introspect). A refresh token is active as well: give its record only to the
/// client that it was issued to, because a resource server could take it for an access token.
///
/// ```
/// use oauth_storage::endpoint::introspection_response;
/// assert_eq!(introspection_response(None)["active"], false);
/// ```
#[must_use]
pub fn introspection_response(token: Option<&Token>) -> Map<String, Value> {
    let inactive = || Map::from_iter([("active".to_owned(), false.into())]);
    token.map_or_else(inactive, Token::introspection_response)
}

impl Token {
    /// Returns the body of a token response (RFC 6749 5.1), **including the secrets**. The record
    /// must be that of the access token. Add an ID token as `id_token`. Send it with
    /// `Cache-Control: no-store`.
    ///
    /// ```
    /// # use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    /// use oauth_storage::{RequestContext, TokenPair, TokenStorage};
    /// use oauth_storage::token::NewToken;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// # let new = NewClient::new(ClientMetadata::client_credentials());
    /// # let client_id = storage.register_client(new).await?.client.client_id;
    /// let tokens = TokenPair::generate()?.without_refresh_token();
    /// let new = NewToken::new(client_id, "api:read".parse()?, tokens.clone());
    /// let token = storage.create_token(&RequestContext::default(), new).await?;
    /// let body = token.token_response(&tokens);
    /// assert_eq!(body["access_token"], tokens.access_token.expose());
    /// assert_eq!(body["expires_in"], 3600);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token_response(&self, tokens: &TokenPair) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("access_token".into(), tokens.access_token.expose().into());
        body.insert("token_type".into(), self.token_type().into());
        body.insert("expires_in".into(), self.expires_in().into());
        body.insert("scope".into(), self.scope.as_str().into());
        if let Some(refresh_token) = &tokens.refresh_token {
            body.insert("refresh_token".into(), refresh_token.expose().into());
        }
        body
    }

    /// Returns the body of an introspection response (RFC 7662 2.2): `{"active": false}` for a
    /// token that is not active. Answer the same for a token that was not found.
    #[must_use]
    pub fn introspection_response(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("active".into(), self.is_active().into());
        if !self.is_active() {
            return body;
        }
        body.insert("client_id".into(), self.client_id.as_str().into());
        body.insert("scope".into(), self.scope.as_str().into());
        body.insert("iat".into(), self.issued_at.timestamp().into());
        body.insert("exp".into(), self.expires_at.timestamp().into());
        if let Some(subject) = &self.subject {
            body.insert("sub".into(), subject.as_str().into());
        }
        if self.kind == TokenKind::Access {
            body.insert("token_type".into(), self.token_type().into());
        }
        match self.context.resource.as_slice() {
            [] => {}
            [resource] => drop(body.insert("aud".into(), resource.as_str().into())),
            resources => drop(body.insert("aud".into(), resources.into())),
        }
        let (jkt, x5t_s256) = (&self.context.jkt, &self.context.x5t_s256);
        let cnf: Map<String, Value> = [("jkt", jkt), ("x5t#S256", x5t_s256)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?.into())))
            .collect();
        if !cnf.is_empty() {
            body.insert("cnf".into(), cnf.into());
        }
        body
    }

    /// A token that is bound to a DPoP key has a type of its own (RFC 9449 5); one that is bound to a
    /// certificate has not (RFC 8705 3).
    const fn token_type(&self) -> &'static str {
        if self.context.jkt.is_some() { "DPoP" } else { "Bearer" }
    }
}

impl IssuedTokens {
    /// Returns the body of the token response (RFC 6749 5.1), **including the secrets**; see
    /// [`Token::token_response`].
    #[must_use]
    pub fn token_response(&self) -> Map<String, Value> {
        self.token.token_response(&self.tokens)
    }
}

impl RegisteredClient {
    /// Returns the body of a registration response (RFC 7591 3.2.1), **including the secret**.
    /// Times are in seconds; zero stands for a secret that never expires. Send it with status 201
    /// and `Cache-Control: no-store`. With a registration access token, add the URL of the client
    /// configuration endpoint as `registration_client_uri` (RFC 7592 3).
    ///
    /// ```
    /// use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/cb"]));
    /// let registered = MemoryStorage::new().register_client(new).await?;
    /// let body = registered.registration_response();
    /// assert_eq!(body["client_id"], registered.client.client_id);
    /// assert_eq!(body["client_secret_expires_at"], 0);
    /// assert_eq!(body["redirect_uris"][0], "https://client.example/cb");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn registration_response(&self) -> Map<String, Value> {
        let client = &self.client;
        let mut body = match serde_json::to_value(&client.metadata) {
            Ok(Value::Object(metadata)) => metadata,
            // Unreachable: metadata serializes to an object.
            _ => Map::new(),
        };
        body.insert("client_id".into(), client.client_id.as_str().into());
        body.insert("client_id_issued_at".into(), client.client_id_issued_at.timestamp().into());
        if let Some(secret) = &self.client_secret {
            let expires_at = client.client_secret_expires_at.map_or(0, |time| time.timestamp());
            body.insert("client_secret".into(), secret.expose().into());
            body.insert("client_secret_expires_at".into(), expires_at.into());
        }
        if let Some(token) = &self.registration_access_token {
            body.insert("registration_access_token".into(), token.expose().into());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::client::{Client, ClientMetadata};
    use crate::context::GrantContext;
    use crate::secret::Secret;
    use crate::token::TokenState;

    #[test]
    fn introspection_reveals_nothing_about_an_inactive_token() {
        let mut token = Token {
            kind: TokenKind::Access,
            grant_id: Uuid::now_v7(),
            client_id: "c".into(),
            subject: Some("alice".into()),
            scope: "openid".parse().unwrap(),
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::from_timestamp(60, 0).unwrap(),
            state: TokenState::Active,
            context: GrantContext::default(),
        };
        let body = token.introspection_response();
        assert_eq!((&body["exp"], &body["sub"]), (&60.into(), &"alice".into()));
        assert_eq!(body["token_type"], "Bearer");
        assert!(!body.contains_key("cnf") && !body.contains_key("aud"));
        token.context.resource = vec!["https://a.example".into()];
        assert_eq!(token.introspection_response()["aud"], "https://a.example");
        token.context.resource.push("https://b.example".into());
        assert_eq!(token.introspection_response()["aud"][1], "https://b.example");

        // RFC 9449 6.2, RFC 8705 3.2.
        token.context.jkt = Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into());
        let body = token.introspection_response();
        assert_eq!(body["token_type"], "DPoP");
        assert_eq!(body["cnf"]["jkt"], "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let tokens = TokenPair::new(Secret::new("s"));
        assert_eq!(token.token_response(&tokens)["token_type"], "DPoP");
        token.context.jkt = None;
        token.context.x5t_s256 = Some("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2".into());
        let body = token.introspection_response();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(
            body["cnf"],
            serde_json::json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" })
        );
        assert_eq!(token.token_response(&tokens)["token_type"], "Bearer");

        token.kind = TokenKind::Refresh;
        assert!(!token.introspection_response().contains_key("token_type"));
        token.state = TokenState::Rotated;
        assert_eq!(
            token.introspection_response(),
            Map::from_iter([("active".into(), false.into())])
        );
    }

    #[test]
    fn the_registration_response_has_seconds_and_the_secret_once() {
        let client = Client {
            client_id: "c".into(),
            metadata: ClientMetadata::client_credentials(),
            client_id_issued_at: DateTime::UNIX_EPOCH,
            client_secret_expires_at: None,
            updated_at: DateTime::UNIX_EPOCH,
            disabled_at: None,
            deleted_at: None,
            expires_at: None,
            last_used_at: None,
        };
        let mut registered = RegisteredClient::new(client)
            .with_client_secret(Secret::new("s"))
            .with_registration_access_token(Secret::new("r"));
        registered.client.client_secret_expires_at = DateTime::from_timestamp(60, 0);
        let body = registered.registration_response();
        assert_eq!(
            (&body["client_secret"], &body["registration_access_token"]),
            (&"s".into(), &"r".into())
        );
        assert_eq!(
            (&body["client_id_issued_at"], &body["client_secret_expires_at"]),
            (&0.into(), &60.into())
        );
        registered.client_secret = None;
        let body = registered.registration_response();
        assert!(
            !body.contains_key("client_secret") && !body.contains_key("client_secret_expires_at")
        );
    }
}
