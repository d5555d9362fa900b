use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

/// The limit for everything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine that has no PostgreSQL, and only the programs that a test adds.
pub(crate) struct Machine {
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ways-{}", Uuid::new_v4()));
        for part in ["bin", "cache"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        for folder in [folder.clone(), folder.join("cache")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Self { folder, variables: Vec::new() };
        for tool in ["sh", "id", "mkdir", "rm", "head", "sleep", "touch", "true"] {
            symlink(find(tool).unwrap(), machine.bin().join(tool)).unwrap();
        }
        machine
    }

    pub(crate) fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The testbed's folder in the cache.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.join("cache/oauth-storage-testbed")
    }

    pub(crate) fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Adds a program, which is a shell script.
    pub(crate) fn script(&self, name: &str, script: &str) {
        let file = self.bin().join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.bin().join(name)).unwrap();
    }

    /// Adds a program of the real machine, whose files are only for this user. Returns false if it is not
    /// installed.
    pub(crate) fn real(&self, name: &str) -> bool {
        let Some(program) = find(name) else { return false };
        let path = std::env::var("PATH").unwrap();
        self.script(name, &format!("umask 077; PATH='{path}' exec '{}' \"$@\"", program.display()));
        true
    }

    /// The lines that the scripts wrote to `$CALLS`.
    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.folder.join("calls")).unwrap_or_default()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oauth-storage-testbed"));
        command
            .env("PATH", self.bin())
            .env("CALLS", self.folder.join("calls"))
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env("OAUTH_STORAGE_TESTBED_FOLDERS", "/nowhere/*/bin")
            .env_remove("OAUTH_STORAGE_POSTGRES_BIN")
            .env_remove("OAUTH_STORAGE_OFFLINE")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts the testbed without waiting.
    pub(crate) fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    /// The error of the testbed, which finds no PostgreSQL.
    pub(crate) async fn fails(&self) -> String {
        let output = limited("the error", self.command().output()).await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("found no PostgreSQL"), "{error}");
        error
    }

    /// Runs a command on a server until both have ended.
    pub(crate) async fn runs(&self, program: &str) {
        let output = limited("the end", self.command().arg(program).output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a server, and asks it for its version.
    pub(crate) async fn serves(&self) -> Serving {
        Serving::of(self.start()).await.unwrap_or_else(|error| panic!("no server: {error}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The testbed, which has started a server. Dropping it kills the testbed.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) process: Child,
    /// The first line: the server's version and place.
    pub(crate) server: String,
    pub(crate) url: String,
}

impl Serving {
    /// Waits for the server. Returns the messages of a testbed that fails.
    pub(crate) async fn of(mut process: Child) -> Result<Self, String> {
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut read = Vec::new();
        let url = loop {
            let Some(line) = limited("the server", lines.next_line()).await.unwrap() else {
                let mut messages = String::new();
                let mut stderr = process.stderr.take().unwrap();
                stderr.read_to_string(&mut messages).await.unwrap();
                return Err(messages);
            };
            if let Some(url) = line.strip_prefix("DATABASE_URL=") {
                break url.to_owned();
            }
            read.push(line);
        };
        let serving = Self { process, server: read.remove(0), url };
        let version = limited("an answer", serving.version()).await.unwrap();
        assert!(serving.server.contains(&format!("PostgreSQL {version}")), "{serving:?}");
        Ok(serving)
    }

    async fn version(&self) -> Result<String, sqlx::Error> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let query = "SELECT split_part(current_setting('server_version'), ' ', 1)";
        sqlx::query_scalar(query).fetch_one(&mut connection).await
    }

    /// Kills the testbed, waits until its server is gone, and returns what it wrote to stderr.
    pub(crate) async fn killed(mut self) -> String {
        self.process.kill().await.unwrap();
        let mut messages = Vec::new();
        let gone = async { while self.version().await.is_ok() {} };
        limited("the server's end", gone).await;
        let mut stderr = self.process.stderr.take().unwrap();
        // A program that the testbed started may still hold the pipe.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), stderr.read_to_end(&mut messages)).await;
        String::from_utf8(messages).unwrap()
    }
}

/// The file of a program on this machine.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

pub(crate) async fn limited<T>(what: &str, work: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, work).await;
    result.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Prints past the capture of the test harness, which hides the output of a test that passes.
#[allow(clippy::explicit_write, reason = "`eprintln!` is what is captured")]
pub(crate) fn not_run(test: &str, because: &str) {
    writeln!(std::io::stderr(), "NOT RUN: ways::{test}: {}", because.trim()).unwrap();
}
