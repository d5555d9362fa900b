//! Behind PgBouncer in transaction mode, with the settings of docs/deployment.md.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oauth_storage::error::Advice;
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::postgres::NewUser;
use oauth_storage::token::NewToken;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, CodeRedemption, Error,
    GrantStorage as _, NewAuthorizationCode, NewClient, PgStorage, RedemptionOutcome,
    RequestContext, Secret, Settings, TokenPair, TokenStorage as _,
};
use oauth_storage_conformance::Conformance;
use oauth_storage_testbed::{Cluster, Database};
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::support::{URI, alice, eventually, pair, run_sql, scope, secret, url_as};

const DEPLOYMENT: &str = include_str!("../../docs/deployment.md");

/// The first version that follows prepared statements from one session to another.
const SUPPORTED: (u32, u32) = (1, 21);

/// docs/deployment.md's block that has this line in it.
fn readme(line: &str) -> &'static str {
    let mut blocks = DEPLOYMENT.split("```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains(line)).unwrap();
    block.split_once('\n').unwrap().1
}

/// The program and its version. Prints a line and returns `None` if there is none.
fn program(test: &str) -> Option<(PathBuf, (u32, u32))> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let Some(program) = folders.map(|dir| dir.join("pgbouncer")).find(|file| file.is_file()) else {
        not_run(test, "there is no pgbouncer, on PATH or in /usr/sbin");
        return None;
    };
    let version = Command::new(&program).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    // `PgBouncer 1.24.1`, and lines about libraries.
    let mut numbers = version.split_whitespace().nth(1).unwrap().split('.');
    let mut next = || numbers.next().unwrap().parse().unwrap();
    Some((program, (next(), next())))
}

/// Prints past the capture of the test harness, which hides the output of a test that passes.
#[allow(clippy::explicit_write, reason = "`eprintln!` is what is captured")]
fn not_run(test: &str, because: &str) {
    writeln!(std::io::stderr(), "NOT RUN: pgbouncer::{test}: {because}").unwrap();
}

/// A PgBouncer of a version that is supported.
async fn supported(test: &str) -> Option<PgBouncer> {
    let (program, version) = program(test)?;
    if version < SUPPORTED {
        not_run(test, &format!("PgBouncer {}.{} is too old", version.0, version.1));
        return None;
    }
    Some(PgBouncer::start(&program, readme("pool_mode = transaction")).await)
}

/// PgBouncer in front of its own server, with a role that has the rights and the settings of
/// docs/deployment.md.
struct PgBouncer {
    process: Child,
    /// The database through PgBouncer.
    url: String,
    database: Database,
    _cluster: Cluster,
}

impl PgBouncer {
    async fn start(program: &Path, settings: &str) -> Self {
        // Fewer sessions than a storage has connections, so that they have to be shared.
        Self::with_sessions(3, program, settings).await
    }

