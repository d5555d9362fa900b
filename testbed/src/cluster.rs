use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use uuid::Uuid;

use crate::supervisor::Supervisor;
use crate::{Database, Error, connect, database, programs};

/// Durability has the defaults: fsync and synchronous_commit are on.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("max_connections", "200"),
];

/// The number of attempts to find a port or to restart.
const ATTEMPTS: u32 = 10;

/// A private PostgreSQL server in a temporary folder.
///
/// Dropping it stops the server and removes the folder. The same happens if this process ends in any
/// other way.
pub struct Cluster {
    supervisor: Arc<Mutex<Supervisor>>,
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    password: String,
    url: String,
    version: String,
}

impl Cluster {
    /// Starts a server, even if the environment names a database URL. The settings are added to its
    /// `postgresql.conf`, for example `&[("log_statement", "all")]`.
    ///
    /// It is never in a container, because its files and processes would not be on this machine.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotFound`] or [`Error::Unusable`] if there are no programs of PostgreSQL and none
    /// can be fetched, and [`Error::Start`] if the server does not start.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self, Error> {
        Self::start_from(Self::programs().await?, settings).await
    }

    /// The folder of programs that can start a server with settings.
    async fn programs() -> Result<PathBuf, Error> {
        match programs::on_this_machine().await {
            Err(Error::NotFound { mut tried }) => {
                tried.push("docker, podman: not for a server with settings or faults".to_owned());
                programs::fetched(tried).await
            }
            found => found,
        }
    }

    /// Starts a server from the programs in a folder.
    pub(crate) async fn start_from(bin: PathBuf, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let mut config = String::new();
        for (name, value) in SETTINGS.iter().chain(settings) {
            // Writing to a string cannot fail.
            let _ = writeln!(config, "{name} = '{}'", value.replace('\'', "''"));
        }
        let mut cluster = blocking(move || Self::launch(bin, &config, free_port)).await?;

        let version = async {
            let mut connection = connect::connect(&cluster.url).await?;
            database::version(&mut connection).await
        };
        cluster.version = version.await.map_err(|error| Error::Start {
            bin: cluster.bin.clone(),
            reason: format!("{error}\n{}", cluster.log_end()),
        })?;
        Ok(cluster)
    }

    fn launch(
        bin: PathBuf,
        config: &str,
        next_port: impl FnMut() -> io::Result<u16>,
    ) -> Result<Self, Error> {
        let password = Uuid::new_v4().simple().to_string();
        let (supervisor, dir) = Self::data(&bin, &format!("init {password}"))?;
        fs::OpenOptions::new()
            .append(true)
            .open(dir.join("data/postgresql.conf"))
            .and_then(|mut file| file.write_all(config.as_bytes()))
            .map_err(|error| Error::Start { bin: bin.clone(), reason: error.to_string() })?;
        Self::serve(bin, dir, supervisor, &password, next_port)
    }

    /// Creates a data folder with a command of the supervisor.
    fn data(bin: &Path, command: &str) -> Result<(Supervisor, PathBuf), Error> {
        let dir = std::env::temp_dir().join(format!("oauth-storage-testbed-{}", Uuid::new_v4()));
        let failed = |reason: String| Error::Start { bin: bin.to_owned(), reason };
        let io_failed = |error: io::Error| failed(error.to_string());
        let mut supervisor = Supervisor::start(bin, &dir).map_err(io_failed)?;
        if supervisor.run(command).map_err(io_failed)? {
            Ok((supervisor, dir))
        } else {
            Err(failed(end_of(&dir.join("supervisor.log"))))
        }
    }

    /// Starts the server on a data folder.
    fn serve(
        bin: PathBuf,
        dir: PathBuf,
        mut supervisor: Supervisor,
        password: &str,
        mut next_port: impl FnMut() -> io::Result<u16>,
    ) -> Result<Self, Error> {
        let failed = |reason: String| Error::Start { bin: bin.clone(), reason };
        let io_failed = |error: io::Error| failed(error.to_string());
        let log = dir.join("postgres.log");
        let mut attempts = 1..=ATTEMPTS;
        let port = loop {
            let port = next_port().map_err(io_failed)?;
            if supervisor.run(&format!("start {port}")).map_err(io_failed)? {
                break port;
            }
            let reason = end_of(&log);
            // Another process may have taken the port in the meantime.
            if !reason.contains("could not bind") || attempts.next().is_none() {
                return Err(failed(reason));
            }
            fs::remove_file(&log).map_err(io_failed)?;
        };

        // This server has no TLS, and PGSSLMODE must not request it.
        let url =
            format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable");
        let supervisor = Arc::new(Mutex::new(supervisor));
        let password = password.to_owned();
        Ok(Self { supervisor, bin, dir, port, password, url, version: String::new() })
    }

    /// Starts a standby: a copy of this server with the same settings that follows it by streaming
    /// replication. Dropping its handle stops it.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Start`] if this server does not run or has no `max_wal_senders`, or if the
    /// standby does not start.
    pub async fn standby(&self) -> Result<Self, Error> {
        let (bin, password) = (self.bin.clone(), self.password.clone());
        let command = format!("follow {} {password}", self.port);
        let mut standby = blocking(move || {
            let (supervisor, dir) = Self::data(&bin, &command)?;
            Self::serve(bin, dir, supervisor, &password, free_port)
        })
        .await?;
        standby.version.clone_from(&self.version);
        Ok(standby)
    }

    /// Promotes a standby to a primary, and waits until it is one.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Control`] if it is not a standby or does not run.
    pub async fn promote(&self) -> Result<(), Error> {
        self.command("promote".to_owned()).await
    }

    /// Creates an empty database, named after `label`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Database`] if the server is not running.
    pub async fn database(&self, label: &str) -> Result<Database, Error> {
        Database::create(&self.url, label, database::Cleanup::WithServer).await
    }

    /// The URL of the database `postgres` for the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's version, such as "17.2".
    pub fn server_version(&self) -> &str {
        &self.version
    }

    /// The folder of PostgreSQL's programs, such as `pg_dump`.
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// The server's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// The process id of the postmaster, the server's main process. `None` after it was stopped.
    pub fn pid(&self) -> Option<u32> {
        let file = fs::read_to_string(self.data_dir().join("postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    /// Sends the postmaster a signal by its name, such as "KILL", "STOP" or "CONT".
    ///
    /// # Errors
    ///
    /// Returns [`Error::Control`] if the postmaster is not running.
    pub async fn signal(&self, name: &str) -> Result<(), Error> {
        // The name becomes part of a command line.
        if !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(self.control_error(&format!("signal {name:?}"), "no such signal"));
        }
        self.command(format!("signal {name}")).await
    }

    /// Stops the server in the mode `fast`, which ends its connections.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Control`] if it does not stop.
    pub async fn stop(&self) -> Result<(), Error> {
        self.command("stop fast".to_owned()).await
    }

    /// Starts the server on the same port and data. A running server is stopped first.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Control`] if it does not start.
    pub async fn restart(&self) -> Result<(), Error> {
        // This fails if the server was killed, and then it need not be stopped.
        let _ = self.stop().await;
        let mut attempt = 1;
        loop {
            // The last processes of a killed server block the next one for a moment.
            match self.command(format!("start {}", self.port)).await {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn command(&self, command: String) -> Result<(), Error> {
        let supervisor = Arc::clone(&self.supervisor);
        let sent = command.clone();
        let result = blocking(move || {
            // A panic of another holder leaves the supervisor intact.
            supervisor.lock().unwrap_or_else(PoisonError::into_inner).run(&sent)
        });
        match result.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.control_error(&command, &self.log_end())),
            Err(error) => Err(self.control_error(&command, &error.to_string())),
        }
    }

    fn control_error(&self, command: &str, reason: &str) -> Error {
        Error::Control { command: command.to_owned(), reason: reason.to_owned() }
    }

    fn log_end(&self) -> String {
        end_of(&self.log_file())
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, port, bin, .. } = self;
        write!(
            f,
            "PostgreSQL {version} of {}, private to this process, on 127.0.0.1:{port}",
            bin.display()
        )
    }
}

/// Without the URL, because it contains the password.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({self})")
    }
}

/// Finds a free port below the range of outgoing connections. One of those could otherwise take the
/// port while the server restarts.
pub(crate) fn free_port() -> io::Result<u16> {
    let mut refusal = io::Error::other("no port tried");
    for _ in 0..100 {
        let port = 15_000 + (Uuid::new_v4().as_u128() % 17_000) as u16;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

pub(crate) fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Runs a blocking closure on any runtime, and propagates its panic.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_skipped() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = (taken.local_addr().unwrap().port(), taken);
        let mut ports = [taken.0, free_port().unwrap()].into_iter();
        let bin = Cluster::programs().await.unwrap();
        let config = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n";
        let cluster = Cluster::launch(bin, config, || Ok(ports.next().unwrap())).unwrap();
        assert_ne!(cluster.port, taken.0);
        assert!(cluster.pid().is_some());
    }

    #[tokio::test]
    async fn a_wrong_setting_is_reported_from_the_log() {
        let bin = Cluster::programs().await.unwrap();
        let error = Cluster::launch(bin, "no_such_setting = 1\n", free_port).unwrap_err();
        assert!(error.to_string().contains("no_such_setting"), "{error}");
    }
}
