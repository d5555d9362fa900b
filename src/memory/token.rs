use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::grant::GrantRow;
use super::{MemoryStorage, State, after_micros, now};
use crate::error::{Error, Problem, Result};
use crate::model::{Lifetimes, NewToken, Scope, Token, TokenKind, TokenPair, TokenRef, TokenState};
use crate::request::Request;
use crate::storage::TokenStorage;

/// One credential, under its digest.
pub(super) struct TokenRow {
    pub(super) kind: TokenKind,
    pub(super) grant_id: Uuid,
    /// The scope, where it is not that of the grant.
    pub(super) scope: Option<Scope>,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    /// Time of the first exchange of a refresh token.
    pub(super) rotated_at: Option<DateTime<Utc>>,
    pub(super) revoked: bool,
}

impl TokenRow {
    pub(super) fn new(
        kind: TokenKind,
        grant_id: Uuid,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Self {
        let (scope, rotated_at, revoked) = (None, None, false);
        Self { kind, grant_id, scope, issued_at, expires_at, rotated_at, revoked }
    }

    pub(super) fn to_token(&self, grant: &GrantRow, now: DateTime<Utc>) -> Token {
        let revoked = self.revoked || grant.revoked_at.is_some();
        Token {
            kind: self.kind,
            grant_id: self.grant_id,
            client_id: grant.client_id.clone(),
            subject: grant.subject.clone(),
            scope: self.scope.as_ref().unwrap_or(&grant.scope).clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            state: TokenState::new(revoked, self.rotated_at.is_some(), self.expires_at <= now),
            context: grant.context.clone(),
        }
    }
}

impl State {
    /// The client's own token of that secret, if it is of that kind, with its grant. A token without
    /// a grant is not found.
    pub(super) fn token(
        &self,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Option<(&TokenRow, &GrantRow)> {
        // A value that cannot be a token is not hashed either, however long it is.
        if !token.secret().is_well_formed() {
            return None;
        }
        let row = self.tokens.get(&token.secret().digest())?;
        let grant = self.grants.get(&row.grant_id)?;
        let kind_fits = token.kind().is_none_or(|kind| kind == row.kind);
        (kind_fits && grant.client_id == client_id).then_some((row, grant))
    }

    /// Refuses tokens that exist already.
    pub(super) fn check_fresh(&self, tokens: &TokenPair) -> Result<()> {
        if self.tokens.contains_key(&tokens.access_token.digest()) {
            return Err(Error::invalid("access_token", Problem::Duplicate));
        }
        let refresh_token = tokens.refresh_token.as_ref();
        if refresh_token.is_some_and(|token| self.tokens.contains_key(&token.digest())) {
            return Err(Error::invalid("refresh_token", Problem::Duplicate));
        }
        Ok(())
    }

    /// Stores a pair that was checked.
    pub(super) fn store(&mut self, tokens: &TokenPair, access: TokenRow, refresh: TokenRow) {
        self.tokens.insert(tokens.access_token.digest(), access);
        if let Some(refresh_token) = &tokens.refresh_token {
            self.tokens.insert(refresh_token.digest(), refresh);
        }
    }
}

#[async_trait]
impl TokenStorage for MemoryStorage {
    async fn create_token(&self, request: &Request, token: NewToken) -> Result<Token> {
        token.check(request)?;
        let subject = token.full_subject(request).map(str::to_owned);
        let context = token.full_context(request);
        let lifetimes = Lifetimes::new(&request.settings, token.tokens.refresh_token.is_some());

        let mut guard = self.state();
        let state = &mut *guard;
        let now = now();
        let enabled = state.check_enabled(&token.client_id);
        let grant_id = match token.grant_id {
            None => {
                enabled?;
                let grant_id = token.new_grant_id();
                if state.grants.contains_key(&grant_id) {
                    return Err(Error::invalid("grant_id", Problem::Duplicate));
                }
                grant_id
            }
            Some(grant_id) => {
                let grant = state.grants.get(&grant_id);
                let fits = |grant: &&GrantRow| {
                    grant.client_id == token.client_id && grant.subject == subject
                };
                if enabled.is_err() || grant.filter(fits).is_none() {
                    return Err(Error::invalid("grant_id", Problem::Unknown));
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
        let access = row(TokenKind::AccessToken, lifetimes.access_token);
        let refresh = row(TokenKind::RefreshToken, lifetimes.refresh_token);
        let stored = access.to_token(grant, now);
        state.store(&token.tokens, access, refresh);
        Ok(stored)
    }

    async fn get_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<Option<Token>> {
        let state = self.state();
        Ok(state.token(client_id, token).map(|(row, grant)| row.to_token(grant, now())))
    }

    async fn revoke_token(
        &self,
        _request: &Request,
        client_id: &str,
        token: TokenRef<'_>,
    ) -> Result<()> {
        let mut state = self.state();
        let Some((row, _)) = state.token(client_id, token) else { return Ok(()) };
        let grant_id = row.grant_id;
        if let Some(row) = state.tokens.get_mut(&token.secret().digest()) {
            row.revoked = true;
        }
        state.revoke_grants(|id, _| *id == grant_id);
        Ok(())
    }
}
