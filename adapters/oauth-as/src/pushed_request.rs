//! Pushed authorization requests (RFC 9126).

use oauth_as::par::PushedAuthorizationRequest;
use oauth_as::{StorageError, WriteOutcome};

use crate::digest::{self, Digest};
use crate::error::{database, run};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, document, outcome};

impl OauthAsStorage {
    pub(crate) async fn store_pushed_request(
        &self,
        mut record: PushedAuthorizationRequest,
    ) -> Result<WriteOutcome, StorageError> {
        let digest = Digest::of(&std::mem::take(&mut record.request_uri));
        let document = document::write(&record)?;
        let stored = run!(
            sqlx::query_file!(
                "src/sql/put_pushed_request.sql",
                digest.head,
                digest.tail,
                digest::client(&record.client_id),
                nanoseconds(record.expires_at),
                document,
                nanoseconds(record.pushed_at),
            )
            .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(outcome(stored.rows_affected()))
    }

    pub(crate) async fn remove_pushed_request(
        &self,
        request_uri: &str,
    ) -> Result<Option<PushedAuthorizationRequest>, StorageError> {
        let digest = Digest::of(request_uri);
        let taken = run!(
            sqlx::query_file!("src/sql/take_pushed_request.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        let Some(row) = taken else { return Ok(None) };
        let mut record: PushedAuthorizationRequest = document::read(&row.document)?;
        request_uri.clone_into(&mut record.request_uri);
        Ok(Some(record))
    }
}
