//! Guarantees under any number of rows and callers, and under faults (S18 to S23).

mod batches;
mod disabled;
mod erased;
mod fair;
mod linear;
mod registration;
mod sessions;
