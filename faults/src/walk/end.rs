//! The end of a walk: revocation by a token, by the grant, by the subject, or erasure.

use oauth_storage::token::TokenRef;
use oauth_storage::{GrantStorage as _, Secret, TokenPair, TokenStorage as _};

use super::state::Walk;
use crate::outcome::Outcome;

impl Walk {
    /// Ends the grant in one of the ways, or leaves it as it is.
    pub(super) async fn end(&mut self) {
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

    /// Runs a revocation that returns true if the grant was live.
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
}
