use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::user::check_subject;
use crate::model::{AuthorizationCode, GrantContext, Scope, TokenPair, User, check_client_id};
use crate::request::{Request, Settings};
use crate::secret::Secret;

/// The kind of a token: access or refresh (the values of `token_type_hint`, RFC 7009 2.1).
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

/// The state of a token, by PostgreSQL's clock at the time of the lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenState {
    /// The token may be used.
    Active,
    /// A refresh token that was exchanged for a new pair.
    Rotated,
    /// The lifetime of the token is over.
    Expired,
    /// The token, or its grant, was revoked.
    Revoked,
}

/// The record of one credential. The credential itself is not in it: the storage keeps a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Access or refresh token.
    pub kind: TokenKind,
    /// The grant of the token.
    pub grant_id: Uuid,
    /// The client it was issued to.
    pub client_id: String,
    /// The resource owner; `None` for client credentials.
    pub subject: Option<String>,
    /// The granted scope.
    pub scope: Scope,
    /// Time at which the token was stored.
    pub issued_at: DateTime<Utc>,
    /// Expiry. Decide by [`Token::state`], which PostgreSQL's clock decided.
    pub expires_at: DateTime<Utc>,
    /// Its state.
    pub state: TokenState,
    /// Values that travel to every token of the grant.
    #[serde(flatten)]
    pub context: GrantContext,
}

impl TokenState {
    /// The state by the columns of a row. What is final comes first.
    pub(crate) const fn new(revoked: bool, rotated: bool, expired: bool) -> Self {
        match (revoked, rotated, expired) {
            (true, _, _) => Self::Revoked,
            (_, true, _) => Self::Rotated,
            (_, _, true) => Self::Expired,
            _ => Self::Active,
        }
    }
}

impl Token {
    /// Returns true if the token may be used.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == TokenState::Active
    }

    /// The lifetime at its issue in whole seconds: `expires_in` of the token response
    /// (RFC 6749 5.1).
    #[must_use]
    pub fn expires_in(&self) -> u64 {
        (self.expires_at - self.issued_at).num_seconds().try_into().unwrap_or(0)
    }
}

/// Response bodies of endpoints, in JSON.
impl Token {
    /// The body of a token response (RFC 6749 5.1), **with the secrets**. The record is that of the
    /// access token. Add an ID token as `id_token`. Send it with `Cache-Control: no-store`.
    ///
    /// ```
    /// # use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    /// use oauth_storage::{NewToken, Request, TokenPair, TokenStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oauth_storage::Result<()> {
    /// # let storage = MemoryStorage::new();
    /// # let new = NewClient::new(ClientMetadata::client_credentials());
    /// # let client_id = storage.register_client(new).await?.client.client_id;
    /// let tokens = TokenPair::generate()?.without_refresh_token();
    /// let new = NewToken::new(client_id, "api:read".parse()?, tokens.clone());
    /// let token = storage.create_token(&Request::default(), new).await?;
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
        body.insert("token_type".into(), "Bearer".into());
        body.insert("expires_in".into(), self.expires_in().into());
        body.insert("scope".into(), self.scope.as_str().into());
        if let Some(refresh_token) = &tokens.refresh_token {
            body.insert("refresh_token".into(), refresh_token.expose().into());
        }
        body
    }

    /// The body of an introspection response (RFC 7662 2.2): `{"active": false}` for a token that is
    /// not active. Answer the same for a token that was not found.
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

/// The tokens to store with [`create_token`](crate::TokenStorage::create_token).
///
/// ```
/// use oauth_storage::{NewToken, TokenPair};
///
/// let new = NewToken::new("s6BhdRkqt3", "api:read".parse()?, TokenPair::generate()?);
/// assert!(new.grant_id.is_none(), "a new grant");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewToken {
    /// The client they are issued to.
    pub client_id: String,
    /// The granted scope.
    pub scope: Scope,
    /// The tokens; without a refresh token for client credentials and the implicit flow.
    pub tokens: TokenPair,
    /// The resource owner; `None` for the request's user, if it has one.
    pub subject: Option<String>,
    /// The grant they join, which must be of the same client and subject; `None` for a new grant.
    pub grant_id: Option<Uuid>,
    /// The context of a new grant. Missing parts of the authentication are taken from the request's
    /// user. Tokens that join a grant have the context of that grant.
    pub context: GrantContext,
}

