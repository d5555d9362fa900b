//! Every public future dropped at every await point.

mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;

use crate::fault::Extent;
use crate::ledger::Told;
use crate::report::Row;
use crate::scene::{CALLERS, CONNECTIONS, Scene, builder, shared};
use crate::{Result, load};
use sweep::{Method, Sweep};

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let (rounds, time) = extent.of((1, 2), (10, 20));
    let lanes =
        on(Scene::new(shared().await?, "dropped_lanes").await?, rounds, time, false).await?;
    // The other form: a pool of the application's.
    let database = shared().await?.database("dropped_pool").await?;
    let pool = PgPoolOptions::new().max_connections(u32::try_from(CONNECTIONS)?);
    let pool = pool.connect(database.url()).await?;
    let scene = Scene::of(database.url(), builder()?.pool(pool)).await?;
    let mut row = on(scene, rounds, time, true).await?;

    row.absorb(lanes);
    row.remark("storage.on(&mut connection) is left out: that connection is the application's");
    Ok(row)
}

async fn on(mut scene: Scene, rounds: u32, seconds: u64, on_pool: bool) -> Result<Row> {
    let watch = Watch::start(&scene).await?;
    // Others are at work, so that what is dropped shares its statement, or waits.
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
    scene.row.remark(format!("on {form}: {methods} futures, {points} await points of them"));

    let mut dropping = scene.caller.clone();
    dropping.dropped_percent = 30;
    std::mem::swap(&mut scene.caller, &mut dropping);
    let before = scene.caller.ledger.tally.snapshot();
    let load = scene.load(CALLERS);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    load.stop().await?;
    let after = scene.caller.ledger.tally.snapshot();
    // Without a fault of the server's, what is neither acknowledged nor failed was dropped.
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

/// Looks all the time for sessions that were left in a transaction. The storage has none of its
/// own, and the next call might end one that was left.
struct Watch {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Result<u64>>,
}

impl Watch {
    async fn start(scene: &Scene) -> Result<Self> {
        let mut beside = scene.beside().await?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = tokio::spawn(async move {
            let mut seen = 0;
            while !stopped.load(Ordering::Relaxed) {
                seen += beside.in_transaction().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(seen)
        });
        Ok(Self { stop, looking })
    }

    /// How many it saw.
    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.await?
    }
}

/// Many calls at the same time are all answered, and no session is missing or in excess.
async fn lanes_answer(scene: &mut Scene, on_pool: bool) -> Result<()> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..256 {
        let (caller, world) = (scene.caller.clone(), scene.world.clone());
        calls.spawn(async move { load::write(&caller, &world).await });
    }
    while let Some(call) = calls.join_next().await {
        let (told, story) = call??;
        scene.caller.ledger.close(story);
        scene.row.require(told == Told::Acknowledged, || {
            format!("a call after all the dropping was {told:?}")
        });
    }
    if on_pool {
        return Ok(());
    }
    let mut beside = scene.beside().await?;
    let sessions = beside.sessions().await?;
    // With the tables locked each lane takes one call, and waits.
    beside
        .run("BEGIN; LOCK TABLE oauth_storage.token, oauth_storage.client IN ACCESS EXCLUSIVE MODE")
        .await?;
    let mut calls = tokio::task::JoinSet::new();
    let mut lanes = 0;
    // Two at once may share a statement, so they come one by one until the lanes are all at work.
    for _ in 0..10 {
        let (caller, world) = (scene.caller.clone(), scene.world.clone());
        calls.spawn(async move { load::recovery(&caller, &world).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        lanes = lanes.max(beside.waiting_for_a_lock().await?);
        if lanes >= 4 {
            break;
        }
    }
    beside.close().await?;
    while let Some(call) = calls.join_next().await {
        call??;
    }
    scene.row.require(lanes == 4, || format!("{lanes} lanes of four are at work"));
    scene.row.require((4..=CONNECTIONS).contains(&sessions), || {
        format!("{sessions} sessions, where four lanes and at most four others have to be")
    });
    Ok(())
}
