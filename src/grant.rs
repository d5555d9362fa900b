//! Grants, and the exchanges that spend a credential.

mod exchange;
mod extension;
mod storage;

pub use crate::context::GrantContext;
pub use exchange::{
    CodeRedemption, IssuedTokens, RedemptionOutcome, RotationOutcome, TokenRotation,
};
pub use extension::GrantStorageExt;
pub use storage::GrantStorage;

use std::ops::AddAssign;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::scope::Scope;

/// The record of one act of authorization by a resource owner for a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The identifier of the grant. It is not secret and proves nothing.
    pub grant_id: Uuid,
    /// The client that was authorized.
    pub client_id: String,
    /// The resource owner; `None` for client credentials.
    pub subject: Option<String>,
    /// The granted scope.
    pub scope: Scope,
    /// Time at which the first credential of the grant was stored.
    pub granted_at: DateTime<Utc>,
    /// Expiry of the last credential. To decide, use [`Grant::state`].
    pub expires_at: DateTime<Utc>,
    /// The state, by the storage's clock at the time of the lookup.
    pub state: GrantState,
    /// The context of the grant.
    #[serde(flatten)]
    pub context: GrantContext,
}

/// The state of a grant. A credential is active only while its grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantState {
    /// The grant has a credential that has not expired.
    Active,
    /// Every credential has expired.
    Expired,
    /// The grant was revoked, and every credential with it.
    Revoked,
}

impl GrantState {
    pub(crate) const fn new(revoked: bool, expired: bool) -> Self {
        match (revoked, expired) {
            (true, _) => Self::Revoked,
            (false, true) => Self::Expired,
            (false, false) => Self::Active,
        }
    }
}

/// A page of a subject's live grants, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct GrantPage {
    /// The grants. Any page but the last can have fewer than requested, even none, if the scan
    /// passed many grants that are no longer live.
    pub grants: Vec<Grant>,
    /// The `after` of the next page; `None` on the last page.
    pub next: Option<Uuid>,
}

/// The numbers of rows that a purge removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Number of tokens.
    pub tokens: u64,
    /// Number of authorization codes.
    pub authorization_codes: u64,
    /// Number of grants that ended with these credentials.
    pub grants: u64,
    /// Number of short-lived records: replay identifiers, pushed and pending requests.
    pub records: u64,
    /// Number of device authorizations whose tokens were not issued.
    pub device_authorizations: u64,
    /// Number of retired signing keys.
    pub signing_keys: u64,
    /// Number of sessions of users.
    pub sessions: u64,
    /// True if there may be more to remove.
    pub more: bool,
}

impl Purged {
    /// Returns true if nothing was removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Number of rows that were removed, of all kinds.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        let Self {
            tokens,
            authorization_codes,
            grants,
            records,
            device_authorizations,
            signing_keys,
            sessions,
            more: _,
        } = *self;
        tokens
            + authorization_codes
            + grants
            + records
            + device_authorizations
            + signing_keys
            + sessions
    }
}

impl AddAssign for Purged {
    fn add_assign(&mut self, other: Self) {
        let Self {
            tokens,
            authorization_codes,
            grants,
            records,
            device_authorizations,
            signing_keys,
            sessions,
            more,
        } = other;
        self.tokens += tokens;
        self.authorization_codes += authorization_codes;
        self.grants += grants;
        self.records += records;
        self.device_authorizations += device_authorizations;
        self.signing_keys += signing_keys;
        self.sessions += sessions;
        self.more |= more;
    }
}
