//! One grant from its beginning to its end. Each result is checked against the ones before.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::grant::{GrantState, RotationOutcome, TokenRotation};
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, CodeRedemption, GrantStorage as _, NewAuthorizationCode,
    RedemptionOutcome, RequestContext, Scope, Secret, Settings, TokenPair, TokenStorage as _, User,
};
use uuid::Uuid;

use crate::Result;
use crate::caller::{Caller, Reply};
use crate::ledger::{Code, Expected, History, Kind, Origin, Pair};
use crate::outcome::Outcome;
use crate::random::{chance, tokens_of, unnamed_secret};
use crate::world::{CODE_LIFETIME, URI, World};

pub(crate) struct Walk {
    caller: Caller,
    world: Arc<World>,
    history: History,
    subject: String,
    request: RequestContext,
    verifier: Secret,
    code: Secret,
    /// The secrets of the pairs of the history.
    tokens: Vec<TokenPair>,
}

impl Walk {
    pub(crate) fn new(caller: Caller, world: Arc<World>) -> Result<Self> {
        let strict = chance(75);
        let grace = if strict { Duration::ZERO } else { Duration::from_secs(10) };
        let subject = format!("user-{}", Uuid::now_v7());
        let settings = Settings::default()
            .with_refresh_token_grace(grace)
            .with_refresh_token_idle_expires_in(chance(30).then_some(Duration::from_hours(24)))
            .with_authorization_code_expires_in(CODE_LIFETIME);
        let request = RequestContext::for_user(User::new(&subject)).with_settings(settings);
        Ok(Self {
            history: History::new(world.any_client(), strict),
            caller,
            world,
            subject,
            request,
            verifier: Secret::generate()?,
            code: if chance(80) { Secret::generate()? } else { unnamed_secret() },
            tokens: Vec::new(),
        })
    }

    /// Walks it, and puts the history into the ledger.
    pub(crate) async fn run(mut self) -> Result<()> {
        let walked = self.steps().await;
        self.caller.ledger.close(self.history);
        walked
    }

    async fn steps(&mut self) -> Result<()> {
        if chance(40) {
            self.create().await?;
        } else if !self.authorize().await? {
            return Ok(());
        }
        for _ in 0..fastrand::usize(1..4) {
            self.read_token().await;
        }
        for _ in 0..fastrand::usize(0..3) {
            self.rotate_last(if chance(15) { 2 } else { 1 }).await?;
            self.read_token().await;
        }
        self.end().await;
        self.read_token().await;
        if chance(20) {
            self.rotate_last(1).await?;
        }
        if chance(10) {
            self.list().await;
        }
        if chance(10) {
            self.read_grant().await;
        }
        Ok(())
    }

    fn scope(&self) -> Scope {
        self.world.scope.clone()
    }

    fn keep(&mut self, tokens: TokenPair, origin: Origin, issued: Outcome) {
        self.history.pairs.push(Pair::new(&tokens, origin, issued));
        self.tokens.push(tokens);
    }

    fn contradiction(&self, what: impl FnOnce() -> String) {
        let grant = self.history.grant_id;
        self.caller.ledger.tally.contradiction(|| format!("grant {grant:?}: {}", what()));
    }

    /// Stores a pair without a code.
    async fn create(&mut self) -> Result<()> {
        let tokens = tokens_of(chance(80).then(Uuid::now_v7))?;
        let new = NewToken::new(&self.history.client_id, self.scope(), tokens.clone());
        self.history.grant_id = tokens.grant_id();
        let reply = self.caller.call(self.caller.storage.create_token(&self.request, new)).await;
        if let Some(token) = reply.value {
            self.history.grant_id = Some(token.grant_id);
        }
        self.keep(tokens, Origin::Nothing, reply.outcome);
        Ok(())
    }

