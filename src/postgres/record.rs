//! [`ReplayStorage`], [`PushedRequestStorage`] and [`PendingRequestStorage`] for PostgreSQL: records of one
//! table.

mod statements;

use async_trait::async_trait;
use serde_json::{Map, Value};

use self::statements::{ChangeRecord, FindRecord, PutRecord, TakeRecord};
use crate::check::check_client_id;
use crate::error::Result;
use crate::pending_request::{NewPendingRequest, PendingRequest, PendingRequestStorage};
use crate::postgres::PgStorage;
use crate::postgres::batching::Connections;
use crate::postgres::telemetry::observe;
use crate::pushed_request::{NewPushedRequest, PushedRequest, PushedRequestStorage};
use crate::record::RecordKind;
use crate::replay::{Claim, ClaimOutcome, ReplayStorage};
use crate::secret::Secret;

#[async_trait]
impl<C: Connections> ReplayStorage for PgStorage<C> {
    async fn claim(&self, claim: Claim) -> Result<ClaimOutcome> {
        observe!(self, claim on record)
            .run(async {
                let put = PutRecord::new(claim.into_record()?);
                self.connections.run(put).await.map(ClaimOutcome::new)
            })
            .await
    }
}

#[async_trait]
impl<C: Connections> PushedRequestStorage for PgStorage<C> {
    async fn push_request(&self, request: NewPushedRequest) -> Result<PushedRequest> {
        observe!(self, push_request on record, client_id = request.client_id)
            .run(async {
                let (pushed, record) = request.into_record()?;
                // A new identifier of 256 bits does not exist yet.
                self.connections.run(PutRecord::new(record)).await.map(|_| pushed)
            })
            .await
    }

    async fn take_pushed_request(
        &self,
        client_id: &str,
        request_uri: &str,
    ) -> Result<Option<Map<String, Value>>> {
        observe!(self, take_pushed_request on record, client_id)
            .run(async {
                if check_client_id(client_id).is_err() {
                    return Ok(None);
                }
                let digest = RecordKind::Pushed.digest(&[request_uri]);
                let take = TakeRecord { digest, client_id: Some(client_id.to_owned()) };
                Ok(self.connections.run(take).await?.map(|record| record.value))
            })
            .await
    }
}

#[async_trait]
impl<C: Connections> PendingRequestStorage for PgStorage<C> {
    async fn suspend_request(&self, request: NewPendingRequest) -> Result<()> {
        observe!(self, suspend_request on record)
            .run(async {
                let put = PutRecord::new(request.into_record()?);
                match self.connections.run(put).await? {
                    true => Ok(()),
                    false => Err(NewPendingRequest::duplicate()),
                }
            })
            .await
    }

    async fn find_pending_request(&self, id: &Secret) -> Result<Option<PendingRequest>> {
        observe!(self, find_pending_request on record)
            .run(async {
                let find = FindRecord(RecordKind::Pending.digest(&[id.expose()]));
                Ok(self.connections.run(find).await?.map(PendingRequest::from))
            })
            .await
    }

    async fn change_pending_request(&self, id: &Secret, request: PendingRequest) -> Result<bool> {
        observe!(self, change_pending_request on record)
            .run(async {
                request.check()?;
                let digest = RecordKind::Pending.digest(&[id.expose()]);
                let PendingRequest { value, version, .. } = request;
                self.connections.run(ChangeRecord { digest, version, value }).await
            })
            .await
    }

    async fn resume_request(&self, id: &Secret) -> Result<Option<PendingRequest>> {
        observe!(self, resume_request on record)
            .run(async {
                let digest = RecordKind::Pending.digest(&[id.expose()]);
                let take = TakeRecord { digest, client_id: None };
                Ok(self.connections.run(take).await?.map(PendingRequest::from))
            })
            .await
    }
}
