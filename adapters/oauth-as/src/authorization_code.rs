//! Authorization codes.

use oauth_as::StorageError;
use oauth_as::authorization::{AuthorizationCodeRecord, AuthorizationCodeState};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::digest::{self, Digest};
use crate::error::{database, run};
use crate::seal::{Keys, Purpose};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, document};

/// The hash of a state and of the tokens that it names, which have too many bits to be guessed.
fn state_hash(state: &AuthorizationCodeState) -> Vec<u8> {
    let kind = match state {
        AuthorizationCodeState::Issued => b'i',
        AuthorizationCodeState::Consumed { .. } => b'c',
        AuthorizationCodeState::Replayed { .. } => b'r',
    };
    let (access_token, refresh_token) = state.minted().unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update([kind]);
    for token in [access_token, refresh_token] {
        match token {
            None => hash.update([0]),
            Some(token) => {
                hash.update([1]);
                hash.update(Sha256::digest(token.as_bytes()));
            }
        }
    }
    hash.finalize().to_vec()
}

/// An authorization code as its columns.
struct Row {
    digest: Digest,
    client: Uuid,
    subject: Uuid,
    expires_at: i64,
    state: Vec<u8>,
    document: Vec<u8>,
    sealed: Option<Vec<u8>>,
}

impl Row {
    fn new(keys: &Keys, mut record: AuthorizationCodeRecord) -> Result<Self, StorageError> {
        let code = std::mem::take(&mut record.code);
        let digest = Digest::of(&code);
        let state = state_hash(&record.state);
        let sealed = match record.state.minted() {
            None | Some((None, None)) => None,
            Some(_) => {
                let state = std::mem::replace(&mut record.state, AuthorizationCodeState::Issued);
                Some(keys.seal(Purpose::CodeState, &code, digest.head, &state)?)
            }
        };
        Ok(Self {
            digest,
            client: digest::client(&record.client_id),
            subject: digest::subject(&record.subject),
            expires_at: nanoseconds(record.expires_at),
            state,
            document: document::write(&record)?,
            sealed,
        })
    }
}

impl OauthAsStorage {
    pub(crate) async fn store_authorization_code(
        &self,
        record: AuthorizationCodeRecord,
    ) -> Result<(), StorageError> {
        let row = Row::new(&self.keys, record)?;
        run!(
            sqlx::query_file!(
                "src/sql/put_authorization_code.sql",
                row.digest.head,
                row.digest.tail,
                row.client,
                row.subject,
                row.expires_at,
                row.state,
                row.document,
                row.sealed.as_deref(),
            )
            .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(())
    }

    pub(crate) async fn swap_authorization_code(
        &self,
        expected: &AuthorizationCodeState,
        updated: AuthorizationCodeRecord,
    ) -> Result<bool, StorageError> {
        let row = Row::new(&self.keys, updated)?;
        let swapped = run!(
            sqlx::query_file!(
                "src/sql/swap_authorization_code.sql",
                row.digest.head,
                row.digest.tail,
                row.client,
                row.subject,
                row.expires_at,
                row.state,
                row.document,
                row.sealed.as_deref(),
                state_hash(expected),
            )
            .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(swapped.rows_affected() == 1)
    }

    pub(crate) async fn remove_authorization_code(
        &self,
        code: &str,
    ) -> Result<Option<AuthorizationCodeRecord>, StorageError> {
        let digest = Digest::of(code);
        let taken = run!(
            sqlx::query_file!("src/sql/take_authorization_code.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        let Some(row) = taken else { return Ok(None) };
        let mut record: AuthorizationCodeRecord = document::read(&row.document)?;
        code.clone_into(&mut record.code);
        if let Some(sealed) = row.sealed {
            record.state = self.keys.open(Purpose::CodeState, code, digest.head, &sealed)?;
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_with_other_tokens_have_other_hashes() {
        let token = |name: &str| Some(name.to_owned());
        let consumed = |access_token, refresh_token| AuthorizationCodeState::Consumed {
            access_token,
            refresh_token,
        };
        let states = [
            AuthorizationCodeState::Issued,
            consumed(None, None),
            consumed(token("a"), None),
            consumed(None, token("a")),
            consumed(token("a"), token("b")),
            consumed(token("b"), token("a")),
            AuthorizationCodeState::Replayed { access_token: None, refresh_token: None },
            AuthorizationCodeState::Replayed { access_token: token("a"), refresh_token: None },
        ];
        for (n, state) in states.iter().enumerate() {
            assert_eq!(state_hash(state), state_hash(&state.clone()));
            for other in &states[n + 1..] {
                assert_ne!(state_hash(state), state_hash(other), "{state:?} {other:?}");
            }
        }
    }
}
