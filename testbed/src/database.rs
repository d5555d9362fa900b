// These statements concern databases that do not exist yet, so no schema can check them.
#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::SemaphorePermit;
use url::Url;
use uuid::Uuid;

use crate::connect::connect;
use crate::{Error, citus};

/// Distinguishes the databases of the testbed from others on an existing server.
const PREFIX: &str = "oauth_storage_testbed_";

/// The age from which a database counts as left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(6 * 60 * 60);

/// The cleanup of a [`Database`] that is not closed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cleanup {
    /// It stays until its private server ends. To drop it would force a checkpoint, which is slow and
    /// delays the tests and benchmarks that still run.
    WithServer,
    /// The handle drops it and waits, because the process may end next.
    WithHandle,
}

/// An empty database with a unique name.
///
/// On an existing server it is dropped with this handle, even if there are connections. On a private
/// server it stays until it is [closed](Self::close) or the server ends.
pub struct Database {
    name: String,
    url: String,
    /// The URL of the database to connect to for dropping this one.
    server: String,
    cleanup: Cleanup,
    /// The turn on a Citus cluster, where all tests share one database that is never dropped.
    turn: Option<SemaphorePermit<'static>>,
}

impl Database {
    /// Waits for the turn on the database of a coordinator.
    pub(crate) async fn of_coordinator(url: &str) -> Result<Self, Error> {
        let name = Url::parse(url)
            .map_or_else(|_| String::new(), |url| url.path().trim_start_matches('/').to_owned());
        let (url, server) = (url.to_owned(), url.to_owned());
        match citus::turn(&url).await {
            Ok(turn) => {
                Ok(Self { name, url, server, cleanup: Cleanup::WithServer, turn: Some(turn) })
            }
            Err(source) => Err(Error::Database { action: "empty", name, source }),
        }
    }

    /// Distributes the tables if the server is a Citus cluster. Call it after the migrations.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Database`] if the cluster refuses.
    pub async fn distribute(&self) -> Result<(), Error> {
        if !self.is_on_cluster() {
            return Ok(());
        }
        citus::distribute(&self.url).await.map_err(|source| Error::Database {
            action: "distribute the tables of",
            name: self.name.clone(),
            source,
        })
    }

    pub(crate) async fn create(server: &str, label: &str, cleanup: Cleanup) -> Result<Self, Error> {
        let name = name(label);
        let created = async {
            let url = url_of(server, &name)?;
            // Unlike template1, template0 is empty and never has connections, which would block this.
            execute(server, format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
            Ok(url)
        };
        match created.await {
            Ok(url) => Ok(Self { name, url, server: server.to_owned(), cleanup, turn: None }),
            Err(source) => Err(Error::Database { action: "create", name, source }),
        }
    }

    /// Returns true on a Citus cluster.
    pub fn is_on_cluster(&self) -> bool {
        self.turn.is_some()
    }

    /// The URL of the database, including the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops the database now, even if there are connections.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Database`] if the server is not running.
    pub async fn close(mut self) -> Result<(), Error> {
        self.cleanup = Cleanup::WithServer; // nothing is left to do
        if self.turn.is_some() {
            return Ok(());
        }
        drop_database(&self.server, &self.name).await.map_err(|source| Error::Database {
            action: "drop",
            name: self.name.clone(),
            source,
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.cleanup == Cleanup::WithServer {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // A separate runtime, because the current one must not be blocked and may be shutting down.
        let thread = std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                // If this fails, a later process sweeps the database.
                let _ = runtime.block_on(drop_database(&server, &name));
            }
        });
        if let Ok(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Without the URLs, because they contain passwords.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.name)
    }
}

/// The server's version, such as "17.2".
pub(crate) async fn version(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(connection).await?;
    // Packages append their own version, as in "17.2 (Debian 17.2-1)".
    Ok(version.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Drops databases of the testbed that a crashed process left on a server.
pub(crate) async fn sweep(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let unused: Vec<String> = sqlx::query_scalar(
        "SELECT datname::text FROM pg_database d WHERE starts_with(datname, $1)
         AND pg_has_role(datdba, 'USAGE')
         AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)",
    )
    .bind(PREFIX)
    .fetch_all(&mut *connection)
    .await?;
    let now = now();
    for name in unused.iter().filter(|name| left_behind(name, now)) {
        let drop = format!("DROP DATABASE IF EXISTS {name}");
        // Another process may drop it at the same time, or still use it.
        let _ = sqlx::query(AssertSqlSafe(drop)).execute(&mut *connection).await;
    }
    Ok(())
}

/// A name of the prefix, the time of creation in seconds, random digits, and the label as far as it
/// needs no quotes in SQL. It is shorter than PostgreSQL's limit of 63 bytes.
fn name(label: &str) -> String {
    let random = Uuid::new_v4().simple().to_string();
    let label = label.chars().take(16).map(|c| match c {
        'A'..='Z' | 'a'..='z' | '0'..='9' => c.to_ascii_lowercase(),
        _ => '_',
    });
    let label: String = label.collect();
    format!("{PREFIX}{:x}_{}_{label}", now(), &random[..12])
}

fn left_behind(name: &str, now: u64) -> bool {
    let plain = name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
    let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next());
    let made = made.and_then(|seconds| u64::from_str_radix(seconds, 16).ok());
    plain && made.is_some_and(|made| made + LEFT_BEHIND.as_secs() < now)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The URL of another database on the same server.
fn url_of(server: &str, database: &str) -> Result<String, sqlx::Error> {
    let mut url = Url::parse(server).map_err(|error| sqlx::Error::Configuration(error.into()))?;
    url.set_path(database);
    // A parameter may name the database as well, and would take precedence.
    let others: Vec<_> =
        url.query_pairs().into_owned().filter(|(key, _)| key != "dbname").collect();
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    Ok(url.into())
}

async fn drop_database(server: &str, name: &str) -> Result<(), sqlx::Error> {
    execute(server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
}

async fn execute(server: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = connect(server).await?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}
