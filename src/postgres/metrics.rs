//! The names of what a [`PgStorage`](crate::PgStorage) counts and measures, on the `metrics` facade.
//!
//! Names and labels are those of OpenTelemetry's conventions for database clients where these have
//! one (`db.…`), and begin with `oauth_storage.` where they have none. An exporter makes of them
//! what its system can take: `db_client_operation_duration` for Prometheus. `docs/operations.md`,
//! in the repository, says what to watch.
//!
//! Install the recorder before you connect: a storage keeps the counters it began with.
//!
//! ```
//! use oauth_storage::metrics;
//!
//! // For an exporter that wants to know a histogram's buckets, here in seconds:
//! let buckets = (metrics::OPERATION_DURATION, [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 5.0]);
//! assert_eq!(buckets.0, "db.client.operation.duration");
//! ```
#![cfg_attr(not(feature = "metrics"), allow(unreachable_pub, reason = "public with it"))]

/// Histogram, seconds: how long a call took, as its caller saw it. By [`OPERATION`], and by
/// [`ERROR`] if it failed.
pub const OPERATION_DURATION: &str = "db.client.operation.duration";
/// Counter: calls that ended, however they did. By [`OPERATION`].
pub const CALLS: &str = "oauth_storage.calls";
/// Counter: calls that failed. By [`OPERATION`] and [`ERROR`].
pub const ERRORS: &str = "oauth_storage.errors";
/// Histogram: how many calls shared a statement on a lane. By [`OPERATION`]; `find_token` serves
/// `get_token` and `introspect`.
pub const BATCH_SIZE: &str = "oauth_storage.batch.size";
/// Gauge: calls that wait for a lane. By [`LANES`].
pub const QUEUE_LENGTH: &str = "db.client.connection.pending_requests";
/// Gauge: lanes that have a connection. By [`LANES`] and [`STATE`].
pub const CONNECTED_LANES: &str = "db.client.connection.count";
/// Counter: connections of lanes that broke, each of which is replaced. By [`LANES`].
pub const BROKEN_LANES: &str = "oauth_storage.lane.disconnects";

/// Label: the method of the storage, such as `get_token`; of a batch, the statement.
pub const OPERATION: &str = "db.operation.name";
/// Label: the variant of [`Error`](crate::Error) in snake case, such as `outcome_unknown`; or
/// `cancelled`, when the caller went away before the answer.
pub const ERROR: &str = "error.type";
/// Label: `read` or `write`.
pub const LANES: &str = "db.client.connection.pool.name";
/// Label: `idle` or `used`.
pub const STATE: &str = "db.client.connection.state";
