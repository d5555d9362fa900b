//! The storage on a real PostgreSQL: each test has a database of its own.

mod catalog;
mod clients;
mod errors;
mod grants;
mod hygiene;
mod migrations;
mod plans;
mod races;
mod support;
mod timing;
mod users;
