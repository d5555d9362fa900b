//! The names of the metrics that a [`PgStorage`](crate::PgStorage) records, through the `metrics`
//! facade.
//!
//! Names and labels follow OpenTelemetry's conventions for database clients (`db.…`). Those without
//! a convention begin with `oauth_storage.`. An exporter adapts them to its system:
//! `db_client_operation_duration` for Prometheus. `docs/operations.md`, in the repository, says
//! what to monitor.
//!
//! Install the recorder before you connect: a storage keeps the recorder it began with.
//!
//! ```
//! use oauth_storage::postgres::telemetry;
//!
//! // For an exporter that needs the buckets of a histogram:
//! let buckets = (telemetry::OPERATION_DURATION, telemetry::OPERATION_DURATION_BUCKETS);
//! assert_eq!(buckets.0, "db.client.operation.duration");
//! ```

mod observed;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, Unit, describe_counter, describe_gauge, describe_histogram,
};

use crate::postgres::error::Effect;
pub(super) use observed::{Observed, observe};

/// Histogram: duration of a call in seconds, as its caller sees it. Labels: [`OPERATION`], and
/// [`ERROR`] if it failed.
pub const OPERATION_DURATION: &str = "db.client.operation.duration";
/// Bucket limits for [`OPERATION_DURATION`], in seconds: those of OpenTelemetry's conventions. An exporter that
/// gets none may export a summary, which cannot be added up over nodes.
pub const OPERATION_DURATION_BUCKETS: [f64; 9] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
/// Counter: calls that ended, successful or not. Label: [`OPERATION`].
pub const CALLS: &str = "oauth_storage.calls";
/// Counter: calls that failed. Labels: [`OPERATION`] and [`ERROR`].
pub const ERRORS: &str = "oauth_storage.errors";
/// Counter: spent credentials that were presented again, which revokes their grants. A rise means
/// stolen credentials, or a client that does not store its new tokens. Label: [`CREDENTIAL`].
pub const REPLAYS: &str = "oauth_storage.replays";
/// Counter: revoked grants. Label: [`OPERATION`], for the methods that return the number;
/// `revoke_token` is only in [`CALLS`].
pub const REVOCATIONS: &str = "oauth_storage.revocations";
/// Histogram: number of calls that share a statement on a lane. Label: [`OPERATION`]; `find_token`
/// serves `get_token` and `introspect`.
pub const BATCH_SIZE: &str = "oauth_storage.batch.size";
/// Gauge: calls waiting for a lane. Label: [`LANES`].
pub const QUEUE_LENGTH: &str = "db.client.connection.pending_requests";
/// Gauge: lanes with a connection. Labels: [`LANES`] and [`STATE`].
pub const CONNECTED_LANES: &str = "db.client.connection.count";
/// Counter: broken connections of lanes, each of which is replaced. Label: [`LANES`].
pub const BROKEN_LANES: &str = "oauth_storage.lane.disconnects";

/// Label: the method of the storage, such as `get_token`; for a batch, the statement.
pub const OPERATION: &str = "db.operation.name";
/// Label: the variant of [`Error`](crate::Error) in snake case, such as `outcome_unknown`; or `cancelled` if the
/// caller dropped the call.
pub const ERROR: &str = "error.type";
/// Label: `authorization_code` (RFC 6749 4.1.2) or `refresh_token` (RFC 9700 4.14.2).
pub const CREDENTIAL: &str = "oauth_storage.credential";
/// Label: `read` or `write`.
pub const LANES: &str = "db.client.connection.pool.name";
/// Label: `idle` or `used`.
pub const STATE: &str = "db.client.connection.state";

const SYSTEM: (&str, &str) = ("db.system.name", "postgresql");

/// The error label of a dropped call.
const CANCELLED: &str = "cancelled";

