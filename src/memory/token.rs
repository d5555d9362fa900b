use async_trait::async_trait;

use super::MemoryStorage;
use super::state::{GrantRow, TokenRow, after_micros};
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::settings::Lifetimes;
use crate::token::{NewToken, Token, TokenKind, TokenRef, TokenStorage};

#[async_trait]
impl TokenStorage for MemoryStorage {
    async fn create_token(&self, request: &RequestContext, token: NewToken) -> Result<Token> {
        token.check(request)?;
        let subject = token.full_subject(request).map(str::to_owned);
        let context = token.full_context(request);
        let lifetimes = Lifetimes::new(&request.settings, token.tokens.refresh_token.is_some());

        let mut guard = self.state().await;
        let state = &mut *guard;
        let now = state.now();
        let enabled = state.check_enabled(&token.client_id);
        let grant_id = match token.grant_id {
            None => {
                enabled?;
                let grant_id = token.new_grant_id();
                if state.grants.contains_key(&grant_id) {
                    return Err(Error::invalid("grant_id", InvalidReason::Duplicate));
                }
                grant_id
            }
            Some(grant_id) => {
                let grant = state.grants.get(&grant_id);
                let fits = |grant: &&GrantRow| {
                    grant.client_id == token.client_id && grant.subject == subject
                };
                if enabled.is_err() || grant.filter(fits).is_none() {
                    return Err(Error::invalid("grant_id", InvalidReason::Unknown));
                }
                grant_id
            }
        };
        state.check_fresh(&token.tokens)?;
        let grant = state.grants.entry(grant_id).or_insert_with(|| GrantRow {
            client_id: token.client_id,
            subject,
            scope: token.scope.clone(),
            granted_at: now,
            expires_at: now,
            revoked_at: None,
            refresh_expires_at: None,
            context,
        });
        grant.extend(now, &lifetimes);
        let row = |kind, lifetime| TokenRow {
            scope: (grant.scope != token.scope).then(|| token.scope.clone()),
            ..TokenRow::new(kind, grant_id, now, after_micros(now, lifetime))
        };
        let access = row(TokenKind::Access, lifetimes.access_token);
        let refresh = row(TokenKind::Refresh, lifetimes.refresh_token);
        let stored = access.to_token(grant, now);
        state.store(&token.tokens, access, refresh);
        Ok(stored)
    }

    async fn get_token(
        &self,
        _request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>> {
        let state = self.state().await;
        Ok(state.token(client_id, token).map(|(row, grant)| row.to_token(grant, state.now())))
    }

    async fn revoke_token(
        &self,
        _request: &RequestContext,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()> {
        let mut state = self.state().await;
        let Some((row, _)) = state.token(client_id, token) else { return Ok(()) };
        let grant_id = row.grant_id;
        if let Some(row) = state.tokens.get_mut(&token.secret().digest()) {
            row.revoked = true;
        }
        state.revoke_grants(|id, _| *id == grant_id);
        Ok(())
    }
}
