//! Two processes on the same rows: no deadlock and no serialization failure.

mod hot;

use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth_storage::PgStorage;
use tokio::process::Command;

use crate::caller::Caller;
use crate::error::Result;
use crate::extent::Extent;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::report::Row;
use crate::scene::{Scene, builder, server};
use crate::tally::Counts;
use crate::verdict;
use crate::world::World;

/// The URL of the database, for a child process.
pub(crate) const CHILD: &str = "OAUTH_STORAGE_FAULTS_CHILD";
const SECONDS: &str = "OAUTH_STORAGE_FAULTS_SECONDS";

const PROCESSES: usize = 2;
/// Callers of each process: with grants of their own, and on the shared grants.
const CALLERS: usize = 16;
const HOT_CALLERS: usize = 16;
/// The interval of the verdict, so that the ledger stays small.
const ROUND: Duration = Duration::from_secs(30);

pub(crate) async fn run(extent: Extent) -> Result<Row> {
    let seconds = extent.seconds(5, 600);
    // Its own server, for its log.
    let cluster = server(&[]).await?;
    let mut scene = Scene::new(&cluster, "contention").await?;
    hot::register(&scene.caller.storage).await?;
    let program = std::env::current_exe()?;
    let mut children = Vec::new();
    for _ in 0..PROCESSES {
        let child = Command::new(&program)
            .env(CHILD, &scene.url)
            .env(SECONDS, seconds.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        children.push(child.wait_with_output());
    }
    for child in children {
        let output = child.await?;
        if !output.status.success() {
            return Err("a child process failed".into());
        }
        let (met, counts) = parse(&String::from_utf8_lossy(&output.stdout))?;
        scene.row.injected += met;
        scene.caller.ledger.tally.add(counts);
    }

    let mut beside = scene.beside().await?;
    let twice = beside.codes_issued_twice(hot::HOT_URI).await?;
    for _ in 0..twice {
        scene.caller.ledger.tally.contradiction(|| "a shared code was redeemed twice".into());
    }
    let deadlocks = beside.deadlocks().await?;
    beside.close().await?;
    let log = std::fs::read_to_string(cluster.log_file())?;
    let failures = log
        .lines()
        .filter(|line| line.contains("deadlock detected") || line.contains("could not serialize"))
        .count();
    scene.row.require(deadlocks == 0, || format!("{deadlocks} deadlocks"));
    scene.row.require(failures == 0, || {
        format!("{failures} deadlocks or serialization failures in the server's log")
    });
    let errors = scene.caller.ledger.tally.snapshot().errors;
    scene.row.require(errors.is_empty(), || format!("there were errors: {errors:?}"));
    scene.row.remark(format!(
        "{PROCESSES} processes for {seconds} s; injected are the operations on shared grants: \
         {deadlocks} deadlocks, {failures} serialization failures"
    ));
    Ok(scene.end().await)
}

/// The work of a child process.
pub(crate) async fn child(url: String) -> ExitCode {
    match load(&url).await {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn load(url: &str) -> Result<String> {
    let seconds: u64 = std::env::var(SECONDS)?.parse()?;
    let storage: PgStorage = builder()?.connect(url).await?;
    let world = World::new(&storage).await?;
    let caller = Caller::new(storage, Arc::new(Ledger::default()));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut database = crate::database::Database::connect(url).await?;
    let mut met = 0;
    while Instant::now() < until {
        let load = Load::start(&caller, &world, CALLERS, Duration::from_millis(5));
        let time = ROUND.min(until.saturating_duration_since(Instant::now()));
        met += hot::meet(&caller, HOT_CALLERS, time).await?;
        load.stop().await?;
        verdict::pass(&caller.ledger, &mut database).await?;
    }
    caller.storage.close().await;
    Ok(print(met, &caller.ledger.tally.snapshot()))
}

/// The counts as lines of text, for the parent process.
fn print(met: u64, counts: &Counts) -> String {
    let Counts { acknowledged, refused, unknown, lost, .. } = counts;
    let longest = counts.longest.as_micros();
    let mut text = format!(
        "met {met}\nacknowledged {acknowledged}\nrefused {refused}\nunknown {unknown}\nlost {lost}\n\
         longest {longest}\n"
    );
    for (name, count) in &counts.errors {
        text.push_str(&format!("error {count} {name}\n"));
    }
    for what in &counts.contradictions {
        text.push_str(&format!("contradiction {what}\n"));
    }
    if let Some(error) = &counts.unexcused {
        text.push_str(&format!("unexcused {error}\n"));
    }
    text
}

fn parse(text: &str) -> Result<(u64, Counts)> {
    let (mut met, mut counts) = (None, Counts::default());
    for line in text.lines() {
        let (name, value) = line.split_once(' ').ok_or("half a line")?;
        match name {
            "met" => met = Some(value.parse()?),
            "acknowledged" => counts.acknowledged = value.parse()?,
            "refused" => counts.refused = value.parse()?,
            "unknown" => counts.unknown = value.parse()?,
            "lost" => counts.lost = value.parse()?,
            "longest" => counts.longest = Duration::from_micros(value.parse()?),
            "contradiction" => counts.contradictions.push(value.to_owned()),
            "unexcused" => counts.unexcused = Some(value.to_owned()),
            "error" => {
                let (count, name) = value.split_once(' ').ok_or("half a line")?;
                counts.errors.insert(name.to_owned(), count.parse()?);
            }
            _ => return Err(format!("a child said {line:?}").into()),
        }
    }
    Ok((met.ok_or("a child said nothing")?, counts))
}

#[cfg(test)]
#[test]
fn the_output_of_a_child_is_parsed() {
    let counts = Counts {
        acknowledged: 7,
        lost: 1,
        contradictions: vec!["grant x: lost".into()],
        errors: [("outcome unknown".to_owned(), 3)].into(),
        unexcused: Some("a b c".into()),
        longest: Duration::from_millis(5),
        ..Counts::default()
    };
    let (met, parsed) = parse(&print(9, &counts)).unwrap();
    assert_eq!(met, 9);
    assert_eq!(format!("{parsed:?}"), format!("{counts:?}"));
    assert!(parse("").is_err());
}
