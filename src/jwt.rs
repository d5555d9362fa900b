//! The ID-token signer.
