//! [`GrantStorage`] for PostgreSQL.

mod bulk;
mod read;
mod redeem;
mod revoke;
mod rotate;
mod scan;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::check::{check_client_id, check_subject};
use crate::error::{Error, InvalidReason, Result};
use crate::grant::{
    CodeRedemption, Grant, GrantPage, GrantStorage, IssuedTokens, Purged, RedemptionOutcome,
    RotationOutcome, TokenRotation,
};
use crate::postgres::batching::{Connections, Statement};
use crate::postgres::consent::ConsentOwner;
use crate::postgres::telemetry::observe;
use crate::postgres::token::{FindToken, NamedToken, corrupt, corrupt_grant};
use crate::postgres::{PgStorage, context};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::{Secret, TokenHash};
use crate::token::{Token, TokenKind, TokenPair, TokenRef, TokenState};
pub(super) use bulk::half;
use redeem::RedeemCode;
pub(super) use redeem::has_offline_access;
use revoke::RevokeGrant;
use rotate::RotateToken;
pub(super) use scan::{Change, Owner};

/// A code or refresh token that matches its request, or an approved device, and the access token issued
/// for it.
pub(super) struct SpentRow {
    pub(super) position: i64,
    /// True if it was already spent: nothing was stored, and the grant is revoked.
    pub(super) replayed: bool,
    /// True if a wider scope was requested: nothing was stored.
    pub(super) wider: bool,
    pub(super) grant_id: Uuid,
    pub(super) subject: Option<String>,
    pub(super) scope: String,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) context: Option<String>,
    /// True if the refresh token was stored.
    pub(super) refreshable: bool,
}

impl SpentRow {
    /// Returns the record of the stored access token.
    pub(super) fn into_token(self, client_id: String, digest: &TokenHash) -> Result<Token> {
        Ok(Token {
            kind: TokenKind::Access,
            grant_id: self.grant_id,
            client_id,
            subject: self.subject,
            scope: Scope::from_stored(self.scope)
                .map_err(|e| corrupt("scope", digest, e.to_string()))?,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            state: TokenState::Active,
            context: context::from_column(self.context)
                .map_err(|e| corrupt_grant("context", self.grant_id, e.to_string()))?,
        })
    }
}

impl<C: Connections> PgStorage<C> {
    /// Not an `async fn`, whose future would contain the redemption and be too large (see the test
    /// in `postgres.rs`).
    fn redeem(
        &self,
        request: &RequestContext,
        redemption: CodeRedemption,
    ) -> impl Future<Output = Result<RedemptionOutcome>> + Send {
        let call = observe!(self, redeem_authorization_code on authorization_code,
            client_id = redemption.client_id);
        let exchange = redemption.tokens_to_issue(request).map(|tokens| {
            let spend = RedeemCode::new(&self.connections, request, &redemption, &tokens)?;
            Some(Box::pin(async move {
                let row = self.spend(spend, &tokens).await?;
                Ok((row, tokens, redemption.client_id))
            }))
        });
        call.run(async move {
            let Some(exchange) = exchange? else { return Ok(RedemptionOutcome::Invalid) };
            let (row, tokens, client_id) = exchange.await?;
            Ok(match row {
                None => RedemptionOutcome::Invalid,
                Some(SpentRow { replayed: true, grant_id, .. }) => {
                    self.meters().replayed("authorization_code");
                    RedemptionOutcome::Replayed { grant_id }
                }
                Some(row) => {
                    let tokens =
                        if row.refreshable { tokens } else { tokens.without_refresh_token() };
                    let token = row.into_token(client_id, &tokens.access_token.digest())?;
                    RedemptionOutcome::Issued(Box::new(IssuedTokens { token, tokens }))
                }
            })
        })
    }

    /// Not an `async fn`, for the same reason as [`redeem`](Self::redeem).
    fn rotate(
        &self,
        request: &RequestContext,
        rotation: TokenRotation,
    ) -> impl Future<Output = Result<RotationOutcome>> + Send {
        let call = observe!(self, rotate_refresh_token on token, client_id = rotation.client_id);
        let exchange = rotation.tokens_to_issue(request).map(|tokens| {
            let spend = RotateToken::new(&self.connections, request, &rotation, &tokens)?;
            Some(Box::pin(async move {
                let spend = match rotation.scope {
                    None => spend,
                    Some(_) => spend.wider(self.asks_for_more(&rotation).await?),
                };
                let row = self.spend(spend, &tokens).await?;
                Ok((row, tokens, rotation.client_id))
            }))
        });
        call.run(async move {
            let Some(exchange) = exchange? else { return Ok(RotationOutcome::Invalid) };
            let (row, tokens, client_id) = exchange.await?;
            Ok(match row {
                None => RotationOutcome::Invalid,
                Some(SpentRow { replayed: true, grant_id, .. }) => {
                    self.meters().replayed("refresh_token");
                    RotationOutcome::Reused { grant_id }
                }
                Some(SpentRow { wider: true, .. }) => {
                    return Err(Error::invalid("scope", InvalidReason::NotAllowed));
                }
                Some(row) => {
                    let token = row.into_token(client_id, &tokens.access_token.digest())?;
                    RotationOutcome::Issued(Box::new(IssuedTokens { token, tokens }))
                }
            })
        })
    }

