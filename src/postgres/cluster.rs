//! Operations on a Citus cluster: each call runs statements that are routed to one shard.
//!
//! All rows of a grant are on one shard, and a generated credential names its grant. So each
//! statement names the grant, and Citus routes it to one node. A single statement that spends one
//! credential and stores others would go through the coordinator, at a third of the speed. Here it
//! is several statements in one short transaction, with the same lock order: client, code, token,
//! grant.
//!
//! Clients are on the coordinator. An advisory lock there takes the place of the row lock on a
//! client. It is held until the transaction has ended on the shard.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::context::GrantContext;
use crate::postgres::context;
use crate::scope::Scope;
use crate::secret::{Secret, TokenHash};

/// Returns the grant that a token names, or searches every shard for it.
pub(super) async fn grant_of_token(
    connection: &mut PgConnection,
    named: Option<Uuid>,
    digest: TokenHash,
) -> sqlx::Result<Option<Uuid>> {
    if named.is_some() {
        return Ok(named);
    }
    let (digest, tail) = digest.halves();
    sqlx::query_file_scalar!("src/postgres/sql/cluster/grant_of_token.sql", digest, tail)
        .fetch_optional(connection)
        .await
}

/// Returns the grant that a code names, or searches every shard for it.
pub(super) async fn grant_of_code(
    connection: &mut PgConnection,
    named: Option<Uuid>,
    digest: TokenHash,
) -> sqlx::Result<Option<Uuid>> {
    if named.is_some() {
        return Ok(named);
    }
    let (digest, tail) = digest.halves();
    sqlx::query_file_scalar!("src/postgres/sql/cluster/grant_of_code.sql", digest, tail)
        .fetch_optional(connection)
        .await
}

/// Locks a credential that names no grant, so that only one transaction at a time can store it. No
/// unique key spans grants, so a lookup alone would not be enough.
pub(super) async fn lock_credential(
    connection: &mut PgConnection,
    digest: (Uuid, Uuid),
) -> sqlx::Result<()> {
    let (key, _) = digest.0.as_u64_pair();
    sqlx::query_file!("src/postgres/sql/cluster/lock_credential.sql", key.cast_signed())
        .fetch_one(connection)
        .await
        .map(drop)
}

/// Makes a call that disables the client wait until this transaction ends, and returns the time.
/// Returns `None` if the client is unknown or disabled.
pub(super) async fn lock_client(
    connection: &mut PgConnection,
    client_id: &str,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_file!("src/postgres/sql/cluster/lock_client.sql", client_key(client_id))
        .fetch_one(&mut *connection)
        .await?;
    // A separate statement, which sees what was committed while the lock was awaited.
    sqlx::query_file_scalar!("src/postgres/sql/cluster/find_enabled_client.sql", client_id)
        .fetch_optional(connection)
        .await
}

/// Waits for every transaction that issues to a client, and blocks new ones until this one ends.
pub(super) async fn lock_out_client(
    connection: &mut PgConnection,
    client_id: &str,
) -> sqlx::Result<()> {
    sqlx::query_file!("src/postgres/sql/cluster/lock_out_client.sql", client_key(client_id))
        .fetch_one(connection)
        .await
        .map(drop)
}

/// Returns the advisory lock key of a client: 64 bits of the SHA-256 of its identifier.
fn client_key(client_id: &str) -> i64 {
    let (head, _) = Secret::new(client_id).digest().halves();
    head.as_u64_pair().1.cast_signed()
}

/// Revokes a grant if it belongs to the given subject and client. Returns false if there is none.
pub(super) async fn end_grant(
    connection: &mut PgConnection,
    grant_id: Uuid,
    subject: Option<&str>,
    client_id: Option<&str>,
) -> sqlx::Result<bool> {
    let ended =
        sqlx::query_file!("src/postgres/sql/cluster/end_grant.sql", grant_id, subject, client_id)
            .execute(connection)
            .await?;
    Ok(ended.rows_affected() > 0)
}

/// A credential that already exists in another grant.
#[derive(Debug, thiserror::Error)]
#[error("the {0} already exists")]
pub(super) struct Duplicate(pub(super) &'static str);

impl From<Duplicate> for sqlx::Error {
    fn from(duplicate: Duplicate) -> Self {
        Self::Encode(Box::new(duplicate))
    }
}

/// A token to store.
pub(super) struct NewTokenRow<'a> {
    pub(super) kind: &'static str,
    pub(super) digest: (Uuid, Uuid),
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) grant_id: Uuid,
    /// `None` for the scope of the grant.
    pub(super) scope: Option<&'a str>,
}

impl NewTokenRow<'_> {
    pub(super) async fn insert(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query_file!(
            "src/postgres/sql/cluster/insert_token.sql",
            self.issued_at,
            self.expires_at,
            self.grant_id,
            self.kind,
            self.digest.0,
            self.digest.1,
            self.scope,
        )
        .execute(connection)
        .await
        .map(drop)
    }
}

/// A grant to store.
pub(super) struct NewGrantRow<'a> {
    pub(super) granted_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) refresh_expires_at: Option<DateTime<Utc>>,
    pub(super) grant_id: Uuid,
    pub(super) client_id: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) scope: &'a Scope,
    pub(super) context: &'a GrantContext,
}

impl NewGrantRow<'_> {
    pub(super) async fn insert(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query_file!(
            "src/postgres/sql/cluster/insert_grant.sql",
            self.granted_at,
            self.expires_at,
            self.refresh_expires_at,
            self.grant_id,
            self.client_id,
            self.subject,
            self.scope.as_str(),
            context::to_column(self.context)?,
        )
        .execute(connection)
        .await
        .map(drop)
    }
}

/// Adds a lifetime in microseconds to a time.
pub(super) fn after(time: DateTime<Utc>, lifetime: i64) -> DateTime<Utc> {
    time + TimeDelta::microseconds(lifetime)
}
