//! Expired rows, interrupted operations and signing keys.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::finding::{Finding, or_ok};
use crate::output;

/// The purge runs every few minutes, so a row of this age was missed for long.
const OVERDUE: TimeDelta = TimeDelta::hours(24);

/// Twice the default period of rotation.
const OLD_KEY: TimeDelta = TimeDelta::days(180);

pub(super) async fn check(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Finding>> {
    let mut findings = expired(connection, now).await?;
    findings.extend(unfinished(connection).await?);
    findings.extend(signing_keys(connection, now).await?);
    Ok(findings)
}

async fn expired(connection: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Vec<Finding>> {
    let tables = sqlx::query_file!("src/sql/backlog.sql", 100_000).fetch_all(connection).await?;
    let all: i64 = tables.iter().map(|table| table.expired).sum();
    let late = tables.into_iter().filter_map(|table| {
        let age = now - table.oldest?;
        (age > OVERDUE).then(|| {
            Finding::warning(
                "expired rows",
                format!("the oldest expired row of {} is {} h old", table.table, age.num_hours()),
                "Run the purge every few minutes: oauth-storage purge --every 5m.",
            )
        })
    });
    Ok(or_ok("expired rows", late.collect(), &format!("{all}, none for over a day")))
}

async fn unfinished(connection: &mut PgConnection) -> sqlx::Result<Vec<Finding>> {
    let found = sqlx::query_file!("src/doctor/sql/unfinished.sql").fetch_one(connection).await?;
    let mut findings = Vec::new();
    if found.deletions > 0 {
        findings.push(Finding::warning(
            "unfinished",
            output::count(found.deletions.unsigned_abs(), "half-deleted client"),
            "Delete them again: oauth-storage client delete. Until then some of their tokens are active.",
        ));
    }
    if found.sign_outs > 0 {
        findings.push(Finding::warning(
            "unfinished",
            output::count(found.sign_outs.unsigned_abs(), "interrupted sign-out"),
            "Run the purge, which finishes them.",
        ));
    }
    Ok(or_ok("unfinished", findings, "no deletion and no sign-out"))
}

async fn signing_keys(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Finding>> {
    let keys = sqlx::query_file!("src/doctor/sql/keys.sql").fetch_all(connection).await?;
    let count = keys.len();
    let old = keys.into_iter().filter_map(|key| {
        let days = key.activated_at.map(|at| now - at).filter(|age| *age > OLD_KEY)?.num_days();
        Some(Finding::warning(
            "signing keys",
            format!("{} of {} is active for {days} days", key.alg, key.issuer),
            "Check that every node calls ManagedKeys::update, or run oauth-storage keys rotate.",
        ))
    });
    Ok(or_ok("signing keys", old.collect(), &format!("{count} active")))
}
