//! The commands of an operator, end to end: the real program on a real server.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod doctor;
mod records;
mod schema;
mod support;
mod terminal;
mod top;
mod upkeep;
