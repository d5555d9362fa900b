//! The tables of a [`MemoryStorage`](super::MemoryStorage), modelled on those of PostgreSQL.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use uuid::Uuid;

use super::device_authorization::DeviceRow;
use super::record::RecordRow;
use super::user_session::SessionRow;
use crate::authorization_code::{AuthorizationCode, CodeChallenge};
use crate::client::Client;
use crate::client::secret::MAX_PREVIOUS_SECRETS;
use crate::consent::Consent;
use crate::context::GrantContext;
use crate::error::{Error, InvalidReason, Result};
use crate::grant::{Grant, GrantState};
use crate::response_type::ResponseType;
use crate::scope::Scope;
use crate::secret::{Secret, TokenHash};
use crate::settings::{Lifetimes, micros};
use crate::signing_key::StoredSigningKey;
use crate::token::{Token, TokenKind, TokenPair, TokenRef, TokenState};

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) clients: BTreeMap<String, ClientRow>,
    pub(super) grants: BTreeMap<Uuid, GrantRow>,
    pub(super) tokens: HashMap<TokenHash, TokenRow>,
    pub(super) codes: HashMap<TokenHash, CodeRow>,
    pub(super) records: HashMap<TokenHash, RecordRow>,
    pub(super) devices: HashMap<TokenHash, DeviceRow>,
    /// By subject and client.
    pub(super) consents: BTreeMap<(String, String), Consent>,
    pub(super) signing_keys: Vec<StoredSigningKey>,
    /// By `sid`, which is in the order of creation.
    pub(super) sessions: BTreeMap<Uuid, SessionRow>,
    /// The offset by which the clock was moved forward.
    pub(super) clock: TimeDelta,
}

impl State {
    /// The current time in microseconds, as PostgreSQL has it.
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no PostgreSQL whose clock could decide"
    )]
    pub(super) fn now(&self) -> DateTime<Utc> {
        let now = Utc::now().trunc_subsecs(6);
        now.checked_add_signed(self.clock).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Fails if the client is unknown or disabled.
    pub(super) fn check_enabled(&self, client_id: &str) -> Result<()> {
        match self.clients.get(client_id) {
            Some(row) if row.is_enabled(self.now()) => Ok(()),
            _ => Err(Error::invalid("client_id", InvalidReason::Unknown)),
        }
    }
}

/// A client; the key is its identifier.
#[derive(Clone)]
pub(super) struct ClientRow {
    pub(super) client: Client,
    pub(super) secret: Option<StoredSecret>,
    /// Earlier secrets whose overlap is running, newest first.
    pub(super) previous_secrets: Vec<StoredSecret>,
    pub(super) registration_access_token_hash: Option<String>,
}

#[derive(Clone)]
pub(super) struct StoredSecret {
    pub(super) hash: String,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl StoredSecret {
    pub(super) fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }

    /// Returns the same secret with an expiry of `end` or earlier.
    pub(super) fn ending(self, end: DateTime<Utc>) -> Self {
        Self { expires_at: Some(self.expires_at.map_or(end, |own| own.min(end))), ..self }
    }
}

impl ClientRow {
    pub(super) fn is_enabled(&self, now: DateTime<Utc>) -> bool {
        self.client.disabled_at.is_none() && self.client.expires_at.is_none_or(|end| end > now)
    }

    /// The hashes of the secrets that are valid now.
    pub(super) fn hashes(&self, now: DateTime<Utc>) -> Vec<String> {
        let secrets = self.secret.iter().chain(&self.previous_secrets);
        secrets.filter(|secret| secret.is_valid(now)).map(|secret| secret.hash.clone()).collect()
    }

    pub(super) fn set_secret(&mut self, secret: Option<StoredSecret>) {
        self.client.client_secret_expires_at = secret.as_ref().and_then(|secret| secret.expires_at);
        self.secret = secret;
    }

    pub(super) fn rotate_secret(
        &mut self,
        hash: String,
        lifetime: Option<Duration>,
        overlap: Duration,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.previous_secrets.retain(|secret| secret.is_valid(now));
        if overlap.is_zero() {
            self.previous_secrets.clear();
        } else if self.previous_secrets.len() >= MAX_PREVIOUS_SECRETS {
            let reason = InvalidReason::TooMany(MAX_PREVIOUS_SECRETS);
            return Err(Error::invalid("overlap", reason));
        } else if let Some(secret) = self.secret.take().filter(|secret| secret.is_valid(now)) {
            self.previous_secrets.insert(0, secret.ending(after(now, overlap)));
        }
        let expires_at = lifetime.map(|lifetime| after(now, lifetime));
        self.set_secret(Some(StoredSecret { hash, expires_at }));
        self.client.updated_at = now;
        Ok(())
    }
}

/// A grant; the key is its identifier.
#[derive(Clone)]
pub(super) struct GrantRow {
    pub(super) client_id: String,
    pub(super) subject: Option<String>,
    pub(super) scope: Scope,
    pub(super) granted_at: DateTime<Utc>,
    /// Expiry of the last credential.
    pub(super) expires_at: DateTime<Utc>,
    pub(super) revoked_at: Option<DateTime<Utc>>,
    /// Absolute expiry of the refresh tokens, if they have an idle lifetime.
    pub(super) refresh_expires_at: Option<DateTime<Utc>>,
    pub(super) context: GrantContext,
}

impl GrantRow {
    pub(super) fn to_grant(&self, grant_id: Uuid, now: DateTime<Utc>) -> Grant {
        Grant {
            grant_id,
            client_id: self.client_id.clone(),
            subject: self.subject.clone(),
            scope: self.scope.clone(),
            granted_at: self.granted_at,
            expires_at: self.expires_at,
            state: GrantState::new(self.revoked_at.is_some(), self.expires_at <= now),
            context: self.context.clone(),
        }
    }

