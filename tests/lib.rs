//! The integration tests of `oauth-storage`. They are their own package, so that the crate's examples
//! are built without the libraries that only tests need.
