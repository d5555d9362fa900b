//! Random decisions and credentials.

use oauth_storage::{Secret, TokenPair};
use uuid::Uuid;

use crate::error::Result;

/// True in so many of a hundred cases.
pub(crate) fn chance(percent: u32) -> bool {
    fastrand::u32(0..100) < percent
}

/// A credential that names no grant, as one that was made elsewhere.
pub(crate) fn unnamed_secret() -> Secret {
    Secret::new(format!("{}.{:x}", Uuid::now_v7(), fastrand::u128(..)))
}

/// Tokens that name the grant, or none.
pub(crate) fn tokens_of(grant_id: Option<Uuid>) -> Result<TokenPair> {
    Ok(match grant_id {
        Some(grant_id) => TokenPair::generate_for(grant_id)?,
        None => TokenPair::new(unnamed_secret()).with_refresh_token(unnamed_secret()),
    })
}
