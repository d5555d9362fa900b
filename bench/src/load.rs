//! Runs callers for a while and measures their calls.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::data::{Random, World};
use crate::operation::{MIX, Operation};
use crate::subject_pool::Pool;
use crate::subject_storage::Storage;

/// A subject that runs in this process.
pub(crate) enum Subject {
    Storage(Storage),
    Pool(Pool),
}

impl Subject {
    /// Makes one call. A wrong result panics, which ends the benchmark.
    async fn call(&self, operation: Operation, world: &World, n: u64) {
        use Operation as O;
        match (self, operation) {
            (Self::Storage(s), O::GetToken) => s.get_token(world, n).await,
            (Self::Storage(s), O::Introspect) => s.introspect(world, n).await,
            (Self::Storage(s), O::CreateToken) => s.create_token(world, n).await,
            (Self::Storage(s), O::Redeem) => s.redeem(world, n).await,
            (Self::Storage(s), O::Rotate) => s.rotate(world, n).await,
            (Self::Storage(s), O::RevokeToken) => s.revoke_token(world, n).await,
            (Self::Storage(s), O::GetClient) => s.get_client(world, n).await,
            (Self::Storage(s), O::Claim) => s.claim().await,
            (Self::Storage(s), O::Poll) => s.poll(world, n).await,
            (Self::Pool(p), O::Poll) => p.poll(world, n).await,
            (Self::Pool(p), O::Claim) => p.claim().await,
            (Self::Pool(p), O::GetToken) => p.get_token(world, n).await,
            (Self::Pool(p), O::Introspect) => p.introspect(world, n).await,
            (Self::Pool(p), O::CreateToken) => p.create_token(world, n).await,
            (Self::Pool(p), O::Redeem) => p.redeem(world, n).await,
            (Self::Pool(p), O::Rotate) => p.rotate(world, n).await,
            (Self::Pool(p), O::RevokeToken) => p.revoke_token(world, n).await,
            (Self::Pool(p), O::GetClient) => p.get_client(world, n).await,
            (_, O::Mix | O::MixIntrospect | O::PurgeIntrospect | O::Purge) => unreachable!(),
        }
    }
}

/// The number of calls of each operation, to be compared with the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) lookups: u64,
    pub(crate) created: u64,
    pub(crate) redeemed: u64,
    pub(crate) rotated: u64,
    pub(crate) revoked: u64,
}

impl Done {
    pub(crate) fn add(&mut self, operation: Operation, count: u64) {
        match operation {
            Operation::CreateToken => self.created += count,
            Operation::Redeem => self.redeemed += count,
            Operation::Rotate => self.rotated += count,
            Operation::RevokeToken => self.revoked += count,
            _ => self.lookups += count,
        }
    }

    fn sum(self, other: Self) -> Self {
        Self {
            lookups: self.lookups + other.lookups,
            created: self.created + other.created,
            redeemed: self.redeemed + other.redeemed,
            rotated: self.rotated + other.rotated,
            revoked: self.revoked + other.revoked,
        }
    }

    pub(crate) fn all(self) -> u64 {
        self.lookups + self.created + self.redeemed + self.rotated + self.revoked
    }
}

/// One measurement: the duration of each counted call in microseconds, and the time it took in all.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Vec<u32>,
    /// The lookups of the mix alone.
    pub(crate) lookups: Vec<u32>,
    /// All calls, including the warm-up.
    pub(crate) done: Done,
}

/// The parameters of one measurement.
#[derive(Clone)]
pub(crate) struct Phase {
    pub(crate) operation: Operation,
    pub(crate) tasks: usize,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// The rows that may be spent, each once. The phase ends when they are used up.
    pub(crate) spare: Range<u64>,
    pub(crate) seed: u64,
}

struct Shared {
    subject: Arc<Subject>,
    world: Arc<World>,
    phase: Phase,
    next_spare: AtomicU64,
    from: Instant,
    until: Instant,
    stop: Arc<AtomicBool>,
}

/// Runs a phase: each task makes one call after another, without a pause.
pub(crate) async fn run(subject: &Arc<Subject>, world: &Arc<World>, phase: Phase) -> Measured {
    run_until(subject, world, phase, Arc::new(AtomicBool::new(false))).await
}

/// Runs a phase that can be stopped early.
pub(crate) async fn run_until(
    subject: &Arc<Subject>,
    world: &Arc<World>,
    phase: Phase,
    stop: Arc<AtomicBool>,
) -> Measured {
    let from = Instant::now() + phase.warm_up;
    let until = from + phase.time;
    let shared = Arc::new(Shared {
        subject: Arc::clone(subject),
        world: Arc::clone(world),
        next_spare: AtomicU64::new(phase.spare.start),
        phase,
        from,
        until,
        stop,
    });
    let tasks = 0..u64::try_from(shared.phase.tasks).unwrap();
    let tasks: Vec<_> = tasks.map(|task| tokio::spawn(caller(Arc::clone(&shared), task))).collect();
    let (mut sum, mut last) = (Measured::default(), from);
    for task in tasks {
        let (measured, ended) = match task.await {
            Ok(one) => one,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        };
        sum.latencies.extend(measured.latencies);
        sum.lookups.extend(measured.lookups);
        sum.done = sum.done.sum(measured.done);
        last = last.max(ended);
    }
    // If the rows are used up early, the measurement ends early.
    sum.elapsed = last.min(until).saturating_duration_since(from);
    sum
}

async fn caller(shared: Arc<Shared>, task: u64) -> (Measured, Instant) {
    let Shared { subject, world, phase, next_spare, from, until, stop } = &*shared;
    let mut random = Random::new(phase.seed * 10_007 + task);
    // Enough capacity for a fast caller, so that the vector does not grow during a call.
    let mut measured = Measured { latencies: Vec::with_capacity(1 << 12), ..Measured::default() };
    let mut began = Instant::now();
    while began < *until && !stop.load(Ordering::Relaxed) {
        let operation = match phase.operation {
            Operation::Mix => pick(&mut random),
            operation => operation,
        };
        let n = if operation.spends().is_some() {
            let n = next_spare.fetch_add(1, Ordering::Relaxed);
            if n >= phase.spare.end {
                break;
            }
            n
        } else {
            random.below(world.rows)
        };
        subject.call(operation, world, n).await;
        let ended = Instant::now();
        measured.done.add(operation, 1);
        // A call counts in the window in which it ends.
        if ended >= *from && ended < *until {
            let micros = u32::try_from((ended - began).as_micros()).unwrap_or(u32::MAX);
            measured.latencies.push(micros);
            if phase.operation == Operation::Mix && operation == Operation::Introspect {
                measured.lookups.push(micros);
            }
        }
        began = ended;
    }
    (measured, began)
}

fn pick(random: &mut Random) -> Operation {
    let mut left = random.below(100);
    for (operation, share) in MIX {
        if left < share {
            return operation;
        }
        left -= share;
    }
    unreachable!("the shares of the mix make a hundred")
}
