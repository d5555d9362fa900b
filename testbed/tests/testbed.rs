//! Starts real servers. Each test with "private" in its name has its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oauth_storage_testbed::{Cluster, Testbed, shared};
use sqlx::{Connection, PgConnection};

async fn ask(url: &str, query: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let answer = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    answer
}

async fn run(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

/// Returns true if the process runs. A zombie has ended; orphans may never be reaped.
fn alive(pid: u32) -> bool {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    ps.stdout.first().is_some_and(|state| *state != b'Z')
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn databases_are_isolated() {
    let (first, second) =
        tokio::join!(async { shared().await.unwrap().database("same").await.unwrap() }, async {
            shared().await.unwrap().database("same").await.unwrap()
        });
    run(first.url(), "CREATE TABLE only_here ()").await;
    let query = "SELECT count(*)::text FROM pg_class WHERE relname = 'only_here'";
    assert_eq!(ask(first.url(), query).await, "1");
    assert_eq!(ask(second.url(), query).await, "0");
}

#[test]
fn many_runtimes_share_one_server() {
    let threads: Vec<_> = (0..20)
        .map(|number| {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let testbed = shared().await.unwrap();
                    let database = testbed.database(&format!("Run {number}")).await.unwrap();
                    let name = ask(database.url(), "SELECT current_database()::text").await;
                    assert_eq!(name, database.name());
                    (testbed.url(), name)
                })
            })
        })
        .collect();
    let seen: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(seen.iter().all(|(server, _)| *server == seen[0].0));
    let names: std::collections::HashSet<_> = seen.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), 20);
}

#[tokio::test]
async fn a_closed_database_is_gone() {
    let database = shared().await.unwrap().database("closed").await.unwrap();
    let url = database.url().to_owned();
    let _still_connected = PgConnection::connect(&url).await.unwrap();
    database.close().await.unwrap();
    let refusal = PgConnection::connect(&url).await.unwrap_err().to_string();
    assert!(refusal.contains("does not exist"), "{refusal}");
}

#[tokio::test]
async fn a_private_server_is_durable() {
    let cluster = Cluster::start(&[]).await.unwrap();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(value, "on", "{setting}");
    }
}

#[tokio::test]
async fn a_private_server_takes_settings_and_shows_its_log() {
    let settings = [("log_statement", "all"), ("application_name", "it's quoted")];
    let cluster = Cluster::start(&settings).await.unwrap();
    assert_eq!(
        ask(cluster.url(), "SELECT 'to be found in the log'").await,
        "to be found in the log"
    );
    let log = std::fs::read_to_string(cluster.log_file()).unwrap();
    assert!(log.contains("to be found in the log"), "{log}");
    assert!(cluster.bin_dir().join("pg_ctl").is_file());

    // The password is required, and never printed.
    let password = cluster.url().split([':', '@']).nth(2).unwrap();
    assert_eq!(password.len(), 32);
    let wrong = cluster.url().replace(password, "wrong");
    let refusal = PgConnection::connect(&wrong).await.unwrap_err().to_string();
    assert!(refusal.contains("password authentication failed"), "{refusal}");
    assert!(!format!("{cluster} {cluster:?}").contains(password));
    assert!(!log.contains(password));
}

#[tokio::test]
async fn a_private_server_is_gone_after_its_drop() {
    let cluster = Cluster::start(&[]).await.unwrap();
    let database = cluster.database("held").await.unwrap();
    let _still_connected = PgConnection::connect(database.url()).await.unwrap();
    let (pid, data) = (cluster.pid().unwrap(), cluster.data_dir());
    assert!(alive(pid) && data.is_dir());
    drop(cluster);
    assert!(!data.parent().unwrap().exists());
    eventually("the server's end", || !alive(pid)).await;
}

#[tokio::test]
async fn a_private_server_survives_faults() {
    let cluster = Cluster::start(&[]).await.unwrap();
    let database = cluster.database("faults").await.unwrap();
    run(database.url(), "CREATE TABLE kept ()").await;
    let pid = cluster.pid().unwrap();

    cluster.signal("KILL").await.unwrap();
    eventually("the kill", || !alive(pid)).await;
    assert!(PgConnection::connect(database.url()).await.is_err());
    cluster.restart().await.unwrap();
    run(database.url(), "SELECT FROM kept").await;
    assert_ne!(cluster.pid().unwrap(), pid);

    cluster.signal("STOP").await.unwrap();
    let connection = PgConnection::connect(database.url());
    assert!(tokio::time::timeout(Duration::from_millis(300), connection).await.is_err());
    cluster.signal("CONT").await.unwrap();
    run(database.url(), "SELECT FROM kept").await;

    cluster.stop().await.unwrap();
    assert_eq!(cluster.pid(), None);
    assert!(cluster.signal("HUP").await.unwrap_err().to_string().contains("signal HUP"));
    assert!(cluster.signal("HUP; true").await.is_err());
    cluster.restart().await.unwrap();
    run(database.url(), "SELECT FROM kept").await;

    // The drop must clean up in both states.
    cluster.signal("STOP").await.unwrap();
    let (pid, data) = (cluster.pid().unwrap(), cluster.data_dir());
    drop(cluster);
    assert!(!data.exists());
    eventually("the server's end", || !alive(pid)).await;
}

