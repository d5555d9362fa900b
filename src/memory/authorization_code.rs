use async_trait::async_trait;

use super::MemoryStorage;
use super::state::{CodeRow, GrantRow, after};
use crate::authorization_code::{
    AuthorizationCode, AuthorizationCodeStorage, CodeChallenge, NewAuthorizationCode,
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

        let grant_id = code.full_grant_id();
        let subject = request.subject().map(str::to_owned);

        let mut guard = self.state().await;
        let state = &mut *guard;
        let now = state.now();
        let enabled = state.check_enabled(&code.client_id);
        let existing = state.grants.get(&grant_id);
        if code.grant_id.is_some() {
            let fits = |grant: &&GrantRow| {
                (&grant.client_id, &grant.subject, &grant.scope, grant.revoked_at)
                    == (&code.client_id, &subject, &code.scope, None)
                    && grant.expires_at > now
                    && grant.refresh_expires_at.is_none_or(|end| end > now)
            };
            if enabled.is_err() || existing.filter(fits).is_none() {
                return Err(Error::invalid("grant_id", InvalidReason::Unknown));
            }
        } else {
            enabled?;
            if let Some(sid) = code.session {
                state.check_session(sid, subject.as_deref())?;
            }
            if existing.is_some() {
                return Err(Error::invalid("code", InvalidReason::Duplicate));
            }
        }
        if state.codes.contains_key(&digest) {
            return Err(Error::invalid("code", InvalidReason::Duplicate));
        }
        if let Some(session) = code.session.and_then(|sid| state.sessions.get_mut(&sid)) {
            session.note_client(&code.client_id);
        }
        let expires_at = after(now, request.settings.authorization_code_expires_in);
        let grant = state.grants.entry(grant_id).or_insert_with(|| GrantRow {
            client_id: code.client_id,
            subject,
            scope: code.scope,
            granted_at: now,
            expires_at,
            revoked_at: None,
            refresh_expires_at: None,
            context,
        });
        grant.expires_at = grant.expires_at.max(expires_at);
        let row = CodeRow {
            response_type: code.response_type,
            redirect_uri: code.redirect_uri,
            code_challenge: code.code_challenge.map(CodeChallenge::into_stored),
            grant_id,
            issued_at: now,
            expires_at,
            consumed_at: None,
        };
        let code = row.to_code(grant, now);
        state.codes.insert(digest, row);
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
