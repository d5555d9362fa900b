//! Tokens: access and refresh tokens, and pairs of them.

mod pair;
mod storage;

pub use pair::TokenPair;
pub use storage::TokenStorage;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::authorization_code::AuthorizationCode;
use crate::check::{check_client_id, check_subject};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::user::User;

/// The kind of a token: access or refresh (the values of `token_type_hint`, RFC 7009 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

names!(TokenKind, "token_type_hint", {
    Access => "access_token",
    Refresh => "refresh_token",
});

/// The state of a token, by the storage's clock at the time of the lookup.
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

/// The record of a token, without the token itself: the storage keeps only a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The kind of the token.
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
    /// Time of expiry. To decide, use [`Token::state`].
    pub expires_at: DateTime<Utc>,
    /// The state, by the storage's clock at the time of the lookup.
    pub state: TokenState,
    /// The context of the grant.
    #[serde(flatten)]
    pub context: GrantContext,
}

impl TokenState {
    /// Returns the state for the columns of a row. Final states take precedence.
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

    /// The lifetime at issue in whole seconds: `expires_in` of the token response (RFC 6749 5.1).
    #[must_use]
    pub fn expires_in(&self) -> u64 {
        (self.expires_at - self.issued_at).num_seconds().try_into().unwrap_or(0)
    }
}

/// A secret to find a token by, and the kind that the token must have.
///
/// A `token_type_hint` is only a hint (RFC 7009 2.1), so an endpoint that gets one still uses
/// [`TokenRef::Any`].
#[derive(Debug, Clone, Copy)]
pub enum TokenRef<'a> {
    /// An access token only.
    Access(&'a Secret),
    /// A refresh token only.
    Refresh(&'a Secret),
    /// A token of either kind.
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

    /// The required kind; `None` for either.
    #[must_use]
    pub const fn kind(self) -> Option<TokenKind> {
        match self {
            Self::Access(_) => Some(TokenKind::Access),
            Self::Refresh(_) => Some(TokenKind::Refresh),
            Self::Any(_) => None,
        }
    }
}

/// The tokens to store with [`create_token`](crate::TokenStorage::create_token).
///
/// ```
/// use oauth_storage::TokenPair;
/// use oauth_storage::token::NewToken;
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
    /// The context of a new grant. Missing authentication values are taken from the request's user.
    /// Tokens that join a grant have the context of that grant.
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

    /// Tokens for an authorization code, with its client, subject, scope and grant.
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

    /// Sets the existing grant that the tokens join.
    #[must_use]
    pub fn with_grant_id(mut self, grant_id: impl Into<Option<Uuid>>) -> Self {
        self.grant_id = grant_id.into();
        self
    }

    /// Sets the context of a new grant.
    #[must_use]
    pub fn with_context(mut self, context: GrantContext) -> Self {
        self.context = context;
        self
    }

    /// Returns the grant that the tokens name, or a new identifier. For storage implementations.
    #[must_use]
    pub fn new_grant_id(&self) -> Uuid {
        self.tokens.grant_id().unwrap_or_else(Uuid::now_v7)
    }

    /// Returns the resource owner to store: the one set here, or else the request's user. For
    /// storage implementations.
    #[must_use]
    pub fn full_subject<'a>(&'a self, request: &'a RequestContext) -> Option<&'a str> {
        self.subject.as_deref().or_else(|| request.subject())
    }

    /// Returns the context to store, with the authentication of the request's user if the tokens
    /// are theirs. For storage implementations.
    #[must_use]
    pub fn full_context(&self, request: &RequestContext) -> GrantContext {
        let user = request.user.as_ref();
        let theirs = |user: &&User| self.subject.as_ref().is_none_or(|own| *own == user.subject);
        self.context.clone().or_from(user.filter(theirs))
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self, request: &RequestContext) -> Result<()> {
        request.settings.check()?;
        check_client_id(&self.client_id)?;
        let grant_id = self.grant_id.or_else(|| self.tokens.grant_id());
        if grant_id.is_some_and(|grant_id| grant_id.is_nil()) {
            return Err(Error::invalid("grant_id", InvalidReason::Empty));
        }
        self.tokens.check(grant_id)?;
        if self.tokens.refresh_token.is_some()
            && !request.settings.allows_refresh_token(&self.scope)
        {
            return Err(Error::invalid("refresh_token", InvalidReason::NotAllowed));
        }
        if let Some(subject) = self.full_subject(request) {
            check_subject(subject)?;
        }
        self.full_context(request).check()
    }
}
