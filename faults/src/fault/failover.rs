//! Failover: an address that leads to a standby for a while, and then a promotion.

use std::time::Duration;

use oauth_storage::error::Advice;
use oauth_storage::token::NewToken;
use oauth_storage::{Error, PgStorage, RequestContext, TokenPair, TokenStorage as _};
use oauth_storage_testbed::Cluster;

use crate::database::Database;
use crate::error::Result;
use crate::extent::Extent;
use crate::forward::{Forwarder, port_of};
use crate::processes;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, builder, server};

/// A commit waits until the standby has it, so that it survives the primary, and until the standby
/// shows it, so that a read there is not older.
const SETTINGS: &[(&str, &str)] =
    &[("wal_level", "replica"), ("max_wal_senders", "5"), ("synchronous_commit", "remote_apply")];

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let mut all = Row::default();
    for _ in 0..extent.of(1, 5) {
        all.absorb(once().await?);
    }
    all.remark(two_hosts().await);
    Ok(all)
}

async fn once() -> Result<Row> {
    let primary = server(SETTINGS).await?;
    let standby = primary.standby().await?;
    let mut admin = Database::connect(primary.url()).await?;
    admin.run("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
    admin.run("SELECT pg_reload_conf()").await?;
    follows(&mut admin).await?;

    let database = primary.database("failover").await?;
    let old = port_of(primary.url())?;
    let new = port_of(standby.url())?;
    let forwarder = Forwarder::start(old).await?;
    let through = forwarder.through(database.url())?;
    let mut scene = Scene::of(database.url(), builder()?.connect(&through).await?).await?;
    let load = scene.load(CALLERS);
    tokio::time::sleep(Duration::from_millis(500)).await;

    // The address leads to the standby, and back. The second time no connection is cut: the storage
    // must replace its connections to the read-only server by itself.
    forwarder.switch(new);
    scene.beside().await?.terminate(100).await?;
    scene.row.injected += 1;
    refuses_writes(&mut scene).await?;
    forwarder.switch(old);
    scene.recovers(Duration::from_secs(5)).await?;

    // The primary is killed; its address leads to the standby, which is promoted.
    let pids = processes::of(&primary)?;
    processes::signal(&pids, "KILL")?;
    processes::gone(&pids).await?;
    scene.row.injected += 1;
    forwarder.switch(new);
    refuses_writes(&mut scene).await?;
    standby.promote().await?;
    scene.recovers(Duration::from_secs(5)).await?;

    scene.url = forwarder.through(database.url())?;
    let mut beside = scene.beside().await?;
    if beside.in_recovery().await? {
        return Err("the standby was not promoted".into());
    }
    beside.close().await?;
    scene.check(load).await?;
    let row = scene.end().await;
    fenced(&primary)?;
    Ok(row)
}

/// Waits until the primary waits for its standby at every commit.
async fn follows(admin: &mut Database) -> Result<()> {
    for _ in 0..200 {
        if admin.synchronous_standbys().await? == 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the standby does not follow".into())
}

/// While the address leads to a standby, reads succeed, and a write fails with "nothing was changed".
async fn refuses_writes(scene: &mut Scene) -> Result<()> {
    let storage = scene.caller.storage.clone();
    let client_id = scene.world.any_client().to_owned();
    let mut refused = false;
    for _ in 0..100 {
        let new = NewToken::new(&client_id, scene.world.scope.clone(), TokenPair::generate()?);
        match storage.create_token(&RequestContext::default(), new).await {
            Err(error @ Error::Unavailable { .. }) if error.to_string().contains("25006") => {
                refused = error.advice() == Advice::Retry;
                break;
            }
            // Still on an earlier connection, or on none.
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    scene.row.require(refused, || "a write on a standby did not fail with `Retry`".into());
    // Other callers write to it meanwhile.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// The old primary must not run.
fn fenced(primary: &Cluster) -> Result<()> {
    let runs = primary.pid().is_some_and(processes::runs);
    if runs { Err("the old primary is back".into()) } else { Ok(()) }
}

/// The result of a URL with two hosts.
async fn two_hosts() -> String {
    let url = "postgres://app@127.0.0.1:1,127.0.0.1:2/app?target_session_attrs=read-write";
    match PgStorage::connect(url).await {
        Ok(_) => "a URL with two hosts connects".into(),
        Err(error) => format!("a URL with two hosts is refused: {error}"),
    }
}
