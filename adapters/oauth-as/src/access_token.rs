//! Access tokens.

use std::sync::Arc;

use oauth_as::{IssuedToken, StorageError, WriteOutcome};
use uuid::Uuid;

use crate::digest::{self, Digest};
use crate::error::{database, run};
use crate::time::nanoseconds;
use crate::{OauthAsStorage, document, outcome};

/// An access token as its columns, and the scope and time that revocations compare.
pub(crate) struct Row {
    pub(crate) digest: Digest,
    pub(crate) client: Uuid,
    pub(crate) subject: Option<Uuid>,
    pub(crate) family: Option<Uuid>,
    pub(crate) expires_at: i64,
    pub(crate) document: Vec<u8>,
    consent_scope: Option<Uuid>,
    established: i64,
}

impl Row {
    pub(crate) fn new(mut token: IssuedToken) -> Result<Self, StorageError> {
        let digest = Digest::of(&std::mem::take(&mut token.access_token));
        let subject = token.subject.as_deref();
        Ok(Self {
            digest,
            client: digest::client(&token.client_id),
            subject: subject.map(digest::subject),
            family: token.family_id.as_deref().map(digest::family),
            expires_at: nanoseconds(token.expires_at),
            document: document::write(&token)?,
            consent_scope: subject.map(|subject| digest::consent_scope(&token.client_id, subject)),
            established: nanoseconds(token.grant_established_at),
        })
    }
}

impl OauthAsStorage {
    pub(crate) async fn store_access_token(
        &self,
        token: IssuedToken,
    ) -> Result<WriteOutcome, StorageError> {
        let row = Row::new(token)?;
        let stored = run!(
            sqlx::query_file!(
                "src/sql/put_access_token.sql",
                row.digest.head,
                row.digest.tail,
                row.client,
                row.subject,
                row.family,
                row.expires_at,
                row.document,
                row.consent_scope,
                row.established,
            )
            .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(outcome(stored.rows_affected()))
    }

    pub(crate) async fn find_access_token(
        &self,
        access_token: &str,
    ) -> Result<Option<Arc<IssuedToken>>, StorageError> {
        let digest = Digest::of(access_token);
        let found = run!(
            sqlx::query_file!("src/sql/find_access_token.sql", digest.head, digest.tail)
                .fetch_optional(&self.pool)
        )
        .map_err(database)?;
        let Some(row) = found else { return Ok(None) };
        let mut token: IssuedToken = document::read(&row.document)?;
        access_token.clone_into(&mut token.access_token);
        Ok(Some(Arc::new(token)))
    }

    pub(crate) async fn delete_access_token(&self, access_token: &str) -> Result<(), StorageError> {
        let digest = Digest::of(access_token);
        run!(
            sqlx::query_file!("src/sql/delete_access_token.sql", digest.head, digest.tail)
                .execute(&self.pool)
        )
        .map_err(database)?;
        Ok(())
    }
}
