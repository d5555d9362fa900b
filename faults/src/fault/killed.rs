//! `kill -9` of the postmaster, and of every process of the server.

use std::time::Duration;

use crate::error::Result;
use crate::extent::Extent;
use crate::processes;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, shared};

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let kills = extent.of(3, 24);
    let cluster = shared().await?;
    let mut scene = Scene::new(cluster, "killed").await?;
    let load = scene.load(CALLERS);
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(300..1000))).await;
        let pids = processes::of(cluster)?;
        // If only the postmaster is killed, its backends end when they notice. Killed with it, they
        // stop in the middle of a statement.
        let killed = if kill % 2 == 0 { &pids[..1] } else { &pids[..] };
        processes::signal(killed, "KILL")?;
        processes::gone(&pids).await?;
        cluster.restart().await?;
        scene.row.injected += 1;
        scene.recovers(Duration::from_secs(5)).await?;
    }
    scene.check(load).await?;
    Ok(scene.end().await)
}
