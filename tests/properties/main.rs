//! Properties that hold for any input from outside.
//!
//! `PROPTEST_CASES=10000 cargo test --test properties` runs more than the usual 256 cases.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod inputs;
mod storage;
mod types;
