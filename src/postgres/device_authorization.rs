//! [`DeviceAuthorizationStorage`] for PostgreSQL.

mod approve;
mod find;
mod issue;
mod poll;
mod start;

use async_trait::async_trait;
use uuid::Uuid;

use crate::device_authorization::{
    DeviceApproval, DeviceAuthorization, DeviceAuthorizationStorage, DevicePoll, DevicePollOutcome,
    NewDeviceAuthorization, UserCodeLookup, UserCodeOutcome, user_code_digest,
};
use crate::error::{Error, InvalidReason, Result};
use crate::grant::IssuedTokens;
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::telemetry::observe;
use crate::request::RequestContext;
use approve::{Approve, Deny};
use find::{Find, Found};
use issue::Issue;
use poll::{Poll, Polled};
use start::{Start, Started};

/// The number of user codes that are tried. With a million live ones, one in 25,000 is taken.
const USER_CODES: usize = 5;

impl<C: Connections> PgStorage<C> {
    async fn start_device(&self, device: NewDeviceAuthorization) -> Result<DeviceAuthorization> {
        device.check()?;
        for _ in 0..USER_CODES {
            let codes = device.generate()?;
            match self.connections.run(Start::new(&device, &codes)).await? {
                Started::Stored => return Ok(codes),
                Started::UserCodeTaken => {}
                Started::UnknownClient => {
                    return Err(Error::invalid("client_id", InvalidReason::Unknown));
                }
            }
        }
        Err(Error::invalid("user_code", InvalidReason::Duplicate))
    }

    async fn find_pending_device(&self, lookup: UserCodeLookup) -> Result<UserCodeOutcome> {
        lookup.check()?;
        let user_code = lookup.user_code_digest();
        if user_code.is_none() && lookup.guesser.is_none() {
            return Ok(UserCodeOutcome::Unknown);
        }
        match self.connections.run(Find::new(&lookup, user_code)).await? {
            Found::Limited => Ok(UserCodeOutcome::Limited),
            Found::Unknown => Ok(UserCodeOutcome::Unknown),
            Found::Pending(row) => row.into_outcome(),
        }
    }

    async fn approve_device(
        &self,
        request: &RequestContext,
        approval: DeviceApproval,
    ) -> Result<bool> {
        let subject = approval.check(request)?;
        let context = approval.full_context(request);
        let Some(user_code) = approval.user_code_digest() else { return Ok(false) };
        let approve = Approve {
            user_code: user_code.halves().0,
            grant_id: approval.grant_id,
            client_id: approval.client_id,
            subject,
            scope: approval.scope,
            context,
        };
        match self.connections.run(approve).await? {
            Some(true) => Ok(true),
            Some(false) => Err(DeviceApproval::wider()),
            None => Ok(false),
        }
    }

    async fn deny_device(&self, user_code: &str, grant_id: Uuid) -> Result<bool> {
        let Some(user_code) = user_code_digest(user_code) else { return Ok(false) };
        let (user_code, _) = user_code.halves();
        self.connections.run(Deny { user_code, grant_id }).await
    }

    async fn poll_device(
        &self,
        request: &RequestContext,
        poll: DevicePoll,
    ) -> Result<DevicePollOutcome> {
        poll.check(request)?;
        if !poll.is_well_formed() {
            return Ok(DevicePollOutcome::Invalid);
        }
        match self.connections.run(Poll::new(&poll)).await? {
            None => Ok(DevicePollOutcome::Invalid),
            Some(Polled::Pending) => Ok(DevicePollOutcome::Pending),
            Some(Polled::SlowDown) => Ok(DevicePollOutcome::SlowDown),
            Some(Polled::Denied) => Ok(DevicePollOutcome::Denied),
            Some(Polled::Expired) => Ok(DevicePollOutcome::Expired),
            Some(Polled::Approved) => Box::pin(self.issue_to_device(request, poll)).await,
        }
    }

    async fn issue_to_device(
        &self,
        request: &RequestContext,
        poll: DevicePoll,
    ) -> Result<DevicePollOutcome> {
        let tokens = poll.tokens_to_issue(request)?;
        let issue = Issue::new(&self.connections, request, &poll, &tokens);
        let Some(row) = self.spend(issue, &tokens).await? else {
            return Ok(DevicePollOutcome::Invalid);
        };
        let tokens = if row.refreshable { tokens } else { tokens.without_refresh_token() };
        let token = row.into_token(poll.client_id, &tokens.access_token.digest())?;
        Ok(DevicePollOutcome::Issued(Box::new(IssuedTokens { token, tokens })))
    }
}

#[async_trait]
impl<C: Connections> DeviceAuthorizationStorage for PgStorage<C> {
    async fn start_device_authorization(
        &self,
        device: NewDeviceAuthorization,
    ) -> Result<DeviceAuthorization> {
        observe!(self, start_device_authorization on device_authorization,
            client_id = device.client_id)
        .run(self.start_device(device))
        .await
    }

    async fn find_device_authorization(&self, lookup: UserCodeLookup) -> Result<UserCodeOutcome> {
        observe!(self, find_device_authorization on device_authorization)
            .run(self.find_pending_device(lookup))
            .await
    }

    async fn approve_device_authorization(
        &self,
        request: &RequestContext,
        approval: DeviceApproval,
    ) -> Result<bool> {
        observe!(self, approve_device_authorization on device_authorization,
            client_id = approval.client_id)
        .run(self.approve_device(request, approval))
        .await
    }

    async fn deny_device_authorization(&self, user_code: &str, grant_id: Uuid) -> Result<bool> {
        observe!(self, deny_device_authorization on device_authorization)
            .run(self.deny_device(user_code, grant_id))
            .await
    }

    async fn poll_device_authorization(
        &self,
        request: &RequestContext,
        poll: DevicePoll,
    ) -> Result<DevicePollOutcome> {
        observe!(self, poll_device_authorization on device_authorization,
            client_id = poll.client_id)
        .run(self.poll_device(request, poll))
        .await
    }
}
