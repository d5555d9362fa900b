//! One grant from its beginning to its end. Each result is checked against the ones before.

mod beside;
mod end;
mod exchange;
mod state;

use oauth_storage::authorization_code::CodeChallenge;
use oauth_storage::grant::GrantState;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::{
    AuthorizationCodeStorage as _, GrantStorage as _, NewAuthorizationCode, TokenStorage as _,
};
use uuid::Uuid;

use crate::error::Result;
use crate::ledger::{Code, Expected, Kind, Origin};
use crate::outcome::Outcome;
use crate::random::{chance, tokens_of};
use crate::world::URI;
pub(crate) use state::Walk;

impl Walk {
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
        if chance(20) {
            self.beside().await;
        }
        Ok(())
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
