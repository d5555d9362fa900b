//! Records beside grants: the next call must see each acknowledged change.

use std::time::Duration;

use oauth_storage::device_authorization::{
    DeviceApproval, DevicePoll, DevicePollOutcome, NewDeviceAuthorization, UserCodeLookup,
    UserCodeOutcome,
};
use oauth_storage::replay::{Claim, ClaimOutcome};
use oauth_storage::{
    ConsentStorage as _, DeviceAuthorizationStorage as _, ReplayStorage as _, RequestContext, User,
};
use uuid::Uuid;

use super::state::Walk;

const LIFETIME: Duration = Duration::from_hours(1);

impl Walk {
    /// Claims, consents or authorizes a device.
    pub(super) async fn beside(&self) {
        match fastrand::u8(0..3) {
            0 => self.claim().await,
            1 => self.consent().await,
            _ => self.device().await,
        }
    }

    async fn claim(&self) {
        let storage = &self.caller.storage;
        let claim = Claim::new("faults", Uuid::now_v7(), LIFETIME);
        let first = self.caller.call(storage.claim(claim.clone())).await.value;
        let second = self.caller.call(storage.claim(claim)).await.value;
        if first == Some(ClaimOutcome::Seen) {
            self.contradiction(|| "a new identifier was seen before".into());
        }
        if (first, second) == (Some(ClaimOutcome::First), Some(ClaimOutcome::First)) {
            self.contradiction(|| "an acknowledged claim is lost".into());
        }
    }

    async fn consent(&self) {
        let (storage, client_id) = (&self.caller.storage, &self.history.client_id);
        // The user of the grant may be erased.
        let subject = format!("consenting-{}", Uuid::now_v7());
        let scope = self.scope();
        let added = self.caller.call(storage.add_consent(&subject, client_id, &scope)).await;
        let found = self.caller.call(storage.get_consent(&subject, client_id)).await.value;
        if added.value.is_some() && found.is_some_and(|found| found.is_none()) {
            self.contradiction(|| "an acknowledged consent is not found".into());
        }
        // No withdrawal: like other bulk operations it has the deadline for each of its statements.
    }

    async fn device(&self) {
        let (storage, client_id) = (&self.caller.storage, &self.history.client_id);
        let new = NewDeviceAuthorization::new(client_id, self.scope()).with_expires_in(LIFETIME);
        let started = self.caller.call(storage.start_device_authorization(new)).await;
        let Some(device) = started.value else { return };
        let lookup = UserCodeLookup::new(&device.user_code);
        let found = self.caller.call(storage.find_device_authorization(lookup)).await.value;
        let shown = match found {
            Some(UserCodeOutcome::Found(shown)) => shown,
            Some(_) => {
                return self.contradiction(|| "an acknowledged user code is not found".into());
            }
            None => return,
        };
        let approval = DeviceApproval::new(&device.user_code, &shown, self.scope());
        let request = RequestContext::for_user(User::new(format!("device-{}", Uuid::now_v7())));
        let approve = storage.approve_device_authorization(&request, approval);
        let approved = self.caller.call(approve).await.value;
        if approved == Some(false) {
            self.contradiction(|| "a pending device authorization was not approved".into());
        }
        let poll = DevicePoll::new(client_id, device.device_code);
        let none = RequestContext::default();
        let mut issued = 0;
        for _ in 0..2 {
            let poll = storage.poll_device_authorization(&none, poll.clone());
            match self.caller.call(poll).await.value {
                Some(DevicePollOutcome::Issued(_)) => issued += 1,
                Some(DevicePollOutcome::Pending | DevicePollOutcome::SlowDown)
                    if approved == Some(true) =>
                {
                    self.contradiction(|| "an acknowledged approval is lost".into());
                }
                _ => {}
            }
        }
        if issued > 1 {
            self.contradiction(|| "a device code was issued twice".into());
        }
    }
}
