use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::redirect_uri::check_redirect_uri;
use crate::model::{CodeChallenge, Scope, Token, check_client_id};
use crate::request::Request;
use crate::secret::Secret;

/// A grant that has an active token: a line of "your connected applications".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The act of authorization.
    pub grant_id: Uuid,
    /// The client that was authorized.
    pub client_id: String,
    /// The resource owner who authorized it.
    pub subject: String,
    /// What it was authorized for.
    pub scope: Scope,
    /// When its first tokens were issued.
    pub granted_at: DateTime<Utc>,
    /// When its refresh token was last rotated; none for never.
    pub last_rotated_at: Option<DateTime<Utc>>,
    /// When its last active token expires.
    pub expires_at: DateTime<Utc>,
}

/// An authorization code to exchange, see
/// [`redeem_authorization_code`](crate::GrantStorage::redeem_authorization_code).
#[derive(Debug, Clone)]
pub struct Redeem {
    /// The client that presents the code, authenticated by the caller.
    pub client_id: String,
    /// The `redirect_uri` of the token request.
    pub redirect_uri: String,
    /// The code.
    pub code: Secret,
    /// The `code_verifier` of the token request.
    pub code_verifier: Option<Secret>,
    /// The access token to issue.
    pub access_token: Secret,
    /// The refresh token to issue, if any.
    pub refresh_token: Option<Secret>,
}

impl Redeem {
    /// A code without PKCE, for an access token alone.
    pub fn new(
        client_id: impl Into<String>,
        redirect_uri: impl Into<String>,
        code: Secret,
        access_token: Secret,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            redirect_uri: redirect_uri.into(),
            code,
            code_verifier: None,
            access_token,
            refresh_token: None,
        }
    }

    /// Checks what is to be issued. What is presented is not checked here: it is invalid, which
    /// is an outcome, not an error.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.settings.check()?;
        check_pair(&self.access_token, self.refresh_token.as_ref())
    }

    /// For storages: the challenge that the code must have, none without a verifier. `None` for
    /// what cannot be valid: a verifier, a client, a URI or a code that breaks its syntax.
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

/// What became of an authorization code that was presented.
#[derive(Debug, Clone, PartialEq)]
pub enum Redeemed {
    /// The code is spent, and the tokens are stored. The record of the access token.
    Issued(Box<Token>),
    /// The code was spent before, and this request would have been valid: somebody else has the
    /// code. Every token of its grant is now revoked (RFC 6749 4.1.2). Answer `invalid_grant`.
    Replayed {
        /// The grant that was revoked.
        grant_id: Uuid,
    },
    /// Unknown, expired or revoked, of another client, for another redirect URI, with another
    /// verifier: nothing was spent, nothing revoked. Answer `invalid_grant`.
    Invalid,
}

/// A refresh token to exchange, see
/// [`rotate_refresh_token`](crate::GrantStorage::rotate_refresh_token).
#[derive(Debug, Clone)]
pub struct Rotate {
    /// The client that presents the token, authenticated by the caller.
    pub client_id: String,
    /// The refresh token that is presented.
    pub refresh_token: Secret,
    /// A narrower scope for the access token; none for that of the refresh token.
    pub scope: Option<Scope>,
    /// The access token to issue.
    pub new_access_token: Secret,
    /// The refresh token to issue.
    pub new_refresh_token: Secret,
}

impl Rotate {
    /// An exchange for the same scope.
    pub fn new(
        client_id: impl Into<String>,
        refresh_token: Secret,
        new_access_token: Secret,
        new_refresh_token: Secret,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            refresh_token,
            scope: None,
            new_access_token,
            new_refresh_token,
        }
    }

    /// Checks what is to be issued.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.settings.check()?;
        check_pair(&self.new_access_token, Some(&self.new_refresh_token))
    }
}

/// What became of a refresh token that was presented.
#[derive(Debug, Clone, PartialEq)]
pub enum Rotated {
    /// The token is spent, and the new pair is stored. The record of the access token.
    Issued(Box<Token>),
    /// The token was spent before, outside the grace period: it was stolen, or the client's
    /// successor was. The whole grant is now revoked (RFC 9700 4.14.2). Answer `invalid_grant`.
    Reused {
        /// The grant that was revoked.
        grant_id: Uuid,
    },
    /// Unknown, expired or revoked, or of another client: nothing was spent, nothing revoked.
    /// Answer `invalid_grant`.
    Invalid,
}

/// What a purge removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Tokens removed.
    pub tokens: u64,
    /// Authorization codes removed.
    pub authorization_codes: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// Two credentials to store together.
pub(crate) fn check_pair(access_token: &Secret, refresh_token: Option<&Secret>) -> Result<()> {
    access_token.check("access_token")?;
    if let Some(refresh_token) = refresh_token {
        refresh_token.check("refresh_token")?;
        if refresh_token == access_token {
            return Err(Error::invalid("refresh_token", Problem::Duplicate));
        }
    }
    Ok(())
}
