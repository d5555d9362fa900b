//! Authorization codes and PKCE challenges.

mod code_challenge;
mod storage;

pub use code_challenge::{CodeChallenge, CodeChallengeMethod};
pub use storage::AuthorizationCodeStorage;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::check::{check_client_id, check_subject};
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::check_redirect_uri;
use crate::request::RequestContext;
use crate::response_type::ResponseType;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::user_session::UserSession;

/// The record of an unused authorization code, without the code itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuthorizationCode {
    /// The grant that the tokens of this code will belong to.
    pub grant_id: Uuid,
    /// The client it was issued to.
    pub client_id: String,
    /// The resource owner.
    pub subject: Option<String>,
    /// The granted scope.
    pub scope: Scope,
    /// The response type that it was issued for.
    pub response_type: ResponseType,
    /// The redirect URI it was sent to.
    pub redirect_uri: String,
    /// The PKCE challenge, if the client sent one.
    #[serde(flatten)]
    pub code_challenge: Option<CodeChallenge>,
    /// Time at which the code was stored.
    pub issued_at: DateTime<Utc>,
    /// Time of expiry. To decide, use [`AuthorizationCode::expired`].
    pub expires_at: DateTime<Utc>,
    /// True if the code had expired at the time of the lookup, by the storage's clock.
    pub expired: bool,
    /// The context of the grant.
    #[serde(flatten)]
    pub context: GrantContext,
}

impl AuthorizationCode {
    /// Returns true if the token request's redirect URI is the one the code was sent to
    /// (RFC 6749 4.1.3).
    #[must_use]
    pub fn matches_redirect_uri(&self, redirect_uri: &str) -> bool {
        self.redirect_uri == redirect_uri
    }

