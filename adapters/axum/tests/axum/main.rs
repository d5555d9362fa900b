//! Tests of the extractors, responses and tasks.

mod authorization;
mod bearer;
mod client;
mod form;
mod purge;
mod readme;
mod require_scope;
mod response;
mod support;
