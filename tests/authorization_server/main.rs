//! Tests of the example authorization server, over HTTP, with third-party client libraries.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

// The example itself, not a copy.
#[path = "../../examples/authorization_server/server/mod.rs"]
mod server;

mod errors;
mod flows;
mod pages;
mod response_types;
mod support;
