//! Hashing and verification of client secrets.
//!
//! A generated secret has a recognizable form, and every secret of that form is hashed as one. So the
//! *presented* secret alone decides which hash is computed: an unknown client, a wrong secret and a client with
//! the other kind of secret all cost the same (OWASP ASVS 11.2.4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::client::ClientSecret;
use crate::error::{Error, InvalidReason, Result};
#[cfg(feature = "password")]
use crate::password::{Owner, hash, verify};
use crate::secret::{Secret, TokenHash, check_vschar};

/// The start of a generated secret, by which secret scanners recognize a leak.
const PREFIX: &str = "ocs_";
const GENERATED_LEN: usize = PREFIX.len() + 43;
const SHA256: &str = "sha256:";
/// As long as a hash, and the hash of nothing known.
const NO_HASH: &str = "0000000000000000000000000000000000000000000";

/// The length of a chosen secret, in bytes.
const CHOSEN_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// The maximum number of earlier secrets of a client that are still in their overlap.
pub const MAX_PREVIOUS_SECRETS: usize = 2;

/// The maximum number of valid secrets of a client.
const MAX_SECRETS: usize = 1 + MAX_PREVIOUS_SECRETS;

/// A secret to show once, and its hash to store.
#[derive(Debug)]
pub struct HashedSecret {
    /// The secret to show; `None` if its owner chose it.
    pub shown: Option<Secret>,
    /// The hash to store.
    pub hash: String,
}

pub(crate) fn check_chosen_secret(secret: &Secret) -> Result<()> {
    let text = secret.expose();
    check_vschar("client_secret", text, *CHOSEN_BYTES.end())?;
    if text.len() < *CHOSEN_BYTES.start() {
        return Err(Error::invalid(
            "client_secret",
            InvalidReason::TooShort(*CHOSEN_BYTES.start()),
        ));
    }
    Ok(())
}

/// Checks a hash that was made elsewhere.
pub(crate) fn check_secret_hash(hash: &str) -> Result<()> {
    let is_hash = match hash.strip_prefix(SHA256) {
        Some(digest) => URL_SAFE_NO_PAD.decode(digest).is_ok_and(|bytes| bytes.len() == 32),
        None => is_argon2id(hash)?,
    };
    if is_hash { Ok(()) } else { Err(Error::invalid("client_secret", InvalidReason::Unsupported)) }
}

#[cfg(feature = "password")]
fn is_argon2id(hash: &str) -> Result<bool> {
    Ok(crate::password::is_hash(hash))
}

#[cfg(not(feature = "password"))]
fn is_argon2id(_hash: &str) -> Result<bool> {
    Err(needs_feature())
}

/// Generates a registration access token, and its hash.
pub(crate) fn new_registration_access_token() -> Result<(Secret, String)> {
    let token = Secret::generate_unnamed()?;
    let hash = format!("{SHA256}{}", encode(token.digest()));
    Ok((token, hash))
}

/// Returns true if the hash is that of the token. Without a hash it costs the same.
pub(crate) fn is_registration_access_token(token: &Secret, hash: Option<&str>) -> bool {
    let hash = hash.and_then(|hash| hash.strip_prefix(SHA256)).unwrap_or(NO_HASH);
    encode(token.digest()).as_bytes().ct_eq(hash.as_bytes()).into()
}

/// Generates the secret or takes the chosen one, and hashes it. A chosen secret must have been
/// checked.
pub async fn hash_client_secret(secret: &ClientSecret) -> Result<HashedSecret> {
    match secret {
        ClientSecret::Generated => {
            let secret = Secret::new(format!("{PREFIX}{}", Secret::generate_unnamed()?.expose()));
            let hash = format!("{SHA256}{}", encode(secret.digest()));
            Ok(HashedSecret { shown: Some(secret), hash })
        }
        ClientSecret::Hashed(hash) => Ok(HashedSecret { shown: None, hash: hash.clone() }),
        ClientSecret::Chosen(secret) if is_generated_client_secret(secret) => {
            let hash = format!("{SHA256}{}", encode(secret.digest()));
            Ok(HashedSecret { shown: None, hash })
        }
        #[cfg(feature = "password")]
        ClientSecret::Chosen(secret) => {
            Ok(HashedSecret { shown: None, hash: hash(Owner::Client, secret.clone()).await? })
        }
        #[cfg(not(feature = "password"))]
        ClientSecret::Chosen(_) => Err(needs_feature()),
    }
}

#[cfg(not(feature = "password"))]
fn needs_feature() -> Error {
    Error::configuration("a chosen client secret needs the feature `password` of oauth-storage")
}

/// Returns true if the presented secret matches one of the stored hashes, of which the first three
/// count. For an unknown client pass none: the cost is the same.
pub async fn verify_client_secret(presented: &Secret, stored: &[String]) -> Result<bool> {
    if is_generated_client_secret(presented) {
        let presented = encode(presented.digest());
        let mut found = subtle::Choice::from(0);
        for index in 0..MAX_SECRETS {
            let hash = stored.get(index).and_then(|hash| hash.strip_prefix(SHA256));
            // A comparison that fails takes the place of a missing hash.
            let hash = hash.unwrap_or(NO_HASH);
            found |= presented.as_bytes().ct_eq(hash.as_bytes());
        }
        return Ok(found.into());
    }
    if presented.expose().len() > *CHOSEN_BYTES.end() {
        return Ok(false);
    }
    // Boxed to keep the future of every call small.
    Box::pin(verify_chosen(presented, stored)).await
}

