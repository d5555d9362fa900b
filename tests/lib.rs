//! The integration tests of `oauth-storage`. They are a package of their own, so that the crate's
//! examples are built without the libraries that only tests need.
