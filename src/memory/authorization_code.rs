use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{MemoryStorage, State, after, now};
use crate::error::{Error, Problem, Result};
use crate::model::{
    AuthorizationCode, CodeChallenge, GrantContext, NewAuthorizationCode, ResponseType, Scope,
};
use crate::request::Request;
use crate::secret::Secret;
use crate::storage::AuthorizationCodeStorage;

/// One authorization code, under its digest.
pub(super) struct CodeRow {
    pub(super) client_id: String,
    pub(super) subject: Option<String>,
    pub(super) scope: Scope,
    pub(super) response_type: ResponseType,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: Option<CodeChallenge>,
    pub(super) grant_id: Uuid,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// When it was exchanged for tokens.
    pub(super) consumed_at: Option<DateTime<Utc>>,
    pub(super) revoked: bool,
    pub(super) context: GrantContext,
}

impl CodeRow {
    pub(super) fn to_code(&self, now: DateTime<Utc>) -> AuthorizationCode {
        AuthorizationCode {
            grant_id: self.grant_id,
            client_id: self.client_id.clone(),
            subject: self.subject.clone(),
            scope: self.scope.clone(),
            response_type: self.response_type,
            redirect_uri: self.redirect_uri.clone(),
            code_challenge: self.code_challenge.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            expired: self.expires_at <= now,
            context: self.context.clone(),
        }
    }
}

impl State {
    /// The client's own code of that secret, in whatever state.
    pub(super) fn code(&self, client_id: &str, code: &Secret) -> Option<&CodeRow> {
        if !code.is_well_formed() {
            return None;
        }
        self.codes.get(&code.digest()).filter(|row| row.client_id == client_id)
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

        let mut state = self.state();
        let now = now();
        state.check_enabled(&code.client_id)?;
        if state.codes.contains_key(&digest) {
            return Err(Error::invalid("code", Problem::Duplicate));
        }
        let row = CodeRow {
            client_id: code.client_id,
            subject: request.subject().map(str::to_owned),
            scope: code.scope,
            response_type: code.response_type,
            redirect_uri: code.redirect_uri,
            code_challenge: code.code_challenge,
            grant_id: Uuid::now_v7(),
            issued_at: now,
            expires_at: after(now, request.settings.authorization_code_expires_in),
            consumed_at: None,
            revoked: false,
            context,
        };
        let code = row.to_code(now);
        state.codes.insert(digest, row);
        Ok(code)
    }

    async fn get_authorization_code(
        &self,
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<Option<AuthorizationCode>> {
        let state = self.state();
        let live = |row: &&CodeRow| row.consumed_at.is_none() && !row.revoked;
        Ok(state.code(client_id, code).filter(live).map(|row| row.to_code(now())))
    }

    async fn delete_authorization_code(
        &self,
        _request: &Request,
        client_id: &str,
        code: &Secret,
    ) -> Result<()> {
        let mut state = self.state();
        if state.code(client_id, code).is_some() {
            state.codes.remove(&code.digest());
        }
        Ok(())
    }
}
