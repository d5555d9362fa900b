//! ID tokens.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::authorization_code::AuthorizationCode;
use crate::context::GrantContext;
use crate::error::Result;
use crate::request::RequestContext;
use crate::response_type::ResponseType;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::token::Token;

/// A signer of ID tokens. Pass an implementation to a storage, which calls it. The feature `jwt`
/// provides one.
#[async_trait]
pub trait IdTokenStorage: Send + Sync {
    /// Returns a signed ID token: a compact JWT (OpenID Connect Core 2) with `iss`, `sub`, `aud`,
    /// `exp`, `iat` and, as they apply, `auth_time`, `nonce`, `acr`, `amr`, `at_hash`, `c_hash`, `sid`.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `subject` if neither the ID token nor
    /// the request has one; [`Error::Configuration`](crate::Error::Configuration) if the storage
    /// has no implementation.
    async fn get_id_token(
        &self,
        request: &RequestContext,
        id_token: NewIdToken<'_>,
    ) -> Result<String>;

    /// Verifies an `id_token_hint` (OpenID Connect Core 3.1.2.1, RP-Initiated Logout 2): an ID token
    /// that this issuer signed earlier, with a key that is active, next or retired. Returns `None`
    /// for any other text. The expiry is ignored, because a hint is usually older.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`](crate::Error::Configuration) if the storage has no
    /// implementation.
    async fn verify_id_token_hint(&self, id_token_hint: &str) -> Result<Option<IdTokenHint>>;
}

forward!(IdTokenStorage {
    fn get_id_token(&self, request: &RequestContext, id_token: NewIdToken<'_>) -> Result<String>;
    fn verify_id_token_hint(&self, id_token_hint: &str) -> Result<Option<IdTokenHint>>;
});

/// The claims of a verified `id_token_hint`. Compare the subject with the signed-in user: a hint of
/// another user is `login_required` (OpenID Connect Core 3.1.2.2). If a client names itself, check that
/// the hint [is for it](Self::is_for) (RP-Initiated Logout 2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdTokenHint {
    /// The resource owner (`sub`).
    pub subject: String,
    /// The session at the server (`sid`), if the ID token had one.
    pub sid: Option<String>,
    /// The clients that the ID token was for (`aud`).
    pub audience: Vec<String>,
    /// Time of issue (`iat`).
    pub issued_at: DateTime<Utc>,
}

impl IdTokenHint {
    /// A hint. For implementations of [`IdTokenStorage`].
    pub fn new(
        subject: impl Into<String>,
        audience: Vec<String>,
        issued_at: DateTime<Utc>,
    ) -> Self {
        Self { subject: subject.into(), sid: None, audience, issued_at }
    }

    /// Returns true if the ID token was issued to the client.
    #[must_use]
    pub fn is_for(&self, client_id: &str) -> bool {
        self.audience.iter().any(|own| own == client_id)
    }

    setters! {
        /// Sets the session.
        with_sid(sid: impl Into<Option<String>>) => sid.into();
    }
}

/// The algorithm of a signature (RFC 7518 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// ECDSA on the curve P-256, with SHA-256.
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, which OpenID Connect Discovery 3 requires of every provider.
    RS256,
}

names!(SigningAlgorithm, "id_token_signed_response_alg", {
    ES256 => "ES256",
    RS256 => "RS256",
});

/// The claims of a new ID token.
///
/// A missing subject and missing authentication values are taken from the request's user.
///
/// ```
/// use oauth_storage::id_token::NewIdToken;
///
/// let scope = "openid".parse()?;
/// let new = NewIdToken::new("s6BhdRkqt3", &scope)
///     .with_redirect_uri("https://client.example/cb")
///     .with_nonce("n-0S6_WzA2Mj");
/// assert_eq!(new.response_type.to_string(), "code");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewIdToken<'a> {
    /// The client, which is the audience.
    pub client_id: &'a str,
    /// The resource owner; `None` for the request's user.
    pub subject: Option<&'a str>,
    /// The scope that was granted.
    pub scope: &'a Scope,
    /// The response type of the authorization request.
    pub response_type: ResponseType,
    /// The redirect URI of the ID token or of the code; `None` if unknown, as in a refresh.
    pub redirect_uri: Option<&'a str>,
    /// The `nonce` of the authentication request.
    pub nonce: Option<&'a str>,
    /// Time at which the end user authenticated.
    pub auth_time: Option<DateTime<Utc>>,
    /// The authentication context class reference.
    pub acr: Option<&'a str>,
    /// The authentication methods.
    pub amr: &'a [String],
    /// The access token that is issued with it, for `at_hash`.
    pub access_token: Option<&'a Secret>,
    /// The authorization code that is issued with it, for `c_hash`.
    pub code: Option<&'a Secret>,
    /// The session of the user at the server.
    pub sid: Option<&'a str>,
    /// The algorithm that the client registered; `None` for the signer's default.
    pub signing_alg: Option<SigningAlgorithm>,
    /// True if the token endpoint issues it. The authorization endpoint sends it through the browser, where it
    /// needs the hashes that bind it (OpenID Connect Core 3.3.2.11).
    pub from_token_endpoint: bool,
}

