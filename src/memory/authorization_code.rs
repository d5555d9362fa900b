use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::grant::GrantRow;
use super::{MemoryStorage, State, after, now};
use crate::error::{Error, Problem, Result};
use crate::model::{AuthorizationCode, CodeChallenge, NewAuthorizationCode, ResponseType};
use crate::request::Request;
use crate::secret::Secret;
use crate::storage::AuthorizationCodeStorage;

/// One authorization code, under its digest.
pub(super) struct CodeRow {
    pub(super) response_type: ResponseType,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: Option<CodeChallenge>,
    pub(super) grant_id: Uuid,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// Time at which it was exchanged for tokens, or deleted.
    pub(super) consumed_at: Option<DateTime<Utc>>,
}

impl CodeRow {
    pub(super) fn to_code(&self, grant: &GrantRow, now: DateTime<Utc>) -> AuthorizationCode {
        AuthorizationCode {
            grant_id: self.grant_id,
            client_id: grant.client_id.clone(),
            subject: grant.subject.clone(),
            scope: grant.scope.clone(),
            response_type: self.response_type,
            redirect_uri: self.redirect_uri.clone(),
            code_challenge: self.code_challenge.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            expired: self.expires_at <= now,
            context: grant.context.clone(),
        }
    }
}

impl State {
    /// The client's own code of that secret with its grant, in whatever state.
    pub(super) fn code(&self, client_id: &str, code: &Secret) -> Option<(&CodeRow, &GrantRow)> {
        if !code.is_well_formed() {
            return None;
        }
        let row = self.codes.get(&code.digest())?;
        let grant = self.grants.get(&row.grant_id)?;
        (grant.client_id == client_id).then_some((row, grant))
    }
}

#[async_trait]
impl AuthorizationCodeStorage for MemoryStorage {
    async fn create_authorization_code(
        &self,
        request: &Request,
        code: NewAuthorizationCode,
    ) -> Result<AuthorizationCode> {
        code.check(request)?;
        let digest = code.code.digest();
        let context = code.full_context(request);

        let grant_id = code.new_grant_id();

        let mut state = self.state();
        let now = now();
        state.check_enabled(&code.client_id)?;
        if state.codes.contains_key(&digest) || state.grants.contains_key(&grant_id) {
            return Err(Error::invalid("code", Problem::Duplicate));
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
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>> {
        let state = self.state();
        let found = state
            .code(client_id, code)
            .filter(|(row, grant)| row.consumed_at.is_none() && grant.revoked_at.is_none());
        Ok(found.map(|(row, grant)| row.to_code(grant, now())))
    }

    async fn delete_authorization_code(
        &self,
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<()> {
        let mut state = self.state();
        if state.code(client_id, code).is_some()
            && let Some(row) = state.codes.get_mut(&code.digest())
        {
            row.consumed_at.get_or_insert_with(now);
        }
        Ok(())
    }
}
