use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::MemoryStorage;
use super::record::RecordRow;
use super::state::{GrantRow, State, TokenRow, after, after_micros};
use crate::context::GrantContext;
use crate::device_authorization::{
    DeviceApproval, DeviceAuthorization, DeviceAuthorizationStorage, DevicePoll, DevicePollOutcome,
    MAX_POLL_INTERVAL, NewDeviceAuthorization, PendingDeviceAuthorization, UserCodeLookup,
    UserCodeOutcome, user_code_digest,
};
use crate::error::{Error, InvalidReason, Result};
use crate::grant::IssuedTokens;
use crate::record::Record;
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::TokenHash;
use crate::settings::Lifetimes;
use crate::token::TokenKind;

/// A device authorization; the key is the digest of its device code.
#[derive(Clone)]
pub(super) struct DeviceRow {
    user_code: TokenHash,
    decision: Decision,
    pub(super) client_id: String,
    scope: Scope,
    context: GrantContext,
    issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    polled_at: Option<DateTime<Utc>>,
    interval: Duration,
    pub(super) grant_id: Uuid,
}

#[derive(Clone, Copy, PartialEq)]
enum Decision {
    Pending,
    Approved,
    Denied,
}

impl State {
    /// Finds the pending authorization with a user code.
    fn pending_device(
        &mut self,
        user_code: TokenHash,
        grant_id: Option<Uuid>,
    ) -> Option<&mut DeviceRow> {
        let now = self.now();
        self.devices.values_mut().find(|row| {
            row.user_code == user_code
                && grant_id.is_none_or(|grant_id| row.grant_id == grant_id)
                && row.decision == Decision::Pending
                && row.expires_at > now
        })
    }

    /// Counts an attempt. Returns true if the guesser has no attempts left.
    fn is_limited(&mut self, lookup: &UserCodeLookup, guesser: TokenHash) -> bool {
        let now = self.now();
        let expires_at = after(now, lookup.window);
        let new = || Record { value: serde_json::Map::new(), version: 0, expires_at };
        let row = self.records.entry(guesser).or_insert_with(|| RecordRow::new(new()));
        if !row.is_live(now) {
            *row = RecordRow::new(new());
        }
        row.count() > lookup.attempts
    }
}

#[async_trait]
impl DeviceAuthorizationStorage for MemoryStorage {
    async fn start_device_authorization(
        &self,
        device: NewDeviceAuthorization,
    ) -> Result<DeviceAuthorization> {
        device.check()?;
        let mut state = self.state().await;
        let now = state.now();
        state.check_enabled(&device.client_id)?;
        loop {
            let codes = device.generate()?;
            let Some(user_code) = user_code_digest(&codes.user_code) else { continue };
            let is_taken = |row: &DeviceRow| {
                row.user_code == user_code
                    && (row.expires_at > now || row.decision == Decision::Approved)
            };
            if state.devices.values().any(is_taken) {
                continue;
            }
            state.devices.retain(|_, row| row.user_code != user_code);
            let row = DeviceRow {
                user_code,
                decision: Decision::Pending,
                client_id: device.client_id,
                scope: device.scope,
                context: device.context.or_from(None),
                issued_at: now,
                expires_at: after(now, device.expires_in),
                polled_at: None,
                interval: device.interval,
                grant_id: codes.grant_id(),
            };
            state.devices.insert(codes.device_code.digest(), row);
            return Ok(codes);
        }
    }

    async fn find_device_authorization(&self, lookup: UserCodeLookup) -> Result<UserCodeOutcome> {
        lookup.check()?;
        let mut state = self.state().await;
        if let Some(guesser) = lookup.guesser_digest()
            && state.is_limited(&lookup, guesser)
        {
            return Ok(UserCodeOutcome::Limited);
        }
        let Some(user_code) = lookup.user_code_digest() else {
            return Ok(UserCodeOutcome::Unknown);
        };
        let Some(row) = state.pending_device(user_code, None).cloned() else {
            return Ok(UserCodeOutcome::Unknown);
        };
        if state.check_enabled(&row.client_id).is_err() {
            return Ok(UserCodeOutcome::Unknown);
        }
        Ok(UserCodeOutcome::Found(Box::new(PendingDeviceAuthorization::new(
            row.grant_id,
            row.client_id,
            row.scope,
            row.context,
            row.issued_at,
            row.expires_at,
        ))))
    }

