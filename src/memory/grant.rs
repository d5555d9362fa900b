use std::ops::Bound;

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStorage;
use super::state::{CodeRow, GrantRow, TokenRow, after, after_micros};
use crate::authorization_code::CodeChallenge;
use crate::check::{check_batch, check_limit};
use crate::error::{Error, InvalidReason, Result};
use crate::grant::{
    CodeRedemption, Grant, GrantPage, GrantState, GrantStorage, IssuedTokens, Purged,
    RedemptionOutcome, RotationOutcome, TokenRotation,
};
use crate::request::RequestContext;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::settings::Lifetimes;
use crate::token::{Token, TokenKind, TokenRef};

#[async_trait]
impl GrantStorage for MemoryStorage {
    async fn redeem_authorization_code(
        &self,
        request: &RequestContext,
        redemption: CodeRedemption,
    ) -> Result<RedemptionOutcome> {
        let mut tokens = redemption.tokens_to_issue(request)?;
        let Some(challenge) = redemption.expected_challenge() else {
            return Ok(RedemptionOutcome::Invalid);
        };

        let mut guard = self.state().await;
        let state = &mut *guard;
        let now = state.now();
        if state.check_enabled(&redemption.client_id).is_err() {
            return Ok(RedemptionOutcome::Invalid);
        }
        let fits = |row: &&CodeRow| {
            row.redirect_uri == redemption.redirect_uri
                && row.code_challenge.as_ref().map(CodeChallenge::as_s256)
                    == challenge.as_ref().map(CodeChallenge::as_s256)
                && row.expires_at > now
        };
        let digest = redemption.code.digest();
        let Some(code) = state.codes.get(&digest).filter(fits) else {
            return Ok(RedemptionOutcome::Invalid);
        };
        let (grant_id, replayed) = (code.grant_id, code.consumed_at.is_some());
        let live = |g: &&GrantRow| g.client_id == redemption.client_id && g.revoked_at.is_none();
        let Some(grant) = state.grants.get(&grant_id).filter(live) else {
            return Ok(RedemptionOutcome::Invalid);
        };
        if !request.settings.allows_refresh_token(&grant.scope) {
            tokens = tokens.without_refresh_token();
        }
        let lifetimes = Lifetimes::new(&request.settings, tokens.refresh_token.is_some());
        if replayed {
            state.revoke_grants(|id, _| *id == grant_id);
            return Ok(RedemptionOutcome::Replayed { grant_id });
        }
        state.check_fresh(&tokens)?;
        if let Some(code) = state.codes.get_mut(&digest) {
            code.consumed_at = Some(now);
        }
        let Some(grant) = state.grants.get_mut(&grant_id) else {
            return Ok(RedemptionOutcome::Invalid);
        };
        grant.extend(now, &lifetimes);
        let row = |kind, lifetime| TokenRow::new(kind, grant_id, now, after_micros(now, lifetime));
        let access = row(TokenKind::Access, lifetimes.access_token);
        let refresh = row(TokenKind::Refresh, lifetimes.refresh_token);
        let token = access.to_token(grant, now);
        state.store(&tokens, access, refresh);
        Ok(RedemptionOutcome::Issued(Box::new(IssuedTokens { token, tokens })))
    }

