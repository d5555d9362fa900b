//! Secrets that do not print, and the digests that a database stores.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::{Error, InvalidReason, Result};

/// The maximum length of a credential, in bytes. Only its digest is stored; the limit bounds the
/// cost of a hostile request.
pub const MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

/// The start of a generated credential. Secret scanners recognize a leak by it, and it
/// distinguishes a generated credential from any other.
const PREFIX: &str = "oas_";

/// The length of a generated credential: the prefix, then 16 bytes of the grant and 32 random bytes
/// in base64url.
const GENERATED_LEN: usize = PREFIX.len() + 64;

/// A secret string: a token, a code, a client secret, a password.
///
/// `Debug` prints no part of it, and there is no `Display` or `Serialize`. Comparison takes
/// constant time. The memory is wiped on drop. Only [`Secret::expose`] returns the text, so a
/// review can search for it.
///
/// ```
/// use oauth_storage::Secret;
///
/// let token = Secret::generate()?;
/// assert_eq!(token.expose().len(), 68); // 256 random bits, and the grant
/// assert_eq!(format!("{token:?}"), "Secret(..)");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
///
/// # Generated credentials
///
/// A generated credential names its grant: it is `oas_` and the base64url form of the grant's
/// identifier and 32 random bytes. The identifier is not secret and proves nothing. It lets a
/// storage find the grant without a search, which on a cluster would ask every node. A credential
/// that you make yourself, such as a JWT, names no grant and works everywhere as well.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret that came from outside.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// Generates a credential of a new grant, with 256 random bits (RFC 6749 10.10 requires at
    /// least 128). Use it for an authorization code or a PKCE code verifier.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate() -> Result<Self> {
        Self::generate_for(Uuid::now_v7())
    }

    /// Generates a credential of this grant.
    ///
    /// ```
    /// use oauth_storage::Secret;
    ///
    /// let code = Secret::generate()?;
    /// let grant_id = code.grant_id().expect("a generated secret names its grant");
    /// assert_eq!(Secret::generate_for(grant_id)?.grant_id(), Some(grant_id));
    /// assert_eq!(Secret::new("made elsewhere").grant_id(), None);
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate_for(grant_id: Uuid) -> Result<Self> {
        let mut bytes = Zeroizing::new([0_u8; 48]);
        bytes[..16].copy_from_slice(grant_id.as_bytes());
        bytes[16..].copy_from_slice(random_bytes()?.as_slice());
        let mut text = String::with_capacity(GENERATED_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Ok(Self::new(text))
    }

    /// Generates a secret of 256 bits that names no grant: 43 characters of base64url.
    pub(crate) fn generate_unnamed() -> Result<Self> {
        Ok(Self::new(URL_SAFE_NO_PAD.encode(random_bytes()?.as_slice())))
    }

    /// The grant that a generated credential names; `None` for any other credential.
    #[must_use]
    pub fn grant_id(&self) -> Option<Uuid> {
        let encoded = self.0.strip_prefix(PREFIX).filter(|_| self.0.len() == GENERATED_LEN)?;
        let mut bytes = Zeroizing::new([0_u8; 48]);
        URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
        Uuid::from_slice(&bytes[..16]).ok()
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 digest under which a credential is stored and found.
    #[must_use]
    pub fn digest(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Checks the syntax of a credential: one or more visible ASCII characters or spaces (RFC 6749
    /// A.11, A.12, A.17), at most [`MAX_CREDENTIAL_BYTES`].
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with the given field if the syntax is broken.
    pub fn check(&self, field: &'static str) -> Result<()> {
        check_vschar(field, &self.0, MAX_CREDENTIAL_BYTES)
    }

    /// Returns true if this can be a credential. A lookup of anything else finds nothing.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.check("token").is_ok()
    }
}

pub(crate) fn random_bytes() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| Error::Configuration {
        message: "the operating system provided no randomness".into(),
        source: Some(Box::new(error)),
    })?;
    Ok(bytes)
}

/// Checks for `1*VSCHAR` of at most `limit` bytes (RFC 6749 appendix A).
pub(crate) fn check_vschar(field: &'static str, value: &str, limit: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, InvalidReason::Empty));
    }
    if value.len() > limit {
        return Err(Error::invalid(field, InvalidReason::TooLong(limit)));
    }
    if !value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Err(Error::invalid(field, InvalidReason::Character));
    }
    Ok(())
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a credential, which a storage keeps in its place.
///
/// A credential has at least 128 random bits, so a fast hash is enough. A password has fewer, and
/// never becomes a `TokenHash`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The two halves, as a database keeps them.
    #[cfg(feature = "postgres")]
    pub(crate) fn halves(&self) -> (Uuid, Uuid) {
        let half = |bytes: &[u8]| {
            let mut half = [0; 16];
            half.copy_from_slice(bytes);
            Uuid::from_bytes(half)
        };
        (half(&self.0[..16]), half(&self.0[16..]))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({self}..)")
    }
}

/// Prints the first eight hexadecimal digits: enough to tell rows apart, useless for anything else.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s13_generated_secrets_have_256_bits_and_differ() {
        let secrets: std::collections::HashSet<String> =
            (0..1000).map(|_| Secret::generate().unwrap().expose().to_owned()).collect();
        assert_eq!(secrets.len(), 1000);
        // The grant is not part of the 256 bits.
        let random =
            |s: &String| URL_SAFE_NO_PAD.decode(&s[PREFIX.len()..]).unwrap()[16..].to_vec();
        let random: std::collections::HashSet<Vec<u8>> = secrets.iter().map(random).collect();
        assert!(random.len() == 1000 && random.iter().all(|bytes| bytes.len() == 32));
    }

    #[test]
    fn only_a_generated_secret_names_a_grant() {
        let grant_id = Uuid::now_v7();
        let secret = Secret::generate_for(grant_id).unwrap();
        assert_eq!(secret.grant_id(), Some(grant_id));
        let text = secret.expose();
        for other in [
            "",
            PREFIX,
            &text[1..],
            &text[PREFIX.len()..],
            &format!("{text}A"),
            &text.replacen("oas_", "ocs_", 1),
            &format!("{PREFIX}{}", "*".repeat(64)),
        ] {
            assert_eq!(Secret::new(other).grant_id(), None, "{other:?}");
        }
        assert_eq!(Secret::generate_unnamed().unwrap().grant_id(), None);
    }

    #[test]
    fn s17_debug_shows_nothing() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(..) Some(Secret(..))");
        assert!(!format!("{:?}", secret.digest()).contains("hunter2"));
    }

    #[test]
    fn digest_is_sha256() {
        // FIPS 180-2, appendix B.1.
        let digest = Secret::new("abc").digest();
        assert_eq!(digest.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn check_names_the_reason() {
        let reason = |text: &str| match Secret::new(text).check("code") {
            Err(Error::Invalid { field: "code", reason }) => Some(reason),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(reason("a b~"), None);
        assert_eq!(reason(""), Some(InvalidReason::Empty));
        assert_eq!(reason("a\0b"), Some(InvalidReason::Character));
        assert_eq!(reason("é"), Some(InvalidReason::Character));
        let long = "x".repeat(MAX_CREDENTIAL_BYTES + 1);
        assert_eq!(reason(&long), Some(InvalidReason::TooLong(MAX_CREDENTIAL_BYTES)));
    }
}
