//! The ID-token signer against a third-party verifier.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "an ID token is checked by the client's clock")]

mod claims;
mod hint;
mod keys;
mod logout;
mod managed;
mod rsa;
mod support;
