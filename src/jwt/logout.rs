//! Logout tokens (OpenID Connect Back-Channel Logout 2.4).

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::IdTokenSigner;
use crate::check::{MAX_TEXT_BYTES, check_client_id, check_subject, check_text};
use crate::error::{Error, InvalidReason, Result};
use crate::id_token::SigningAlgorithm;
use crate::secret::Secret;

/// The lifetime of a logout token in seconds (OpenID Connect Back-Channel Logout 2.4: preferably at most two
/// minutes).
const LIFETIME: i64 = 120;

/// The event of a logout.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token to sign: it tells a client that a user, or a session of theirs, has signed out.
///
/// ```
/// use oauth_storage::jwt::{IdTokenSigner, NewLogoutToken, SigningKey};
///
/// # let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate()?)?;
/// let new = NewLogoutToken::new("s6BhdRkqt3")
///     .with_subject("248289761001")
///     .with_sid("08a5019c-17e1-4977-8f42-65a12843ea02");
/// // POST it to the client's `backchannel_logout_uri`, as the form parameter `logout_token`.
/// let logout_token = signer.sign_logout_token(&new)?;
/// assert_eq!(logout_token.split('.').count(), 3);
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewLogoutToken<'a> {
    /// The client that it is for.
    pub client_id: &'a str,
    /// The user; without a `sid`, all of their sessions.
    pub subject: Option<&'a str>,
    /// The session that has ended, as in the ID tokens of the client.
    pub sid: Option<&'a str>,
    /// The algorithm of the client's ID tokens (`id_token_signed_response_alg`); `None` for that of the first
    /// active key.
    pub signing_alg: Option<SigningAlgorithm>,
}

impl<'a> NewLogoutToken<'a> {
    /// A token for a client. It needs a subject, a `sid` or both.
    #[must_use]
    pub const fn new(client_id: &'a str) -> Self {
        Self { client_id, subject: None, sid: None, signing_alg: None }
    }

    setters! {
        /// Sets the user.
        with_subject(subject: impl Into<Option<&'a str>>) => subject.into();
        /// Sets the session that has ended.
        with_sid(sid: impl Into<Option<&'a str>>) => sid.into();
        /// Sets the algorithm of the client's ID tokens.
        with_signing_alg(signing_alg: impl Into<Option<SigningAlgorithm>>) => signing_alg.into();
    }
}

impl IdTokenSigner {
    /// Signs a logout token, with a new `jti`. It expires after two minutes, by this machine's time, and has no
    /// `nonce`. Its `typ` is `logout+jwt`, so that it is no ID token.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid; with `subject` and
    /// [`InvalidReason::Missing`] if there is neither a subject nor a `sid`; with
    /// `id_token_signed_response_alg` if there is no active key of the asked algorithm.
    /// [`Error::Configuration`] if the operating system provides no randomness.
    pub fn sign_logout_token(&self, logout_token: &NewLogoutToken<'_>) -> Result<String> {
        // Not the database's clock, because the client compares with its own.
        #[allow(clippy::disallowed_methods, reason = "no decision of the storage depends on it")]
        let now = Utc::now();
        self.sign_logout_token_at(now, logout_token)
    }

    fn sign_logout_token_at(
        &self,
        now: DateTime<Utc>,
        logout_token: &NewLogoutToken<'_>,
    ) -> Result<String> {
        let NewLogoutToken { client_id, subject, sid, signing_alg } = *logout_token;
        check_client_id(client_id)?;
        if let Some(subject) = subject {
            check_subject(subject)?;
        }
        if let Some(sid) = sid {
            check_text("sid", sid, MAX_TEXT_BYTES)?;
        }
        if subject.is_none() && sid.is_none() {
            return Err(Error::invalid("subject", InvalidReason::Missing));
        }
        let iat = now.timestamp();
        let mut claims = json!({
            "iss": self.issuer,
            "aud": client_id,
            "iat": iat,
            "exp": iat + LIFETIME,
            "jti": Secret::generate_unnamed()?.expose(),
            "events": { EVENT: {} },
        });
        for (name, value) in [("sub", subject), ("sid", sid)] {
            if let Some(value) = value {
                claims[name] = Value::from(value);
            }
        }
        self.sign_claims("logout+jwt", signing_alg, &claims)
    }
}
