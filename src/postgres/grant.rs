//! Grants: how the operations of [`GrantStorage`] are done.

mod list;
mod purge;
mod redeem;
mod revoke;
mod rotate;

use async_trait::async_trait;
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::{Grant, Purged, Redeem, Redeemed, Rotate, Rotated, Token, TokenRef};
use crate::postgres::PgStorage;
use crate::postgres::executor::Connections;
use crate::postgres::token::{FindToken, NamedToken};
use crate::request::Request;
use crate::secret::Secret;
use crate::storage::GrantStorage;

/// A word that no statement here says: never taken for a yes.
fn unexpected(state: &str) -> Error {
    Error::Backend { code: None, message: format!("a statement said {state:?}"), source: None }
}

#[async_trait]
impl<C: Connections> GrantStorage for PgStorage<C> {
    #[tracing::instrument(name = "db.grant.redeem", skip_all, fields(client_id = redeem.client_id))]
    async fn redeem_authorization_code(
        &self,
        request: &Request,
        redeem: Redeem,
    ) -> Result<Redeemed> {
        redeem.check(request)?;
        let Some(spend) = redeem::RedeemCode::new(request, &redeem)? else {
            return Ok(Redeemed::Invalid);
        };
        let access_token = redeem.access_token.digest();
        let Some(row) = self.connections.run(spend).await? else { return Ok(Redeemed::Invalid) };
        match row.state.as_str() {
            "active" => Ok(Redeemed::Issued(Box::new(row.into_token(access_token)?))),
            "replayed" => {
                let grant_id = row.grant_id;
                self.revoke_whole_grant(grant_id).await?;
                Ok(Redeemed::Replayed { grant_id })
            }
            other => Err(unexpected(other)),
        }
    }

    #[tracing::instrument(name = "db.grant.rotate", skip_all, fields(client_id = rotate.client_id))]
    async fn rotate_refresh_token(&self, request: &Request, rotate: Rotate) -> Result<Rotated> {
        rotate.check(request)?;
        let Some(spend) = rotate::RotateToken::new(request, &rotate)? else {
            return Ok(Rotated::Invalid);
        };
        let access_token = rotate.new_access_token.digest();
        let Some(row) = self.connections.run(spend).await? else { return Ok(Rotated::Invalid) };
        match row.state.as_str() {
            "reused" => {
                let grant_id = row.grant_id;
                self.revoke_whole_grant(grant_id).await?;
                Ok(Rotated::Reused { grant_id })
            }
            "wider" => Err(Error::invalid("scope", Problem::NotAllowed)),
            "active" => Ok(Rotated::Issued(Box::new(row.into_token(access_token)?))),
            other => Err(unexpected(other)),
        }
    }

    #[tracing::instrument(name = "db.grant.introspect", skip_all)]
    async fn introspect(&self, token: &Secret) -> Result<Option<Token>> {
        let Some(named) = NamedToken::new(None, TokenRef::Any(token)) else { return Ok(None) };
        let digest = named.digest;
        match self.connections.run(FindToken(named)).await? {
            Some(row) if row.state == "active" => row.into_token(digest).map(Some),
            _ => Ok(None),
        }
    }

    #[tracing::instrument(name = "db.grant.revoke", skip_all, fields(grant_id = %grant_id))]
    async fn revoke_grant(&self, grant_id: Uuid) -> Result<u64> {
        self.revoke_whole_grant(grant_id).await
    }

    #[tracing::instrument(name = "db.grant.revoke_subject", skip_all, fields(subject = subject))]
    async fn revoke_subject(&self, subject: &str) -> Result<u64> {
        self.revoke_all_of_subject(subject).await
    }

    #[tracing::instrument(name = "db.grant.revoke_client", skip_all, fields(client_id = client_id))]
    async fn revoke_client(&self, client_id: &str) -> Result<u64> {
        self.revoke_all_of_client(client_id).await
    }

    #[tracing::instrument(name = "db.grant.list", skip_all, fields(subject = subject))]
    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Grant>> {
        self.list_live_grants(subject, after, limit).await
    }

    #[tracing::instrument(name = "db.grant.purge", skip_all, fields(limit = limit))]
    async fn purge_expired(&self, limit: usize) -> Result<Purged> {
        self.purge_batch(limit).await
    }
}
