//! The storage on a real PostgreSQL: each test has its own database.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "statements of a test, not of the storage")]

mod barrier;
mod bounds;
mod catalog;
mod citus;
mod client_lifecycle;
mod clients;
mod columns;
mod errors;
mod grants;
mod hygiene;
mod imports;
mod lanes;
mod migrations;
mod observability;
#[cfg(unix)]
mod pgbouncer;
mod pinned;
mod plans;
mod races;
mod roles;
mod signing_keys;
mod support;
mod timing;
#[cfg(unix)]
mod tls;
mod users;