impl<'a> NewIdToken<'a> {
    /// An ID token without optional claims, for the authorization endpoint unless
    /// [`at_token_endpoint`](Self::at_token_endpoint) is called.
    #[must_use]
    pub const fn new(client_id: &'a str, scope: &'a Scope) -> Self {
        Self {
            client_id,
            subject: None,
            scope,
            response_type: ResponseType::CODE,
            redirect_uri: None,
            nonce: None,
            auth_time: None,
            acr: None,
            amr: &[],
            access_token: None,
            code: None,
            sid: None,
            signing_alg: None,
            from_token_endpoint: false,
        }
    }

    /// An ID token for a code exchanged with the nine methods, with the code's client, subject,
    /// scope, nonce and authentication.
    #[must_use]
    pub fn for_code(code: &'a AuthorizationCode, access_token: &'a Secret) -> Self {
        Self {
            subject: code.subject.as_deref(),
            response_type: code.response_type,
            redirect_uri: Some(&code.redirect_uri),
            access_token: Some(access_token),
            from_token_endpoint: true,
            ..Self::new(&code.client_id, &code.scope)
        }
        .with_context(&code.context)
    }

    /// An ID token for a redemption, with the token's client, subject, scope, nonce and authentication
    /// (OpenID Connect Core 3.1.3.3).
    #[must_use]
    pub fn for_token(token: &'a Token, access_token: &'a Secret) -> Self {
        Self {
            subject: token.subject.as_deref(),
            access_token: Some(access_token),
            from_token_endpoint: true,
            ..Self::new(&token.client_id, &token.scope)
        }
        .with_context(&token.context)
    }

    /// An ID token for a rotation: that of [`for_token`](Self::for_token) without the nonce (OpenID Connect
    /// Core 12.2).
    #[must_use]
    pub fn for_refresh(token: &'a Token, access_token: &'a Secret) -> Self {
        Self { nonce: None, ..Self::for_token(token, access_token) }
    }

    /// Makes it an ID token of the token endpoint, which no browser sees.
    #[must_use]
    pub const fn at_token_endpoint(mut self) -> Self {
        self.from_token_endpoint = true;
        self
    }

    setters! {
        /// Sets the resource owner.
        with_subject(subject: impl Into<Option<&'a str>>) => subject.into();
        /// Sets the response type of the authorization request.
        with_response_type(response_type: ResponseType) => response_type;
        /// Sets the redirect URI.
        with_redirect_uri(redirect_uri: impl Into<Option<&'a str>>) => redirect_uri.into();
        /// Sets the `nonce` of the authentication request.
        with_nonce(nonce: impl Into<Option<&'a str>>) => nonce.into();
        /// Sets the time at which the end user authenticated.
        with_auth_time(auth_time: impl Into<Option<DateTime<Utc>>>) => auth_time.into();
        /// Sets the authentication context class reference.
        with_acr(acr: impl Into<Option<&'a str>>) => acr.into();
        /// Sets the authentication methods.
        with_amr(amr: &'a [String]) => amr;
        /// Sets the access token that is issued with it, for `at_hash`.
        with_access_token(access_token: impl Into<Option<&'a Secret>>) => access_token.into();
        /// Sets the authorization code that is issued with it, for `c_hash`.
        with_code(code: impl Into<Option<&'a Secret>>) => code.into();
        /// Sets the session of the user at the server.
        with_sid(sid: impl Into<Option<&'a str>>) => sid.into();
        /// Sets the algorithm, see
        /// [`Client::id_token_signing_alg`](crate::client::Client::id_token_signing_alg).
        with_signing_alg(signing_alg: impl Into<Option<SigningAlgorithm>>) => signing_alg.into();
    }

    /// Returns the resource owner: the one set here, or else the request's user.
    #[must_use]
    pub fn full_subject(&self, request: &'a RequestContext) -> Option<&'a str> {
        self.subject.or_else(|| request.subject())
    }

    /// Sets the nonce and the authentication from a grant's context.
    #[must_use]
    pub fn with_context(self, context: &'a GrantContext) -> Self {
        Self {
            nonce: context.nonce.as_deref(),
            auth_time: context.auth_time,
            acr: context.acr.as_deref(),
            amr: &context.amr,
            sid: context.sid.as_deref(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::token::{TokenKind, TokenState};

    #[test]
    fn a_refreshed_id_token_has_no_nonce() {
        let token = Token {
            kind: TokenKind::Access,
            grant_id: Uuid::now_v7(),
            client_id: "c".into(),
            subject: Some("alice".into()),
            scope: "openid".parse().unwrap(),
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
            state: TokenState::Active,
            context: GrantContext::default().with_nonce("n".to_owned()).with_acr("a".to_owned()),
        };
        let secret = Secret::new("s");
        let (new, again) =
            (NewIdToken::for_token(&token, &secret), NewIdToken::for_refresh(&token, &secret));
        assert_eq!((new.nonce, again.nonce), (Some("n"), None));
        assert_eq!((new.acr, again.acr), (Some("a"), Some("a")));
    }
}