    async fn approve_device_authorization(
        &self,
        request: &RequestContext,
        approval: DeviceApproval,
    ) -> Result<bool> {
        let subject = approval.check(request)?;
        let context = approval.full_context(request);
        let Some(user_code) = approval.user_code_digest() else { return Ok(false) };
        let mut state = self.state().await;
        let now = state.now();
        if state.check_enabled(&approval.client_id).is_err() {
            return Ok(false);
        }
        let device = state.pending_device(user_code, Some(approval.grant_id));
        let Some(device) = device.filter(|row| row.client_id == approval.client_id) else {
            return Ok(false);
        };
        if !approval.scope.is_subset_of(&device.scope) {
            return Err(DeviceApproval::wider());
        }
        device.decision = Decision::Approved;
        let (grant_id, expires_at) = (device.grant_id, device.expires_at);
        let grant = GrantRow {
            client_id: approval.client_id,
            subject: Some(subject),
            scope: approval.scope,
            granted_at: now,
            expires_at,
            revoked_at: None,
            refresh_expires_at: None,
            context,
        };
        state.grants.insert(grant_id, grant);
        Ok(true)
    }

    async fn deny_device_authorization(&self, user_code: &str, grant_id: Uuid) -> Result<bool> {
        let Some(user_code) = user_code_digest(user_code) else { return Ok(false) };
        let mut state = self.state().await;
        let Some(device) = state.pending_device(user_code, Some(grant_id)) else {
            return Ok(false);
        };
        device.decision = Decision::Denied;
        Ok(true)
    }

    async fn poll_device_authorization(
        &self,
        request: &RequestContext,
        poll: DevicePoll,
    ) -> Result<DevicePollOutcome> {
        poll.check(request)?;
        if !poll.is_well_formed() {
            return Ok(DevicePollOutcome::Invalid);
        }
        let mut guard = self.state().await;
        let state = &mut *guard;
        let now = state.now();
        let digest = poll.device_code.digest();
        let device = state.devices.get_mut(&digest);
        let Some(device) = device.filter(|row| row.client_id == poll.client_id) else {
            return Ok(DevicePollOutcome::Invalid);
        };
        if device.expires_at <= now {
            return Ok(DevicePollOutcome::Expired);
        }
        match device.decision {
            Decision::Denied => return Ok(DevicePollOutcome::Denied),
            Decision::Pending => {
                // A fifth of the interval is left to the network.
                let early = |polled| after(polled, device.interval * 4 / 5) > now;
                let too_early = device.polled_at.is_some_and(early);
                device.polled_at = Some(now);
                if too_early {
                    let longer = device.interval + Duration::from_secs(5);
                    device.interval = longer.min(MAX_POLL_INTERVAL);
                    return Ok(DevicePollOutcome::SlowDown);
                }
                return Ok(DevicePollOutcome::Pending);
            }
            Decision::Approved => {}
        }
        let grant_id = device.grant_id;
        let Some(grant) = state.grants.get(&grant_id) else {
            return Ok(DevicePollOutcome::Invalid);
        };
        let mut tokens = poll.tokens_to_issue(request)?;
        if grant.revoked_at.is_some() || state.check_enabled(&poll.client_id).is_err() {
            return Ok(DevicePollOutcome::Invalid);
        }
        if !request.settings.allows_refresh_token(&grant.scope) {
            tokens = tokens.without_refresh_token();
        }
        state.check_fresh(&tokens)?;
        let lifetimes = Lifetimes::new(&request.settings, tokens.refresh_token.is_some());
        let Some(grant) = state.grants.get_mut(&grant_id) else {
            return Err(Error::invalid("device_code", InvalidReason::Unknown));
        };
        grant.expires_at = now;
        grant.extend(now, &lifetimes);
        let row = |kind, lifetime| TokenRow::new(kind, grant_id, now, after_micros(now, lifetime));
        let access = row(TokenKind::Access, lifetimes.access_token);
        let refresh = row(TokenKind::Refresh, lifetimes.refresh_token);
        let token = access.to_token(grant, now);
        state.store(&tokens, access, refresh);
        state.devices.remove(&digest);
        Ok(DevicePollOutcome::Issued(Box::new(IssuedTokens { token, tokens })))
    }
}
