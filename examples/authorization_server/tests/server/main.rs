//! Tests of the example authorization server, over HTTP, with third-party client libraries.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appearance;
mod cluster;
mod conformance;
mod device;
mod errors;
mod flows;
mod logout;
mod pages;
mod proofs;
mod protocol;
mod response_types;
mod steps;
mod support;
mod tokens;
