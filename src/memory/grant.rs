use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::token::{TokenRow, new_pair_id};
use super::{CodeRow, MemoryStorage, State, after, now};
use crate::error::{Error, Problem, Result};
use crate::model::{
    CodeChallenge, Grant, Purged, Redeem, Redeemed, Rotate, Rotated, Scope, Token, TokenKind,
    TokenRef, TokenState,
};
use crate::request::Request;
use crate::secret::Secret;
use crate::storage::{GrantStorage, check_batch, check_limit};

impl State {
    /// Revokes every token of a grant, and the code of it that was not used.
    pub(super) fn revoke_grant(&mut self, grant_id: Uuid) -> u64 {
        self.revoke_where(|row| row.grant_id == grant_id, |row| row.grant_id == grant_id)
    }

    /// Revokes the tokens for which it holds, and the unused codes; gives how many tokens.
    fn revoke_where(
        &mut self,
        token: impl Fn(&TokenRow) -> bool,
        code: impl Fn(&CodeRow) -> bool,
    ) -> u64 {
        let mut revoked = 0;
        for row in self.tokens.values_mut().filter(|row| !row.revoked && token(row)) {
            row.revoked = true;
            revoked += 1;
        }
        for row in self.codes.values_mut().filter(|row| row.consumed_at.is_none() && code(row)) {
            row.revoked = true;
        }
        revoked
    }
}

#[async_trait]
impl GrantStorage for MemoryStorage {
    async fn redeem_authorization_code(
        &self,
        request: &Request,
        redeem: Redeem,
    ) -> Result<Redeemed> {
        redeem.check(request)?;
        let Some(challenge) = redeem.expected_challenge() else { return Ok(Redeemed::Invalid) };
        let (access, refresh) =
            (redeem.access_token.digest(), redeem.refresh_token.as_ref().map(Secret::digest));
        let pair_id = new_pair_id()?;

        let mut guard = self.state();
        let state = &mut *guard;
        let now = now();
        if state.check_enabled(&redeem.client_id).is_err() {
            return Ok(Redeemed::Invalid);
        }
        let fits = |row: &&mut CodeRow| {
            row.client_id == redeem.client_id
                && row.redirect_uri == redeem.redirect_uri
                && row.code_challenge.as_ref().map(CodeChallenge::as_s256)
                    == challenge.as_ref().map(CodeChallenge::as_s256)
                && row.expires_at > now
                && !row.revoked
        };
        let digest = redeem.code.digest();
        let Some(code) = state.codes.get_mut(&digest).filter(fits) else {
            return Ok(Redeemed::Invalid);
        };
        let grant_id = code.grant_id;
        if code.consumed_at.is_some() {
            state.revoke_grant(grant_id);
            return Ok(Redeemed::Replayed { grant_id });
        }
        let row = |kind, lifetime| TokenRow {
            kind,
            client_id: code.client_id.clone(),
            subject: code.subject.clone(),
            scope: code.scope.clone(),
            grant_id,
            pair_id,
            granted_at: now,
            issued_at: now,
            expires_at: after(now, lifetime),
            rotated_at: None,
            revoked: false,
            context: code.context.clone(),
        };
        let access_row = row(TokenKind::AccessToken, request.settings.access_token_expires_in);
        let refresh_row = row(TokenKind::RefreshToken, request.settings.refresh_token_expires_in);
        state.check_fresh(access, refresh)?;
        if let Some(code) = state.codes.get_mut(&digest) {
            code.consumed_at = Some(now);
        }
        let token = access_row.to_token(now);
        state.tokens.insert(access, access_row);
        if let Some(refresh) = refresh {
            state.tokens.insert(refresh, refresh_row);
        }
        Ok(Redeemed::Issued(Box::new(token)))
    }

