//! Hashes that the database keeps in place of credentials and names.

use oauth_as::ClientId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The SHA-256 of a credential, in two halves: the key of its row, and what each lookup compares as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) head: Uuid,
    pub(crate) tail: Uuid,
}

impl Digest {
    pub(crate) fn of(credential: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(credential.as_bytes()).into();
        let (head, tail) = digest.split_at(16);
        Self { head: uuid(head), tail: uuid(tail) }
    }
}

/// The first 16 bytes of a hash.
pub(crate) fn uuid(hash: &[u8]) -> Uuid {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(half)
}

/// The hash of a name. Names of different kinds never share a hash.
fn name(kind: &str, parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in [kind].iter().chain(parts) {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    uuid(&hash.finalize())
}

pub(crate) fn client(client_id: &ClientId) -> Uuid {
    name("client", &[client_id.as_str()])
}

pub(crate) fn family(family_id: &str) -> Uuid {
    name("family", &[family_id])
}

pub(crate) fn subject(subject: &str) -> Uuid {
    name("subject", &[subject])
}

/// The scope that a withdrawn consent revokes: a client and a subject.
pub(crate) fn consent_scope(client_id: &ClientId, subject: &str) -> Uuid {
    name("consent scope", &[client_id.as_str(), subject])
}

#[cfg(feature = "consent")]
pub(crate) fn consent(consent_id: &str) -> Uuid {
    name("consent", &[consent_id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_into_one_another() {
        let id = ClientId::new;
        assert_ne!(consent_scope(&id("ab"), "c"), consent_scope(&id("a"), "bc"));
        assert_ne!(client(&id("a")), family("a"));
        assert_ne!(family("a"), subject("a"));
        assert_eq!(family("a"), family("a"));
    }
}