impl NewToken {
    /// Tokens of a new grant.
    pub fn new(client_id: impl Into<String>, scope: Scope, tokens: TokenPair) -> Self {
        Self {
            client_id: client_id.into(),
            scope,
            tokens,
            subject: None,
            grant_id: None,
            context: GrantContext::default(),
        }
    }

    /// Tokens for an authorization code: of its client, subject, scope and grant.
    #[must_use]
    pub fn for_code(code: &AuthorizationCode, tokens: TokenPair) -> Self {
        Self {
            client_id: code.client_id.clone(),
            scope: code.scope.clone(),
            tokens,
            subject: code.subject.clone(),
            grant_id: Some(code.grant_id),
            context: code.context.clone(),
        }
    }

    /// Sets the resource owner.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Joins a grant that exists.
    #[must_use]
    pub const fn with_grant_id(mut self, grant_id: Uuid) -> Self {
        self.grant_id = Some(grant_id);
        self
    }

    /// Sets the context of a new grant.
    #[must_use]
    pub fn with_context(mut self, context: GrantContext) -> Self {
        self.context = context;
        self
    }

    /// The identifier of a new grant, for storages: the one that the tokens name, or a fresh one.
    #[must_use]
    pub fn new_grant_id(&self) -> Uuid {
        self.tokens.grant_id().unwrap_or_else(Uuid::now_v7)
    }

    /// The resource owner to store: the one named here, or else the request's user.
    #[must_use]
    pub fn full_subject<'a>(&'a self, request: &'a Request) -> Option<&'a str> {
        self.subject.as_deref().or_else(|| request.subject())
    }

    /// The context to store: with the authentication of the request's user, if the tokens are theirs.
    #[must_use]
    pub fn full_context(&self, request: &Request) -> GrantContext {
        let user = request.user.as_ref();
        let theirs = |user: &&User| self.subject.as_ref().is_none_or(|own| *own == user.subject);
        self.context.clone().or_from(user.filter(theirs))
    }

    /// Checks every value that came from outside, for storages.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with the field's name.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.settings.check()?;
        check_client_id(&self.client_id)?;
        let grant_id = self.grant_id.or_else(|| self.tokens.grant_id());
        if grant_id.is_some_and(|grant_id| grant_id.is_nil()) {
            return Err(Error::invalid("grant_id", Problem::Empty));
        }
        self.tokens.check(grant_id)?;
        if let Some(subject) = self.full_subject(request) {
            check_subject(subject)?;
        }
        self.full_context(request).check()
    }
}

/// The lifetimes of a pair and of its grant at its first issue, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: i64,
    /// Of the refresh token: the idle lifetime where there is one and it ends earlier.
    pub(crate) refresh_token: i64,
    /// Of the grant: until its last token ends.
    pub(crate) grant: i64,
    /// Until the absolute end of the refresh tokens, where they have an idle lifetime.
    pub(crate) refresh_end: Option<i64>,
}

impl Lifetimes {
    pub(crate) fn new(settings: &Settings, has_refresh_token: bool) -> Self {
        let access_token = micros(settings.access_token_expires_in);
        let absolute = micros(settings.refresh_token_expires_in);
        let idle = settings.refresh_token_idle_expires_in.map(micros);
        let refresh_token = idle.map_or(absolute, |idle| idle.min(absolute));
        Self {
            access_token,
            refresh_token,
            grant: if has_refresh_token { access_token.max(refresh_token) } else { access_token },
            refresh_end: idle.filter(|_| has_refresh_token).map(|_| absolute),
        }
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
