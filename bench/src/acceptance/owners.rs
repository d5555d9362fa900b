//! Owners with very many grants, and grants with very many rotations.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oauth_storage::{ClientMetadata, ClientRegistry as _, GrantStorage as _, NewClient};

use super::{Fixture, Scale, Table, median};
use crate::data;
use crate::load::{self, Phase};
use crate::loader::{Owned, State};
use crate::operation::Operation;
use crate::server::Server;

impl Fixture {
    /// Registers a client for the grants of one owner.
    pub(super) async fn owner(&self, client_id: &str) {
        let new = NewClient::new(ClientMetadata::client_credentials()).with_client_id(client_id);
        self.storage.0.register_client(new).await.unwrap();
    }

    pub(super) async fn load(
        &self,
        numbers: Range<u64>,
        client_id: &str,
        subject: &str,
        state: State,
    ) {
        self.bench.load_owned(&Owned { numbers, client_id, subject, state }).await;
    }
}

pub(super) async fn run(server: &Server, scale: &Scale, table: &mut Table) {
    let fixture = Fixture::new(server, "owners").await;
    rotations(&fixture, scale, table).await;
    revocations(&fixture, scale, table).await;
    listing(&fixture, scale, table).await;
    fixture.close().await;
}

async fn rotations(fixture: &Fixture, scale: &Scale, table: &mut Table) {
    fixture.owner("rotates").await;
    let mut took = Vec::new();
    for grant in 0..3 {
        fixture.load(grant..grant + 1, "rotates", "rotates", State::Live).await;
        fixture.bench.load_rotations(grant, scale.rotations, State::Live).await;
        fixture.bench.settle().await;
        let began = Instant::now();
        let revoked = fixture.storage.0.revoke_grant(data::grant_of_owner(grant)).await.unwrap();
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        assert!(revoked, "grant {grant}");
    }
    let line = format!("revoke_grant of a grant with {} rotations: ms", scale.rotations);
    table.at_most(line, 10.0, median(took));
}

async fn revocations(fixture: &Fixture, scale: &Scale, table: &mut Table) {
    let owned = scale.owned;
    for (number, what) in [(1, "revoke_client"), (2, "revoke_subject")] {
        let numbers = number * 10 * owned..(number * 10 + 1) * owned;
        fixture.owner(what).await;
        fixture.load(numbers, what, what, State::Live).await;
        fixture.bench.settle().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writers = {
            let (subject, world) = (Arc::clone(&fixture.subject), Arc::clone(&fixture.world));
            let stop = Arc::clone(&stop);
            let phase = Phase {
                operation: Operation::CreateToken,
                tasks: 16,
                warm_up: Duration::ZERO,
                time: Duration::from_hours(1),
                spare: 0..0,
                seed: 1,
            };
            tokio::spawn(async move { load::run_until(&subject, &world, phase, stop).await })
        };
        tokio::time::sleep(scale.seconds.min(Duration::from_secs(1))).await;
        let began = Instant::now();
        let revoked = match what {
            "revoke_client" => fixture.storage.0.revoke_client(what).await,
            _ => fixture.storage.0.revoke_subject(what).await,
        };
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        let written = writers.await.unwrap();
        assert_eq!(revoked.unwrap(), owned, "{what} revokes every grant");
        // A caller waits for a minute.
        let seconds = took.as_secs_f64();
        table.at_most(
            format!("{what} over {owned} grants, beside 16 writers: s"),
            60.0,
            Some(seconds),
        );
        let longest = written.latencies.iter().max().map(|micros| f64::from(*micros) / 1000.0);
        table.at_most(
            format!("{what} over {owned} grants: the longest other write, ms"),
            50.0,
            longest,
        );
    }
}

async fn listing(fixture: &Fixture, scale: &Scale, table: &mut Table) {
    let from = 100 * scale.owned;
    let dead = scale.owned / 10;
    fixture.load(from..from + dead, "rotates", "lists", State::Revoked).await;
    fixture.load(from + dead..from + dead + 20, "rotates", "lists", State::Live).await;
    fixture.load(from + 2 * dead..from + 3 * dead, "rotates", "dead", State::Revoked).await;
    fixture.bench.settle().await;
    for (subject, found) in [("lists", 20), ("dead", 0)] {
        let mut took = Vec::new();
        for _ in 0..51 {
            let began = Instant::now();
            let page = fixture.storage.0.list_grants(subject, None, 20).await.unwrap();
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(page.grants.len(), found, "{subject}");
        }
        let line = format!("list_grants, first page: {found} live grants and {dead} dead ones, ms");
        table.at_most(line, 2.0, median(took));
    }
}
