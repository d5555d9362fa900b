//! The options of every command, and the connections that they name.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use oauth_storage::PgStorage;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::file;

/// The time in which a server has to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// The time in which it has to answer. Its own limit for a statement is shorter, so this is for a server or a network that
/// does not respond at all.
const ANSWER: Duration = Duration::from_secs(30);

/// The options of every command.
#[derive(Args)]
pub(crate) struct Options {
    /// The database: postgres://user:password@host:port/database. Without it OAUTH_STORAGE_DATABASE_URL, then
    /// DATABASE_URL. It is never printed.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// A file with the URL of the database.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,
    /// Write JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

/// The options of this run.
pub(crate) struct Context {
    options: Options,
}

impl Context {
    pub(crate) fn new(options: Options) -> Self {
        Self { options }
    }

    /// Returns true if the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.options.json
    }

    fn url(&self) -> Result<String> {
        let Options { database_url, database_url_file, .. } = &self.options;
        if let Some(url) = database_url {
            return Ok(url.clone());
        }
        if let Some(file) = database_url_file {
            return Ok(file::read(file)?.trim().to_owned());
        }
        let variables = ["OAUTH_STORAGE_DATABASE_URL", "DATABASE_URL"];
        // Compose files and CI jobs set a variable to nothing where they mean unset.
        let set = |name: &&str| std::env::var(name).ok().filter(|url| !url.is_empty());
        variables.iter().find_map(set).ok_or_else(|| {
            Error::Usage(
                "no database is named; use --database-url, --database-url-file, or the variable \
                 OAUTH_STORAGE_DATABASE_URL"
                    .into(),
            )
        })
    }

    /// The database as options of the driver.
    pub(crate) fn connect_options(&self) -> Result<PgConnectOptions> {
        let url = self.url()?;
        let ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
        // The message of the parser quotes parts of the URL.
        ours.then(|| url.parse().ok()).flatten().ok_or_else(|| {
            Error::Usage(
                "the database URL is malformed; expected postgres://user:password@host:port/database"
                    .into(),
            )
        })
    }

    /// A connection for statements of this command, in a session that only reads.
    pub(crate) async fn read_only(&self, options: PgConnectOptions) -> Result<PgConnection> {
        let options = options
            .application_name("oauth-storage-cli")
            .options([
                ("default_transaction_read_only", "on"),
                // A table that somebody has locked must not stop it.
                ("lock_timeout", "2s"),
                ("statement_timeout", "20s"),
                // A plan for any values sorts all grants of a client for a page of them.
                ("plan_cache_mode", "force_custom_plan"),
            ])
            .disable_statement_logging();
        let connected = timeout(CONNECT, options.connect()).await;
        Ok(connected.map_err(|_| silent(CONNECT))??)
    }

    /// The storage.
    pub(crate) async fn storage(&self) -> Result<PgStorage> {
        Ok(PgStorage::builder()
            .password_users()
            .connect_with(self.connect_options()?.application_name("oauth-storage-cli"))
            .await?)
    }
}

/// Waits for an answer of the server until the deadline.
pub(crate) async fn answered<T, E>(reading: impl Future<Output = Result<T, E>>) -> Result<T>
where
    Error: From<E>,
{
    Ok(timeout(ANSWER, reading).await.map_err(|_| silent(ANSWER))??)
}

fn silent(waited: Duration) -> Error {
    Error::Failed(format!("the server has not answered within {} s", waited.as_secs()))
}
