//! The error of the suite.

/// An error means that a fault could not be injected to its end.
pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
