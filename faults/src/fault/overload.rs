//! 32 times more callers than lanes, and a server that is down for a while.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::extent::Extent;
use crate::forward::{Forwarder, port_of};
use crate::processes;
use crate::report::Row;
use crate::scene::{CONNECTIONS, Scene, builder, shared};

/// Four lanes, two for reads and two for writes.
const CALLERS: usize = 32 * 4;

/// Half as many as the callers, so that some find it full.
const QUEUE: usize = CALLERS / 2;

/// The most attempts to connect in a second while the server is down: the lanes back off, and of the
/// calls beside them one at a time tries.
const ATTEMPTS: u64 = 50;

/// The most memory that the process may gain during an outage, in KiB.
const GROWTH: u64 = 64 * 1024;

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let (outages, time) = extent.of((1, 3), (5, 8));
    let time = Duration::from_secs(time);
    let cluster = shared().await?;
    let database = cluster.database("overload").await?;
    let forwarder = Forwarder::start(port_of(database.url())?).await?;
    let url = forwarder.through(database.url())?;
    let storage = builder()?.queue(QUEUE).connect(&url).await?;
    let mut scene = Scene::of(database.url(), storage).await?;
    let load = scene.load(CALLERS);
    let (mut sessions, mut attempts, mut grown) = (0, 0, 0);
    for _ in 0..outages {
        sessions = sessions.max(most_sessions(&scene, Duration::from_secs(1)).await?);
        cluster.stop().await?;
        let (before, memory) = (forwarder.accepted(), processes::memory()?);
        let since = Instant::now();
        while since.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(50)).await;
            grown = grown.max(processes::memory()?.saturating_sub(memory));
        }
        attempts = attempts.max((forwarder.accepted() - before) / time.as_secs());
        cluster.restart().await?;
        scene.row.injected += 1;
        scene.recovers(Duration::from_secs(5)).await?;
        sessions = sessions.max(most_sessions(&scene, Duration::from_secs(1)).await?);
    }
    scene.check(load).await?;

    scene.row.remark(format!(
        "{CALLERS} callers on 4 lanes, a queue of {QUEUE}: at most {sessions} sessions, {attempts} \
         attempts to connect a second and {} MiB more memory during an outage",
        grown / 1024
    ));
    scene.row.require(sessions <= CONNECTIONS, || {
        format!("{sessions} sessions were open, {CONNECTIONS} is the limit")
    });
    scene.row.require(attempts <= ATTEMPTS, || {
        format!("{attempts} attempts to connect a second while the server was down")
    });
    scene.row.require(grown <= GROWTH, || {
        format!("the process grew by {} MiB while the server was down", grown / 1024)
    });
    let errors = scene.caller.ledger.tally.snapshot().errors;
    scene
        .row
        .require(errors.contains_key("overloaded"), || "no call failed with `Overloaded`".into());
    Ok(scene.end().await)
}

/// The most sessions at a time during that time.
async fn most_sessions(scene: &Scene, time: Duration) -> Result<u64> {
    let mut beside = scene.beside().await?;
    let since = Instant::now();
    let mut most = 0;
    while since.elapsed() < time {
        most = most.max(beside.sessions().await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    beside.close().await?;
    Ok(most)
}
