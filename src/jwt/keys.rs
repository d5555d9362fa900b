use serde::Serialize;

use super::key::{PublicKey, SigningKey};
use crate::id_token::SigningAlgorithm;

/// The keys of a signer: for each algorithm one *active* key, which signs; *next* keys, which are
/// published before they sign; and *retired* keys, whose last tokens must still verify.
///
/// To rotate without a refused token: add the next key and wait until every client has fetched the
/// new JWK set (a day, or the `max-age` of `/jwks`); call [`rotate`](Self::rotate); once the last
/// token of the retired key has expired, call [`without_key`](Self::without_key).
/// [`IdTokenSigner::update_keys`] changes the keys of a running server.
///
/// [`IdTokenSigner::update_keys`]: super::IdTokenSigner::update_keys
///
/// ```
/// use oauth_storage::jwt::{SigningKey, SigningKeys};
///
/// let (first, second) = (SigningKey::generate()?, SigningKey::generate()?);
/// let ids = [second.kid().to_owned(), first.kid().to_owned()];
///
/// let keys = SigningKeys::new(first).with_next(second).rotate();
/// let published: Vec<_> = keys.jwk_set().keys.iter().map(|key| key.kid().to_owned()).collect();
/// assert_eq!(published, ids, "the new key is active, the old one is retired");
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SigningKeys {
    /// At most one for each algorithm; never empty.
    active: Vec<SigningKey>,
    next: Vec<SigningKey>,
    retired: Vec<PublicKey>,
}

impl SigningKeys {
    /// One active key, whose algorithm is the default.
    #[must_use]
    pub fn new(active: SigningKey) -> Self {
        Self { active: vec![active], next: Vec::new(), retired: Vec::new() }
    }

    /// Adds the active key of another algorithm. An active key of the same algorithm is retired.
    #[must_use]
    pub fn with_active(mut self, key: SigningKey) -> Self {
        self.activate(key);
        self
    }

    /// Adds a key that is published but does not sign yet.
    #[must_use]
    pub fn with_next(mut self, key: SigningKey) -> Self {
        self.next.push(key);
        self
    }

    /// Adds a key that no longer signs. It must stay for
    /// [`Settings::id_token_expires_in`](crate::Settings) after its last signature.
    #[must_use]
    pub fn with_retired(mut self, key: PublicKey) -> Self {
        self.retired.push(key);
        self
    }

    /// Removes a key that is next or retired, such as a retired one whose last token has expired. The
    /// active keys stay.
    #[must_use]
    pub fn without_key(mut self, kid: &str) -> Self {
        self.next.retain(|key| key.kid() != kid);
        self.retired.retain(|key| key.kid() != kid);
        self
    }

    /// Makes each next key the active one of its algorithm, and retires the one before.
    #[must_use]
    pub fn rotate(mut self) -> Self {
        for key in std::mem::take(&mut self.next) {
            self.activate(key);
        }
        self
    }

    fn activate(&mut self, key: SigningKey) {
        match self.active.iter_mut().find(|active| active.algorithm() == key.algorithm()) {
            Some(active) if active.kid() == key.kid() => {}
            Some(active) => {
                let old = std::mem::replace(active, key);
                self.retired.insert(0, old.public_key().clone());
            }
            None => self.active.push(key),
        }
    }

    /// Returns the active key of the algorithm, or of the default one. Returns `None` if there is
    /// no key of that algorithm.
    #[must_use]
    pub fn active(&self, algorithm: Option<SigningAlgorithm>) -> Option<&SigningKey> {
        self.active.iter().find(|key| algorithm.is_none_or(|asked| key.algorithm() == asked))
    }

    /// The algorithms of the active keys, the default first:
    /// `id_token_signing_alg_values_supported` (OpenID Connect Discovery 3).
    #[must_use]
    pub fn algorithms(&self) -> Vec<SigningAlgorithm> {
        self.active.iter().map(SigningKey::algorithm).collect()
    }

    /// Returns the public keys, each once: active, next, retired. This is the body of `/jwks`
    /// (`application/jwk-set+json`, RFC 7517 8.5.2).
    #[must_use]
    pub fn jwk_set(&self) -> JwkSet {
        let mut keys: Vec<PublicKey> = Vec::new();
        for key in self.public_keys() {
            if keys.iter().all(|known| known.kid() != key.kid()) {
                keys.push(key.clone());
            }
        }
        JwkSet { keys }
    }

    pub(super) fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let own = self.active.iter().chain(&self.next).map(SigningKey::public_key);
        own.chain(&self.retired)
    }
}

impl From<SigningKey> for SigningKeys {
    fn from(active: SigningKey) -> Self {
        Self::new(active)
    }
}

/// A JWK set of public keys (RFC 7517 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<PublicKey>,
}