#[tokio::test]
async fn a_private_standby_follows_and_is_promoted() {
    let primary = Cluster::start(&[]).await.unwrap();
    let standby = match primary.standby().await {
        // The servers of `.ci/matrix` have no pg_basebackup.
        Err(error) if error.to_string().contains("pg_basebackup: not found") => {
            eprintln!("NOT RUN: a_private_standby_follows_and_is_promoted: {error}");
            return;
        }
        standby => standby.unwrap(),
    };
    run(primary.url(), "CREATE TABLE followed ()").await;
    let recovery = "SELECT pg_is_in_recovery()::text";
    assert_eq!(ask(standby.url(), recovery).await, "true");
    let start = Instant::now();
    let followed = "SELECT (to_regclass('followed') IS NOT NULL)::text";
    while ask(standby.url(), followed).await != "true" {
        assert!(start.elapsed() < Duration::from_secs(20), "in vain: the standby follows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(primary.promote().await.is_err(), "it is no standby");
    drop(primary);
    standby.promote().await.unwrap();
    assert_eq!(ask(standby.url(), recovery).await, "false");
    run(standby.url(), "DROP TABLE followed").await;
}

#[tokio::test]
async fn a_killed_server_leaves_nothing_after_the_drop() {
    let cluster = Cluster::start(&[]).await.unwrap();
    let pidfile = std::fs::read_to_string(cluster.data_dir().join("postmaster.pid")).unwrap();
    let segment = pidfile.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let segments = || {
        let list = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        list.lines().any(|line| line.split_whitespace().nth(1) == Some(&segment))
    };
    let linux = Path::new("/proc/sysvipc/shm").exists();
    assert_eq!(segments(), linux);
    cluster.signal("KILL").await.unwrap();
    let data = cluster.data_dir();
    drop(cluster);
    assert!(!data.exists() && !segments());
}

/// The program with its private server. Dropping it sends SIGKILL.
struct Holder {
    process: std::process::Child,
    folder: PathBuf,
    url: String,
    postmaster: u32,
}

impl Holder {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_oauth-storage-testbed"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines: Vec<String> = output.lines().take(3).map(Result::unwrap).collect();
        let data = Path::new(lines[1].strip_prefix("data: ").unwrap());
        let url = lines[2].strip_prefix("DATABASE_URL=").unwrap().to_owned();
        let pidfile = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let postmaster = pidfile.lines().next().unwrap().parse().unwrap();
        Self { process, folder: data.parent().unwrap().to_owned(), url, postmaster }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn a_private_server_is_gone_after_its_holder_was_killed() {
    let holder = Holder::start();
    let (folder, postmaster) = (holder.folder.clone(), holder.postmaster);
    let _still_connected = PgConnection::connect(&holder.url).await.unwrap();
    assert!(alive(postmaster) && folder.is_dir());
    drop(holder);
    eventually("the server's end", || !alive(postmaster)).await;
    eventually("the folder's end", || !folder.exists()).await;
}

#[tokio::test]
async fn an_existing_server_is_used_and_left_clean() {
    let holder = Holder::start();
    let url = &holder.url;
    let old = "CREATE DATABASE oauth_storage_testbed_1_old";
    run(url, old).await;
    run(url, "CREATE DATABASE somebody_elses").await;

    // A child process reads the variables, because a process cannot safely set its own.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "uses_the_existing_server", "--nocapture"])
        .env("OAUTH_STORAGE_DATABASE_URL", url)
        .env("DATABASE_URL", "postgres://nowhere.invalid/")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.contains(", from OAUTH_STORAGE_DATABASE_URL"), "{shown}");

    let names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
    assert_eq!(ask(url, names).await, "postgres somebody_elses template0 template1");
}

#[tokio::test]
#[ignore = "run by an_existing_server_is_used_and_left_clean"]
async fn uses_the_existing_server() {
    let testbed = Testbed::start().await.unwrap();
    assert!(!testbed.is_private());
    println!("{testbed}");
    let password = testbed.url().split([':', '@']).nth(2).unwrap();
    assert!(!format!("{testbed} {testbed:?}").contains(password));
    let database = testbed.database("existing").await.unwrap();
    run(database.url(), "CREATE TABLE here ()").await;
}

#[test]
fn an_unusable_server_is_an_error_without_its_password() {
    for (variable, value, reason) in [
        ("DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/none", "onnection refused"),
        ("OAUTH_STORAGE_DATABASE_URL", "postgres://user:hunter2@[", "invalid"),
        ("OAUTH_STORAGE_POSTGRES_BIN", "/nowhere/bin", "/nowhere/bin: no postgres"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "uses_the_existing_server", "--nocapture"])
            .env_remove("OAUTH_STORAGE_DATABASE_URL")
            .env_remove("OAUTH_STORAGE_POSTGRES_BIN")
            .env(variable, value)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        for part in [variable, reason] {
            assert!(shown.contains(part), "{part:?} is missing in {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