#[cfg(feature = "password")]
async fn verify_chosen(presented: &Secret, stored: &[String]) -> Result<bool> {
    for index in 0..MAX_SECRETS {
        let hash = stored.get(index).filter(|hash| !hash.starts_with(SHA256)).cloned();
        if verify(Owner::Client, presented.clone(), hash).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(not(feature = "password"))]
async fn verify_chosen(_presented: &Secret, stored: &[String]) -> Result<bool> {
    if stored.iter().any(|hash| !hash.starts_with(SHA256)) {
        return Err(needs_feature());
    }
    Ok(false)
}

/// Generates a client identifier: 128 random bits in base64url. It does not begin with `-`, which a command line would
/// read as an option.
pub fn generate_client_id() -> Result<String> {
    loop {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| Error::Configuration {
            message: "the operating system provided no randomness".into(),
            source: Some(Box::new(error)),
        })?;
        let client_id = URL_SAFE_NO_PAD.encode(bytes);
        if !client_id.starts_with('-') {
            return Ok(client_id);
        }
    }
}

/// Returns true if a secret has the form of a generated one, so that its verification is one digest. Any other costs as
/// much as a password: limit the attempts.
pub fn is_generated_client_secret(secret: &Secret) -> bool {
    secret.expose().len() == GENERATED_LEN && secret.expose().starts_with(PREFIX)
}

fn encode(digest: TokenHash) -> String {
    URL_SAFE_NO_PAD.encode(digest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_identifier_is_no_option_of_a_command() {
        for _ in 0..2_000 {
            let client_id = generate_client_id().unwrap();
            assert!(client_id.len() == 22 && !client_id.starts_with('-'), "{client_id}");
        }
    }

    #[tokio::test]
    async fn s13_a_generated_secret_is_long_and_only_its_hash_is_kept() {
        let made = hash_client_secret(&ClientSecret::Generated).await.unwrap();
        let shown = made.shown.unwrap();
        assert_eq!(shown.expose().len(), 47);
        assert!(!made.hash.contains(shown.expose()));
        let stored = vec![made.hash];
        assert!(verify_client_secret(&shown, &stored).await.unwrap());
        let other = hash_client_secret(&ClientSecret::Generated).await.unwrap().shown.unwrap();
        assert!(!verify_client_secret(&other, &stored).await.unwrap());
        assert!(!verify_client_secret(&other, &[]).await.unwrap());
        // The hash itself is not accepted as a secret.
        assert!(!verify_client_secret(&Secret::new(stored[0].clone()), &stored).await.unwrap());
    }

    #[test]
    fn a_chosen_secret_has_a_minimum_length() {
        assert!(check_chosen_secret(&Secret::new("short")).is_err());
        assert!(check_chosen_secret(&Secret::new("correct horse battery")).is_ok());
    }

    #[tokio::test]
    async fn a_generated_secret_can_be_given_and_its_hash_as_well() {
        let made = hash_client_secret(&ClientSecret::Generated).await.unwrap();
        let shown = made.shown.unwrap();
        let given = hash_client_secret(&ClientSecret::Chosen(shown.clone())).await.unwrap();
        assert_eq!((&given.hash, given.shown), (&made.hash, None));
        assert!(check_secret_hash(&made.hash).is_ok());
        let hashed = hash_client_secret(&ClientSecret::Hashed(made.hash)).await.unwrap();
        assert!(verify_client_secret(&shown, &[hashed.hash]).await.unwrap());
        let costly = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$\
                      RdescudvJCsgt3ub+b1dWRWJTmaaJObGRdescudvJCs";
        #[cfg(feature = "password")]
        assert!(check_secret_hash(&costly.replace("m=4194304", "m=19456")).is_ok());
        let wrong = ["", "sha256:", "sha256:x", shown.expose(), "$argon2id$", "$2b$10$abc", costly];
        for wrong in wrong {
            assert!(check_secret_hash(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_generated_client_id_is_valid() {
        let made = generate_client_id().unwrap();
        assert_eq!(made.len(), 22);
        assert!(crate::check::check_client_id(&made).is_ok());
        assert_ne!(made, generate_client_id().unwrap());
    }

    #[cfg(feature = "password")]
    #[tokio::test]
    async fn s15_a_chosen_secret_is_kept_as_argon2id() {
        let chosen = Secret::new("correct horse battery");
        let made = hash_client_secret(&ClientSecret::Chosen(chosen.clone())).await.unwrap();
        assert!(made.shown.is_none());
        assert!(made.hash.starts_with("$argon2id$"), "{}", made.hash);
        let before = hash_client_secret(&ClientSecret::Generated).await.unwrap();
        let stored = vec![before.hash, made.hash];
        assert!(verify_client_secret(&chosen, &stored).await.unwrap());
        assert!(verify_client_secret(&before.shown.unwrap(), &stored).await.unwrap());
        assert!(
            !verify_client_secret(&Secret::new("correct horse staple"), &stored).await.unwrap()
        );
    }
}