    /// The code flow up to the first tokens. Returns false if there is nothing to continue with.
    async fn authorize(&mut self) -> Result<bool> {
        let id = &self.history.client_id;
        let mut new = NewAuthorizationCode::new(id, self.scope(), URI, self.code.clone());
        new.code_challenge = Some(CodeChallenge::s256(&self.verifier));
        let storage = &self.caller.storage;
        let create = storage.create_authorization_code(&self.request, new);
        let reply = self.caller.call(create).await;
        self.history.grant_id = reply.value.map(|code| code.grant_id).or(self.code.grant_id());
        let digest = self.code.digest();
        self.history.code = Some(Code { digest, created: reply.outcome, deleted: None });
        if reply.outcome == Outcome::Refused {
            return Ok(false);
        }
        if chance(10) {
            self.read_code().await;
        }
        if chance(5) {
            self.delete_code().await;
            return Ok(false);
        }
        self.redeem(if chance(20) { 2 } else { 1 }).await?;
        // A client retries a request without a response. Now and then one retries that has it.
        let issued = self.history.issued_for(Origin::Code) > 0;
        if chance(if issued { 5 } else { 50 }) {
            self.redeem(1).await?;
        }
        Ok(!self.history.pairs.is_empty())
    }

    async fn read_code(&self) {
        let id = &self.history.client_id;
        let get = self.caller.storage.get_authorization_code(&self.request, id, &self.code);
        let reply = self.caller.call(get).await;
        let is_lost = reply.value.is_some_and(|found| found.is_none());
        if self.history.is_live() && is_lost {
            self.contradiction(|| "an acknowledged code is not found".into());
        }
    }

    async fn delete_code(&mut self) {
        let storage = &self.caller.storage;
        let id = &self.history.client_id;
        let delete = storage.delete_authorization_code(&self.request, id, &self.code);
        let outcome = self.caller.call(delete).await.outcome;
        if let Some(code) = &mut self.history.code {
            // A deletion does not delete a code that is stored after it.
            code.deleted = Some(outcome.min(code.created));
        }
    }

    async fn redeem_once(&self) -> Result<(TokenPair, Reply<RedemptionOutcome>)> {
        let tokens = tokens_of(self.code.grant_id())?;
        let redemption = CodeRedemption::new(&self.history.client_id, URI, self.code.clone())
            .with_code_verifier(self.verifier.clone())
            .with_tokens(tokens.clone());
        let storage = &self.caller.storage;
        let redeem = storage.redeem_authorization_code(&self.request, redemption);
        Ok((tokens, self.caller.call(redeem).await))
    }

    /// Redeems the code so many times at once.
    async fn redeem(&mut self, times: usize) -> Result<()> {
        let is_live = self.history.is_live();
        let replies = if times == 1 {
            vec![self.redeem_once().await?]
        } else {
            let (one, other) = tokio::join!(self.redeem_once(), self.redeem_once());
            vec![one?, other?]
        };
        let attempts = self.history.pairs.len() + replies.len();
        for (tokens, reply) in replies {
            let issued = match reply.value {
                Some(RedemptionOutcome::Issued(issued)) => {
                    self.history.grant_id.get_or_insert(issued.token.grant_id);
                    if issued.tokens != tokens {
                        self.contradiction(|| "the issued tokens are not the given ones".into());
                    }
                    Outcome::Acknowledged
                }
                Some(RedemptionOutcome::Replayed { .. }) => {
                    self.history.revoke_by_replay(Outcome::Acknowledged);
                    if attempts == 1 {
                        self.contradiction(|| "a code was replayed that nobody redeemed".into());
                    }
                    Outcome::Refused
                }
                Some(RedemptionOutcome::Invalid) => {
                    if is_live && attempts == 1 {
                        self.contradiction(|| "an acknowledged code is invalid".into());
                    }
                    Outcome::Refused
                }
                None => reply.outcome,
            };
            self.keep(tokens, Origin::Code, issued);
        }
        self.may_be_revoked_later(Origin::Code);
        if self.history.issued_for(Origin::Code) > 1 {
            self.contradiction(|| "a code was redeemed twice".into());
        }
        Ok(())
    }

