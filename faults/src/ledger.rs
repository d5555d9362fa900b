//! The outcomes of every call, written down while the load runs.

use std::sync::{Mutex, PoisonError};

use oauth_storage::backend::TokenHash;
use oauth_storage::{Secret, TokenPair};
use uuid::Uuid;

use crate::outcome::Outcome;
use crate::tally::Tally;

/// One grant from its beginning to its end, as its caller knows it.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) client_id: String,
    /// `None` while it is known only to a code, or tokens, that name no grant and whose storing was
    /// not acknowledged.
    pub(crate) grant_id: Option<Uuid>,
    /// True at grace zero, where a refresh token is exchanged once.
    pub(crate) strict: bool,
    pub(crate) code: Option<Code>,
    pub(crate) pairs: Vec<Pair>,
    /// The greatest outcome of all revocations of the grant; `None` without one.
    pub(crate) revoked: Option<Outcome>,
    /// The greatest outcome of all calls that erased the grant's row.
    pub(crate) erased: Option<Outcome>,
}

#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) digest: TokenHash,
    pub(crate) created: Outcome,
    pub(crate) deleted: Option<Outcome>,
}

/// Two tokens issued together, or an access token alone.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) access: TokenHash,
    pub(crate) refresh: Option<TokenHash>,
    pub(crate) origin: Origin,
    pub(crate) issued: Outcome,
}

impl Pair {
    pub(crate) fn new(tokens: &TokenPair, origin: Origin, issued: Outcome) -> Self {
        let refresh = tokens.refresh_token.as_ref().map(Secret::digest);
        Self { access: tokens.access_token.digest(), refresh, origin, issued }
    }

    pub(crate) fn digests(&self) -> impl Iterator<Item = &TokenHash> {
        std::iter::once(&self.access).chain(&self.refresh)
    }
}

/// The credential that a pair was exchanged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// No credential.
    Nothing,
    /// The code of the grant.
    Code,
    /// The refresh token of the pair with this index.
    Refresh(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Refresh,
}

/// The state that a token must be found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The token is stored and active.
    Active,
    /// The token is not active.
    Inactive,
    /// The outcomes allow both.
    Either,
}

impl History {
    pub(crate) fn new(client_id: &str, strict: bool) -> Self {
        Self {
            client_id: client_id.to_owned(),
            grant_id: None,
            strict,
            code: None,
            pairs: Vec::new(),
            revoked: None,
            erased: None,
        }
    }

    /// The state of the stored grant: the greatest outcome of all calls that stored a credential of it.
    pub(crate) fn stored(&self) -> Outcome {
        let code = self.code.as_ref().map(|code| code.created);
        let pairs = self.pairs.iter().map(|pair| pair.issued);
        pairs.chain(code).max().unwrap_or(Outcome::Refused)
    }

    /// The greatest outcome of all calls that ended the grant.
    pub(crate) fn ended(&self) -> Option<Outcome> {
        self.revoked.max(self.erased)
    }

    /// True if the grant is stored and nothing may have ended it.
    pub(crate) fn is_live(&self) -> bool {
        self.stored() == Outcome::Acknowledged
            && !matches!(self.ended(), Some(Outcome::Unknown | Outcome::Acknowledged))
    }

    /// True if nothing of the grant may be active.
    pub(crate) fn is_dead(&self) -> bool {
        self.stored() == Outcome::Refused || self.ended() == Some(Outcome::Acknowledged)
    }

    /// A revocation. It does not end a grant that is stored after it.
    pub(crate) fn revoke(&mut self, outcome: Outcome) {
        self.revoked = self.revoked.max(Some(outcome.min(self.stored())));
    }

    /// A replay or a reuse, which proves that the grant is stored.
    pub(crate) fn revoke_by_replay(&mut self, outcome: Outcome) {
        self.revoked = self.revoked.max(Some(outcome));
    }

    /// The erasure of the subject. It does not erase a grant that is stored after it.
    pub(crate) fn erase(&mut self, outcome: Outcome) {
        self.erased = self.erased.max(Some(outcome.min(self.stored())));
    }

    pub(crate) fn expected(&self, pair: usize, kind: Kind) -> Expected {
        let rotated = match kind {
            Kind::Access => None,
            Kind::Refresh => {
                let successors = self.pairs.iter().filter(|p| p.origin == Origin::Refresh(pair));
                successors.map(|successor| successor.issued).max()
            }
        };
        match (self.pairs[pair].issued, self.ended().max(rotated)) {
            (Outcome::Refused, _) | (_, Some(Outcome::Acknowledged)) => Expected::Inactive,
            (Outcome::Unknown, _) | (_, Some(Outcome::Unknown)) => Expected::Either,
            (Outcome::Acknowledged, None | Some(Outcome::Refused)) => Expected::Active,
        }
    }

