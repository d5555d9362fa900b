use async_trait::async_trait;

use super::MemoryStorage;
use super::state::{CodeRow, GrantRow, after};
use crate::authorization_code::{
    AuthorizationCode, AuthorizationCodeStorage, NewAuthorizationCode,
};
use crate::error::{Error, InvalidReason, Result};
use crate::request::RequestContext;
use crate::secret::Secret;

#[async_trait]
impl AuthorizationCodeStorage for MemoryStorage {
    async fn create_authorization_code(
        &self,
        request: &RequestContext,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode> {
        code.check(request)?;
        let digest = code.code.digest();
        let context = code.full_context(request);

        let grant_id = code.new_grant_id();

        let mut state = self.state().await;
        let now = state.now();
        state.check_enabled(&code.client_id)?;
        if state.codes.contains_key(&digest) || state.grants.contains_key(&grant_id) {
            return Err(Error::invalid("code", InvalidReason::Duplicate));
        }
        let expires_at = after(now, request.settings.authorization_code_expires_in);
        let grant = GrantRow {
            client_id: code.client_id,
            subject: request.subject().map(str::to_owned),
            scope: code.scope,
            granted_at: now,
            expires_at,
            revoked_at: None,
            refresh_expires_at: None,
            context,
        };
        let row = CodeRow {
            response_type: code.response_type,
            redirect_uri: code.redirect_uri,
            code_challenge: code.code_challenge,
            grant_id,
            issued_at: now,
            expires_at,
            consumed_at: None,
        };
        let code = row.to_code(&grant, now);
        state.codes.insert(digest, row);
        state.grants.insert(grant_id, grant);
        Ok(code)
    }

    async fn get_authorization_code(
        &self,
        _request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>> {
        let state = self.state().await;
        let found = state
            .code(client_id, code)
            .filter(|(row, grant)| row.consumed_at.is_none() && grant.revoked_at.is_none());
        Ok(found.map(|(row, grant)| row.to_code(grant, state.now())))
    }

    async fn delete_authorization_code(
        &self,
        _request: &RequestContext,
        client_id: &str,
        code: &Secret,
    ) -> Result<()> {
        let mut state = self.state().await;
        let now = state.now();
        if state.code(client_id, code).is_some()
            && let Some(row) = state.codes.get_mut(&code.digest())
        {
            row.consumed_at.get_or_insert(now);
        }
        Ok(())
    }
}
