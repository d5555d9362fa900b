//! A Citus cluster in place of a server.
//!
//! A database for each test would have to be created on every node. So all tests use the database
//! that the URL names, one after another, and each starts without the schema.

// These statements concern tables that do not exist yet, so no schema can check them.
#![allow(clippy::disallowed_methods)]

use sqlx::Connection;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connect::connect;

/// Distributes the tables.
const DISTRIBUTE: &str = include_str!("../citus.sql");

static ONE: Semaphore = Semaphore::const_new(1);

/// Waits for the turn of a test, which lasts while the permit is held, and drops the schema.
pub(crate) async fn turn(url: &str) -> Result<SemaphorePermit<'static>, sqlx::Error> {
    // The semaphore is never closed.
    let turn = ONE.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
    run(url, "DROP SCHEMA IF EXISTS oauth_storage CASCADE").await?;
    Ok(turn)
}

pub(crate) async fn distribute(url: &str) -> Result<(), sqlx::Error> {
    run(url, DISTRIBUTE).await
}

async fn run(url: &str, statements: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = connect(url).await?;
    sqlx::raw_sql(statements).execute(&mut connection).await?;
    connection.close().await
}
