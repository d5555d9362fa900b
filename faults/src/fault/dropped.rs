//! Every public future dropped at every await point.

mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::extent::Extent;
use crate::load;
use crate::outcome::Outcome;
use crate::report::Row;
use crate::scene::{CALLERS, CONNECTIONS, Scene, builder, shared};
use sweep::{Method, Sweep};

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let (rounds, time) = extent.of((1, 2), (10, 20));
    let lanes =
        on(Scene::new(shared().await?, "dropped_lanes").await?, rounds, time, false).await?;
    // The same on a pool that the application supplied.
    let database = shared().await?.database("dropped_pool").await?;
    let pool = PgPoolOptions::new().max_connections(u32::try_from(CONNECTIONS)?);
    let pool = pool.connect(database.url()).await?;
    let scene = Scene::of(database.url(), builder()?.build_with_pool(pool)).await?;
    let mut row = on(scene, rounds, time, true).await?;

    row.absorb(lanes);
    row.remark("storage.with_connection(&mut connection) is not tested: the application owns that connection");
    Ok(row)
}

async fn on(mut scene: Scene, rounds: u32, seconds: u64, on_pool: bool) -> Result<Row> {
    let watch = Watch::start(&scene).await?;
    // Other callers run meanwhile, so that a dropped call shares its statement, or waits.
    let load = scene.load(4);
    let sweep = Sweep::new(&scene);
    let mut points = 0;
    for _ in 0..rounds {
        for method in Method::ALL {
            let (dropped, reached) = sweep.run(*method).await?;
            scene.row.injected += dropped;
            points += reached;
        }
    }
    load.stop().await?;
    let form = if on_pool { "a pool" } else { "lanes" };
    let methods = Method::ALL.len();
    let points = points / u64::from(rounds);
    scene.row.remark(format!("on {form}: {methods} futures with {points} await points"));

    let mut dropping = scene.caller.clone();
    dropping.dropped_percent = 30;
    std::mem::swap(&mut scene.caller, &mut dropping);
    let before = scene.caller.ledger.tally.snapshot();
    let load = scene.load(CALLERS);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    load.stop().await?;
    let after = scene.caller.ledger.tally.snapshot();
    // The server has no fault, so a call that was neither acknowledged nor failed was dropped.
    let failed = |errors: &std::collections::BTreeMap<String, u64>| errors.values().sum::<u64>();
    let not_served = after.refused + after.unknown - before.refused - before.unknown;
    scene.row.injected += not_served - (failed(&after.errors) - failed(&before.errors));
    std::mem::swap(&mut scene.caller, &mut dropping);

    lanes_answer(&mut scene, on_pool).await?;
    let load = scene.load(CALLERS);
    scene.recovers(Duration::from_secs(5)).await?;
    scene.check(load).await?;
    let seen = watch.stop().await?;
    scene.row.require(seen == 0, || format!("{seen} times a session was left in a transaction"));
    Ok(scene.end().await)
}

/// Polls for sessions that are idle in a transaction, because the next call might end one.
struct Watch {
    stop: Arc<AtomicBool>,
    polling: JoinHandle<Result<u64>>,
}

impl Watch {
    async fn start(scene: &Scene) -> Result<Self> {
        let mut beside = scene.beside().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let polling = tokio::spawn(async move {
            let mut seen = 0;
            while !stopped.load(Ordering::Relaxed) {
                seen += beside.in_transaction().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(seen)
        });
        Ok(Self { stop, polling })
    }

    /// Stops, and returns how many it saw.
    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.polling.await?
    }
}

/// Many calls at once are all acknowledged, and there are neither too few nor too many sessions.
async fn lanes_answer(scene: &mut Scene, on_pool: bool) -> Result<()> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..256 {
        let (caller, world) = (scene.caller.clone(), scene.world.clone());
        calls.spawn(async move { load::write(&caller, &world).await });
    }
    while let Some(call) = calls.join_next().await {
        let (outcome, history) = call??;
        scene.caller.ledger.close(history);
        scene.row.require(outcome == Outcome::Acknowledged, || {
            format!("a call after the dropped ones was {outcome:?}")
        });
    }
    if on_pool {
        return Ok(());
    }
    let mut beside = scene.beside().await?;
    let sessions = beside.sessions().await?;
    // Enough calls at once keep every lane busy.
    let since = beside.now().await?;
    let mut lanes = 0;
    for _ in 0..10 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..256 {
            let (caller, world) = (scene.caller.clone(), scene.world.clone());
            calls.spawn(async move { load::recovery(&caller, &world).await });
        }
        while let Some(call) = calls.join_next().await {
            call??;
        }
        lanes = beside.sessions_used_since(&since).await?;
        if lanes >= 4 {
            break;
        }
    }
    beside.close().await?;
    scene.row.require(lanes == 4, || format!("{lanes} of four lanes run statements"));
    scene.row.require((4..=CONNECTIONS).contains(&sessions), || {
        format!("{sessions} sessions instead of four lanes and at most four others")
    });
    Ok(())
}
