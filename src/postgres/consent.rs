//! [`ConsentStorage`] for PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};

use crate::check::{check_client_id, check_limit, check_subject};
use crate::consent::{Consent, ConsentStorage, WithdrawalOutcome, check_consent, too_large};
use crate::error::{Error, InvalidReason, Result};
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::error::Effect;
use crate::postgres::grant::{Change, Owner, half};
use crate::postgres::telemetry::observe;
use crate::postgres::token::by_position;
use crate::postgres::{PgStorage, cluster};
use crate::record::RecordKind;
use crate::scope::{MAX_SCOPE_BYTES, MAX_SCOPE_TOKENS, Scope};

/// The number of consents that a statement deletes: some milliseconds.
const BATCH: usize = 1_000;

/// The most passes over the consents of an owner. A subject may add one in each.
const MOST_PASSES: usize = 100;

/// The subject and the client of a consent.
struct Names {
    subject: String,
    client_id: String,
}

impl Names {
    fn new(subject: &str, client_id: &str) -> Self {
        Self { subject: subject.to_owned(), client_id: client_id.to_owned() }
    }

    fn columns<'a>(batch: impl Iterator<Item = &'a Self>) -> (Vec<&'a str>, Vec<&'a str>) {
        batch.map(|names| (names.subject.as_str(), names.client_id.as_str())).unzip()
    }

    fn key(&self) -> u128 {
        let digest = RecordKind::Consent.digest(&[&self.subject, &self.client_id]);
        digest.halves().0.as_u128()
    }
}

/// The stored part of a consent.
struct ConsentRow {
    scope: String,
    granted_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ConsentRow {
    fn into_consent(self, subject: &str, client_id: &str) -> Result<Consent> {
        let Self { scope, granted_at, updated_at } = self;
        let scope = Scope::from_stored(scope).map_err(|error| Error::Corrupt {
            table: "oauth_storage.consent",
            column: "scope",
            row: client_id.to_owned(),
            message: error.to_string(),
        })?;
        let (subject, client_id) = (subject.to_owned(), client_id.to_owned());
        Ok(Consent::new(subject, client_id, scope, granted_at, updated_at))
    }
}

/// Adds to a consent.
struct AddConsent {
    names: Names,
    scope: Scope,
}

/// The outcome of an addition.
enum Added {
    Stored(ConsentRow),
    TooLarge,
    UnknownClient,
}

impl Statement for AddConsent {
    type Outcome = Added;
    const NAME: &'static str = "add_consent";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (subject, client_id) = Names::columns(batch.iter().map(|add| &add.names));
        let scope: Vec<&str> = batch.iter().map(|add| add.scope.as_str()).collect();
        let rows = sqlx::query_file!(
            "src/postgres/sql/add_consents.sql",
            &subject as _,
            &client_id as _,
            &scope as _,
            i64::try_from(MAX_SCOPE_TOKENS).unwrap_or(i64::MAX),
            i32::try_from(MAX_SCOPE_BYTES).unwrap_or(i32::MAX),
        )
        .fetch_all(connection)
        .await?;
        let outcomes = rows.into_iter().map(|row| {
            let outcome = match (row.scope, row.granted_at, row.updated_at) {
                (Some(scope), Some(granted_at), Some(updated_at)) => {
                    Added::Stored(ConsentRow { scope, granted_at, updated_at })
                }
                _ => Added::TooLarge,
            };
            (row.position, outcome)
        });
        let outcomes = by_position(batch.len(), outcomes).into_iter();
        Ok(outcomes.map(|outcome| outcome.unwrap_or(Added::UnknownClient)).collect())
    }

    async fn run_on_cluster(&self, connection: &mut PgConnection) -> sqlx::Result<Self::Outcome> {
        // There an advisory lock takes the place of the row lock on the client.
        let mut transaction = connection.begin().await?;
        cluster::lock_client(&mut transaction, &self.names.client_id).await?;
        let mut outcomes = Self::run(&mut transaction, std::slice::from_ref(self)).await?;
        transaction.commit().await?;
        outcomes.pop().ok_or(sqlx::Error::RowNotFound)
    }

    fn key(&self) -> Option<u128> {
        Some(self.names.key())
    }
}

/// Finds a consent.
struct FindConsent(Names);

impl Statement for FindConsent {
    type Outcome = Option<ConsentRow>;
    const NAME: &'static str = "find_consent";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (subject, client_id) = Names::columns(batch.iter().map(|find| &find.0));
        let rows =
            sqlx::query_file!("src/postgres/sql/find_consents.sql", &subject as _, &client_id as _)
                .fetch_all(connection)
                .await?;
        let rows = rows.into_iter().map(|row| {
            let (granted_at, updated_at) = (row.granted_at, row.updated_at);
            (row.position, ConsentRow { scope: row.scope, granted_at, updated_at })
        });
        Ok(by_position(batch.len(), rows))
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.consent", self.0.client_id.clone()))
    }
}

