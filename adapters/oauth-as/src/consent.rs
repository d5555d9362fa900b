//! Consents.

use std::sync::Arc;

use oauth_as::consent::ConsentRecord;
use oauth_as::{ClientId, RevocationWindow, StorageError};
use uuid::Uuid;

use crate::error::{database, is_duplicate, run};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, digest, document, scope};

/// A consent as its columns.
struct Row {
    consent: Uuid,
    client: Uuid,
    subject: Uuid,
    document: Vec<u8>,
}

impl Row {
    fn new(record: &ConsentRecord) -> Result<Self, StorageError> {
        Ok(Self {
            consent: digest::consent(&record.consent_id),
            client: digest::client(&record.client_id),
            subject: digest::subject(&record.subject),
            document: document::write(record)?,
        })
    }
}

/// Attempts to replace the consent of a client and a subject, while others do the same.
const REPLACEMENTS: u32 = 64;

impl OauthAsStorage {
    pub(crate) async fn store_consent(&self, record: ConsentRecord) -> Result<(), StorageError> {
        let row = Row::new(&record)?;
        let mut attempts = 0;
        loop {
            let stored = run!(
                sqlx::query_file!(
                    "src/sql/put_consent.sql",
                    row.consent,
                    row.client,
                    row.subject,
                    row.document,
                )
                .execute(&self.pool)
            );
            attempts += 1;
            match stored {
                // Another consent of the pair was stored at the same time. Now it can be replaced.
                Err(error) if is_duplicate(&error) && attempts < REPLACEMENTS => {}
                stored => return stored.map(drop).map_err(database),
            }
        }
    }

    pub(crate) async fn swap_consent(
        &self,
        expected: Option<&ConsentRecord>,
        updated: ConsentRecord,
    ) -> Result<bool, StorageError> {
        let row = Row::new(&updated)?;
        let Some(expected) = expected else {
            let created = run!(
                sqlx::query_file!(
                    "src/sql/create_consent.sql",
                    row.consent,
                    row.client,
                    row.subject,
                    row.document,
                )
                .execute(&self.pool)
            )
            .map_err(database)?;
            return Ok(created.rows_affected() == 1);
        };
        // As for a client: compared here, and changed only if it is still the same row.
        while let Some(found) = self.consent_of(row.client, row.subject).await? {
            if document::read::<ConsentRecord>(&found)? != *expected {
                return Ok(false);
            }
            let swapped = run!(
                sqlx::query_file!(
                    "src/sql/swap_consent.sql",
                    row.consent,
                    row.client,
                    row.subject,
                    row.document,
                    found,
                )
                .execute(&self.pool)
            )
            .map_err(database)?;
            if swapped.rows_affected() == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn consent_of(
        &self,
        client: Uuid,
        subject: Uuid,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        run!(
            sqlx::query_file_scalar!("src/sql/find_consent_of.sql", client, subject)
                .fetch_optional(&self.pool)
        )
        .map_err(database)
    }

    pub(crate) async fn read_consent(
        &self,
        consent_id: &str,
    ) -> Result<Option<Arc<ConsentRecord>>, StorageError> {
        let found = run!(
            sqlx::query_file_scalar!("src/sql/find_consent.sql", digest::consent(consent_id))
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        found.map(|document| document::read(&document).map(Arc::new)).transpose()
    }

    pub(crate) async fn find_consent_of(
        &self,
        client_id: &ClientId,
        subject: &str,
    ) -> Result<Option<Arc<ConsentRecord>>, StorageError> {
        let found = self.consent_of(digest::client(client_id), digest::subject(subject)).await?;
        found.map(|document| document::read(&document).map(Arc::new)).transpose()
    }

    pub(crate) async fn list_consents(
        &self,
        subject: &str,
    ) -> Result<Vec<Arc<ConsentRecord>>, StorageError> {
        let found = run!(
            sqlx::query_file_scalar!("src/sql/list_consents.sql", digest::subject(subject))
                .fetch_all(&self.pool)
        )
        .map_err(database)?;
        found.iter().map(|document| document::read(document).map(Arc::new)).collect()
    }

    pub(crate) async fn withdraw_consent(
        &self,
        consent_id: &str,
        window: RevocationWindow,
    ) -> Result<u64, StorageError> {
        // The pair of a consent never changes while its identifier stays, except by `put_consent`; then the
        // statement finds nothing of this pair, and the pair is read again.
        let mut before = None;
        while let Some(consent) = self.read_consent(consent_id).await? {
            scope::refuse_empty("client_id", consent.client_id.as_str())?;
            scope::refuse_empty("subject", &consent.subject)?;
            let client = digest::client(&consent.client_id);
            let subject = digest::subject(&consent.subject);
            let revoked = run!(
                sqlx::query_scalar!(
                    r#"SELECT oauth_as.revoke_consent($1, $2, $3, $4, $5, $6) AS "revoked?""#,
                    digest::consent(consent_id),
                    digest::consent_scope(&consent.client_id, &consent.subject),
                    client,
                    subject,
                    nanoseconds(window.recorded_at),
                    nanoseconds(window.until),
                )
                .fetch_one(&self.pool)
            )
            .map_err(database)?;
            if let Some(revoked) = revoked {
                return Ok(u64::try_from(revoked).unwrap_or_default());
            }
            if before.replace((client, subject)) == Some((client, subject)) {
                break;
            }
        }
        Ok(0)
    }
}
