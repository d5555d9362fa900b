use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::redirect_uri::check_redirect_uri;
use crate::model::user::check_subject;
use crate::model::{GrantContext, ResponseType, Scope, check_client_id};
use crate::request::{Request, Settings};
use crate::secret::Secret;

/// The transformation from a code verifier to its challenge (RFC 7636 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeChallengeMethod {
    /// The SHA-256 of the verifier, in base64url.
    S256,
    /// The verifier itself. Refused unless the settings allow it.
    Plain,
}

names!(CodeChallengeMethod, "code_challenge_method", {
    S256 => "S256",
    Plain => "plain",
});

/// A PKCE code challenge (RFC 7636).
///
/// It is kept in the form of `S256`, also for `plain`: a `plain` challenge is the verifier itself and
/// must not be stored.
///
/// ```
/// use oauth_storage::{CodeChallenge, Secret};
///
/// // RFC 7636 appendix B.
/// let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
/// let challenge = CodeChallenge::s256(&verifier);
/// assert_eq!(challenge.as_s256(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
/// assert!(challenge.matches(&verifier));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodeChallenge {
    #[serde(rename = "code_challenge")]
    s256: String,
    #[serde(rename = "code_challenge_method")]
    method: CodeChallengeMethod,
}

impl CodeChallenge {
    /// The `S256` challenge of a verifier: what a client sends.
    #[must_use]
    pub fn s256(verifier: &Secret) -> Self {
        Self { s256: s256(verifier.expose()), method: CodeChallengeMethod::S256 }
    }

    /// From the parameters of an authorization request, where `code_challenge_method` defaults to
    /// `plain` (RFC 7636 4.3).
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown method, a method without a challenge, and a challenge
    /// that breaks the syntax of RFC 7636 4.2.
    pub fn from_parameters(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Self>> {
        let Some(challenge) = challenge else {
            return match method {
                Some(_) => Err(Error::invalid("code_challenge", Problem::Missing)),
                None => Ok(None),
            };
        };
        let method = method.map_or(Ok(CodeChallengeMethod::Plain), str::parse)?;
        check_pkce("code_challenge", challenge)?;
        let s256 = match method {
            CodeChallengeMethod::Plain => s256(challenge),
            // The base64url form of 32 bytes; nothing else ever matches.
            CodeChallengeMethod::S256 if challenge.len() == 43 => challenge.to_owned(),
            CodeChallengeMethod::S256 => {
                return Err(Error::invalid("code_challenge", Problem::TooLong(43)));
            }
        };
        Ok(Some(Self { s256, method }))
    }

    /// For storages: from what [`as_s256`](Self::as_s256) and [`method`](Self::method) gave.
    #[must_use]
    pub const fn from_stored(s256: String, method: CodeChallengeMethod) -> Self {
        Self { s256, method }
    }

    /// The challenge in the form of `S256`: what a storage keeps.
    #[must_use]
    pub fn as_s256(&self) -> &str {
        &self.s256
    }

    /// The method that the client chose.
    #[must_use]
    pub const fn method(&self) -> CodeChallengeMethod {
        self.method
    }

    /// Checks that the settings allow the method (RFC 9700 2.1.1).
    pub(crate) fn check_method(&self, settings: &Settings) -> Result<()> {
        if self.method == CodeChallengeMethod::Plain && !settings.allow_plain_code_challenge {
            return Err(Error::invalid("code_challenge_method", Problem::NotAllowed));
        }
        Ok(())
    }

    /// The base64url form of 32 bytes: what [`from_stored`](Self::from_stored) takes on trust.
    fn check(&self) -> Result<()> {
        check_pkce("code_challenge", &self.s256)?;
        match URL_SAFE_NO_PAD.decode(&self.s256) {
            Ok(bytes) if bytes.len() == 32 => Ok(()),
            _ => Err(Error::invalid("code_challenge", Problem::Unsupported)),
        }
    }

    /// Returns true if the challenge was made from this verifier, in constant time. A
    /// verifier that breaks the syntax of RFC 7636 4.1 never is.
    #[must_use]
    pub fn matches(&self, verifier: &Secret) -> bool {
        check_pkce("code_verifier", verifier.expose()).is_ok()
            && bool::from(self.s256.as_bytes().ct_eq(s256(verifier.expose()).as_bytes()))
    }
}

/// BASE64URL-ENCODE(SHA256(ASCII(code_verifier))), RFC 7636 4.2.
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// 43 to 128 unreserved characters (RFC 7636 4.1 and 4.2).
fn check_pkce(field: &'static str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, Problem::Empty));
    }
    if value.len() < 43 {
        return Err(Error::invalid(field, Problem::TooShort(43)));
    }
    if value.len() > 128 {
        return Err(Error::invalid(field, Problem::TooLong(128)));
    }
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
        return Err(Error::invalid(field, Problem::Character));
    }
    Ok(())
}

