//! Tests of the extractors, responses and tasks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authorization;
mod bearer;
mod client;
mod form;
mod logout;
mod proofs;
mod purge;
mod readme;
mod registration;
mod require_scope;
mod response;
mod session;
mod support;
