//! The exchanges of authorization codes and refresh tokens.

use uuid::Uuid;

use crate::authorization_code::CodeChallenge;
use crate::check::check_client_id;
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::check_redirect_uri;
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::token::{Token, TokenPair};

/// The redemption of an authorization code, for
/// [`redeem_authorization_code`](crate::GrantStorage::redeem_authorization_code).
///
/// ```
/// use oauth_storage::{CodeRedemption, Secret};
///
/// let redemption = CodeRedemption::new("s6BhdRkqt3", "https://client.example/cb", "the code")
///     .with_code_verifier("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
///     .with_refresh_token(true);
/// assert!(redemption.tokens.is_none(), "they are generated");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CodeRedemption {
    /// The client that presents the code, authenticated by the caller.
    pub client_id: String,
    /// The `redirect_uri` of the token request.
    pub redirect_uri: String,
    /// The code.
    pub code: Secret,
    /// The `code_verifier` of the token request (RFC 7636 4.5).
    pub code_verifier: Option<Secret>,
    /// True if the generated pair has a refresh token.
    pub refresh_token: bool,
    /// The tokens to issue; `None` to generate them.
    pub tokens: Option<TokenPair>,
}

impl CodeRedemption {
    /// A redemption without PKCE, for a generated access token.
    pub fn new(
        client_id: impl Into<String>,
        redirect_uri: impl Into<String>,
        code: impl Into<Secret>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            redirect_uri: redirect_uri.into(),
            code: code.into(),
            code_verifier: None,
            refresh_token: false,
            tokens: None,
        }
    }

    /// Sets the PKCE verifier.
    #[must_use]
    pub fn with_code_verifier(mut self, code_verifier: impl Into<Secret>) -> Self {
        self.code_verifier = Some(code_verifier.into());
        self
    }

    /// Sets whether a refresh token is generated.
    #[must_use]
    pub const fn with_refresh_token(mut self, refresh_token: bool) -> Self {
        self.refresh_token = refresh_token;
        self
    }

    /// Sets the tokens to issue, such as JWTs, instead of generated ones.
    #[must_use]
    pub fn with_tokens(mut self, tokens: TokenPair) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Returns the given tokens after checking them, or generated ones. The presented values are
    /// not checked, because an invalid one is an outcome and not an error. For storage
    /// implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a given token or a setting is invalid.
    pub fn tokens_to_issue(&self, request: &RequestContext) -> Result<TokenPair> {
        request.settings.check()?;
        match &self.tokens {
            Some(tokens) => tokens.check(self.code.grant_id()).map(|()| tokens.clone()),
            None => TokenPair::generate_after(&self.code, self.refresh_token),
        }
    }

    /// Returns the challenge that the code must have; `Some(None)` without a verifier. Returns
    /// `None` if a value breaks its syntax, so that the redemption cannot be valid. For storage
    /// implementations.
    #[must_use]
    pub fn expected_challenge(&self) -> Option<Option<CodeChallenge>> {
        let well_formed = self.code.is_well_formed()
            && check_client_id(&self.client_id).is_ok()
            && check_redirect_uri(&self.redirect_uri).is_ok();
        if !well_formed {
            return None;
        }
        match &self.code_verifier {
            None => Some(None),
            Some(verifier) => {
                let challenge = CodeChallenge::s256(verifier);
                challenge.matches(verifier).then_some(Some(challenge))
            }
        }
    }
}

/// The outcome of a code redemption.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum RedemptionOutcome {
    /// The code is spent and the tokens are stored.
    Issued(Box<IssuedTokens>),
    /// The code was already spent. The request is otherwise valid, so two parties have the code.
    /// Its grant is now revoked (RFC 6749 4.1.2). Answer `invalid_grant`.
    Replayed {
        /// The grant that was revoked.
        grant_id: Uuid,
    },
    /// The code is unknown, expired or of a revoked grant, the client is disabled, or client, redirect
    /// URI or verifier do not match. Nothing was spent or revoked. Answer `invalid_grant`.
    Invalid,
}