    async fn rotate_refresh_token(
        &self,
        request: &RequestContext,
        rotation: TokenRotation,
    ) -> Result<RotationOutcome> {
        let tokens = rotation.tokens_to_issue(request)?;
        let settings = &request.settings;

        let mut guard = self.state().await;
        let state = &mut *guard;
        let now = state.now();
        let presented = TokenRef::Refresh(&rotation.refresh_token);
        if state.check_enabled(&rotation.client_id).is_err() {
            return Ok(RotationOutcome::Invalid);
        }
        let Some((old, grant)) = state
            .token(&rotation.client_id, presented)
            .filter(|(old, _)| !old.revoked && old.expires_at > now)
            .filter(|(_, grant)| {
                grant.revoked_at.is_none() && grant.refresh_expires_at.is_none_or(|end| end > now)
            })
        else {
            return Ok(RotationOutcome::Invalid);
        };
        let grant_id = old.grant_id;
        let grace = settings.refresh_token_grace;
        if old.rotated_at.is_some_and(|rotated| grace.is_zero() || after(rotated, grace) <= now) {
            state.revoke_grants(|id, _| *id == grant_id);
            return Ok(RotationOutcome::Reused { grant_id });
        }
        let old_scope = old.scope.as_ref().unwrap_or(&grant.scope);
        let scope = rotation.scope.as_ref().unwrap_or(old_scope);
        if !scope.is_subset_of(old_scope) {
            return Err(Error::invalid("scope", InvalidReason::NotAllowed));
        }
        let refresh_end = grant.refresh_expires_at.unwrap_or(old.expires_at);
        let idle = settings.refresh_token_idle_expires_in;
        let refresh_expires_at = idle.map_or(refresh_end, |idle| after(now, idle).min(refresh_end));
        let access_expires_at = after(now, settings.access_token_expires_in).min(refresh_end);
        let row = |kind, scope: &Scope, expires_at| TokenRow {
            scope: (*scope != grant.scope).then(|| scope.clone()),
            ..TokenRow::new(kind, grant_id, now, expires_at)
        };
        let access = row(TokenKind::Access, scope, access_expires_at);
        let refresh = row(TokenKind::Refresh, old_scope, refresh_expires_at);
        let token = access.to_token(grant, now);
        state.check_fresh(&tokens)?;
        if let Some(old) = state.tokens.get_mut(&rotation.refresh_token.digest()) {
            old.rotated_at.get_or_insert(now);
        }
        if let Some(grant) = state.grants.get_mut(&grant_id) {
            grant.expires_at = grant.expires_at.max(access_expires_at).max(refresh_expires_at);
            if idle.is_some() {
                grant.refresh_expires_at.get_or_insert(refresh_end);
            }
        }
        state.store(&tokens, access, refresh);
        Ok(RotationOutcome::Issued(Box::new(IssuedTokens { token, tokens })))
    }

    async fn introspect(&self, token: &Secret) -> Result<Option<Token>> {
        if !token.is_well_formed() {
            return Ok(None);
        }
        let state = self.state().await;
        let found = state.tokens.get(&token.digest()).and_then(|row| {
            let grant = state.grants.get(&row.grant_id)?;
            Some(row.to_token(grant, state.now()))
        });
        Ok(found.filter(Token::is_active))
    }

    async fn get_grant(&self, grant_id: Uuid) -> Result<Option<Grant>> {
        let state = self.state().await;
        Ok(state.grants.get(&grant_id).map(|grant| grant.to_grant(grant_id, state.now())))
    }

    async fn revoke_grant(&self, grant_id: Uuid) -> Result<bool> {
        Ok(self.state().await.revoke_grants(|id, _| *id == grant_id) > 0)
    }

    async fn revoke_grant_of(&self, subject: &str, grant_id: Uuid) -> Result<bool> {
        let theirs = |id: &Uuid, grant: &GrantRow| {
            *id == grant_id && grant.subject.as_deref() == Some(subject)
        };
        Ok(self.state().await.revoke_grants(theirs) > 0)
    }

    async fn revoke_grants_of(&self, subject: &str, client_id: &str) -> Result<u64> {
        Ok(self.state().await.revoke_grants(|_, grant| {
            grant.subject.as_deref() == Some(subject) && grant.client_id == client_id
        }))
    }

    async fn revoke_subject(&self, subject: &str) -> Result<u64> {
        Ok(self.state().await.revoke_grants(|_, grant| grant.subject.as_deref() == Some(subject)))
    }

    async fn revoke_client(&self, client_id: &str) -> Result<u64> {
        Ok(self.state().await.revoke_grants(|_, grant| grant.client_id == client_id))
    }