    async fn with_sessions(sessions: usize, program: &Path, settings: &str) -> Self {
        let cluster = Cluster::start(&[]).await.unwrap();
        let database = cluster.database("pgbouncer").await.unwrap();
        PgStorage::connect(database.url()).await.unwrap().migrate().await.unwrap();
        run_sql(cluster.url(), "CREATE ROLE app LOGIN PASSWORD 'pw'").await;
        run_sql(database.url(), readme("GRANT USAGE ON SCHEMA")).await;
        run_sql(cluster.url(), readme("ALTER ROLE app SET statement_timeout")).await;

        // A folder that is removed with the server, of the server's user: PgBouncer refuses root as well.
        let (data, dir) = (cluster.data_dir(), cluster.data_dir().join("pgbouncer"));
        let owner = fs::metadata(data).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = port_of(cluster.url());
        let mut config = settings.to_owned();
        write!(
            config,
            "listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             default_pool_size = {sessions}\nauth_type = scram-sha-256\nauth_file = {users}\n\
             logfile = {log}\n[databases]\n* = host=127.0.0.1 port={server}\n",
            users = dir.join("users").display(),
            log = dir.join("log").display(),
        )
        .unwrap();
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("users"), "\"app\" \"pw\"\n").unwrap();
        fs::write(dir.join("pgbouncer.ini"), config).unwrap();
        for file in [&dir, &dir.join("users"), &dir.join("pgbouncer.ini")] {
            chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut command = Command::new(program);
        command.arg(dir.join("pgbouncer.ini")).stderr(Stdio::null());
        let process = command.uid(owner.uid()).gid(owner.gid()).spawn().unwrap();

        let url = url_as(database.url(), "app", "pw");
        let url = url.replace(&format!(":{server}/"), &format!(":{port}/"));
        let bouncer = Self { process, url, database, _cluster: cluster };
        eventually("PgBouncer accepts connections", async || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        bouncer
    }

    /// With a deadline that many callers of three sessions keep to on a busy machine.
    async fn storage(&self) -> PgStorage {
        let builder = PgStorage::builder().password_users().deadline(Duration::from_mins(1));
        builder.connect(&self.url).await.unwrap()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn port_of(url: &str) -> u16 {
    let (_, rest) = url.rsplit_once(':').unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

/// Two storages at once, as two nodes have them, so that their statements meet in the sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_behind_pgbouncer_conforms() {
    let Some(bouncer) = supported("a_storage_behind_pgbouncer_conforms").await else { return };
    let nodes = [bouncer.storage().await, bouncer.storage().await];
    let user = NewUser::new("alice", "248289761001", Secret::new("wonderland"));
    nodes[0].password_users().create(user).await.unwrap();
    let mut suites = JoinSet::new();
    // A purge of one would remove the rows that the other is about to read, so they take turns.
    let turn = Arc::new(tokio::sync::RwLock::new(()));
    for node in nodes {
        let turn = Arc::clone(&turn);
        suites.spawn(async move {
            let suite = || {
                Conformance::new(Arc::new(node.clone())).user("alice", "wonderland", "248289761001")
            };
            let together = turn.read().await;
            for nouns in
                ["client", "token", "revo", "auth", "grant", "user", "conc", "forw", "hygiene"]
            {
                suite().only(nouns).run().await;
            }
            drop(together);
            let _alone = turn.write().await;
            suite().only("purge::").run().await;
        });
    }
    suites.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_spent_twice_behind_pgbouncer() {
    let Some(bouncer) = supported("nothing_is_spent_twice_behind_pgbouncer").await else { return };
    let nodes = [bouncer.storage().await, bouncer.storage().await];
    let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope());
    let client_id = nodes[0].register_client(NewClient::new(metadata)).await.unwrap();
    let client_id = client_id.client.client_id;
    let strict = Settings::default().with_refresh_token_grace(Duration::ZERO);
    let strict = RequestContext::default().with_settings(strict);

    for _ in 0..20 {
        let (code, tokens) = (Secret::generate().unwrap(), pair());
        let refresh = tokens.refresh_token.clone().unwrap();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
        nodes[0].create_authorization_code(&alice(), new).await.unwrap();
        let new = NewToken::new(&client_id, scope(), tokens);
        nodes[0].create_token(&alice(), new).await.unwrap();
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let redeem = CodeRedemption::new(&client_id, URI, code.clone());
            let rotate = TokenRotation::new(&client_id, refresh.clone());
            let (node, strict) = (nodes[racer % 2].clone(), strict.clone());
            racers.spawn(async move {
                let redeemed = node.redeem_authorization_code(&strict, redeem).await.unwrap();
                let rotated = node.rotate_refresh_token(&strict, rotate).await.unwrap();
                let issued = |yes| u32::from(yes);
                (
                    issued(matches!(redeemed, RedemptionOutcome::Issued(_))),
                    issued(matches!(rotated, RotationOutcome::Issued(_))),
                )
            });
        }
        let raced = racers.join_all().await;
        assert_eq!(raced.iter().map(|(redeemed, _)| redeemed).sum::<u32>(), 1);
        assert_eq!(raced.iter().map(|(_, rotated)| rotated).sum::<u32>(), 1);
    }
}

/// The statement timeout comes from the role, because PgBouncer drops that of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_times_out_before_the_deadline_behind_pgbouncer() {
    let test = "the_server_times_out_before_the_deadline_behind_pgbouncer";
    let Some(bouncer) = supported(test).await else { return };
    let storage = PgStorage::connect(&bouncer.url).await.unwrap();
    let new = NewClient::new(ClientMetadata::client_credentials());
    let client_id = storage.register_client(new).await.unwrap().client.client_id;
    let mut locker = PgConnection::connect(bouncer.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE oauth_storage.token").execute(&mut locker).await.unwrap();
    let access = secret();
    let new = NewToken::new(&client_id, "".parse().unwrap(), TokenPair::new(access.clone()));
    let error = storage.create_token(&alice(), new).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    locker.close().await.unwrap();
    assert_eq!(storage.introspect(&access).await.unwrap(), None, "nothing was stored, nor will be");
}

/// Without this support a prepared statement may run another one of the same name.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_mixes_statements_up_is_refused_at_once() {
    let test = "a_pooler_that_mixes_statements_up_is_refused_at_once";
    let Some((program, version)) = program(test) else { return };
    let settings: String = readme("pool_mode = transaction")
        .lines()
        .filter(|line| !line.starts_with("max_prepared_statements"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let off = if version < SUPPORTED { "" } else { "max_prepared_statements = 0\n" };
    let bouncer = PgBouncer::start(&program, &(settings + off)).await;
    for cache in ["", "&statement-cache-capacity=0"] {
        let url = format!("{}{cache}", bouncer.url);
        let error = PgStorage::connect(&url).await.unwrap_err();
        assert_eq!(error.advice(), Advice::CallOperator, "{error:?}");
        assert!(error.to_string().contains("max_prepared_statements"), "{error}");
    }
}

/// In session mode each client has its own session, so any version works.
#[tokio::test(flavor = "multi_thread")]
async fn session_mode_needs_only_the_startup_parameters() {
    let Some((program, _)) = program("session_mode_needs_only_the_startup_parameters") else {
        return;
    };
    let line = readme("pool_mode = transaction").lines().find(|line| line.starts_with("ignore"));
    let settings = format!("[pgbouncer]\npool_mode = session\n{}\n", line.unwrap());
    let bouncer = PgBouncer::with_sessions(20, &program, &settings).await;
    // The second storage gets the sessions that the first released.
    for _ in 0..2 {
        let storage = bouncer.storage().await;
        Conformance::new(Arc::new(storage.clone())).only("grant::").run().await;
        storage.close().await;
    }
}

/// PgBouncer refuses unknown startup parameters.
#[tokio::test(flavor = "multi_thread")]
async fn a_startup_parameter_that_is_not_ignored_is_a_configuration_error() {
    let test = "a_startup_parameter_that_is_not_ignored_is_a_configuration_error";
    let Some((program, _)) = program(test) else { return };
    let bouncer = PgBouncer::start(&program, "[pgbouncer]\npool_mode = transaction\n").await;
    let error = PgStorage::connect(&bouncer.url).await.unwrap_err();
    assert_eq!(error.advice(), Advice::CallOperator, "{error:?}");
    assert!(error.to_string().contains("ignore_startup_parameters"), "{error}");
}