    /// Returns true if the PKCE verifier of the token request matches (RFC 7636 4.6). Without a
    /// challenge a verifier is refused, because otherwise an attacker could strip the challenge
    /// (RFC 9700 4.8.2).
    #[must_use]
    pub fn matches_code_verifier(&self, verifier: Option<&Secret>) -> bool {
        match (&self.code_challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => challenge.matches(verifier),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// An authorization code to store with
/// [`create_authorization_code`](crate::AuthorizationCodeStorage::create_authorization_code).
///
/// ```
/// use oauth_storage::{NewAuthorizationCode, Secret};
/// use oauth_storage::authorization_code::CodeChallenge;
///
/// let verifier = Secret::generate()?;
/// let (uri, code) = ("https://client.example/cb", Secret::generate()?);
/// let new = NewAuthorizationCode::new("s6BhdRkqt3", "openid".parse()?, uri, code)
///     .with_code_challenge(CodeChallenge::s256(&verifier))
///     .with_nonce("n-0S6_WzA2Mj".to_owned());
/// assert_eq!(new.response_type.to_string(), "code");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewAuthorizationCode {
    /// The client it is issued to.
    pub client_id: String,
    /// The granted scope.
    pub scope: Scope,
    /// The response type of the authorization request: `code` or a hybrid.
    pub response_type: ResponseType,
    /// The redirect URI it is sent to.
    pub redirect_uri: String,
    /// The code.
    pub code: Secret,
    /// The PKCE challenge.
    pub code_challenge: Option<CodeChallenge>,
    /// The grant it joins, which must be live and of the same client, subject and scope; `None` for a
    /// new grant. In a hybrid flow the access token may be stored first; a grant ends with its last token.
    pub grant_id: Option<Uuid>,
    /// The session of the user that the new grant belongs to, as `sid`. It must be live and of the request's
    /// user when the code is stored; a sign-out then ends the grant. A code that joins a grant has the
    /// session of that grant, so store the code first if the response has an access token as well.
    pub session: Option<Uuid>,
    /// The `nonce` of the authentication request.
    pub nonce: Option<String>,
    /// Other values for the tokens. A code that joins a grant has the context of that grant, so it may
    /// have neither this nor a nonce. Missing authentication values are taken from the request's
    /// user. The field `nonce`, if set, replaces the nonce of the context.
    pub context: GrantContext,
}

impl NewAuthorizationCode {
    /// A code of response type `code`, without PKCE and nonce.
    pub fn new(
        client_id: impl Into<String>,
        scope: Scope,
        redirect_uri: impl Into<String>,
        code: impl Into<Secret>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            scope,
            response_type: ResponseType::CODE,
            redirect_uri: redirect_uri.into(),
            code: code.into(),
            code_challenge: None,
            grant_id: None,
            session: None,
            nonce: None,
            context: GrantContext::default(),
        }
    }

    setters! {
        /// Sets the response type of the authorization request.
        with_response_type(response_type: ResponseType) => response_type;
        /// Sets the PKCE challenge.
        with_code_challenge(code_challenge: impl Into<Option<CodeChallenge>>) => code_challenge.into();
        /// Sets the existing grant that the code joins.
        with_grant_id(grant_id: impl Into<Option<Uuid>>) => grant_id.into();
        /// Sets the session of the user.
        with_session(session: &UserSession) => Some(session.sid);
        /// Sets the `nonce` of the authentication request.
        with_nonce(nonce: impl Into<Option<String>>) => nonce.into();
        /// Sets other values for the tokens.
        with_context(context: GrantContext) => context;
    }

    /// Returns the grant that the code joins or names, or a new identifier. For storage
    /// implementations.
    #[must_use]
    pub fn full_grant_id(&self) -> Uuid {
        self.grant_id.or_else(|| self.code.grant_id()).unwrap_or_else(Uuid::now_v7)
    }

    /// Returns the context to store, with the nonce, the session and the user's authentication. For storage
    /// implementations.
    #[must_use]
    pub fn full_context(&self, request: &RequestContext) -> GrantContext {
        let mut context = self.context.clone().or_from(request.user.as_ref());
        if self.nonce.is_some() {
            context.nonce.clone_from(&self.nonce);
        }
        if let Some(session) = self.session {
            context.sid = Some(session.to_string());
        }
        context
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self, request: &RequestContext) -> Result<()> {
        request.settings.check()?;
        check_client_id(&self.client_id)?;
        self.code.check("code")?;
        if self.code.grant_id().is_some_and(|grant_id| grant_id.is_nil()) {
            return Err(Error::invalid("code", InvalidReason::NotAllowed));
        }
        if let Some(grant_id) = self.grant_id {
            if grant_id.is_nil() {
                return Err(Error::invalid("grant_id", InvalidReason::Empty));
            }
            if self.code.grant_id().is_some_and(|named| named != grant_id) {
                return Err(Error::invalid("code", InvalidReason::NotAllowed));
            }
            // They would be lost: the code has the context of the grant.
            for (field, is_given) in [
                ("session", self.session.is_some()),
                ("nonce", self.nonce.is_some()),
                ("context", self.context != GrantContext::default()),
            ] {
                if is_given {
                    return Err(Error::invalid(field, InvalidReason::NotAllowed));
                }
            }
        }
        if let Some(session) = self.session {
            // Two sessions, of which a sign-out would find one.
            let context = self.context.clone().or_from(request.user.as_ref());
            if context.sid.is_some_and(|sid| sid != session.to_string()) {
                return Err(Error::invalid("session", InvalidReason::NotAllowed));
            }
        }
        check_redirect_uri(&self.redirect_uri)?;
        if !self.response_type.has_code() {
            return Err(Error::invalid("response_type", InvalidReason::NotAllowed));
        }
        if let Some(challenge) = &self.code_challenge {
            challenge.check()?;
            challenge.check_method(&request.settings)?;
        }
        if let Some(subject) = request.subject() {
            check_subject(subject)?;
        }
        self.full_context(request).check()
    }
}
