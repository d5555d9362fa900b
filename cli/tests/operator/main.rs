//! The commands of an operator, end to end: the real program on a real server.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod clients;
mod doctor;
mod import_faults;
mod imports;
mod keys;
mod lists;
mod pages;
mod records;
mod schema;
mod secrets;
mod silent;
mod support;
mod terminal;
mod terminal_clients;
mod top;
mod upkeep;
mod users;