impl<C: Connections> PgStorage<C> {
    async fn list_consents_of(
        &self,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Consent>> {
        let limit = check_limit(limit)?;
        after.map_or(Ok(()), check_client_id)?;
        // The empty string sorts before every client identifier.
        let after = after.unwrap_or_default();
        if check_subject(subject).is_err() {
            return Ok(Vec::new());
        }
        let mut call = self.connections.begin(Effect::Read).await?;
        let rows = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/list_consents.sql", subject, after, limit)
                    .fetch_all(connection)
            })
            .await?;
        rows.into_iter()
            .map(|row| {
                let (granted_at, updated_at) = (row.granted_at, row.updated_at);
                let consent = ConsentRow { scope: row.scope, granted_at, updated_at };
                consent.into_consent(subject, &row.client_id)
            })
            .collect()
    }

    async fn withdraw(&self, subject: &str, client_id: &str) -> Result<WithdrawalOutcome> {
        if check_consent(subject, client_id).is_err() {
            return Ok(WithdrawalOutcome { withdrawn: false, revoked_grants: 0 });
        }
        let mut call = self.connections.begin(Effect::Write).await?;
        let deleted = call
            .statement(|connection| {
                sqlx::query_file!("src/postgres/sql/delete_consent.sql", subject, client_id)
                    .execute(connection)
            })
            .await?;
        drop(call);
        let withdrawn = deleted.rows_affected() > 0;
        let owner = Owner::Subject { subject, client_id: Some(client_id) };
        let revoked = self.change_grants(owner, Change::Revoke).await;
        let revoked_grants = revoked.map_err(|error| error.after_commit_if(withdrawn))?;
        self.meters().revoked("withdraw_consent", revoked_grants);
        Ok(WithdrawalOutcome { withdrawn, revoked_grants })
    }

    /// Deletes every consent of a subject or for a client, in batches. Those that are locked come last, each
    /// after a wait that holds nothing.
    pub(super) async fn delete_consents(&self, owner: ConsentOwner<'_>) -> Result<()> {
        for _ in 0..MOST_PASSES {
            self.delete_free_consents(owner).await?;
            if !self.wait_for_consent(owner).await? {
                break;
            }
        }
        Ok(())
    }

    async fn delete_free_consents(&self, owner: ConsentOwner<'_>) -> Result<()> {
        let (mut after, mut size) = (Some(String::new()), BATCH);
        while let Some(from) = after.take() {
            let Some(deleted) = self.delete_next_consents(owner, &from, size).await? else {
                size = half(size)?;
                after = Some(from);
                continue;
            };
            let is_full = deleted.len() >= size;
            after = deleted.into_iter().next_back().filter(|_| is_full);
        }
        Ok(())
    }

    /// Returns false if no consent is left.
    async fn wait_for_consent(&self, owner: ConsentOwner<'_>) -> Result<bool> {
        let (subject, client_id, deleted_at) = match owner {
            ConsentOwner::Subject(subject) => (Some(subject), None, None),
            ConsentOwner::Client { client_id, deleted_at } => {
                (None, Some(client_id), Some(deleted_at))
            }
        };
        let mut call = self.connections.begin(Effect::Write).await?;
        let found = call
            .statement(|connection| {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/wait_for_consent.sql",
                    subject,
                    client_id,
                    deleted_at,
                )
                .fetch_optional(connection)
            })
            .await?;
        Ok(found.is_some())
    }
}

impl<C: Connections> PgStorage<C> {
    /// Returns the clients or subjects whose consents were deleted, or `None` if the server cancelled the statement.
    async fn delete_next_consents(
        &self,
        owner: ConsentOwner<'_>,
        after: &str,
        limit: usize,
    ) -> Result<Option<Vec<String>>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut call = self.connections.begin(Effect::Write).await?;
        call.statement_unless_cut_off(async |connection| match owner {
            ConsentOwner::Subject(subject) => {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/delete_consents_of_subject.sql",
                    subject,
                    after,
                    limit
                )
                .fetch_all(connection)
                .await
            }
            ConsentOwner::Client { client_id, deleted_at } => {
                sqlx::query_file_scalar!(
                    "src/postgres/sql/delete_consents_of_client.sql",
                    client_id,
                    after,
                    limit,
                    deleted_at
                )
                .fetch_all(connection)
                .await
            }
        })
        .await
    }
}

/// The owner of the consents to delete.
#[derive(Clone, Copy)]
pub(super) enum ConsentOwner<'a> {
    Subject(&'a str),
    Client { client_id: &'a str, deleted_at: DateTime<Utc> },
}

#[async_trait]
impl<C: Connections> ConsentStorage for PgStorage<C> {
    async fn add_consent(&self, subject: &str, client_id: &str, scope: &Scope) -> Result<Consent> {
        observe!(self, add_consent on consent, client_id, subject)
            .run(async {
                check_consent(subject, client_id)?;
                let names = Names::new(subject, client_id);
                let add = AddConsent { names, scope: scope.clone() };
                match self.connections.run(add).await? {
                    Added::Stored(row) => row.into_consent(subject, client_id),
                    Added::TooLarge => Err(too_large()),
                    Added::UnknownClient => {
                        Err(Error::invalid("client_id", InvalidReason::Unknown))
                    }
                }
            })
            .await
    }

    async fn get_consent(&self, subject: &str, client_id: &str) -> Result<Option<Consent>> {
        observe!(self, get_consent on consent, client_id, subject)
            .run(async {
                if check_consent(subject, client_id).is_err() {
                    return Ok(None);
                }
                let found = self.connections.run(FindConsent(Names::new(subject, client_id)));
                found.await?.map(|row| row.into_consent(subject, client_id)).transpose()
            })
            .await
    }

    async fn list_consents(
        &self,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Consent>> {
        observe!(self, list_consents on consent, subject)
            .run(self.list_consents_of(subject, after, limit))
            .await
    }

    async fn withdraw_consent(&self, subject: &str, client_id: &str) -> Result<WithdrawalOutcome> {
        observe!(self, withdraw_consent on consent, client_id, subject)
            .run(self.withdraw(subject, client_id))
            .await
    }
}