    /// An exchange whose outcome is unknown may still run. If another exchange of the same credential
    /// overtakes it, it revokes the grant as a replay.
    fn may_be_revoked_later(&mut self, origin: Origin) {
        let mut attempts = self.history.pairs.iter().filter(|pair| pair.origin == origin);
        let is_unknown = |pair: &Pair| pair.issued == Outcome::Unknown;
        if attempts.clone().count() > 1 && attempts.any(is_unknown) {
            self.history.revoke_by_replay(Outcome::Unknown);
        }
    }

    async fn rotate_once(&self, old: &Secret) -> Result<(TokenPair, Reply<RotationOutcome>)> {
        let tokens = tokens_of(old.grant_id())?;
        let rotation =
            TokenRotation::new(&self.history.client_id, old.clone()).with_tokens(tokens.clone());
        let rotate = self.caller.storage.rotate_refresh_token(&self.request, rotation);
        Ok((tokens, self.caller.call(rotate).await))
    }

    /// Rotates the refresh token that was issued last so many times at once.
    async fn rotate_last(&mut self, times: usize) -> Result<()> {
        let last = self.history.pairs.iter().rposition(|pair| pair.issued != Outcome::Refused);
        let Some(index) = last else { return Ok(()) };
        let Some(old) = self.tokens[index].refresh_token.clone() else { return Ok(()) };
        let origin = Origin::Refresh(index);
        let (before, was_dead) =
            (self.history.expected(index, Kind::Refresh), self.history.is_dead());
        let earlier = self.history.pairs.iter().filter(|pair| pair.origin == origin).count();
        let replies = if times == 1 {
            vec![self.rotate_once(&old).await?]
        } else {
            let (one, other) = tokio::join!(self.rotate_once(&old), self.rotate_once(&old));
            vec![one?, other?]
        };
        let attempts = earlier + replies.len();
        for (tokens, reply) in replies {
            let issued = match reply.value {
                Some(RotationOutcome::Issued(_)) => {
                    // Within the grace period a rotated token can be rotated again.
                    let retried = !self.history.strict && earlier > 0;
                    if was_dead || before == Expected::Inactive && !retried {
                        self.contradiction(|| "a token that is not active was rotated".into());
                    }
                    Outcome::Acknowledged
                }
                Some(RotationOutcome::Reused { .. }) => {
                    self.history.revoke_by_replay(Outcome::Acknowledged);
                    if attempts == 1 {
                        self.contradiction(|| "a token was reused that nobody rotated".into());
                    }
                    Outcome::Refused
                }
                Some(RotationOutcome::Invalid) => {
                    if before == Expected::Active && attempts == 1 {
                        self.contradiction(|| "an acknowledged refresh token is invalid".into());
                    }
                    Outcome::Refused
                }
                None => reply.outcome,
            };
            self.keep(tokens, origin, issued);
        }
        self.may_be_revoked_later(origin);
        if self.history.strict && self.history.issued_for(origin) > 1 {
            self.contradiction(|| "a refresh token was exchanged twice".into());
        }
        Ok(())
    }

    /// Reads one of the tokens, and checks its state.
    async fn read_token(&self) {
        if self.tokens.is_empty() {
            return;
        }
        let pair = fastrand::usize(0..self.tokens.len());
        let tokens = &self.tokens[pair];
        let (kind, token) = match &tokens.refresh_token {
            Some(refresh_token) if chance(30) => (Kind::Refresh, refresh_token),
            _ => (Kind::Access, &tokens.access_token),
        };
        let expected = self.history.expected(pair, kind);
        let storage = &self.caller.storage;
        let active = if chance(60) {
            let found = self.caller.call(storage.introspect(token)).await.value;
            found.map(|found| found.is_some())
        } else {
            let named = TokenRef::Any(token);
            let get = storage.get_token(&self.request, &self.history.client_id, named);
            let found = self.caller.call(get).await.value;
            found.map(|found| found.is_some_and(|token| token.is_active()))
        };
        match (expected, active) {
            (Expected::Active, Some(false)) => {
                self.contradiction(|| {
                    format!("{kind:?} token {pair}, acknowledged, is not active")
                });
            }
            (Expected::Inactive, Some(true)) => {
                self.contradiction(|| {
                    format!("{kind:?} token {pair}, refused or ended, is active")
                });
            }
            _ => {}
        }
    }

