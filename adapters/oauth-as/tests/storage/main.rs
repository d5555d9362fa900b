//! The storage on a real server.
//!
//! By default the races run a part of their count, so that `cargo test` stays short;
//! `OAUTH_STORAGE_TEST_FULL=1` runs the whole.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "statements of a test, not of the storage")]

mod conformance;
mod flow;
mod migrations;
mod plans;
mod races;
mod records;
mod secrets;
mod support;
mod third_party;
