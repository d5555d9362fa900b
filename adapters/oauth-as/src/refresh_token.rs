//! Refresh tokens.

use oauth_as::{IssuedToken, RefreshTokenRecord, RevocationWindow, StorageError, WriteOutcome};
use uuid::Uuid;

use crate::digest::{self, Digest};
use crate::error::{database, run};
use crate::seal::{Keys, Purpose};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, access_token, document, outcome, scope};

/// A refresh token as its columns, and the scope and time that revocations compare.
struct Row {
    digest: Digest,
    client: Uuid,
    subject: Option<Uuid>,
    family: Uuid,
    expires_at: Option<i64>,
    document: Vec<u8>,
    sealed: Option<Vec<u8>>,
    consent_scope: Option<Uuid>,
    established: i64,
}

impl Row {
    fn new(keys: &Keys, mut record: RefreshTokenRecord) -> Result<Self, StorageError> {
        let token = std::mem::take(&mut record.refresh_token);
        let digest = Digest::of(&token);
        // The response for a retry has two tokens.
        let retry = record.retry.take();
        let seal = |retry| keys.seal(Purpose::RefreshRetry, &token, digest.head, &retry);
        let subject = record.subject.as_deref();
        Ok(Self {
            digest,
            client: digest::client(&record.client_id),
            subject: subject.map(digest::subject),
            family: digest::family(&record.family_id),
            expires_at: record.expires_at.map(nanoseconds),
            document: document::write(&record)?,
            sealed: retry.map(seal).transpose()?,
            consent_scope: subject.map(|subject| digest::consent_scope(&record.client_id, subject)),
            established: nanoseconds(record.grant_established_at),
        })
    }
}

/// A row as it was read.
#[derive(PartialEq, Eq)]
struct Found {
    document: Vec<u8>,
    sealed: Option<Vec<u8>>,
}

impl Found {
    fn read(&self, keys: &Keys, token: &str) -> Result<RefreshTokenRecord, StorageError> {
        let mut record: RefreshTokenRecord = document::read(&self.document)?;
        token.clone_into(&mut record.refresh_token);
        if let Some(sealed) = &self.sealed {
            let row = Digest::of(token).head;
            record.retry = Some(keys.open(Purpose::RefreshRetry, token, row, sealed)?);
        }
        Ok(record)
    }
}

impl OauthAsStorage {
    pub(crate) async fn store_refresh_token(
        &self,
        record: RefreshTokenRecord,
    ) -> Result<WriteOutcome, StorageError> {
        let row = Row::new(&self.keys, record)?;
        let stored = run!(
            sqlx::query_file!(
                "src/sql/put_refresh_token.sql",
                row.digest.head,
                row.digest.tail,
                row.client,
                row.subject,
                row.family,
                row.expires_at,
                row.document,
                row.sealed.as_deref(),
                row.consent_scope,
                row.established,
            )
            .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(outcome(stored.rows_affected()))
    }

    async fn refresh_token_row(&self, digest: Digest) -> Result<Option<Found>, StorageError> {
        run!(
            sqlx::query_file_as!(Found, "src/sql/find_refresh_token.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)
    }

    pub(crate) async fn find_refresh_token(
        &self,
        token: &str,
    ) -> Result<Option<RefreshTokenRecord>, StorageError> {
        let found = self.refresh_token_row(Digest::of(token)).await?;
        found.map(|found| found.read(&self.keys, token)).transpose()
    }

    pub(crate) async fn remove_refresh_token(
        &self,
        token: &str,
    ) -> Result<Option<RefreshTokenRecord>, StorageError> {
        let digest = Digest::of(token);
        let taken = run!(
            sqlx::query_file_as!(Found, "src/sql/take_refresh_token.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        taken.map(|taken| taken.read(&self.keys, token)).transpose()
    }

    /// Compares here, as for a client. Then one statement checks the revocations, and changes the row and
    /// stores the tokens only if the row is still the one that was compared.
    pub(crate) async fn rotate(
        &self,
        expected: &RefreshTokenRecord,
        spent: &RefreshTokenRecord,
        access: &IssuedToken,
        next: Option<&RefreshTokenRecord>,
    ) -> Result<bool, StorageError> {
        let digest = Digest::of(&expected.refresh_token);
        let spent = Row::new(&self.keys, spent.clone())?;
        if spent.digest != digest {
            return Err(StorageError::new("the spent record is not of the token that is rotated"));
        }
        let access = access_token::Row::new(access.clone())?;
        let next = next.map(|next| Row::new(&self.keys, next.clone())).transpose()?;
        let expected_row = Row::new(&self.keys, expected.clone())?;

        let mut before: Option<Found> = None;
        while let Some(found) = self.refresh_token_row(digest).await? {
            // The same row again: a revocation covers the grant.
            let is_same = before.as_ref() == Some(&found);
            if is_same || found.read(&self.keys, &expected.refresh_token)? != *expected {
                return Ok(false);
            }
            let next = next.as_ref();
            let rotated = run!(
                sqlx::query_file_scalar!(
                    "src/sql/rotate_refresh_token.sql",
                    digest.head,
                    digest.tail,
                    spent.client,
                    spent.subject,
                    spent.family,
                    spent.expires_at,
                    spent.document,
                    spent.sealed.as_deref(),
                    found.document,
                    found.sealed.as_deref(),
                    expected_row.client,
                    expected_row.consent_scope,
                    expected_row.family,
                    expected_row.established,
                    access.digest.head,
                    access.digest.tail,
                    access.client,
                    access.subject,
                    access.family,
                    access.expires_at,
                    access.document,
                    next.map(|next| next.digest.head),
                    next.map(|next| next.digest.tail),
                    next.map(|next| next.client),
                    next.and_then(|next| next.subject),
                    next.map(|next| next.family),
                    next.and_then(|next| next.expires_at),
                    next.map(|next| next.document.as_slice()),
                    next.and_then(|next| next.sealed.as_deref()),
                )
                .fetch_one(&self.pool)
            )
            .map_err(database)?;
            if rotated {
                return Ok(true);
            }
            before = Some(found);
        }
        Ok(false)
    }

    pub(crate) async fn revoke_family(
        &self,
        family_id: &str,
        window: RevocationWindow,
    ) -> Result<u64, StorageError> {
        scope::refuse_empty("family_id", family_id)?;
        let revoked = run!(
            sqlx::query_scalar!(
                r#"SELECT oauth_as.revoke_token_family($1, $2, $3) AS "revoked!""#,
                digest::family(family_id),
                nanoseconds(window.recorded_at),
                nanoseconds(window.until),
            )
            .fetch_one(&self.pool)
        )
        .map_err(database)?;
        Ok(u64::try_from(revoked).unwrap_or_default())
    }
}
