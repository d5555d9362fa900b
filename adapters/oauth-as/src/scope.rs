//! Scopes of revocations.

use oauth_as::StorageError;

/// Refuses the empty text, which names nothing that could be revoked.
pub(crate) fn refuse_empty(what: &str, value: &str) -> Result<(), StorageError> {
    if value.is_empty() {
        return Err(StorageError::new(format!("a revocation needs a {what}, and it is empty")));
    }
    Ok(())
}
