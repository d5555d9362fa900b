//! What every call was told, written down while the load runs.

use std::sync::{Mutex, PoisonError};

use oauth_storage::{Advice, Digest, Error, Secret};
use uuid::Uuid;

use crate::tally::Tally;

/// What a caller knows of a call's effect. In the order of how little: of two words about the same
/// thing, the greater is what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// It failed, and nothing was changed.
    Refused,
    /// It may have taken effect, as a whole, or not.
    Unknown,
    /// It took effect.
    Acknowledged,
}

impl Told {
    /// The error's own advice decides, as it would for an application.
    pub(crate) fn by(error: &Error) -> Self {
        match error.advice() {
            Advice::CheckOutcome => Self::Unknown,
            _ => Self::Refused,
        }
    }
}

/// One grant, from its beginning to its end, as its callers saw it.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) client_id: String,
    /// None while it is only in a code whose storing was not acknowledged.
    pub(crate) grant_id: Option<Uuid>,
    /// At grace zero a refresh token is exchanged once.
    pub(crate) strict: bool,
    pub(crate) code: Option<Code>,
    pub(crate) pairs: Vec<Pair>,
    /// The strongest word about the end of the whole grant; none while nobody asked for it.
    pub(crate) ended: Option<Told>,
}

#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) digest: Digest,
    pub(crate) created: Told,
    pub(crate) deleted: Option<Told>,
}

/// Two tokens issued together, or an access token alone.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) access: Digest,
    pub(crate) refresh: Option<Digest>,
    pub(crate) origin: Origin,
    pub(crate) issued: Told,
    /// The strongest word about the revocation of this pair alone.
    pub(crate) ended: Option<Told>,
}

/// What a pair was issued for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing that could be spent.
    Nothing,
    /// The story's code.
    Code,
    /// The refresh token of the story's pair with this index.
    Refresh(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Access,
    Refresh,
}

/// What has to be found of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there, and active.
    Active,
    /// It is not active.
    Inactive,
    /// What its callers were told leaves both open.
    Either,
}

impl Story {
    pub(crate) fn new(client_id: &str, strict: bool) -> Self {
        Self {
            client_id: client_id.to_owned(),
            grant_id: None,
            strict,
            code: None,
            pairs: Vec::new(),
            ended: None,
        }
    }

    pub(crate) fn fate(&self, pair: usize, kind: Kind) -> Fate {
        let pair_index = pair;
        let pair = &self.pairs[pair];
        let ended = self.ended.max(pair.ended);
        // The greatest word of all attempts to exchange it.
        let rotated = match kind {
            Kind::Access => None,
            Kind::Refresh => self
                .pairs
                .iter()
                .filter(|other| other.origin == Origin::Refresh(pair_index))
                .map(|other| other.issued)
                .max(),
        };
        match (pair.issued, ended.max(rotated)) {
            // What ends a grant finds what is stored, and what is being exchanged. A pair that
            // came of nothing may be stored afterwards.
            (Told::Unknown, _) if pair.origin == Origin::Nothing => Fate::Either,
            (Told::Refused, _) | (_, Some(Told::Acknowledged)) => Fate::Inactive,
            (Told::Unknown, _) | (_, Some(Told::Unknown)) => Fate::Either,
            (Told::Acknowledged, None | Some(Told::Refused)) => Fate::Active,
        }
    }

    /// Somebody asked for the whole grant's end.
    pub(crate) fn end(&mut self, told: Told) {
        self.ended = self.ended.max(Some(told));
    }

    /// How many exchanges of this origin were acknowledged.
    pub(crate) fn issued_for(&self, origin: Origin) -> usize {
        let issued = |pair: &&Pair| pair.origin == origin && pair.issued == Told::Acknowledged;
        self.pairs.iter().filter(issued).count()
    }
}

/// A client that the load registered.
#[derive(Debug)]
pub(crate) struct ClientStory {
    pub(crate) client_id: String,
    pub(crate) registered: Told,
    /// The secret that the last acknowledged call gave; none where a later outcome is unknown.
    pub(crate) secret: Option<Secret>,
    /// What the last call set, and what it was told.
    pub(crate) disabled: (bool, Told),
    pub(crate) deleted: Option<Told>,
}

/// All that was told to anybody, for the verdict.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) tally: Tally,
    told: Mutex<(Vec<Story>, Vec<ClientStory>)>,
}

impl Ledger {
    pub(crate) fn close(&self, story: Story) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).0.push(story);
    }

    pub(crate) fn close_client(&self, story: ClientStory) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).1.push(story);
    }

    /// Takes the stories out.
    pub(crate) fn take(&self) -> (Vec<Story>, Vec<ClientStory>) {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(origin: Origin, issued: Told) -> Pair {
        let digest = || Secret::generate().unwrap().digest();
        Pair { access: digest(), refresh: Some(digest()), origin, issued, ended: None }
    }

    fn story(pairs: Vec<Pair>) -> Story {
        Story { pairs, ..Story::new("c", true) }
    }

    #[test]
    fn what_was_told_decides_what_must_be_found() {
        for (issued, fate) in [
            (Told::Acknowledged, Fate::Active),
            (Told::Unknown, Fate::Either),
            (Told::Refused, Fate::Inactive),
        ] {
            assert_eq!(story(vec![pair(Origin::Code, issued)]).fate(0, Kind::Access), fate);
        }
    }

    #[test]
    fn an_end_counts_by_its_strongest_word() {
        let mut story = story(vec![pair(Origin::Code, Told::Acknowledged)]);
        story.end(Told::Refused);
        assert_eq!(story.fate(0, Kind::Refresh), Fate::Active);
        story.end(Told::Unknown);
        assert_eq!(story.fate(0, Kind::Refresh), Fate::Either);
        story.end(Told::Acknowledged);
        story.end(Told::Unknown);
        assert_eq!(story.fate(0, Kind::Refresh), Fate::Inactive);
    }

    #[test]
    fn an_exchange_ends_the_refresh_token_and_not_its_access_token() {
        let first = pair(Origin::Code, Told::Acknowledged);
        let refused = pair(Origin::Refresh(0), Told::Refused);
        let unknown = pair(Origin::Refresh(0), Told::Unknown);
        let issued = pair(Origin::Refresh(0), Told::Acknowledged);
        let fate = |pairs: Vec<Pair>| story(pairs).fate(0, Kind::Refresh);
        assert_eq!(fate(vec![first.clone(), refused]), Fate::Active);
        assert_eq!(fate(vec![first.clone(), unknown.clone()]), Fate::Either);
        let story = story(vec![first, unknown, issued]);
        assert_eq!(story.fate(0, Kind::Refresh), Fate::Inactive);
        assert_eq!(story.fate(0, Kind::Access), Fate::Active);
        assert_eq!(story.issued_for(Origin::Refresh(0)), 1);
    }
}
