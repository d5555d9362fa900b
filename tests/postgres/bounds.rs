//! What no amount of rows, of callers or of bad luck may break (S18 to S23).

mod batches;
mod disabled;
mod erased;
mod fair;
mod linear;
mod registration;
