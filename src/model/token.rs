use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::grant::check_pair;
use crate::model::user::check_subject;
use crate::model::{AuthorizationCode, GrantContext, Scope, User, check_client_id};
use crate::request::Request;
use crate::secret::Secret;

/// Which of the two credentials a token is (the values of `token_type_hint`, RFC 7009 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
}

names!(TokenKind, "token_type_hint", {
    AccessToken => "access_token",
    RefreshToken => "refresh_token",
});

/// What a token is good for, by PostgreSQL's clock at the time of the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenState {
    /// It may be used.
    Active,
    /// A refresh token that was exchanged for a new pair.
    Rotated,
    /// Its lifetime is over.
    Expired,
    /// It, its pair, or its grant was revoked.
    Revoked,
}

/// The record of one credential. The credential itself is not in it: the storage keeps a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Access or refresh token.
    pub kind: TokenKind,
    /// The act of authorization that it comes from.
    pub grant_id: Uuid,
    /// Whose it is.
    pub client_id: String,
    /// The resource owner; none for client credentials.
    pub subject: Option<String>,
    /// What it allows.
    pub scope: Scope,
    /// When it was stored.
    pub issued_at: DateTime<Utc>,
    /// When its lifetime ends. Decide by [`Token::state`], which PostgreSQL's clock decided.
    pub expires_at: DateTime<Utc>,
    /// What it is good for.
    pub state: TokenState,
    /// What the resource owner's authorization settled.
    #[serde(flatten)]
    pub context: GrantContext,
}

impl Token {
    /// Whether it may be used.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == TokenState::Active
    }

    /// The lifetime that it was issued with: `expires_in` of the token response, in whole seconds
    /// (RFC 6749 5.1).
    #[must_use]
    pub fn expires_in(&self) -> u64 {
        (self.expires_at - self.issued_at).num_seconds().try_into().unwrap_or(0)
    }
}

/// What an endpoint says of a token, in JSON.
impl Token {
    /// The body of a token response (RFC 6749 5.1), **with the secrets**; the record is that of the
    /// access token. Where there is an ID token, it is put in as `id_token`. It is sent with
    /// `Cache-Control: no-store`.
    ///
    /// ```
    /// # use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    /// use oauth_storage::{NewToken, Request, Secret, TokenStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oauth_storage::Result<()> {
    /// # let storage = MemoryStorage::new();
    /// # let new = NewClient::new(ClientMetadata::client_credentials());
    /// # let client_id = storage.register_client(new).await?.client.client_id;
    /// let access_token = Secret::generate()?;
    /// let new = NewToken::new(client_id, "api:read".parse()?, access_token.clone());
    /// let token = storage.create_token(&Request::default(), new).await?;
    /// let body = token.token_response(&access_token, None);
    /// assert_eq!(body["access_token"], access_token.expose());
    /// assert_eq!(body["expires_in"], 3600);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token_response(
        &self,
        access_token: &Secret,
        refresh_token: Option<&Secret>,
    ) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("access_token".into(), access_token.expose().into());
        body.insert("token_type".into(), "Bearer".into());
        body.insert("expires_in".into(), self.expires_in().into());
        body.insert("scope".into(), self.scope.as_str().into());
        if let Some(refresh_token) = refresh_token {
            body.insert("refresh_token".into(), refresh_token.expose().into());
        }
        body
    }

    /// The body of an introspection response (RFC 7662 2.2). Of a token that is not active it is
    /// `{"active": false}`, and so it should be of one that was not found.
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
        if self.kind == TokenKind::AccessToken {
            body.insert("token_type".into(), "Bearer".into());
        }
        body
    }
}

