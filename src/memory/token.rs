use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{MemoryStorage, State, after, now};
use crate::error::{Error, Problem, Result};
use crate::model::{GrantContext, NewToken, Scope, Token, TokenKind, TokenRef, TokenState};
use crate::request::Request;
use crate::secret::{Digest, Secret};
use crate::storage::TokenStorage;

/// One credential, under its digest.
pub(super) struct TokenRow {
    pub(super) kind: TokenKind,
    pub(super) client_id: String,
    pub(super) subject: Option<String>,
    pub(super) scope: Scope,
    pub(super) grant_id: Uuid,
    /// What the access token and the refresh token issued together have in common.
    pub(super) pair_id: u64,
    /// When the first pair of the grant was stored.
    pub(super) granted_at: DateTime<Utc>,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// When a refresh token was exchanged for a new pair.
    pub(super) rotated_at: Option<DateTime<Utc>>,
    pub(super) revoked: bool,
    pub(super) context: GrantContext,
}

impl TokenRow {
    /// What is final comes first.
    pub(super) fn state(&self, now: DateTime<Utc>) -> TokenState {
        if self.revoked {
            TokenState::Revoked
        } else if self.rotated_at.is_some() {
            TokenState::Rotated
        } else if self.expires_at <= now {
            TokenState::Expired
        } else {
            TokenState::Active
        }
    }

    pub(super) fn to_token(&self, now: DateTime<Utc>) -> Token {
        Token {
            kind: self.kind,
            grant_id: self.grant_id,
            client_id: self.client_id.clone(),
            subject: self.subject.clone(),
            scope: self.scope.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            state: self.state(now),
            context: self.context.clone(),
        }
    }
}

/// What a new pair has in common, with each other and with no other.
pub(super) fn new_pair_id() -> Result<u64> {
    getrandom::u64().map_err(|error| Error::Configuration {
        message: "the operating system gave no randomness".into(),
        source: Some(Box::new(error)),
    })
}

impl State {
    /// The client's own token of that secret, if it is of that kind.
    pub(super) fn token(&self, client_id: &str, token: TokenRef<'_>) -> Option<&TokenRow> {
        // What cannot be a token is not hashed either, however long it is.
        if !token.secret().is_well_formed() {
            return None;
        }
        let row = self.tokens.get(&token.secret().digest())?;
        let kind_fits = token.kind().is_none_or(|kind| kind == row.kind);
        (kind_fits && row.client_id == client_id).then_some(row)
    }

    /// Refuses tokens that exist already.
    pub(super) fn check_fresh(&self, access: Digest, refresh: Option<Digest>) -> Result<()> {
        if self.tokens.contains_key(&access) {
            return Err(Error::invalid("access_token", Problem::Duplicate));
        }
        if refresh.is_some_and(|refresh| self.tokens.contains_key(&refresh)) {
            return Err(Error::invalid("refresh_token", Problem::Duplicate));
        }
        Ok(())
    }

    fn revoke_pair(&mut self, grant_id: Uuid, pair_id: u64) {
        let of_pair = |row: &&mut TokenRow| row.grant_id == grant_id && row.pair_id == pair_id;
        for row in self.tokens.values_mut().filter(of_pair) {
            row.revoked = true;
        }
    }
}

#[async_trait]
impl TokenStorage for MemoryStorage {
    async fn create_token(&self, request: &Request, token: NewToken) -> Result<Token> {
        token.check(request)?;
        let access = token.access_token.digest();
        let refresh = token.refresh_token.as_ref().map(Secret::digest);
        let context = token.full_context(request);
        let subject = token.full_subject(request).map(str::to_owned);
        let pair_id = new_pair_id()?;

        let mut state = self.state();
        let now = now();
        state.check_enabled(&token.client_id)?;
        state.check_fresh(access, refresh)?;
        let row = |kind, lifetime| TokenRow {
            kind,
            client_id: token.client_id.clone(),
            subject: subject.clone(),
            scope: token.scope.clone(),
            grant_id: token.grant_id,
            pair_id,
            granted_at: now,
            issued_at: now,
            expires_at: after(now, lifetime),
            rotated_at: None,
            revoked: false,
            context: context.clone(),
        };
        if let Some(refresh) = refresh {
            let row = row(TokenKind::RefreshToken, request.settings.refresh_token_expires_in);
            state.tokens.insert(refresh, row);
        }
        let row = row(TokenKind::AccessToken, request.settings.access_token_expires_in);
        let token = row.to_token(now);
        state.tokens.insert(access, row);
        Ok(token)
    }

    async fn get_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>> {
        let state = self.state();
        Ok(state.token(client_id, token).map(|row| row.to_token(now())))
    }

    async fn revoke_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()> {
        let mut state = self.state();
        let Some(row) = state.token(client_id, token) else { return Ok(()) };
        let (kind, grant_id, pair_id) = (row.kind, row.grant_id, row.pair_id);
        match kind {
            TokenKind::AccessToken => state.revoke_pair(grant_id, pair_id),
            TokenKind::RefreshToken => drop(state.revoke_grant(grant_id)),
        }
        Ok(())
    }
}
