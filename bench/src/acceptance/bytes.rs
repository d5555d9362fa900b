//! Bytes per credential, including grants and indexes.

use super::{Fixture, Scale, Table};
use crate::loader::State;
use crate::server::Server;

/// Rotations of each grant in the second line.
const ROTATIONS: u64 = 10;

pub(super) async fn run(server: &Server, scale: &Scale, table: &mut Table) {
    let credentials = scale.credentials;
    let fixture = Fixture::new(server, "bytes").await;
    fixture.bench.load_pairs(0, credentials / 2, State::Live).await;
    let each = size(&fixture).await / (credentials / 2 * 2) as f64;
    let line = format!("bytes per credential at {credentials}, one pair a grant");
    table.at_most(line, 310.0, Some(each));
    fixture.close().await;

    let fixture = Fixture::new(server, "bytes_rotated").await;
    let pairs = credentials / 2 / (ROTATIONS + 1);
    fixture.bench.load_pairs(0, pairs, State::Live).await;
    for round in 1..=ROTATIONS {
        fixture.bench.load_round(pairs, round).await;
    }
    let each = size(&fixture).await / (pairs * 2 * (ROTATIONS + 1)) as f64;
    let line = format!("bytes per credential at {credentials}, ten rotations a grant");
    table.at_most(line, 210.0, Some(each));
    fixture.close().await;
}

async fn size(fixture: &Fixture) -> f64 {
    fixture.bench.settle().await;
    fixture.bench.sizes().await.2 as f64
}