    async fn end_grant(
        &self,
        operation: &'static str,
        grant_id: Uuid,
        subject: Option<String>,
    ) -> Result<bool> {
        let revoked = self.connections.run(RevokeGrant { grant_id, subject }).await?;
        self.meters().revoked(operation, revoked.into());
        Ok(revoked)
    }

    async fn revoke_grants(&self, operation: &'static str, owner: Owner<'_>) -> Result<u64> {
        let revoked = self.change_grants(owner, Change::Revoke).await?;
        self.meters().revoked(operation, revoked);
        Ok(revoked)
    }

    /// Runs an exchange. A duplicate error names the token that already exists.
    pub(super) async fn spend<O: Statement>(
        &self,
        spend: O,
        tokens: &TokenPair,
    ) -> Result<O::Outcome> {
        match self.connections.run(spend).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                let access = tokens.access_token.digest();
                let refresh = tokens.refresh_token.as_ref().map(Secret::digest);
                Err(Box::pin(self.which_is_duplicate(error, access, refresh)).await)
            }
        }
    }
}

#[async_trait]
impl<C: Connections> GrantStorage for PgStorage<C> {
    async fn redeem_authorization_code(
        &self,
        request: &RequestContext,
        redemption: CodeRedemption,
    ) -> Result<RedemptionOutcome> {
        self.redeem(request, redemption).await
    }

    async fn rotate_refresh_token(
        &self,
        request: &RequestContext,
        rotation: TokenRotation,
    ) -> Result<RotationOutcome> {
        self.rotate(request, rotation).await
    }

    async fn introspect(&self, token: &Secret) -> Result<Option<Token>> {
        observe!(self, introspect on token)
            .run(async {
                let Some(named) = NamedToken::new(&self.connections, None, TokenRef::Any(token))
                else {
                    return Ok(None);
                };
                match self.connections.run(FindToken(named.clone())).await? {
                    Some(row) if row.is_active() => row.into_token(&named),
                    _ => Ok(None),
                }
            })
            .await
    }

    async fn get_grant(&self, grant_id: Uuid) -> Result<Option<Grant>> {
        observe!(self, get_grant on authorization_grant, grant_id = grant_id)
            .run(self.find_grant(grant_id))
            .await
    }

    async fn revoke_grant(&self, grant_id: Uuid) -> Result<bool> {
        observe!(self, revoke_grant on authorization_grant, grant_id = grant_id)
            .run(self.end_grant("revoke_grant", grant_id, None))
            .await
    }

    async fn revoke_grant_of(&self, subject: &str, grant_id: Uuid) -> Result<bool> {
        observe!(self, revoke_grant_of on authorization_grant, subject, grant_id = grant_id)
            .run(async {
                if check_subject(subject).is_err() {
                    return Ok(false);
                }
                self.end_grant("revoke_grant_of", grant_id, Some(subject.to_owned())).await
            })
            .await
    }

    async fn revoke_grants_of(&self, subject: &str, client_id: &str) -> Result<u64> {
        observe!(self, revoke_grants_of on authorization_grant, subject, client_id)
            .run(async {
                if check_subject(subject).is_err() || check_client_id(client_id).is_err() {
                    return Ok(0);
                }
                let owner = Owner::Subject { subject, client_id: Some(client_id) };
                self.revoke_grants("revoke_grants_of", owner).await
            })
            .await
    }

    async fn revoke_subject(&self, subject: &str) -> Result<u64> {
        observe!(self, revoke_subject on authorization_grant, subject)
            .run(async {
                if check_subject(subject).is_err() {
                    return Ok(0);
                }
                let owner = Owner::Subject { subject, client_id: None };
                self.revoke_grants("revoke_subject", owner).await
            })
            .await
    }

    async fn revoke_client(&self, client_id: &str) -> Result<u64> {
        observe!(self, revoke_client on authorization_grant, client_id)
            .run(async {
                if check_client_id(client_id).is_err() {
                    return Ok(0);
                }
                let owner = Owner::Client { client_id, deleted_at: None };
                self.revoke_grants("revoke_client", owner).await
            })
            .await
    }

    async fn erase_subject(&self, subject: &str) -> Result<u64> {
        // No subject in the span: a trace would keep what is erased here.
        observe!(self, erase_subject on authorization_grant)
            .run(async {
                if check_subject(subject).is_err() {
                    return Ok(0);
                }
                // The sources of new grants first: the user, who signs in; the sessions; the consents.
                let user = self.delete_user_of(subject).await?;
                let sessions = self.erase_sessions_of(subject).await;
                let sessions = sessions.map_err(|error| error.after_commit_if(user > 0))?;
                let after_commit = |error: Error| error.after_commit_if(user + sessions > 0);
                let consents = self.delete_consents(ConsentOwner::Subject(subject)).await;
                consents.map_err(after_commit)?;
                let owner = Owner::Subject { subject, client_id: None };
                let erased = self.change_grants(owner, Change::Delete).await;
                let erased = erased.map_err(after_commit)?;
                Ok(erased)
            })
            .await
    }

    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<GrantPage> {
        observe!(self, list_grants on authorization_grant, subject)
            .run(self.list_live_grants(subject, after, limit))
            .await
    }

    async fn purge_expired(&self, limit: usize) -> Result<Purged> {
        observe!(self, purge_expired on token, limit).run(self.purge_batch(limit)).await
    }
}
