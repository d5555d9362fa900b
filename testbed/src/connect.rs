//! Connections with a time limit.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

const PATIENCE: Duration = Duration::from_secs(15);

/// Opens a connection for one operation. None is kept, because a connection ends with its runtime and
/// each test has its own.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    patiently(PgConnection::connect(url)).await
}

/// Runs work on a connection within the time limit.
pub(crate) async fn patiently<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let timeout = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(timeout().into()))
}
