//! The measurements, interleaved: each round measures every subject with every operation, in a
//! different order, so that changes over time (the machine, the size of the tables) affect all alike.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::args::Args;
use crate::data::World;
use crate::load::{self, Done, Measured, Phase, Subject};
use crate::loader::Spare;
use crate::operation::{Operation, Spends, SubjectName};
use crate::pgbench::{self, Pgbench};
use crate::progress::Progress;
use crate::report::{Report, Sample};
use crate::server::{Bench, Counts};

pub(crate) struct Runner<'a> {
    pub(crate) args: &'a Args,
    pub(crate) bench: &'a Bench,
    pub(crate) world: Arc<World>,
    pub(crate) storage: Arc<Subject>,
    pub(crate) pool: Arc<Subject>,
    pub(crate) pgbench: Option<Pgbench>,
    pub(crate) spare: Spare,
    /// The best rate of each in calls a second, to load enough rows for the next measurement.
    rates: HashMap<(Operation, SubjectName, usize), f64>,
    /// The best number of clients of pgbench, found in the first round.
    clients: HashMap<(Operation, usize), usize>,
    seed: u64,
}

/// The rate assumed before the first measurement: more than a small machine reaches, so the rows
/// suffice.
const GUESSED_RATE: f64 = 8_000.0;

impl<'a> Runner<'a> {
    pub(crate) fn new(
        args: &'a Args,
        bench: &'a Bench,
        world: Arc<World>,
        storage: Arc<Subject>,
        pool: Arc<Subject>,
        pgbench: Option<Pgbench>,
    ) -> Self {
        Self {
            args,
            bench,
            world,
            storage,
            pool,
            pgbench,
            spare: Spare::new(),
            rates: HashMap::new(),
            clients: HashMap::new(),
            seed: 0,
        }
    }

    pub(crate) async fn run(&mut self, report: &mut Report) {
        let Args { tasks, operations, rounds, subjects, .. } = self.args;
        let subjects: Vec<SubjectName> = subjects
            .iter()
            .copied()
            .filter(|subject| *subject != SubjectName::Pgbench || self.pgbench.is_some())
            .collect();
        let total = rounds * tasks.len() * operations.len() * subjects.len();
        let mut done = 0;
        for round in 0..*rounds {
            for &operation in operations {
                for &tasks in tasks {
                    for turn in 0..subjects.len() {
                        let subject = subjects[(round + turn) % subjects.len()];
                        let what = format!(
                            "round {} of {rounds}, {operation}, {tasks} tasks, {subject}",
                            round + 1
                        );
                        let progress = Progress::new(what, u64::try_from(total).unwrap());
                        progress.at(done);
                        self.one(report, operation, tasks, subject).await;
                        done += 1;
                    }
                }
            }
        }
    }

    async fn one(
        &mut self,
        report: &mut Report,
        operation: Operation,
        tasks: usize,
        subject: SubjectName,
    ) {
        let measured = match subject {
            SubjectName::Storage => {
                self.measure(&Arc::clone(&self.storage), subject, operation, tasks).await
            }
            SubjectName::Pool => {
                self.measure(&Arc::clone(&self.pool), subject, operation, tasks).await
            }
            SubjectName::Pgbench => self.measure_pgbench(operation, tasks).await,
        };
        let rate = rate(&measured);
        let best = self.rates.entry((operation, subject, tasks)).or_default();
        *best = best.max(rate);

        let Measured { elapsed, mut latencies, mut lookups, .. } = measured;
        if operation == Operation::Mix {
            let sample = Sample::new(&mut lookups, elapsed);
            report.add(Operation::MixIntrospect, subject, tasks, self.world.rows, sample);
        }
        let sample = Sample::new(&mut latencies, elapsed);
        report.add(operation, subject, tasks, self.world.rows, sample);
    }

    /// Measures, and compares the calls with the changes in the tables.
    async fn measure(
        &mut self,
        subject: &Arc<Subject>,
        name: SubjectName,
        operation: Operation,
        tasks: usize,
    ) -> Measured {
        let phase = self.phase(operation, name, tasks, 1.0).await;
        let before = self.counts(operation).await;
        let measured = load::run(subject, &self.world, phase).await;
        let after = self.counts(operation).await;
        assert_eq!(difference(before, after), expected(measured.done), "{name}: {operation}");
        measured
    }

