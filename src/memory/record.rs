use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::MemoryStorage;
use super::state::{State, after};
use crate::error::Result;
use crate::pending_request::{NewPendingRequest, PendingRequest, PendingRequestStorage};
use crate::pushed_request::{NewPushedRequest, PushedRequest, PushedRequestStorage};
use crate::record::{NewRecord, Record, RecordKind};
use crate::replay::{Claim, ClaimOutcome, ReplayStorage};
use crate::secret::{Secret, TokenHash};

/// A record; the key is its digest.
#[derive(Clone)]
pub(super) struct RecordRow {
    client_id: Option<String>,
    record: Record,
}

impl RecordRow {
    pub(super) const fn new(record: Record) -> Self {
        Self { client_id: None, record }
    }

    /// Adds one to the version and returns it.
    pub(super) fn count(&mut self) -> u32 {
        self.record.version = self.record.version.saturating_add(1);
        self.record.version.unsigned_abs()
    }

    pub(super) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.record.expires_at > now
    }
}

impl State {
    /// Returns false if the record exists.
    fn put(&mut self, new: NewRecord) -> bool {
        let now = self.now();
        if self.records.get(&new.digest).is_some_and(|row| row.is_live(now)) {
            return false;
        }
        let record = Record {
            value: new.value.unwrap_or_default(),
            version: 0,
            expires_at: after(now, new.expires_in),
        };
        self.records.insert(new.digest, RecordRow { client_id: new.client_id, record });
        true
    }

    fn record(&self, digest: TokenHash) -> Option<&RecordRow> {
        self.records.get(&digest).filter(|row| row.is_live(self.now()))
    }

    fn take(&mut self, digest: TokenHash, client_id: Option<&str>) -> Option<Record> {
        self.record(digest).filter(|row| row.client_id.as_deref() == client_id)?;
        self.records.remove(&digest).map(|row| row.record)
    }
}

#[async_trait]
impl ReplayStorage for MemoryStorage {
    async fn claim(&self, claim: Claim) -> Result<ClaimOutcome> {
        let record = claim.into_record()?;
        Ok(ClaimOutcome::new(self.state().await.put(record)))
    }
}

#[async_trait]
impl PushedRequestStorage for MemoryStorage {
    async fn push_request(&self, request: NewPushedRequest) -> Result<PushedRequest> {
        let (pushed, record) = request.into_record()?;
        self.state().await.put(record);
        Ok(pushed)
    }

    async fn take_pushed_request(
        &self,
        client_id: &str,
        request_uri: &str,
    ) -> Result<Option<Map<String, Value>>> {
        let digest = RecordKind::Pushed.digest(&[request_uri]);
        Ok(self.state().await.take(digest, Some(client_id)).map(|record| record.value))
    }
}

#[async_trait]
impl PendingRequestStorage for MemoryStorage {
    async fn suspend_request(&self, request: NewPendingRequest) -> Result<()> {
        let record = request.into_record()?;
        match self.state().await.put(record) {
            true => Ok(()),
            false => Err(NewPendingRequest::duplicate()),
        }
    }

    async fn find_pending_request(&self, id: &Secret) -> Result<Option<PendingRequest>> {
        let state = self.state().await;
        let found = state.record(RecordKind::Pending.digest(&[id.expose()]));
        Ok(found.map(|row| row.record.clone().into()))
    }

    async fn change_pending_request(&self, id: &Secret, request: PendingRequest) -> Result<bool> {
        request.check()?;
        let digest = RecordKind::Pending.digest(&[id.expose()]);
        let mut state = self.state().await;
        let is_current =
            state.record(digest).is_some_and(|row| row.record.version == request.version);
        if let Some(row) = state.records.get_mut(&digest).filter(|_| is_current) {
            row.record.value = request.value;
            row.record.version += 1;
        }
        Ok(is_current)
    }

    async fn resume_request(&self, id: &Secret) -> Result<Option<PendingRequest>> {
        let digest = RecordKind::Pending.digest(&[id.expose()]);
        Ok(self.state().await.take(digest, None).map(PendingRequest::from))
    }
}
