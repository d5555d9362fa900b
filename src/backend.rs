//! Building blocks for other storage implementations.
//!
//! [`MemoryStorage`](crate::MemoryStorage) and `PgStorage` are built on these and on the public
//! methods documented as "For storage implementations". Check inputs before anything is stored,
//! decide by the database's clock, and run the conformance suite (the crate
//! `oauth-storage-conformance`).

pub use crate::check::{
    MAX_IDENTIFIER_BYTES, MAX_TEXT_BYTES, check_batch, check_client_id, check_display_text,
    check_json, check_limit, check_subject, check_text, check_timestamp,
};
pub use crate::client::secret::{
    HashedSecret, MAX_PREVIOUS_SECRETS, generate_client_id, hash_client_secret,
    is_generated_client_secret, verify_client_secret,
};
pub use crate::redirect_uri::{MAX_REDIRECT_URI_BYTES, check_redirect_uri};
pub use crate::scope::{MAX_SCOPE_BYTES, MAX_SCOPE_TOKENS};
pub use crate::secret::{MAX_CREDENTIAL_BYTES, TokenHash};
pub use crate::settings::{
    Lifetimes, MAX_AUTHORIZATION_CODE_LIFETIME, MAX_LIFETIME, MAX_REFRESH_TOKEN_GRACE, micros,
};
