use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::error::{Error, InvalidReason, Result};
use crate::secret::Secret;
use crate::settings::Settings;

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
/// It is stored in `S256` form, even for `plain`, because a `plain` challenge is the verifier
/// itself. So a record always has the method `S256`.
///
/// ```
/// use oauth_storage::Secret;
/// use oauth_storage::authorization_code::CodeChallenge;
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
    /// Computes the `S256` challenge of a verifier, as a client does.
    #[must_use]
    pub fn s256(verifier: &Secret) -> Self {
        Self { s256: s256(verifier.expose()), method: CodeChallengeMethod::S256 }
    }

    /// Parses the parameters of an authorization request. `code_challenge_method` defaults to
    /// `plain` (RFC 7636 4.3).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the method is unknown or has no challenge, or if the challenge
    /// breaks the syntax of RFC 7636 4.2.
    pub fn from_parameters(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Self>> {
        let Some(challenge) = challenge else {
            return match method {
                Some(_) => Err(Error::invalid("code_challenge", InvalidReason::Missing)),
                None => Ok(None),
            };
        };
        let method = method.map_or(Ok(CodeChallengeMethod::Plain), str::parse)?;
        check_pkce("code_challenge", challenge)?;
        let s256 = match method {
            CodeChallengeMethod::Plain => s256(challenge),
            // 32 bytes in base64url; nothing else can match.
            CodeChallengeMethod::S256 if challenge.len() == 43 && is_base64url(challenge) => {
                challenge.to_owned()
            }
            CodeChallengeMethod::S256 if challenge.len() == 43 => {
                return Err(Error::invalid("code_challenge", InvalidReason::Character));
            }
            CodeChallengeMethod::S256 => {
                return Err(Error::invalid("code_challenge", InvalidReason::TooLong(43)));
            }
        };
        Ok(Some(Self { s256, method }))
    }

    /// Restores a challenge from [`as_s256`](Self::as_s256). For storage implementations.
    #[must_use]
    pub const fn from_stored(s256: String) -> Self {
        Self { s256, method: CodeChallengeMethod::S256 }
    }

    /// Returns the challenge as a record has it: in `S256` form, and with that method. For storage
    /// implementations.
    #[must_use]
    pub fn into_stored(self) -> Self {
        Self::from_stored(self.s256)
    }

    /// The challenge in `S256` form, as storages keep it.
    #[must_use]
    pub fn as_s256(&self) -> &str {
        &self.s256
    }

    /// The method that the client chose; `S256` in a record.
    #[must_use]
    pub const fn method(&self) -> CodeChallengeMethod {
        self.method
    }

    /// Checks that the settings allow the method (RFC 9700 2.1.1).
    pub(crate) fn check_method(&self, settings: &Settings) -> Result<()> {
        if self.method == CodeChallengeMethod::Plain && !settings.allow_plain_code_challenge {
            return Err(Error::invalid("code_challenge_method", InvalidReason::NotAllowed));
        }
        Ok(())
    }

    /// Checks that the challenge is 32 bytes in base64url, which [`from_stored`](Self::from_stored)
    /// does not.
    pub(super) fn check(&self) -> Result<()> {
        check_pkce("code_challenge", &self.s256)?;
        match URL_SAFE_NO_PAD.decode(&self.s256) {
            Ok(bytes) if bytes.len() == 32 => Ok(()),
            _ => Err(Error::invalid("code_challenge", InvalidReason::Unsupported)),
        }
    }

    /// Returns true if the challenge was made from this verifier. The comparison takes constant
    /// time. A verifier that breaks the syntax of RFC 7636 4.1 never matches.
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

/// Checks for 43 to 128 unreserved characters (RFC 7636 4.1 and 4.2).
fn check_pkce(field: &'static str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, InvalidReason::Empty));
    }
    if value.len() < 43 {
        return Err(Error::invalid(field, InvalidReason::TooShort(43)));
    }
    if value.len() > 128 {
        return Err(Error::invalid(field, InvalidReason::TooLong(128)));
    }
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
        return Err(Error::invalid(field, InvalidReason::Character));
    }
    Ok(())
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization_code::NewAuthorizationCode;
    use crate::request::RequestContext;
    use crate::scope::Scope;

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
        assert!(from(Some(&"~".repeat(43)), Some("S256")).is_err());
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
        let mut request = RequestContext::default();
        assert!(matches!(
            new.check(&request),
            Err(Error::Invalid {
                field: "code_challenge_method",
                reason: InvalidReason::NotAllowed
            })
        ));
        request.settings = Settings::default().with_allow_plain_code_challenge(true);
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