/// The record of an authorization code that was not yet used. The code itself is not in it.
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
    /// The PKCE challenge, where the client gave one.
    #[serde(flatten)]
    pub code_challenge: Option<CodeChallenge>,
    /// Time at which the code was stored.
    pub issued_at: DateTime<Utc>,
    /// Expiry. Decide by [`AuthorizationCode::expired`].
    pub expires_at: DateTime<Utc>,
    /// True if its lifetime was over, by PostgreSQL's clock at the time of the lookup.
    pub expired: bool,
    /// Values that travel to every token of the grant.
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

    /// Returns true if the token request's PKCE verifier fits (RFC 7636 4.6). Without a challenge there
    /// must be no verifier, or an attacker could strip the challenge (RFC 9700 4.8.2).
    #[must_use]
    pub fn matches_code_verifier(&self, verifier: Option<&Secret>) -> bool {
        match (&self.code_challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => challenge.matches(verifier),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// The code to store with
/// [`create_authorization_code`](crate::AuthorizationCodeStorage::create_authorization_code).
///
/// ```
/// use oauth_storage::{CodeChallenge, NewAuthorizationCode, Secret};
///
/// let verifier = Secret::generate()?;
/// let new = NewAuthorizationCode {
///     code_challenge: Some(CodeChallenge::s256(&verifier)),
///     nonce: Some("n-0S6_WzA2Mj".into()),
///     ..NewAuthorizationCode::new(
///         "s6BhdRkqt3",
///         "openid".parse()?,
///         "https://client.example/cb",
///         Secret::generate()?,
///     )
/// };
/// assert_eq!(new.response_type.to_string(), "code");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NewAuthorizationCode {
    /// The client it is issued to.
    pub client_id: String,
    /// The granted scope.
    pub scope: Scope,
    /// The response type of the authorization request; `code`, or a hybrid.
    pub response_type: ResponseType,
    /// The redirect URI it is sent to.
    pub redirect_uri: String,
    /// The code.
    pub code: Secret,
    /// The PKCE challenge.
    pub code_challenge: Option<CodeChallenge>,
    /// The `nonce` of the authentication request.
    pub nonce: Option<String>,
    /// Other values that travel to the tokens. Missing parts of the authentication are taken from
    /// the request's user, the nonce from the field above.
    pub context: GrantContext,
}

impl NewAuthorizationCode {
    /// A code of response type `code`, without PKCE and nonce.
    pub fn new(
        client_id: impl Into<String>,
        scope: Scope,
        redirect_uri: impl Into<String>,
        code: Secret,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            scope,
            response_type: ResponseType::CODE,
            redirect_uri: redirect_uri.into(),
            code,
            code_challenge: None,
            nonce: None,
            context: GrantContext::default(),
        }
    }

    /// The identifier of the code's grant, for storages: the one that the code names, or a fresh one.
    #[must_use]
    pub fn new_grant_id(&self) -> Uuid {
        self.code.grant_id().unwrap_or_else(Uuid::now_v7)
    }

    /// The context to store: with the nonce, and with the user's authentication.
    #[must_use]
    pub fn full_context(&self, request: &Request) -> GrantContext {
        let mut context = self.context.clone().or_from(request.user.as_ref());
        if self.nonce.is_some() {
            context.nonce.clone_from(&self.nonce);
        }
        context
    }

    /// Checks everything that came from outside, for any implementation of
    /// [`AuthorizationCodeStorage`](crate::AuthorizationCodeStorage).
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.settings.check()?;
        check_client_id(&self.client_id)?;
        self.code.check("code")?;
        if self.code.grant_id().is_some_and(|grant_id| grant_id.is_nil()) {
            return Err(Error::invalid("code", Problem::NotAllowed));
        }
        check_redirect_uri(&self.redirect_uri)?;
        if !self.response_type.has_code() {
            return Err(Error::invalid("response_type", Problem::NotAllowed));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier() -> Secret {
        Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    }

    #[test]
    fn a_verifier_matches_its_challenge_only() {
        let s256 = CodeChallenge::s256(&verifier());
        let plain = CodeChallenge::from_parameters(Some(verifier().expose()), Some("plain"));
        let plain = plain.unwrap().unwrap();
        assert!(s256.matches(&verifier()) && plain.matches(&verifier()));
        for wrong in ["", "short", &"a".repeat(43), &"a".repeat(129)] {
            assert!(!s256.matches(&Secret::new(wrong)), "{wrong}");
            assert!(!plain.matches(&Secret::new(wrong)), "{wrong}");
        }
        // The challenge itself is not a verifier of an S256 challenge.
        assert!(!s256.matches(&Secret::new(s256.as_s256())));
    }

    #[test]
    fn parameters_default_to_plain_and_need_a_challenge() {
        let from = CodeChallenge::from_parameters;
        let (long, wrong) = ("a".repeat(44), "a".repeat(42));
        assert_eq!(from(None, None).unwrap(), None);
        assert_eq!(from(Some(&long), None).unwrap().unwrap().method(), CodeChallengeMethod::Plain);
        assert!(from(None, Some("S256")).is_err());
        assert!(from(Some(&long), Some("s256")).is_err());
        assert!(from(Some(&long), Some("S256")).is_err());
        assert!(from(Some(&wrong), None).is_err());
    }

    #[test]
    fn s5_plain_is_refused_by_default() {
        let mut new = NewAuthorizationCode::new(
            "c",
            Scope::default(),
            "https://client.example/cb",
            Secret::new("code"),
        );
        new.code_challenge =
            CodeChallenge::from_parameters(Some(verifier().expose()), None).unwrap();
        let mut request = Request::default();
        assert!(matches!(
            new.check(&request),
            Err(Error::Invalid { field: "code_challenge_method", problem: Problem::NotAllowed })
        ));
        request.settings = Settings { allow_plain_code_challenge: true, ..Settings::default() };
        assert!(new.check(&request).is_ok());
    }

    #[test]
    fn s17_a_plain_challenge_is_not_kept() {
        let verifier = verifier();
        let challenge = CodeChallenge::from_parameters(Some(verifier.expose()), None).unwrap();
        let json = serde_json::to_string(&challenge).unwrap();
        assert!(!format!("{challenge:?} {json}").contains(verifier.expose()));
    }
}
