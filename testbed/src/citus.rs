//! A Citus cluster in place of a server.
//!
//! A database of each test's own would have to be made on every node. So all take the database that
//! the URL names, one after another, and each begins with a schema that is not there.

// These statements concern tables that do not exist yet: no schema could check them.
#![allow(clippy::disallowed_methods)]

use sqlx::Connection;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connect::connect;

/// Where the tables go.
const DISTRIBUTE: &str = include_str!("../../docs/citus.sql");

static ONE: Semaphore = Semaphore::const_new(1);

/// The turn of one test, for as long as it is held; the schema is gone when it begins.
pub(crate) async fn turn(url: &str) -> Result<SemaphorePermit<'static>, sqlx::Error> {
    // Nobody closes the semaphore.
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