    async fn erase_subject(&self, subject: &str) -> Result<u64> {
        let mut state = self.state().await;
        state.sessions.retain(|_, row| row.session.subject != subject);
        let before = state.grants.len();
        state.grants.retain(|_, grant| grant.subject.as_deref() != Some(subject));
        state.consents.retain(|(of, _), _| of != subject);
        Ok((before - state.grants.len()) as u64)
    }

    async fn list_grants(
        &self,
        subject: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<GrantPage> {
        check_limit(limit)?;
        let state = self.state().await;
        let now = state.now();
        let before = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut live = state
            .grants
            .range((Bound::Unbounded, before))
            .rev()
            .filter(|(_, grant)| grant.subject.as_deref() == Some(subject))
            .map(|(id, grant)| grant.to_grant(*id, now))
            .filter(|grant| grant.state == GrantState::Active);
        let grants: Vec<Grant> = live.by_ref().take(limit).collect();
        let last = grants.last().map(|grant| grant.grant_id);
        Ok(GrantPage { next: last.filter(|_| live.next().is_some()), grants })
    }

    async fn purge_expired(&self, limit: usize) -> Result<Purged> {
        check_batch(limit)?;
        let mut guard = self.state().await;
        let state = &mut *guard;
        let now = state.now();
        let mut tokens: Vec<_> = state.tokens.iter().map(|(d, row)| (row.expires_at, *d)).collect();
        let mut codes: Vec<_> = state.codes.iter().map(|(d, row)| (row.expires_at, *d)).collect();
        for rows in [&mut tokens, &mut codes] {
            rows.retain(|(expires_at, _)| *expires_at <= now);
            rows.sort();
            rows.truncate(limit);
        }
        let tokens_of = tokens.iter().filter_map(|(_, digest)| state.tokens.remove(digest));
        let mut grant_ids: Vec<Uuid> = tokens_of.map(|row| row.grant_id).collect();
        let codes_of = codes.iter().filter_map(|(_, digest)| state.codes.remove(digest));
        grant_ids.extend(codes_of.map(|row| row.grant_id));
        let mut grants = 0;
        for grant_id in grant_ids {
            if state.grants.get(&grant_id).is_some_and(|grant| grant.expires_at <= now) {
                state.grants.remove(&grant_id);
                grants += 1;
            }
        }
        let mut records: Vec<_> =
            state.records.iter().filter(|(_, row)| !row.is_live(now)).map(|(d, _)| *d).collect();
        records.truncate(limit);
        records.iter().for_each(|digest| drop(state.records.remove(digest)));
        let mut devices: Vec<_> = state
            .devices
            .iter()
            .filter(|(_, row)| row.expires_at <= now)
            .map(|(d, _)| *d)
            .collect();
        devices.truncate(limit);
        for row in devices.iter().filter_map(|digest| state.devices.remove(digest)) {
            if state.grants.get(&row.grant_id).is_some_and(|grant| grant.expires_at <= now) {
                state.grants.remove(&row.grant_id);
                grants += 1;
            }
        }
        let expired = state.signing_keys.extract_if(.., |own| own.is_expired(now)).take(limit);
        let signing_keys = expired.count();
        let mut sessions: Vec<_> = state
            .sessions
            .iter()
            .filter(|(_, row)| !row.is_live(now))
            .map(|(sid, _)| *sid)
            .collect();
        sessions.truncate(limit);
        sessions.iter().for_each(|sid| drop(state.sessions.remove(sid)));
        Ok(Purged {
            device_authorizations: devices.len() as u64,
            records: records.len() as u64,
            signing_keys: signing_keys as u64,
            sessions: sessions.len() as u64,
            tokens: tokens.len() as u64,
            authorization_codes: codes.len() as u64,
            grants,
            more: [
                tokens.len(),
                codes.len(),
                records.len(),
                devices.len(),
                signing_keys,
                sessions.len(),
            ]
            .contains(&limit),
        })
    }
}
