//! Sixteen writers, alone and beside load that must not delay them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::token::NewToken;
use oauth_storage::{
    Error, GrantStorage as _, RequestContext, Scope, Secret, Settings, TokenPair, TokenStorage as _,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::{Fixture, Scale, Table, median};
use crate::data;
use crate::load::{self, Phase};
use crate::loader::State;
use crate::operation::Operation;
use crate::report::Sample;
use crate::server::Server;

const WRITERS: usize = 16;

/// The client and subject of the disturbances, which the writers do not use.
const OTHERS: &str = "others";

pub(super) async fn run(server: &Server, scale: &Scale, table: &mut Table) {
    let fixture = Fixture::new(server, "fair").await;
    fixture.owner(OTHERS).await;
    for grant in 0..2 {
        fixture.load(grant..grant + 1, OTHERS, OTHERS, State::Live).await;
        fixture.bench.load_rotations(grant, scale.rotations, State::Live).await;
    }
    fixture.bench.settle().await;
    writers(&fixture, scale).await;
    for disturbance in Disturbance::ALL {
        let (rate, p99) = compare(&fixture, scale, None, disturbance).await;
        let what = disturbance.name();
        table.at_least(format!("16 writers beside {what}: share of the writes"), 0.7, rate);
        table.at_most(format!("16 writers beside {what}: factor of the p99"), 2.0, p99);
    }
    // Any 64 callers without a pause take their share. This measures the effect of the scope alone.
    let small = Some(Disturbance::SmallScope);
    let (rate, p99) = compare(&fixture, scale, small, Disturbance::LargestScope).await;
    let what = "beside 64 callers, the largest scope against two scope tokens";
    table.at_least(format!("16 writers {what}: share of the writes"), 0.7, rate);
    table.at_most(format!("16 writers {what}: factor of the p99"), 2.0, p99);
    fixture.close().await;
}

/// The writes and their p99 beside the second disturbance, relative to the first.
async fn compare(
    fixture: &Fixture,
    scale: &Scale,
    first: Option<Disturbance>,
    second: Disturbance,
) -> (Option<f64>, Option<f64>) {
    let (mut rates, mut p99s) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let before = match first {
            None => writers(fixture, scale).await,
            Some(first) => writers_beside(fixture, scale, first).await,
        };
        let after = writers_beside(fixture, scale, second).await;
        rates.push(after.ops_per_s / before.ops_per_s);
        p99s.extend(after.p99.zip(before.p99).map(|(after, before)| after / before));
    }
    (median(rates), median(p99s))
}

async fn writers_beside(fixture: &Fixture, scale: &Scale, disturbance: Disturbance) -> Sample {
    let disturbing = disturbance.begin(fixture).await;
    let sample = writers(fixture, scale).await;
    disturbing.end().await;
    sample
}

async fn writers(fixture: &Fixture, scale: &Scale) -> Sample {
    let phase = Phase {
        operation: Operation::CreateToken,
        tasks: WRITERS,
        warm_up: scale.seconds.mul_f64(0.2),
        time: scale.seconds,
        spare: 0..0,
        seed: 1,
    };
    let mut measured = load::run(&fixture.subject, &fixture.world, phase).await;
    Sample::new(&mut measured.latencies, measured.elapsed)
}

#[derive(Clone, Copy)]
enum Disturbance {
    HeldRow,
    OneToken,
    LargestScope,
    /// The comparison for [`LargestScope`](Self::LargestScope).
    SmallScope,
    LargestGrants,
}

/// Callers that run until they are stopped.
struct Disturbing {
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
    /// A connection that holds a row until it is closed.
    holder: Option<PgConnection>,
}

impl Disturbing {
    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(holder) = self.holder {
            holder.close().await.unwrap();
        }
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
    }
}

impl Disturbance {
    const ALL: [Self; 4] = [Self::HeldRow, Self::OneToken, Self::LargestScope, Self::LargestGrants];

