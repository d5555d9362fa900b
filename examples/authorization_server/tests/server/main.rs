//! Tests of the example authorization server, over HTTP, with third-party client libraries.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
mod flows;
mod pages;
mod response_types;
mod support;
