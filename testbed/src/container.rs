//! A server in a container, if no programs are on this machine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::cluster::{end_of, free_port};
use crate::{command, connect, database, find};

/// The same as in docker-compose.yml.
pub(crate) const IMAGE: &str = "postgres:18.4";

const ENGINES: [&str; 2] = ["docker", "podman"];

/// Runs the server as the image does, and stops it when stdin closes, which the engine closes when its
/// client ends. A signal that comes before the server handles signals is lost, so it is repeated.
const SCRIPT: &str = r#"exec 3<&0
(cat <&3 >/dev/null; while kill -INT 1; do sleep 1; done) &
exec docker-entrypoint.sh "$@" </dev/null 3<&-"#;

/// The limit for an answer of the engine.
const ANSWER: Duration = Duration::from_secs(15);
/// The limit for the image.
const PULL: Duration = Duration::from_secs(600);
/// The limit for the start of the server.
const START: Duration = Duration::from_secs(90);
/// The limit for the end of the server.
const STOP: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(100);

/// A server in a container that ends with this process, however that ends.
pub(crate) struct Container {
    pub(crate) engine: &'static str,
    pub(crate) port: u16,
    pub(crate) url: String,
    pub(crate) version: String,
    _client: Client,
}

/// The engine's client, which runs as long as the container.
struct Client(Child);

impl Container {
    /// Starts a server with the first engine that answers. Adds the reasons of the others to `tried`.
    pub(crate) async fn start(
        variables: find::Variables<'_>,
        tried: &mut Vec<String>,
    ) -> Option<Self> {
        let path = variables("PATH").unwrap_or_default();
        for engine in ENGINES {
            let Some(program) = find::program(&path, engine) else {
                tried.push(format!("{engine}: not on PATH"));
                continue;
            };
            match Self::with(engine, &program, find::offline(variables)).await {
                Ok(container) => return Some(container),
                Err(reason) => tried.push(format!("{engine}: {reason}")),
            }
        }
        None
    }

    async fn with(engine: &'static str, program: &Path, offline: bool) -> Result<Self, String> {
        ask(program, &["info"], ANSWER).await?;
        if ask(program, &["image", "inspect", IMAGE], ANSWER).await.is_err() {
            if offline {
                return Err(format!(
                    "no {IMAGE} here, and OAUTH_STORAGE_OFFLINE forbids to pull it"
                ));
            }
            command::say(&format!(
                "{engine} pulls {IMAGE}, once; OAUTH_STORAGE_OFFLINE=1 forbids it"
            ));
            ask(program, &["pull", "--quiet", IMAGE], PULL).await?;
        }
        let port = free_port().map_err(|error| error.to_string())?;
        let password = Uuid::new_v4().simple().to_string();
        let log = Log::new();
        let mut client =
            Client::start(program, port, &password, &log.0).map_err(|error| error.to_string())?;
        let url =
            format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable");
        let version = client.ready(&url).await.map_err(|reason| {
            format!("{reason}\n    {}", end_of(&log.0).replace('\n', "\n    "))
        })?;
        Ok(Self { engine, port, url, version, _client: client })
    }
}

async fn ask(program: &Path, arguments: &[&str], limit: Duration) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    let answer = tokio::time::timeout(limit, command::run(command.args(arguments))).await;
    let question = arguments.first().copied().unwrap_or_default();
    answer
        .unwrap_or_else(|_| Err(format!("no answer to `{question}` within {} s", limit.as_secs())))
}

impl Client {
    fn start(program: &Path, port: u16, password: &str, log: &Path) -> io::Result<Self> {
        let output = File::create(log)?;
        let mut command = Command::new(program);
        command
            .args(["run", "--rm", "--interactive"])
            .args(["--name", &format!("oauth-storage-testbed-{}", Uuid::new_v4())])
            .args(["--publish", &format!("127.0.0.1:{port}:5432")])
            // Without its value, which a list of processes would show.
            .args(["--env", "POSTGRES_PASSWORD", "--entrypoint", "sh", IMAGE])
            .args(["-c", SCRIPT, "sh", "postgres"])
            .args(["-c", "max_connections=200"])
            .env("POSTGRES_PASSWORD", password)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output);
        // A Ctrl-C on the terminal is for this process, whose end is enough.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(Self(command.spawn()?))
    }

    /// Waits until the server accepts connections. Returns its version.
    async fn ready(&mut self, url: &str) -> Result<String, String> {
        let start = Instant::now();
        loop {
            // The image listens on TCP only once the server is set up.
            let version = async {
                let mut connection = connect::connect(url).await?;
                database::version(&mut connection).await
            };
            let error = match version.await {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("the container ended: {status}"));
            }
            if start.elapsed() > START {
                return Err(format!("no server in the container: {error}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Stops the server and waits for the end of its container.
impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let start = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) {
            if start.elapsed() > STOP {
                // The engine then closes the container's stdin by itself.
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            #[allow(clippy::disallowed_methods, reason = "a drop cannot wait otherwise")]
            std::thread::sleep(PAUSE);
        }
    }
}

/// The file of the client's messages, for as long as they are of interest.
struct Log(PathBuf);

impl Log {
    fn new() -> Self {
        let name = format!("oauth-storage-testbed-{}.log", Uuid::new_v4());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
#[test]
fn the_image_is_that_of_the_compose_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml");
    // The package of the testbed has no compose file.
    if let Ok(compose) = fs::read_to_string(file) {
        assert!(compose.contains(&format!("image: {IMAGE}\n")), "{compose}");
    }
}
