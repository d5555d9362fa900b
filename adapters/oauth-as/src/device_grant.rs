//! Device grants (RFC 8628).

use oauth_as::device::normalize_user_code;
use oauth_as::{DeviceGrant, DeviceGrantState, StorageError};
use uuid::Uuid;

use crate::digest::{self, Digest};
use crate::error::{database, is_duplicate, run};
use crate::seal::{Keys, Purpose};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, document};

/// The state and the subject that approved, as their columns.
fn state(state: &DeviceGrantState) -> (i8, Option<Uuid>) {
    match state {
        DeviceGrantState::Pending => (b'p' as i8, None),
        DeviceGrantState::Approved { subject } => (b'a' as i8, Some(digest::subject(subject))),
        DeviceGrantState::Denied => (b'd' as i8, None),
    }
}

/// A device grant as its columns.
struct Row {
    digest: Digest,
    user_code: Uuid,
    client: Uuid,
    subject: Option<Uuid>,
    state: i8,
    expires_at: i64,
    document: Vec<u8>,
    sealed: Vec<u8>,
}

impl Row {
    fn new(keys: &Keys, mut grant: DeviceGrant) -> Result<Self, StorageError> {
        let codes = (std::mem::take(&mut grant.device_code), std::mem::take(&mut grant.user_code));
        let digest = Digest::of(&codes.0);
        let (state, subject) = state(&grant.state);
        Ok(Self {
            digest,
            user_code: keys.user_code(&normalize_user_code(&codes.1))?,
            client: digest::client(&grant.client_id),
            subject,
            state,
            expires_at: nanoseconds(grant.expires_at),
            document: document::write(&grant)?,
            sealed: keys.seal(Purpose::DeviceCodes, "", digest.head, &codes)?,
        })
    }
}

fn read(
    keys: &Keys,
    digest: Uuid,
    document: &[u8],
    sealed: &[u8],
) -> Result<DeviceGrant, StorageError> {
    let mut grant: DeviceGrant = document::read(document)?;
    (grant.device_code, grant.user_code) = keys.open(Purpose::DeviceCodes, "", digest, sealed)?;
    Ok(grant)
}

fn duplicate(error: sqlx::Error) -> StorageError {
    if is_duplicate(&error) {
        return StorageError::new("the user code belongs to another device grant");
    }
    database(error)
}

impl OauthAsStorage {
    pub(crate) async fn store_device_grant(&self, grant: DeviceGrant) -> Result<(), StorageError> {
        let row = Row::new(&self.keys, grant)?;
        run!(
            sqlx::query_file!(
                "src/sql/put_device_grant.sql",
                row.digest.head,
                row.digest.tail,
                row.user_code,
                row.client,
                row.subject,
                row.state,
                row.expires_at,
                row.document,
                row.sealed,
            )
            .execute(&self.pool)
        )
        .map_err(duplicate)?;
        Ok(())
    }

    pub(crate) async fn find_device_grant(
        &self,
        device_code: &str,
    ) -> Result<Option<DeviceGrant>, StorageError> {
        let digest = Digest::of(device_code);
        let found = run!(
            sqlx::query_file!("src/sql/find_device_grant.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        found.map(|row| read(&self.keys, digest.head, &row.document, &row.sealed)).transpose()
    }

    pub(crate) async fn find_device_grant_of(
        &self,
        normalized_user_code: &str,
    ) -> Result<Option<DeviceGrant>, StorageError> {
        let codes = self.keys.user_codes(normalized_user_code)?;
        let found = run!(
            sqlx::query_file!("src/sql/find_device_grant_by_user_code.sql", &codes)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        found.map(|row| read(&self.keys, row.digest, &row.document, &row.sealed)).transpose()
    }

    pub(crate) async fn remove_device_grant(
        &self,
        device_code: &str,
    ) -> Result<Option<DeviceGrant>, StorageError> {
        let digest = Digest::of(device_code);
        let taken = run!(
            sqlx::query_file!("src/sql/take_device_grant.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        taken.map(|row| read(&self.keys, digest.head, &row.document, &row.sealed)).transpose()
    }

    pub(crate) async fn swap_device_grant(
        &self,
        expected: &DeviceGrantState,
        updated: DeviceGrant,
    ) -> Result<bool, StorageError> {
        let (expected, expected_subject) = state(expected);
        let row = Row::new(&self.keys, updated)?;
        let swapped = run!(
            sqlx::query_file!(
                "src/sql/swap_device_grant.sql",
                row.digest.head,
                row.digest.tail,
                row.user_code,
                row.client,
                row.subject,
                row.state,
                row.expires_at,
                row.document,
                row.sealed,
                expected,
                expected_subject,
            )
            .execute(&self.pool)
        )
        .map_err(duplicate)?;
        Ok(swapped.rows_affected() == 1)
    }
}
