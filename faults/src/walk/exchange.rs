//! Exchanges: the code for a pair, a refresh token for the next pair.

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::{CodeRedemption, GrantStorage as _, RedemptionOutcome, Secret, TokenPair};

use super::state::Walk;
use crate::caller::Reply;
use crate::error::Result;
use crate::ledger::{Expected, Kind, Origin, Pair};
use crate::outcome::Outcome;
use crate::random::tokens_of;
use crate::world::URI;

impl Walk {
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
    pub(super) async fn redeem(&mut self, times: usize) -> Result<()> {
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
                        self.contradiction(|| {
                            "a replay was reported of a code that no caller redeemed".into()
                        });
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
    pub(super) async fn rotate_last(&mut self, times: usize) -> Result<()> {
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
                        self.contradiction(|| {
                            "a reuse was reported of a token that no caller rotated".into()
                        });
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
}
