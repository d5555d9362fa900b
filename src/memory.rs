//! An in-memory storage.
