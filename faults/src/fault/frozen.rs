//! The server stopped for a while (SIGSTOP), and continued.

use std::time::Duration;

use crate::error::Result;
use crate::extent::Extent;
use crate::processes;
use crate::report::Row;
use crate::scene::{CALLERS, DEADLINE, Scene, shared};

/// The time after its deadline in which a call may fail, on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let (freezes, frozen) = extent.of((1, 3), (6, 8));
    let cluster = shared().await?;
    let mut scene = Scene::new(cluster, "frozen").await?;
    let load = scene.load(CALLERS);
    for _ in 0..freezes {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(500..1500))).await;
        let pids = processes::of(cluster)?;
        processes::signal(&pids, "STOP")?;
        tokio::time::sleep(Duration::from_secs(frozen)).await;
        processes::signal(&pids, "CONT")?;
        scene.row.injected += 1;
        scene.recovers(Duration::from_secs(5)).await?;
    }
    scene.check(load).await?;
    let longest = scene.caller.ledger.tally.snapshot().longest;
    scene.row.remark(format!("the longest call took {longest:.2?}, the deadline is {DEADLINE:?}"));
    scene.row.require(longest <= DEADLINE + SLACK, || {
        format!("a call took {longest:.2?} with a deadline of {DEADLINE:?}")
    });
    Ok(scene.end().await)
}