    async fn rotate_refresh_token(&self, request: &Request, rotate: Rotate) -> Result<Rotated> {
        rotate.check(request)?;
        let (access, refresh) =
            (rotate.new_access_token.digest(), rotate.new_refresh_token.digest());
        let pair_id = new_pair_id()?;

        let mut guard = self.state();
        let state = &mut *guard;
        let now = now();
        let presented = TokenRef::Refresh(&rotate.refresh_token);
        if state.check_enabled(&rotate.client_id).is_err() {
            return Ok(Rotated::Invalid);
        }
        let Some(old) = state
            .token(&rotate.client_id, presented)
            .filter(|row| !row.revoked && row.expires_at > now)
        else {
            return Ok(Rotated::Invalid);
        };
        let grant_id = old.grant_id;
        let grace = request.settings.refresh_token_grace;
        if old.rotated_at.is_some_and(|rotated| grace.is_zero() || after(rotated, grace) <= now) {
            state.revoke_grant(grant_id);
            return Ok(Rotated::Reused { grant_id });
        }
        let scope = rotate.scope.as_ref().unwrap_or(&old.scope);
        if !scope.is_subset_of(&old.scope) {
            return Err(Error::invalid("scope", Problem::NotAllowed));
        }
        let row = |kind, scope: &Scope, expires_at: DateTime<Utc>| TokenRow {
            kind,
            client_id: old.client_id.clone(),
            subject: old.subject.clone(),
            scope: scope.clone(),
            grant_id,
            pair_id,
            granted_at: old.granted_at,
            issued_at: now,
            expires_at,
            rotated_at: None,
            revoked: false,
            context: old.context.clone(),
        };
        let ends = after(now, request.settings.access_token_expires_in).min(old.expires_at);
        let access_row = row(TokenKind::AccessToken, scope, ends);
        let refresh_row = row(TokenKind::RefreshToken, &old.scope, old.expires_at);
        state.check_fresh(access, Some(refresh))?;
        if let Some(old) = state.tokens.get_mut(&rotate.refresh_token.digest()) {
            old.rotated_at.get_or_insert(now);
        }
        let token = access_row.to_token(now);
        state.tokens.insert(access, access_row);
        state.tokens.insert(refresh, refresh_row);
        Ok(Rotated::Issued(Box::new(token)))
    }

    async fn introspect(&self, token: &Secret) -> Result<Option<Token>> {
        if !token.is_well_formed() {
            return Ok(None);
        }
        let state = self.state();
        let found = state.tokens.get(&token.digest()).map(|row| row.to_token(now()));
        Ok(found.filter(Token::is_active))
    }

    async fn revoke_grant(&self, grant_id: Uuid) -> Result<u64> {
        Ok(self.state().revoke_grant(grant_id))
    }

    async fn revoke_subject(&self, subject: &str) -> Result<u64> {
        Ok(self.state().revoke_where(
            |row| row.subject.as_deref() == Some(subject),
            |row| row.subject.as_deref() == Some(subject),
        ))
    }

    async fn revoke_client(&self, client_id: &str) -> Result<u64> {
        Ok(self
            .state()
            .revoke_where(|row| row.client_id == client_id, |row| row.client_id == client_id))
    }

    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Grant>> {
        check_limit(limit)?;
        let state = self.state();
        let now = now();
        let mut rows: Vec<&TokenRow> = state
            .tokens
            .values()
            .filter(|row| row.subject.as_deref() == Some(subject))
            .filter(|row| row.state(now) == TokenState::Active)
            .filter(|row| after.is_none_or(|after| row.grant_id > after))
            .collect();
        // A refresh token has the whole scope of its grant, so it stands first.
        rows.sort_by_key(|row| (row.grant_id, row.kind == TokenKind::AccessToken, row.issued_at));
        Ok(rows
            .chunk_by(|left, right| left.grant_id == right.grant_id)
            .take(limit)
            .map(|rows| {
                let first = rows[0];
                let granted_at = rows.iter().map(|row| row.granted_at).fold(now, DateTime::min);
                let newest = rows.iter().map(|row| row.issued_at).fold(granted_at, DateTime::max);
                Grant {
                    grant_id: first.grant_id,
                    client_id: first.client_id.clone(),
                    subject: subject.to_owned(),
                    scope: first.scope.clone(),
                    granted_at,
                    last_rotated_at: (newest != granted_at).then_some(newest),
                    expires_at: rows.iter().map(|row| row.expires_at).fold(now, DateTime::max),
                }
            })
            .collect())
    }

    async fn purge_expired(&self, limit: usize) -> Result<Purged> {
        check_batch(limit)?;
        let mut guard = self.state();
        let state = &mut *guard;
        let now = now();
        let mut tokens: Vec<_> = state.tokens.iter().map(|(d, row)| (row.expires_at, *d)).collect();
        let mut codes: Vec<_> = state.codes.iter().map(|(d, row)| (row.expires_at, *d)).collect();
        for rows in [&mut tokens, &mut codes] {
            rows.retain(|(expires_at, _)| *expires_at <= now);
            rows.sort();
            rows.truncate(limit);
        }
        for (_, digest) in &tokens {
            state.tokens.remove(digest);
        }
        for (_, digest) in &codes {
            state.codes.remove(digest);
        }
        Ok(Purged {
            tokens: tokens.len() as u64,
            authorization_codes: codes.len() as u64,
            more: tokens.len() == limit || codes.len() == limit,
        })
    }
}