macro_rules! meters {
    ($($(#[$cfg:meta])? $method:ident),* $(,)?) => {
        /// A meter for each method of the storage.
        pub(super) struct Methods {
            $($(#[$cfg])? pub(super) $method: Method,)*
        }

        impl Methods {
            fn new() -> Self {
                Self { $($(#[$cfg])? $method: Method::new(stringify!($method)),)* }
            }
        }
    };
}

meters! {
    create_token,
    get_token,
    revoke_token,
    create_authorization_code,
    get_authorization_code,
    delete_authorization_code,
    get_client,
    register_client,
    read_client,
    list_clients,
    update_client,
    rotate_client_secret,
    set_client_disabled,
    delete_client,
    ensure_client,
    get_registration,
    purge_clients,
    redeem_authorization_code,
    rotate_refresh_token,
    introspect,
    get_grant,
    revoke_grant,
    revoke_grant_of,
    revoke_grants_of,
    revoke_subject,
    revoke_client,
    erase_subject,
    list_grants,
    purge_expired,
    claim,
    push_request,
    take_pushed_request,
    suspend_request,
    find_pending_request,
    change_pending_request,
    resume_request,
    start_device_authorization,
    find_device_authorization,
    approve_device_authorization,
    deny_device_authorization,
    poll_device_authorization,
    add_consent,
    get_consent,
    list_consents,
    withdraw_consent,
    list_signing_keys,
    add_signing_key,
    rotate_signing_keys,
    revoke_signing_keys,
    reencrypt_signing_key,
    start_session,
    find_session,
    reauthenticate_session,
    list_sessions,
    end_session,
    end_session_of,
    end_sessions_of,
    #[cfg(feature = "password")]
    authenticate,
    #[cfg(feature = "password")]
    create_user,
    #[cfg(feature = "password")]
    set_user_password,
    #[cfg(feature = "password")]
    set_user_disabled,
    #[cfg(feature = "password")]
    delete_user,
}

/// The meters of a storage and its clones. They belong to the recorder that was installed when the
/// storage was created.
#[derive(Clone)]
pub struct Meters(Arc<Methods>);

impl Meters {
    pub(super) fn new() -> Self {
        describe();
        Self(Arc::new(Methods::new()))
    }

    pub(super) fn methods(&self) -> &Methods {
        &self.0
    }

    // Both are rare, so the counters are not cached.

    pub(super) fn replayed(&self, credential: &'static str) {
        counter(REPLAYS, &[(CREDENTIAL, credential)]).increment(1);
    }

    pub(super) fn revoked(&self, operation: &'static str, grants: u64) {
        counter(REVOCATIONS, &[(OPERATION, operation)]).increment(grants);
    }
}

/// The meters of a method of the storage.
pub(super) struct Method {
    name: &'static str,
    calls: Counter,
    duration: Histogram,
}

impl Method {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            calls: counter(CALLS, &[(OPERATION, name)]),
            duration: histogram(OPERATION_DURATION, &[SYSTEM, (OPERATION, name)]),
        }
    }

    pub(super) fn begin(&self) -> Timer<'_> {
        Timer { method: self, started: Instant::now(), ended: false }
    }

    fn ended(&self, seconds: f64, error: Option<&'static str>) {
        self.calls.increment(1);
        let Some(error) = error else { return self.duration.record(seconds) };
        // Rare, so the counters are not cached.
        let labels = [SYSTEM, (OPERATION, self.name), (ERROR, error)];
        counter(ERRORS, &labels[1..]).increment(1);
        histogram(OPERATION_DURATION, &labels).record(seconds);
    }
}

/// A running call.
pub(super) struct Timer<'a> {
    method: &'a Method,
    started: Instant,
    ended: bool,
}

impl Timer<'_> {
    /// Records that the call ended, with this kind of error or without one.
    pub(super) fn end(&mut self, error: Option<&'static str>) {
        self.ended = true;
        self.method.ended(self.started.elapsed().as_secs_f64(), error);
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Some(CANCELLED));
        }
    }
}

/// The meters of a queue and its lanes.
pub(super) struct Lanes {
    queued: Gauge,
    idle: Gauge,
    used: Gauge,
    broken: Counter,
}

impl Lanes {
    pub(super) fn new(effect: Effect) -> Self {
        let lanes = match effect {
            Effect::Read => (LANES, "read"),
            Effect::Write => (LANES, "write"),
        };
        let connected = |state| gauge(CONNECTED_LANES, &[lanes, (STATE, state)]);
        Self {
            queued: gauge(QUEUE_LENGTH, &[lanes]),
            idle: connected("idle"),
            used: connected("used"),
            broken: counter(BROKEN_LANES, &[lanes]),
        }
    }

    // All storages of the process share the gauges, so they are incremented rather than set.

    pub(super) fn queued(&self, calls: usize) {
        self.queued.increment(calls as f64);
    }

    pub(super) fn left_queue(&self, calls: usize) {
        self.queued.decrement(calls as f64);
    }

    pub(super) fn connected(&self) {
        self.idle.increment(1.0);
    }

    pub(super) fn disconnected(&self) {
        self.idle.decrement(1.0);
    }

    pub(super) fn broke(&self) {
        self.broken.increment(1);
    }

    /// Counts a lane as used while the guard lives.
    pub(super) fn at_work(&self) -> AtWork<'_> {
        self.idle.decrement(1.0);
        self.used.increment(1.0);
        AtWork(self)
    }
}

pub(super) struct AtWork<'a>(&'a Lanes);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.used.decrement(1.0);
        self.0.idle.increment(1.0);
    }
}

/// The batch sizes of a lane, by statement.
#[derive(Default)]
pub(super) struct Batches(HashMap<&'static str, Histogram>);

impl Batches {
    pub(super) fn record(&mut self, operation: &'static str, calls: usize) {
        let new = || histogram(BATCH_SIZE, &[(OPERATION, operation)]);
        #[expect(clippy::cast_precision_loss, reason = "a batch has 256 calls at most")]
        self.0.entry(operation).or_insert_with(new).record(calls as f64);
    }
}

type Label = (&'static str, &'static str);

fn labels(labels: &[Label]) -> Vec<metrics::Label> {
    labels.iter().map(|(name, value)| metrics::Label::from_static_parts(name, value)).collect()
}

fn counter(name: &'static str, of: &[Label]) -> Counter {
    metrics::counter!(name, labels(of))
}

fn histogram(name: &'static str, of: &[Label]) -> Histogram {
    metrics::histogram!(name, labels(of))
}

fn gauge(name: &'static str, of: &[Label]) -> Gauge {
    metrics::gauge!(name, labels(of))
}

fn describe() {
    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "Duration of calls of the storage");
    describe_counter!(CALLS, Unit::Count, "Calls that ended");
    describe_counter!(ERRORS, Unit::Count, "Calls that failed");
    describe_counter!(REPLAYS, Unit::Count, "Spent credentials that were presented again");
    describe_counter!(REVOCATIONS, Unit::Count, "Revoked grants");
    describe_histogram!(BATCH_SIZE, Unit::Count, "Calls that share a statement");
    describe_gauge!(QUEUE_LENGTH, Unit::Count, "Calls waiting for a lane");
    describe_gauge!(CONNECTED_LANES, Unit::Count, "Lanes with a connection");
    describe_counter!(BROKEN_LANES, Unit::Count, "Broken connections of lanes");
}
