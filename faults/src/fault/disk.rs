//! A full disk that is freed again: the disk of the tables, and the disk of the WAL.

mod small;

use std::time::Duration;

use oauth_storage_testbed::{Cluster, Database as Named};

use crate::database::Database;
use crate::error::Result;
use crate::extent::Extent;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, builder, server};
use small::SmallDisk;

/// In MiB. The tables of the longest run fit, and it is filled quickly.
const TABLES: u32 = 256;
const WAL: u32 = 96;

/// WAL segments of 16 MiB that are not reused, so that the server soon needs a new one.
const SMALL_WAL: &[(&str, &str)] =
    &[("max_wal_size", "48MB"), ("min_wal_size", "32MB"), ("wal_recycle", "off")];

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let (times, full) = extent.of((1, 2), (5, 5));
    let full = Duration::from_secs(full);
    let mut row = tables(times, full).await?;
    row.absorb(wal(times, full).await?);
    Ok(row)
}

/// A statement that needs space fails; the server continues.
async fn tables(times: u32, full: Duration) -> Result<Row> {
    // Declared before the disk, so that it is dropped after it.
    let cluster = server(&[]).await?;
    let disk = SmallDisk::mount(&cluster, TABLES)?;
    let database = cluster.database("disk").await?;
    let mut maintenance = Database::connect(cluster.url()).await?;
    let place = disk.path().display();
    maintenance.run(&format!("CREATE TABLESPACE small LOCATION '{place}'")).await?;
    let moved = format!("ALTER DATABASE {} SET TABLESPACE small", database.name());
    maintenance.run(&moved).await?;

    let mut scene = scene(&database).await?;
    let load = scene.load(CALLERS);
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(500)).await;
        fill(&mut scene, &disk, full).await?;
        disk.free()?;
        scene.recovers(Duration::from_secs(5)).await?;
    }
    scene.check(load).await?;
    scene.row.remark(format!("the tables on a file system of {TABLES} MiB"));
    let mut row = scene.end().await;
    let unknown = row.counts.unknown;
    row.require(unknown == 0, || format!("{unknown} outcomes were unknown"));
    database.close().await?;
    Ok(row)
}

/// PostgreSQL stops when it cannot write its WAL, and has to be started again. The storage recovers by
/// itself.
async fn wal(times: u32, full: Duration) -> Result<Row> {
    let cluster = server(SMALL_WAL).await?;
    let disk = SmallDisk::mount(&cluster, WAL)?;
    cluster.stop().await?;
    disk.take_over(&cluster.data_dir().join("pg_wal"))?;
    cluster.restart().await?;
    let database = cluster.database("disk").await?;

    let mut scene = scene(&database).await?;
    let load = scene.load(CALLERS);
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(500)).await;
        disk.fill()?;
        stops(&cluster).await?;
        scene.row.injected += 1;
        tokio::time::sleep(full).await;
        disk.free()?;
        cluster.restart().await?;
        scene.recovers(Duration::from_secs(5)).await?;
    }
    scene.check(load).await?;
    scene.row.remark(format!(
        "the WAL on a file system of {WAL} MiB: PostgreSQL stops, and is started again once there \
         is space"
    ));
    let row = scene.end().await;
    // The disk of its WAL is unmounted next.
    cluster.stop().await?;
    Ok(row)
}

async fn scene(database: &Named) -> Result<Scene> {
    Scene::of(database.url(), builder()?.connect(database.url()).await?).await
}

/// Fills the disk for that long. Calls must be refused meanwhile.
async fn fill(scene: &mut Scene, disk: &SmallDisk, full: Duration) -> Result<()> {
    let refused = scene.caller.ledger.tally.snapshot().refused;
    disk.fill()?;
    scene.row.injected += 1;
    tokio::time::sleep(full).await;
    let now = scene.caller.ledger.tally.snapshot().refused;
    scene.row.require(now > refused, || "no call was refused on the full disk".into());
    Ok(())
}

/// Waits until the server has ended. It tries to restart by itself, and cannot.
async fn stops(cluster: &Cluster) -> Result<()> {
    for _ in 0..1200 {
        if !cluster.pid().is_some_and(crate::processes::runs) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the server did not stop with a full disk under its WAL".into())
}