/// A token of a request that looks for it: which secret, and of which kind it has to be.
///
/// A `token_type_hint` is only a hint (RFC 7009 2.1), so an endpoint that has one still asks for
/// [`TokenRef::Any`].
#[derive(Debug, Clone, Copy)]
pub enum TokenRef<'a> {
    /// An access token, nothing else.
    Access(&'a Secret),
    /// A refresh token, nothing else.
    Refresh(&'a Secret),
    /// Either.
    Any(&'a Secret),
}

impl<'a> TokenRef<'a> {
    /// The secret.
    #[must_use]
    pub const fn secret(self) -> &'a Secret {
        match self {
            Self::Access(secret) | Self::Refresh(secret) | Self::Any(secret) => secret,
        }
    }

    /// The kind, where it is settled.
    #[must_use]
    pub const fn kind(self) -> Option<TokenKind> {
        match self {
            Self::Access(_) => Some(TokenKind::AccessToken),
            Self::Refresh(_) => Some(TokenKind::RefreshToken),
            Self::Any(_) => None,
        }
    }
}

/// The credentials to store with [`create_token`](crate::TokenStorage::create_token).
///
/// ```
/// use oauth_storage::{NewToken, Secret};
///
/// let new = NewToken::new("s6BhdRkqt3", "api:read".parse()?, Secret::generate()?)
///     .with_refresh_token(Secret::generate()?);
/// assert!(new.refresh_token.is_some());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The client they are issued to.
    pub client_id: String,
    /// What they allow.
    pub scope: Scope,
    /// The access token.
    pub access_token: Secret,
    /// The refresh token; none for client credentials and the implicit flow.
    pub refresh_token: Option<Secret>,
    /// The resource owner; none for the request's user, if it has one.
    pub subject: Option<String>,
    /// The grant they belong to: that of an authorization code, or a new one.
    pub grant_id: Uuid,
    /// What the resource owner's authorization settled. What it lacks of the authentication is
    /// taken from the request's user.
    pub context: GrantContext,
}

impl NewToken {
    /// An access token of a new grant.
    pub fn new(client_id: impl Into<String>, scope: Scope, access_token: Secret) -> Self {
        Self {
            client_id: client_id.into(),
            scope,
            access_token,
            refresh_token: None,
            subject: None,
            grant_id: Uuid::now_v7(),
            context: GrantContext::default(),
        }
    }

    /// An access token for an authorization code: of its client, subject, scope, grant and context.
    #[must_use]
    pub fn for_code(code: &AuthorizationCode, access_token: Secret) -> Self {
        Self {
            client_id: code.client_id.clone(),
            scope: code.scope.clone(),
            access_token,
            refresh_token: None,
            subject: code.subject.clone(),
            grant_id: code.grant_id,
            context: code.context.clone(),
        }
    }

    /// The same with a refresh token.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: Secret) -> Self {
        self.refresh_token = Some(refresh_token);
        self
    }

    /// The resource owner to store: the one that is named here, or else the request's user.
    #[must_use]
    pub fn full_subject<'a>(&'a self, request: &'a Request) -> Option<&'a str> {
        self.subject.as_deref().or_else(|| request.subject())
    }

    /// The context to store: with the authentication of the request's user, if the token is theirs.
    #[must_use]
    pub fn full_context(&self, request: &Request) -> GrantContext {
        let user = request.user.as_ref();
        let theirs = |user: &&User| self.subject.as_ref().is_none_or(|own| *own == user.subject);
        self.context.clone().or_from(user.filter(theirs))
    }

    /// Checks everything that came from outside, for any implementation of
    /// [`TokenStorage`](crate::TokenStorage).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) with the field's name.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.settings.check()?;
        check_client_id(&self.client_id)?;
        check_pair(&self.access_token, self.refresh_token.as_ref())?;
        if self.grant_id.is_nil() {
            return Err(Error::invalid("grant_id", Problem::Empty));
        }
        if let Some(subject) = self.full_subject(request) {
            check_subject(subject)?;
        }
        self.full_context(request).check()
    }
}

/// Microseconds, PostgreSQL's unit of time.
pub(crate) fn micros(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn introspection_says_nothing_of_a_token_that_is_not_active() {
        let mut token = Token {
            kind: TokenKind::AccessToken,
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
        token.kind = TokenKind::RefreshToken;
        assert!(!token.introspection_response().contains_key("token_type"));
        token.state = TokenState::Rotated;
        assert_eq!(
            token.introspection_response(),
            Map::from_iter([("active".into(), false.into())])
        );
    }
}