    /// The number of acknowledged exchanges of this origin.
    pub(crate) fn issued_for(&self, origin: Origin) -> usize {
        let issued = |pair: &&Pair| pair.origin == origin && pair.issued == Outcome::Acknowledged;
        self.pairs.iter().filter(issued).count()
    }
}

/// A client that the load registered.
#[derive(Debug)]
pub(crate) struct ClientHistory {
    pub(crate) client_id: String,
    pub(crate) registered: Outcome,
    /// The secret of the last acknowledged call; `None` if a later outcome is unknown.
    pub(crate) secret: Option<Secret>,
    /// The value that the last call set, and its outcome.
    pub(crate) disabled: (bool, Outcome),
    pub(crate) deleted: Option<Outcome>,
}

impl ClientHistory {
    /// A client that is not registered yet.
    pub(crate) fn new(client_id: String) -> Self {
        Self {
            client_id,
            registered: Outcome::Refused,
            secret: None,
            disabled: (false, Outcome::Refused),
            deleted: None,
        }
    }
}

/// The histories of all grants and clients, for the verdict.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) tally: Tally,
    histories: Mutex<(Vec<History>, Vec<ClientHistory>)>,
}

impl Ledger {
    pub(crate) fn close(&self, history: History) {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).0.push(history);
    }

    pub(crate) fn close_client(&self, history: ClientHistory) {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner).1.push(history);
    }

    /// Removes and returns all histories.
    pub(crate) fn take(&self) -> (Vec<History>, Vec<ClientHistory>) {
        std::mem::take(&mut *self.histories.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome::{Acknowledged, Refused, Unknown};

    fn pair(origin: Origin, issued: Outcome) -> Pair {
        Pair::new(&TokenPair::generate().unwrap(), origin, issued)
    }

    fn history(pairs: Vec<Pair>) -> History {
        History { pairs, ..History::new("c", true) }
    }

    #[test]
    fn the_outcome_of_the_issue_decides_what_is_expected() {
        for (issued, expected) in [
            (Acknowledged, Expected::Active),
            (Unknown, Expected::Either),
            (Refused, Expected::Inactive),
        ] {
            let history = history(vec![pair(Origin::Code, issued)]);
            assert_eq!(history.expected(0, Kind::Access), expected);
        }
    }

    #[test]
    fn the_greatest_outcome_of_all_revocations_counts() {
        let mut history = history(vec![pair(Origin::Code, Acknowledged)]);
        history.revoke(Refused);
        assert_eq!(history.expected(0, Kind::Refresh), Expected::Active);
        assert!(history.is_live());
        history.revoke(Unknown);
        assert_eq!(history.expected(0, Kind::Refresh), Expected::Either);
        history.revoke(Acknowledged);
        history.revoke(Unknown);
        assert_eq!(history.expected(0, Kind::Access), Expected::Inactive);
        assert!(history.is_dead());
    }

    #[test]
    fn an_erased_grant_is_dead() {
        let mut history = history(vec![pair(Origin::Code, Acknowledged)]);
        history.erase(Unknown);
        assert_eq!(history.expected(0, Kind::Access), Expected::Either);
        history.erase(Acknowledged);
        assert_eq!(history.expected(0, Kind::Access), Expected::Inactive);
    }

    #[test]
    fn a_revocation_does_not_end_what_may_be_stored_after_it() {
        let mut history = history(vec![pair(Origin::Nothing, Unknown)]);
        history.revoke(Acknowledged);
        assert_eq!(history.expected(0, Kind::Access), Expected::Either);
        history.revoke_by_replay(Acknowledged);
        assert_eq!(history.expected(0, Kind::Access), Expected::Inactive);
    }

    #[test]
    fn an_exchange_ends_the_refresh_token_and_not_its_access_token() {
        let first = pair(Origin::Code, Acknowledged);
        let refused = pair(Origin::Refresh(0), Refused);
        let unknown = pair(Origin::Refresh(0), Unknown);
        let issued = pair(Origin::Refresh(0), Acknowledged);
        let expected = |pairs: Vec<Pair>| history(pairs).expected(0, Kind::Refresh);
        assert_eq!(expected(vec![first.clone(), refused]), Expected::Active);
        assert_eq!(expected(vec![first.clone(), unknown.clone()]), Expected::Either);
        let history = history(vec![first, unknown, issued]);
        assert_eq!(history.expected(0, Kind::Refresh), Expected::Inactive);
        assert_eq!(history.expected(0, Kind::Access), Expected::Active);
        assert_eq!(history.issued_for(Origin::Refresh(0)), 1);
    }
}
