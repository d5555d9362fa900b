//! Backends terminated every 50 ms.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::extent::Extent;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, shared};

const EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let time = Duration::from_secs(extent.seconds(3, 60));
    let mut scene = Scene::new(shared().await?, "terminated").await?;
    let mut beside = scene.beside().await?;
    let load = scene.load(CALLERS);
    let since = Instant::now();
    let mut ticks = tokio::time::interval(EVERY);
    let mut round = 0_u32;
    while since.elapsed() < time {
        ticks.tick().await;
        round += 1;
        // One, and every tenth time all of them.
        scene.row.injected +=
            beside.terminate(if round.is_multiple_of(10) { 100 } else { 1 }).await?;
    }
    scene.recovers(Duration::from_secs(5)).await?;
    scene.check(load).await?;
    Ok(scene.end().await)
}
