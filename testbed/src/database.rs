// These statements concern databases that do not exist yet: no schema could check them.
#![allow(clippy::disallowed_methods)]

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::SemaphorePermit;
use url::Url;
use uuid::Uuid;

use crate::connect::connect;
use crate::{Error, citus};

/// Tells our databases from all others on a server that is not ours.
const PREFIX: &str = "oauth_storage_testbed_";

/// How old a database must be to count as left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(6 * 60 * 60);

/// What becomes of a [`Database`] that is not closed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cleanup {
    /// It stays until its private server goes: a drop is a checkpoint, which takes long and slows
    /// the tests and benches that still run.
    WithServer,
    /// It is dropped, and waited for, since the process may end next.
    WithHandle,
}

/// An empty database with a name of its own.
///
/// On an existing server it is dropped with this handle, connections or not. On a private one it
/// goes with the server, if not [closed](Self::close) before.
pub struct Database {
    name: String,
    url: String,
    /// The URL of the database to connect to for dropping this one.
    server: String,
    cleanup: Cleanup,
    /// On a Citus cluster, where all take turns on one database, which is never dropped.
    turn: Option<SemaphorePermit<'static>>,
}

impl Database {
    /// The database of a coordinator that the URL names, when it is this caller's turn.
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

    /// On a Citus cluster distributes the tables, once they are there; elsewhere does nothing.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
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
            // Unlike template1, template0 is empty and has no connections to get in our way.
            execute(server, format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
            Ok(url)
        };
        match created.await {
            Ok(url) => Ok(Self { name, url, server: server.to_owned(), cleanup, turn: None }),
            Err(source) => Err(Error::Database { action: "create", name, source }),
        }
    }

    /// Whether it is on a Citus cluster.
    pub fn is_on_cluster(&self) -> bool {
        self.turn.is_some()
    }

    /// The database's URL, password included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops the database now, connections or not.
    ///
    /// # Errors
    ///
    /// When the server is not running.
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
        // A runtime of its own: the current one must not be blocked on, and may be at its end.
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

/// Without the URLs, which hold passwords.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.name)
    }
}

/// The server's version, such as "17.2".
pub(crate) async fn version(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(connection).await?;
    // Packages add their own, as in "17.2 (Debian 17.2-1)".
    Ok(version.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Drops databases of ours that a process which ended badly left on a server.
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
        // Another process may be sweeping too, or have come to use it after all.
        let _ = sqlx::query(AssertSqlSafe(drop)).execute(&mut *connection).await;
    }
    Ok(())
}

/// The prefix, the second of its making, a few random digits, and as much of the label as can go
/// unquoted into SQL. The length keeps below PostgreSQL's 63 bytes.
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
    // A parameter may name the database as well, and would win.
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
