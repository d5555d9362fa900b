//! Bytes that a credential takes, grants and indexes included.

use super::{Field, Scale, Table};
use crate::loader::State;
use crate::server::Server;

/// Rotations of each grant in the second line.
const ROTATIONS: u64 = 10;

pub(super) async fn run(server: &Server, scale: &Scale, table: &mut Table) {
    let credentials = scale.credentials;
    let field = Field::new(server, "bytes").await;
    field.bench.load_pairs(0, credentials / 2, State::Live).await;
    let each = size(&field).await / (credentials / 2 * 2) as f64;
    let line = format!("bytes a credential at {credentials}, one pair a grant");
    table.at_most(line, 310.0, Some(each));
    field.close().await;

    let field = Field::new(server, "bytes_rotated").await;
    let pairs = credentials / 2 / (ROTATIONS + 1);
    field.bench.load_pairs(0, pairs, State::Live).await;
    for round in 1..=ROTATIONS {
        field.bench.load_round(pairs, round).await;
    }
    let each = size(&field).await / (pairs * 2 * (ROTATIONS + 1)) as f64;
    let line = format!("bytes a credential at {credentials}, ten rotations a grant");
    table.at_most(line, 210.0, Some(each));
    field.close().await;
}

async fn size(field: &Field) -> f64 {
    field.bench.settle().await;
    field.bench.sizes().await.2 as f64
}