    fn name(self) -> &'static str {
        match self {
            Self::HeldRow => "two callers of a token whose row is held",
            Self::OneToken => "1,024 callers of one token",
            Self::LargestScope => "64 callers with the largest scope",
            Self::SmallScope => "64 callers with a small scope",
            Self::LargestGrants => "two revocations of the largest grant",
        }
    }

    async fn begin(self, fixture: &Fixture) -> Disturbing {
        let stop = Arc::new(AtomicBool::new(false));
        let mut disturbing =
            Disturbing { stop: Arc::clone(&stop), callers: JoinSet::new(), holder: None };
        match self {
            Self::HeldRow => {
                let refresh = issue(fixture, data::SCOPE).await;
                let mut holder = PgConnection::connect(fixture.bench.url()).await.unwrap();
                let [digest, _] = data::halves(&refresh.digest());
                let hold = format!(
                    "BEGIN; SELECT FROM oauth_storage.token WHERE digest = '{digest}' FOR UPDATE"
                );
                sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
                disturbing.holder = Some(holder);
                rotate_on(fixture, &refresh, 2, &mut disturbing);
            }
            Self::OneToken => {
                let refresh = issue(fixture, data::SCOPE).await;
                rotate_on(fixture, &refresh, 1_024, &mut disturbing);
            }
            Self::LargestScope | Self::SmallScope => {
                let tokens = if matches!(self, Self::LargestScope) { 100 } else { 2 };
                let scope = |tokens: u32| {
                    (0..tokens).map(|n| format!("{n:039}")).collect::<Vec<_>>().join(" ")
                };
                let narrower: Scope = scope(tokens - 1).parse().unwrap();
                for _ in 0..64 {
                    let mut refresh = issue(fixture, &scope(tokens)).await;
                    let (storage, narrower) = (fixture.storage.0.clone(), narrower.clone());
                    let stop = Arc::clone(&stop);
                    disturbing.callers.spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            let rotation =
                                TokenRotation::new(OTHERS, refresh).with_scope(narrower.clone());
                            let request = RequestContext::default();
                            let outcome = storage.rotate_refresh_token(&request, rotation).await;
                            let RotationOutcome::Issued(issued) = outcome.unwrap() else {
                                panic!("not issued")
                            };
                            refresh = issued.tokens.refresh_token.unwrap();
                        }
                    });
                }
            }
            Self::LargestGrants => {
                for grant in 0..2 {
                    let (storage, stop) = (fixture.storage.0.clone(), Arc::clone(&stop));
                    let grant_id = data::grant_of_owner(grant);
                    disturbing.callers.spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            storage.revoke_grant(grant_id).await.unwrap();
                        }
                    });
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        disturbing
    }
}

/// Issues a refresh token of a new grant.
async fn issue(fixture: &Fixture, scope: &str) -> Secret {
    let tokens = TokenPair::generate().unwrap();
    let refresh = tokens.refresh_token.clone().unwrap();
    let new = NewToken::new(OTHERS, scope.parse().unwrap(), tokens);
    fixture.storage.0.create_token(&RequestContext::default(), new).await.unwrap();
    refresh
}

/// Starts callers that retry one token within its grace period.
fn rotate_on(fixture: &Fixture, refresh: &Secret, callers: usize, disturbing: &mut Disturbing) {
    let settings = Settings::default().with_refresh_token_grace(Duration::from_mins(1));
    let request = RequestContext::default().with_settings(settings);
    for _ in 0..callers {
        let (storage, request) = (fixture.storage.0.clone(), request.clone());
        let rotation = TokenRotation::new(OTHERS, refresh.clone());
        let stop = Arc::clone(&disturbing.stop);
        disturbing.callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match storage.rotate_refresh_token(&request, rotation.clone()).await {
                    Ok(_) | Err(Error::Overloaded { .. } | Error::Unavailable { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
}
