//! What comes from outside may be anything: properties that hold for all of it.
//!
//! `PROPTEST_CASES=10000 cargo test --test properties` looks longer than the 256 cases of a usual run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod inputs;
mod storage;
mod types;