    /// Ends the grant in one of the ways, or leaves it as it is.
    async fn end(&mut self) {
        let storage = self.caller.storage.clone();
        let last = self.history.pairs.iter().rposition(|pair| pair.issued != Outcome::Refused);
        let tokens = last.map(|last| self.tokens[last].clone());
        match (fastrand::u32(0..18), last.zip(tokens), self.history.grant_id) {
            (0 | 1, Some((last, tokens)), _) => {
                self.revoke_token(last, &tokens.access_token).await;
            }
            (2 | 3, Some((last, TokenPair { refresh_token: Some(token), .. })), _) => {
                self.revoke_token(last, &token).await;
            }
            (4, _, Some(grant)) => self.revoke(storage.revoke_grant(grant)).await,
            (5, _, Some(grant)) => {
                self.revoke(storage.revoke_grant_of(&self.subject.clone(), grant)).await
            }
            (6, _, Some(grant)) => {
                let revoke = storage.revoke_grant_of("somebody else", grant);
                if self.caller.call(revoke).await.value == Some(true) {
                    self.contradiction(|| "somebody else revoked the grant".into());
                }
            }
            (7, ..) => {
                let (subject, id) = (self.subject.clone(), self.history.client_id.clone());
                self.revoke(async { Ok(storage.revoke_grants_of(&subject, &id).await? > 0) }).await;
            }
            (8, ..) => {
                let subject = self.subject.clone();
                self.revoke(async { Ok(storage.revoke_subject(&subject).await? > 0) }).await;
            }
            (9 | 10, ..) => {
                let reply = self.caller.call(storage.erase_subject(&self.subject)).await;
                if self.history.stored() == Outcome::Acknowledged && reply.value == Some(0) {
                    self.contradiction(|| "a stored grant was not found to erase".into());
                }
                self.history.erase(reply.outcome);
            }
            _ => {}
        }
    }

    /// Revokes the grant by a token of the pair.
    async fn revoke_token(&mut self, pair: usize, token: &Secret) {
        let (storage, token) = (self.caller.storage.clone(), TokenRef::Any(token));
        let revoke = storage.revoke_token(&self.request, &self.history.client_id, token);
        let outcome = self.caller.call(revoke).await.outcome;
        // A token that is not stored revokes nothing.
        self.history.revoke(outcome.min(self.history.pairs[pair].issued));
    }

    /// A revocation that returns whether the grant was live.
    async fn revoke(&mut self, revoke: impl Future<Output = oauth_storage::error::Result<bool>>) {
        let reply = self.caller.call(revoke).await;
        match reply.value {
            Some(false) if self.history.is_live() => {
                self.contradiction(|| "a live grant was not found to revoke".into());
            }
            Some(true) if self.history.is_dead() => {
                self.contradiction(|| "a grant was revoked that was not live".into());
            }
            _ => {}
        }
        self.history.revoke(reply.outcome);
    }

    async fn list(&self) {
        let list = self.caller.storage.list_grants(&self.subject, None, 10);
        let Some(page) = self.caller.call(list).await.value else { return };
        if page.grants.is_empty() && self.history.is_live() {
            self.contradiction(|| "a live grant is not listed".into());
        }
        if !page.grants.is_empty() && self.history.is_dead() {
            self.contradiction(|| "a grant is listed that is not live".into());
        }
    }

    async fn read_grant(&self) {
        let Some(grant_id) = self.history.grant_id else { return };
        let reply = self.caller.call(self.caller.storage.get_grant(grant_id)).await;
        let Some(found) = reply.value else { return };
        let is_active = found.is_some_and(|grant| grant.state == GrantState::Active);
        if !is_active && self.history.is_live() {
            self.contradiction(|| "a live grant is not active".into());
        }
        if is_active && self.history.is_dead() {
            self.contradiction(|| "a grant is active that has ended".into());
        }
    }
}
