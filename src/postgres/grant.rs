//! Grants: how the operations of [`GrantStorage`] are done.

mod list;
mod purge;
mod redeem;
mod revoke;
mod rotate;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::model::{
    Grant, Purged, Redeem, Redeemed, Rotate, Rotated, Scope, Token, TokenKind, TokenRef, TokenState,
};
use crate::postgres::PgStorage;
use crate::postgres::context;
use crate::postgres::executor::Connections;
use crate::postgres::observe::observe;
use crate::postgres::token::{FindToken, NamedToken, corrupt};
use crate::request::Request;
use crate::secret::{Digest, Secret};
use crate::storage::GrantStorage;
pub(super) use revoke::{Owner, TRIES, Unrevoked};

/// A code or a refresh token that is valid, or was before it was spent, and the access token that
/// came of it.
struct SpentRow {
    position: i64,
    /// It was spent before; nothing was stored.
    reused: bool,
    /// A wider scope was asked for; nothing was stored.
    wider: bool,
    grant_id: Uuid,
    subject: Option<String>,
    scope: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    context: Option<String>,
}

impl SpentRow {
    /// The access token that was stored.
    fn into_token(self, client_id: String, digest: &Digest) -> Result<Token> {
        Ok(Token {
            kind: TokenKind::AccessToken,
            grant_id: self.grant_id,
            client_id,
            subject: self.subject,
            scope: Scope::from_stored(self.scope)
                .map_err(|e| corrupt("scope", digest, e.to_string()))?,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            state: TokenState::Active,
            context: context::from_column(self.context)
                .map_err(|e| corrupt("context", digest, e.to_string()))?,
        })
    }
}

#[async_trait]
impl<C: Connections> GrantStorage for PgStorage<C> {
    async fn redeem_authorization_code(
        &self,
        request: &Request,
        redeem: Redeem,
    ) -> Result<Redeemed> {
        let client_id = redeem.client_id.clone();
        observe!(self, redeem_authorization_code on authorization_code, client_id = client_id)
            .run(async {
                redeem.check(request)?;
                let Some(spend) = redeem::RedeemCode::new(request, &redeem) else {
                    return Ok(Redeemed::Invalid);
                };
                match self.connections.run(spend).await? {
                    None => Ok(Redeemed::Invalid),
                    Some(SpentRow { reused: true, grant_id, .. }) => {
                        // What is rare is in a box: the future stays small.
                        Box::pin(self.revoke_whole_grant(grant_id)).await?;
                        Ok(Redeemed::Replayed { grant_id })
                    }
                    Some(row) => {
                        let token = row.into_token(client_id, &redeem.access_token.digest())?;
                        Ok(Redeemed::Issued(Box::new(token)))
                    }
                }
            })
            .await
    }

    async fn rotate_refresh_token(&self, request: &Request, rotate: Rotate) -> Result<Rotated> {
        observe!(self, rotate_refresh_token on token, client_id = rotate.client_id)
            .run(async {
                rotate.check(request)?;
                let Some(spend) = rotate::RotateToken::new(request, &rotate) else {
                    return Ok(Rotated::Invalid);
                };
                let client_id = rotate.client_id;
                match self.connections.run(spend).await? {
                    None => Ok(Rotated::Invalid),
                    Some(SpentRow { reused: true, grant_id, .. }) => {
                        Box::pin(self.revoke_whole_grant(grant_id)).await?;
                        Ok(Rotated::Reused { grant_id })
                    }
                    Some(SpentRow { wider: true, .. }) => {
                        Err(Error::invalid("scope", Problem::NotAllowed))
                    }
                    Some(row) => {
                        let token = row.into_token(client_id, &rotate.new_access_token.digest())?;
                        Ok(Rotated::Issued(Box::new(token)))
                    }
                }
            })
            .await
    }

    async fn introspect(&self, token: &Secret) -> Result<Option<Token>> {
        observe!(self, introspect on token)
            .run(async {
                let Some(named) = NamedToken::new(None, TokenRef::Any(token)) else {
                    return Ok(None);
                };
                match self.connections.run(FindToken(named.clone())).await? {
                    Some(row) if row.is_active() => row.into_token(&named),
                    _ => Ok(None),
                }
            })
            .await
    }

    async fn revoke_grant(&self, grant_id: Uuid) -> Result<u64> {
        observe!(self, revoke_grant on token, grant_id = grant_id)
            .run(self.revoke_whole_grant(grant_id))
            .await
    }

    async fn revoke_subject(&self, subject: &str) -> Result<u64> {
        observe!(self, revoke_subject on token, subject)
            .run(self.revoke_all_of_subject(subject))
            .await
    }

    async fn revoke_client(&self, client_id: &str) -> Result<u64> {
        observe!(self, revoke_client on token, client_id)
            .run(self.revoke_all_of_client(client_id))
            .await
    }

    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Grant>> {
        observe!(self, list_grants on token, subject)
            .run(self.list_live_grants(subject, after, limit))
            .await
    }

    async fn purge_expired(&self, limit: usize) -> Result<Purged> {
        observe!(self, purge_expired on token, limit).run(self.purge_batch(limit)).await
    }
}
