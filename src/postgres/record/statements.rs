//! The statements on records.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::postgres::batching::Statement;
use crate::postgres::error::Effect;
use crate::postgres::token::by_position;
use crate::record::{NewRecord, Record};
use crate::secret::TokenHash;
use crate::settings::micros;

/// Encodes a value for a column of `jsonb`.
fn encode(value: &Map<String, Value>) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn halves<'a>(digests: impl Iterator<Item = &'a TokenHash>) -> (Vec<Uuid>, Vec<Uuid>) {
    digests.map(TokenHash::halves).unzip()
}

fn record(value: Option<String>, version: i32, expires_at: DateTime<Utc>) -> sqlx::Result<Record> {
    let value = serde_json::from_str(value.as_deref().unwrap_or("{}"));
    let value = value.map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Record { value, version, expires_at })
}

/// Puts a record.
pub(super) struct PutRecord(NewRecord);

impl PutRecord {
    pub(super) const fn new(record: NewRecord) -> Self {
        Self(record)
    }
}

impl Statement for PutRecord {
    /// False if it exists.
    type Outcome = bool;
    const NAME: &'static str = "put_record";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let each = || batch.iter().map(|put| &put.0);
        let (digest, tail) = halves(each().map(|record| &record.digest));
        let kind: Vec<&str> = each().map(|record| record.kind.as_str()).collect();
        let client_id: Vec<Option<&str>> = each().map(|r| r.client_id.as_deref()).collect();
        let value: Vec<Option<String>> = each()
            .map(|record| record.value.as_ref().map(encode).transpose())
            .collect::<sqlx::Result<_>>()?;
        let expires_in: Vec<i64> = each().map(|record| micros(record.expires_in)).collect();
        let put = sqlx::query_file_scalar!(
            "src/postgres/sql/put_records.sql",
            &kind as _,
            &digest,
            &tail,
            &client_id as _,
            &value as _,
            &expires_in,
        )
        .fetch_all(connection)
        .await?;
        let put: HashSet<Uuid> = put.into_iter().collect();
        Ok(digest.iter().map(|digest| put.contains(digest)).collect())
    }

    fn key(&self) -> Option<u128> {
        Some(self.0.digest.halves().0.as_u128())
    }
}

/// Finds a record.
pub(super) struct FindRecord(pub(super) TokenHash);

impl Statement for FindRecord {
    type Outcome = Option<Record>;
    const NAME: &'static str = "find_record";
    const EFFECT: Effect = Effect::Read;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail) = halves(batch.iter().map(|find| &find.0));
        let rows = sqlx::query_file!("src/postgres/sql/find_records.sql", &digest, &tail)
            .fetch_all(connection)
            .await?;
        let found = rows
            .into_iter()
            .map(|row| Ok((row.position, record(row.value, row.version, row.expires_at)?)));
        let found = found.collect::<sqlx::Result<Vec<_>>>()?;
        Ok(by_position(batch.len(), found.into_iter()))
    }

    fn row(&self) -> Option<(&'static str, String)> {
        Some(("oauth_storage.record", self.0.to_string()))
    }
}

/// Replaces the value of a record that has the version.
pub(super) struct ChangeRecord {
    pub(super) digest: TokenHash,
    pub(super) version: i32,
    pub(super) value: Map<String, Value>,
}

impl Statement for ChangeRecord {
    /// False if it does not exist in this version.
    type Outcome = bool;
    const NAME: &'static str = "change_record";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail) = halves(batch.iter().map(|change| &change.digest));
        let version: Vec<i32> = batch.iter().map(|change| change.version).collect();
        let value: Vec<String> =
            batch.iter().map(|change| encode(&change.value)).collect::<sqlx::Result<_>>()?;
        let changed = sqlx::query_file_scalar!(
            "src/postgres/sql/change_records.sql",
            &digest,
            &tail,
            &version,
            &value,
        )
        .fetch_all(connection)
        .await?;
        let changed = by_position(batch.len(), changed.into_iter().map(|position| (position, ())));
        Ok(changed.into_iter().map(|changed| changed.is_some()).collect())
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }
}

/// Takes a record of a client, or of none.
pub(super) struct TakeRecord {
    pub(super) digest: TokenHash,
    pub(super) client_id: Option<String>,
}

impl Statement for TakeRecord {
    type Outcome = Option<Record>;
    const NAME: &'static str = "take_record";
    const EFFECT: Effect = Effect::Write;

    async fn run(
        connection: &mut PgConnection,
        batch: &[Self],
    ) -> sqlx::Result<Vec<Self::Outcome>> {
        let (digest, tail) = halves(batch.iter().map(|take| &take.digest));
        let client_id: Vec<Option<&str>> =
            batch.iter().map(|take| take.client_id.as_deref()).collect();
        let rows = sqlx::query_file!(
            "src/postgres/sql/take_records.sql",
            &digest,
            &tail,
            &client_id as _,
        )
        .fetch_all(connection)
        .await?;
        let taken = rows
            .into_iter()
            .map(|row| Ok((row.position, record(row.value, row.version, row.expires_at)?)));
        let taken = taken.collect::<sqlx::Result<Vec<_>>>()?;
        Ok(by_position(batch.len(), taken.into_iter()))
    }

    fn key(&self) -> Option<u128> {
        Some(self.digest.halves().0.as_u128())
    }
}
