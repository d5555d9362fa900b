//! A disk that is full, and has room again.

mod small;

use std::time::Duration;

use crate::Result;
use crate::database::Database;
use crate::report::Row;
use crate::scene::{CALLERS, Scene, builder, server};
use small::SmallDisk;

pub(crate) async fn run(short: bool) -> Result<Row> {
    let (times, full) = if short { (1, 2) } else { (5, 5) };
    // After the server, so that it goes before it.
    let cluster = server(&[]).await?;
    let disk = SmallDisk::mount(&cluster, 96)?;
    let database = cluster.database("disk").await?;
    let mut maintenance = Database::connect(cluster.url()).await?;
    maintenance
        .run(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()))
        .await?;
    maintenance.run(&format!("ALTER DATABASE {} SET TABLESPACE small", database.name())).await?;

    let url = database.url();
    let mut scene = Scene::of(url, builder()?.connect(url).await?).await?;
    let load = scene.load(CALLERS);
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let refused = scene.caller.ledger.tally.snapshot().refused;
        disk.fill()?;
        scene.row.injected += 1;
        tokio::time::sleep(Duration::from_secs(full)).await;
        let now = scene.caller.ledger.tally.snapshot().refused;
        scene.row.require(now > refused, || "the full disk was not noticed".into());
        disk.free()?;
        scene.recovers(Duration::from_secs(5)).await?;
    }
    scene.check(load).await?;
    scene.row.remark("the database's tables on a file system of 96 MiB; its WAL elsewhere");
    let mut row = scene.end().await;
    let unknown = row.counts.unknown;
    row.require(unknown == 0, || format!("{unknown} outcomes were unknown"));
    database.close().await?;
    maintenance.run("DROP TABLESPACE small").await?;
    Ok(row)
}