    /// Extends the expiry to that of a pair that is stored now.
    pub(super) fn extend(&mut self, now: DateTime<Utc>, lifetimes: &Lifetimes) {
        self.expires_at = self.expires_at.max(after_micros(now, lifetimes.grant));
        let refresh_end = lifetimes.refresh_end.map(|end| after_micros(now, end));
        self.refresh_expires_at = self.refresh_expires_at.or(refresh_end);
    }
}

impl State {
    /// Revokes the matching grants and returns how many were not yet revoked.
    pub(super) fn revoke_grants(&mut self, matches: impl Fn(&Uuid, &GrantRow) -> bool) -> u64 {
        let now = self.now();
        let mut revoked = 0;
        for (id, grant) in &mut self.grants {
            if grant.revoked_at.is_none() && matches(id, grant) {
                grant.revoked_at = Some(now);
                revoked += 1;
            }
        }
        revoked
    }
}

/// A token; the key is its digest.
#[derive(Clone)]
pub(super) struct TokenRow {
    pub(super) kind: TokenKind,
    pub(super) grant_id: Uuid,
    /// The scope, if it differs from that of the grant.
    pub(super) scope: Option<Scope>,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// Time of the first exchange of a refresh token.
    pub(super) rotated_at: Option<DateTime<Utc>>,
    pub(super) revoked: bool,
}

impl TokenRow {
    pub(super) fn new(
        kind: TokenKind,
        grant_id: Uuid,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        let (scope, rotated_at, revoked) = (None, None, false);
        Self { kind, grant_id, scope, issued_at, expires_at, rotated_at, revoked }
    }

    pub(super) fn to_token(&self, grant: &GrantRow, now: DateTime<Utc>) -> Token {
        let revoked = self.revoked || grant.revoked_at.is_some();
        Token {
            kind: self.kind,
            grant_id: self.grant_id,
            client_id: grant.client_id.clone(),
            subject: grant.subject.clone(),
            scope: self.scope.as_ref().unwrap_or(&grant.scope).clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            state: TokenState::new(revoked, self.rotated_at.is_some(), self.expires_at <= now),
            context: grant.context.clone(),
        }
    }
}

impl State {
    /// Finds the client's token with this secret and kind, and its grant. A token without a grant
    /// is not found.
    pub(super) fn token(
        &self,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Option<(&TokenRow, &GrantRow)> {
        // A malformed value is not hashed, because it can be long.
        if !token.secret().is_well_formed() {
            return None;
        }
        let row = self.tokens.get(&token.secret().digest())?;
        let grant = self.grants.get(&row.grant_id)?;
        let kind_fits = token.kind().is_none_or(|kind| kind == row.kind);
        (kind_fits && grant.client_id == client_id).then_some((row, grant))
    }

    /// Fails if one of the tokens already exists.
    pub(super) fn check_fresh(&self, tokens: &TokenPair) -> Result<()> {
        if self.tokens.contains_key(&tokens.access_token.digest()) {
            return Err(Error::invalid("access_token", InvalidReason::Duplicate));
        }
        let refresh_token = tokens.refresh_token.as_ref();
        if refresh_token.is_some_and(|token| self.tokens.contains_key(&token.digest())) {
            return Err(Error::invalid("refresh_token", InvalidReason::Duplicate));
        }
        Ok(())
    }

    /// Stores a checked pair.
    pub(super) fn store(&mut self, tokens: &TokenPair, access: TokenRow, refresh: TokenRow) {
        self.tokens.insert(tokens.access_token.digest(), access);
        if let Some(refresh_token) = &tokens.refresh_token {
            self.tokens.insert(refresh_token.digest(), refresh);
        }
    }
}

/// An authorization code; the key is its digest.
#[derive(Clone)]
pub(super) struct CodeRow {
    pub(super) response_type: ResponseType,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: Option<CodeChallenge>,
    pub(super) grant_id: Uuid,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// Time at which it was exchanged for tokens, or deleted.
    pub(super) consumed_at: Option<DateTime<Utc>>,
}

impl CodeRow {
    pub(super) fn to_code(&self, grant: &GrantRow, now: DateTime<Utc>) -> AuthorizationCode {
        AuthorizationCode {
            grant_id: self.grant_id,
            client_id: grant.client_id.clone(),
            subject: grant.subject.clone(),
            scope: grant.scope.clone(),
            response_type: self.response_type,
            redirect_uri: self.redirect_uri.clone(),
            code_challenge: self.code_challenge.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            expired: self.expires_at <= now,
            context: grant.context.clone(),
        }
    }
}

impl State {
    /// Finds the client's code with this secret and its grant, in any state.
    pub(super) fn code(&self, client_id: &str, code: &Secret) -> Option<(&CodeRow, &GrantRow)> {
        if !code.is_well_formed() {
            return None;
        }
        let row = self.codes.get(&code.digest())?;
        let grant = self.grants.get(&row.grant_id)?;
        (grant.client_id == client_id).then_some((row, grant))
    }
}

/// Returns the end of a checked lifetime.
pub(super) fn after(start: DateTime<Utc>, lifetime: Duration) -> DateTime<Utc> {
    after_micros(start, micros(lifetime))
}

pub(super) fn after_micros(start: DateTime<Utc>, lifetime: i64) -> DateTime<Utc> {
    start.checked_add_signed(TimeDelta::microseconds(lifetime)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