    async fn measure_pgbench(&mut self, operation: Operation, tasks: usize) -> Measured {
        let candidates = match self.clients.get(&(operation, tasks)) {
            Some(best) => vec![*best],
            None => {
                let limit: usize = self.bench.setting("max_connections").await.parse().unwrap();
                pgbench::clients(tasks, limit.saturating_sub(60).max(1))
            }
        };
        let mut best: Option<Measured> = None;
        for clients in candidates {
            let measured = self.pgbench_with(operation, tasks, clients).await;
            if best.as_ref().is_none_or(|best| rate(best) < rate(&measured)) {
                self.clients.insert((operation, tasks), clients);
                best = Some(measured);
            }
        }
        let best = best.unwrap();
        assert!(!best.latencies.is_empty(), "pgbench did nothing within the time: {operation}");
        best
    }

    /// The clients of pgbench cannot detect that the rows are used up, so a run that exceeded them is
    /// repeated with more rows.
    async fn pgbench_with(
        &mut self,
        operation: Operation,
        tasks: usize,
        clients: usize,
    ) -> Measured {
        let mut margin = 1.0;
        loop {
            let phase = self.phase(operation, SubjectName::Pgbench, tasks, margin).await;
            let before = self.counts(operation).await;
            let pgbench = self.pgbench.as_mut().unwrap();
            let measured = pgbench.run(&self.world, &phase, clients).await;
            let after = self.counts(operation).await;
            let (did, claimed) = (difference(before, after), expected(measured.done));
            if did == claimed {
                return measured;
            }
            let exhausted = operation.spends().is_some() && margin < 10.0;
            assert!(exhausted, "pgbench: {operation}: {did:?} instead of {claimed:?}");
            margin *= 3.0;
        }
    }

    /// A phase with the rows that it will spend.
    async fn phase(
        &mut self,
        operation: Operation,
        subject: SubjectName,
        tasks: usize,
        margin: f64,
    ) -> Phase {
        let Args { seconds, short, .. } = self.args;
        let warm_up = seconds.mul_f64(0.2).min(Duration::from_millis(500));
        let known = self.rates.get(&(operation, subject, tasks)).copied();
        let rate = known.map_or(GUESSED_RATE, |rate| rate * 1.5).max(500.0) * margin;
        // 3 of 100 calls of the mix spend a pair.
        let share = if operation == Operation::Mix { 0.05 } else { 1.0 };
        let time = (*seconds + warm_up).as_secs_f64();
        let least = if *short { 500 } else { 200 * tasks };
        // The value is positive, and a fraction of a row is dropped.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rows = (rate * time * share) as u64 + u64::try_from(least).unwrap();
        let spare = match operation.spends() {
            None => 0..0,
            Some(Spends::Codes) => self.spare.codes(self.bench, &self.world, rows).await,
            Some(Spends::Pairs) => self.spare.pairs(self.bench, rows).await,
        };
        self.seed += 1;
        Phase { operation, tasks, warm_up, time: *seconds, spare, seed: self.seed }
    }

    async fn counts(&self, operation: Operation) -> Counts {
        if operation.writes() { self.bench.counts().await } else { Counts::default() }
    }
}

fn rate(measured: &Measured) -> f64 {
    measured.latencies.len() as f64 / measured.elapsed.as_secs_f64().max(1e-9)
}

fn difference(before: Counts, after: Counts) -> Counts {
    Counts {
        grants: after.grants - before.grants,
        ended: after.ended - before.ended,
        tokens: after.tokens - before.tokens,
        rotated: after.rotated - before.rotated,
        revoked: after.revoked - before.revoked,
        consumed: after.consumed - before.consumed,
    }
}

/// The expected changes: each operation that issues stores a pair, each revocation flags its token
/// and ends its grant.
fn expected(done: Done) -> Counts {
    let rows = |count: u64| i64::try_from(count).unwrap();
    Counts {
        grants: rows(done.created),
        ended: rows(done.revoked),
        tokens: 2 * rows(done.created + done.redeemed + done.rotated),
        rotated: rows(done.rotated),
        revoked: rows(done.revoked),
        consumed: rows(done.redeemed),
    }
}
