//! Counts and measures, so that the rest says only what happened.

#[cfg(feature = "metrics")]
mod facade;
/// The same, and nothing of it is left after compilation.
#[cfg(not(feature = "metrics"))]
#[path = "meter/no_facade.rs"]
mod facade;

use std::collections::HashMap;
use std::sync::Arc;

use facade::{Counter, Gauge, Histogram, Label, Stopwatch};

use crate::postgres::error::Effect;
use crate::postgres::metrics::{
    BATCH_SIZE, BROKEN_LANES, CALLS, CONNECTED_LANES, ERROR, ERRORS, LANES, OPERATION,
    OPERATION_DURATION, QUEUE_LENGTH, STATE,
};

const SYSTEM: Label = ("db.system.name", "postgresql");

/// The error label of a call that was dropped.
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

/// The meters of one storage and its clones. They belong to the recorder that was installed when
/// it was made.
#[derive(Clone)]
pub struct Meters(Arc<Methods>);

impl Meters {
    pub(super) fn new() -> Self {
        facade::describe();
        Self(Arc::new(Methods::new()))
    }

    pub(super) fn methods(&self) -> &Methods {
        &self.0
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
            calls: facade::counter(CALLS, &[(OPERATION, name)]),
            duration: facade::histogram(OPERATION_DURATION, &[SYSTEM, (OPERATION, name)]),
        }
    }

    pub(super) fn begin(&self) -> Timer<'_> {
        Timer { method: self, started: Stopwatch::start(), ended: false }
    }

    fn ended(&self, seconds: f64, error: Option<&'static str>) {
        self.calls.increment(1);
        let Some(error) = error else { return self.duration.record(seconds) };
        // Rare enough to be looked up each time.
        let labels = [SYSTEM, (OPERATION, self.name), (ERROR, error)];
        facade::counter(ERRORS, &labels[1..]).increment(1);
        facade::histogram(OPERATION_DURATION, &labels).record(seconds);
    }
}

/// A call that is under way.
pub(super) struct Timer<'a> {
    method: &'a Method,
    started: Stopwatch,
    ended: bool,
}

impl Timer<'_> {
    /// It was answered, with an error of this kind or without.
    pub(super) fn end(&mut self, error: Option<&'static str>) {
        self.ended = true;
        self.method.ended(self.started.seconds(), error);
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
        let connected = |state| facade::gauge(CONNECTED_LANES, &[lanes, (STATE, state)]);
        Self {
            queued: facade::gauge(QUEUE_LENGTH, &[lanes]),
            idle: connected("idle"),
            used: connected("used"),
            broken: facade::counter(BROKEN_LANES, &[lanes]),
        }
    }

    // Each storage of the process adds to the same gauges, so they are moved and not set.

    pub(super) fn queued(&self, calls: usize) {
        self.queued.increment(calls);
    }

    pub(super) fn left_queue(&self, calls: usize) {
        self.queued.decrement(calls);
    }

    pub(super) fn connected(&self) {
        self.idle.increment(1);
    }

    pub(super) fn disconnected(&self) {
        self.idle.decrement(1);
    }

    pub(super) fn broke(&self) {
        self.broken.increment(1);
    }

    /// A lane is at work for as long as the guard lives.
    pub(super) fn at_work(&self) -> AtWork<'_> {
        self.idle.decrement(1);
        self.used.increment(1);
        AtWork(self)
    }
}

pub(super) struct AtWork<'a>(&'a Lanes);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.used.decrement(1);
        self.0.idle.increment(1);
    }
}

/// The sizes of a lane's batches, by operation as each first comes up.
#[derive(Default)]
pub(super) struct Batches(HashMap<&'static str, Histogram>);

impl Batches {
    pub(super) fn record(&mut self, operation: &'static str, calls: usize) {
        let new = || facade::histogram(BATCH_SIZE, &[(OPERATION, operation)]);
        #[expect(clippy::cast_precision_loss, reason = "a batch has 256 calls at most")]
        self.0.entry(operation).or_insert_with(new).record(calls as f64);
    }
}