impl RedemptionOutcome {
    /// The tokens; `None` for any other outcome. Answer `invalid_grant` to all of these, so that a client cannot
    /// distinguish them.
    #[must_use]
    pub fn issued(self) -> Option<IssuedTokens> {
        match self {
            Self::Issued(issued) => Some(*issued),
            Self::Replayed { .. } | Self::Invalid => None,
        }
    }
}

/// The rotation of a refresh token, for
/// [`rotate_refresh_token`](crate::GrantStorage::rotate_refresh_token).
///
/// ```
/// use oauth_storage::TokenRotation;
///
/// let rotation = TokenRotation::new("s6BhdRkqt3", "the refresh token")
///     .with_scope("api:read".parse()?);
/// assert!(rotation.tokens.is_none(), "they are generated");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenRotation {
    /// The client that presents the token, authenticated by the caller.
    pub client_id: String,
    /// The refresh token.
    pub refresh_token: Secret,
    /// A narrower scope for the access token; `None` for the scope of the refresh token.
    pub scope: Option<Scope>,
    /// The tokens to issue, including a refresh token; `None` to generate them.
    pub tokens: Option<TokenPair>,
}

impl TokenRotation {
    /// A rotation with the same scope and a generated pair.
    pub fn new(client_id: impl Into<String>, refresh_token: impl Into<Secret>) -> Self {
        Self {
            client_id: client_id.into(),
            refresh_token: refresh_token.into(),
            scope: None,
            tokens: None,
        }
    }

    /// Narrows the scope of the access token.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Sets the tokens to issue, such as JWTs, instead of generated ones.
    #[must_use]
    pub fn with_tokens(mut self, tokens: TokenPair) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Returns the given tokens after checking them, or generated ones. For storage
    /// implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a given token or a setting is invalid;
    /// with `refresh_token` and [`InvalidReason::Missing`] if the given pair has no refresh token.
    pub fn tokens_to_issue(&self, request: &RequestContext) -> Result<TokenPair> {
        request.settings.check()?;
        let Some(tokens) = &self.tokens else {
            return TokenPair::generate_after(&self.refresh_token, true);
        };
        if tokens.refresh_token.is_none() {
            return Err(Error::invalid("refresh_token", InvalidReason::Missing));
        }
        tokens.check(self.refresh_token.grant_id()).map(|()| tokens.clone())
    }
}

/// The outcome of a token rotation.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum RotationOutcome {
    /// The refresh token is spent and the new pair is stored.
    Issued(Box<IssuedTokens>),
    /// The refresh token was already spent, outside the grace period: it or its successor was
    /// stolen. Its grant is now revoked (RFC 9700 4.14.2). Answer `invalid_grant`.
    Reused {
        /// The grant that was revoked.
        grant_id: Uuid,
    },
    /// The refresh token is unknown, expired, revoked or of another client, or the client is disabled.
    /// Nothing was spent or revoked. Answer `invalid_grant`.
    Invalid,
}

impl RotationOutcome {
    /// The tokens; `None` for any other outcome. Answer `invalid_grant` to all of these, so that a client cannot
    /// distinguish them.
    #[must_use]
    pub fn issued(self) -> Option<IssuedTokens> {
        match self {
            Self::Issued(issued) => Some(*issued),
            Self::Reused { .. } | Self::Invalid => None,
        }
    }
}

/// The tokens that an exchange issued.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct IssuedTokens {
    /// The record of the access token.
    pub token: Token,
    /// The tokens themselves.
    pub tokens: TokenPair,
}

impl IssuedTokens {
    /// Creates the result of an exchange. For storage implementations.
    #[must_use]
    pub const fn new(token: Token, tokens: TokenPair) -> Self {
        Self { token, tokens }
    }
}
