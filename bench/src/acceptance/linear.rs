//! The time of each statement over many rows: for 4 n compared with n.

use std::ops::ControlFlow;
use std::time::Instant;

use oauth_storage::{ClientRegistry as _, GrantStorage as _, GrantStorageExt as _};

use super::{Fixture, Scale, Table};
use crate::loader::State;
use crate::server::Server;

const STATEMENTS: [&str; 6] =
    ["revoke_client", "delete_client", "revoke_subject", "erase_subject", "list_grants", "purge"];

pub(super) async fn run(server: &Server, scale: &Scale, table: &mut Table) {
    for statement in STATEMENTS {
        let fixture = Fixture::new(server, "linear").await;
        let mut next = 0;
        let mut worst = 0.0_f64;
        for rows in scale.linear {
            let mut best = [f64::INFINITY; 2];
            for _ in 0..scale.rounds {
                for (best, rows) in best.iter_mut().zip([rows, 4 * rows]) {
                    *best = best.min(time(&fixture, statement, next, rows).await);
                    next += rows;
                }
            }
            worst = worst.max(best[1] / best[0]);
        }
        fixture.close().await;
        let [from, to] = scale.linear;
        let line = format!("{statement}: time of 4 n against n grants, n of {from} and {to}");
        table.at_most(line, 6.0, Some(worst));
    }
}

/// Measures the seconds for so many grants, on analysed tables.
async fn time(fixture: &Fixture, statement: &str, next: u64, rows: u64) -> f64 {
    let owner = format!("owner-{next}-{rows}");
    fixture.owner(&owner).await;
    let state = if statement == "purge" { State::Expired } else { State::Live };
    fixture.load(next..next + rows, &owner, &owner, state).await;
    fixture.bench.settle().await;
    let storage = &fixture.storage.0;
    let began = Instant::now();
    let done = match statement {
        "revoke_client" => storage.revoke_client(&owner).await.unwrap(),
        "delete_client" => {
            assert!(storage.delete_client(&owner).await.unwrap());
            rows
        }
        "revoke_subject" => storage.revoke_subject(&owner).await.unwrap(),
        "erase_subject" => storage.erase_subject(&owner).await.unwrap(),
        "list_grants" => storage.list_all_grants(&owner).await.unwrap().len() as u64,
        _ => storage.purge_with(1_000, |_| ControlFlow::Continue(())).await.unwrap().grants,
    };
    let took = began.elapsed().as_secs_f64();
    assert_eq!(done, rows, "{statement}");
    took
}
