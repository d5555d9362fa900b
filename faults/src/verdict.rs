//! Holds what was told against what the database has.

use std::collections::{HashMap, HashSet};

use crate::Result;
use crate::database::{CodeRow, Database, TokenRow};
use crate::ledger::{ClientStory, Code, Fate, Kind, Ledger, Origin, Pair, Story, Told};

type Key = [u8; 32];

/// Checks every story of the ledger; what contradicts them is counted there.
pub(crate) async fn pass(ledger: &Ledger, database: &mut Database) -> Result<()> {
    let (stories, clients) = ledger.take();
    let codes = stories.iter().filter_map(|story| story.code.as_ref());
    let codes: Vec<&[u8]> = codes.map(|code| &code.digest.as_bytes()[..]).collect();
    let codes = database.codes(&codes).await?;

    let pairs = || stories.iter().flat_map(|story| &story.pairs);
    let digests: Vec<&[u8]> = pairs()
        .flat_map(|pair| std::iter::once(&pair.access).chain(&pair.refresh))
        .map(|digest| &digest.as_bytes()[..])
        .collect();
    let grants: HashSet<_> = stories
        .iter()
        .filter_map(|story| story.grant_id)
        .chain(codes.values().map(|code| code.grant_id))
        .collect();
    let grants: Vec<_> = grants.into_iter().collect();
    let tokens = database.tokens(&digests, &grants).await?;

    let mut known: HashMap<uuid::Uuid, usize> = HashMap::new();
    for token in tokens.values() {
        *known.entry(token.grant_id).or_default() += 1;
    }
    for story in &stories {
        let tables = Tables { codes: &codes, tokens: &tokens, in_grant: &known };
        for what in tables.contradictions(story) {
            let grant = story.grant_id;
            ledger.tally.contradiction(|| format!("grant {grant:?}: {what}"));
        }
    }
    for client in &clients {
        let found = database.client(&client.client_id).await?;
        if let Some(what) = client_contradiction(client, found) {
            ledger.tally.contradiction(|| format!("client {}: {what}", client.client_id));
        }
    }
    Ok(())
}

/// What the tables hold of the stories.
struct Tables<'a> {
    codes: &'a HashMap<Key, CodeRow>,
    tokens: &'a HashMap<Key, TokenRow>,
    /// How many tokens each grant has.
    in_grant: &'a HashMap<uuid::Uuid, usize>,
}

impl Tables<'_> {
    fn contradictions(&self, story: &Story) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(code) = &story.code {
            found.extend(self.code(story, code));
        }
        for (index, pair) in story.pairs.iter().enumerate() {
            found.extend(self.pair(story, index, pair));
        }
        found.extend(self.strangers(story));
        found
    }

    fn is_there(&self, pair: &Pair) -> bool {
        self.tokens.contains_key(pair.access.as_bytes())
    }

    /// How many pairs of this origin are stored.
    fn stored(&self, story: &Story, origin: Origin) -> usize {
        story.pairs.iter().filter(|pair| pair.origin == origin && self.is_there(pair)).count()
    }

    fn code(&self, story: &Story, code: &Code) -> Vec<String> {
        let mut found = Vec::new();
        let row = self.codes.get(code.digest.as_bytes());
        match (code.created, code.deleted, row) {
            (Told::Acknowledged, None | Some(Told::Refused), None) => {
                found.push("an acknowledged code is lost".into());
            }
            (Told::Refused, _, Some(_)) => found.push("a refused code is stored".into()),
            (_, Some(Told::Acknowledged), Some(_)) => found.push("a deleted code is there".into()),
            _ => {}
        }
        let stored = self.stored(story, Origin::Code);
        if stored > 1 {
            found.push(format!("one code was issued {stored} times"));
        }
        if let Some(row) = row
            && row.consumed != (stored > 0)
        {
            found.push(format!("half a redemption: spent is {}, pairs {stored}", row.consumed));
        }
        found
    }

    fn pair(&self, story: &Story, index: usize, pair: &Pair) -> Vec<String> {
        let mut found = Vec::new();
        let is_there = self.is_there(pair);
        match (pair.issued, is_there) {
            (Told::Acknowledged, false) => found.push(format!("acknowledged pair {index} is lost")),
            (Told::Refused, true) => found.push(format!("refused pair {index} is stored")),
            _ => {}
        }
        let mut kinds = vec![(Kind::Access, pair.access)];
        kinds.extend(pair.refresh.map(|digest| (Kind::Refresh, digest)));
        for (kind, digest) in kinds {
            let row = self.tokens.get(digest.as_bytes());
            if row.is_some() != is_there {
                found.push(format!("half of pair {index} is stored"));
            }
            let active = row.is_some_and(|row| row.active);
            match story.fate(index, kind) {
                Fate::Active if !active => {
                    found.push(format!("{kind:?} token {index}, acknowledged, is not active"));
                }
                Fate::Inactive if active => {
                    found.push(format!("{kind:?} token {index}, refused or ended, is active"));
                }
                _ => {}
            }
            if kind == Kind::Refresh
                && let Some(row) = row
            {
                let stored = self.stored(story, Origin::Refresh(index));
                if story.strict && stored > 1 {
                    found.push(format!("refresh token {index} was exchanged {stored} times"));
                }
                if row.rotated != (stored > 0) {
                    found.push(format!(
                        "half a rotation of {index}: spent is {}, pairs {stored}",
                        row.rotated
                    ));
                }
            }
        }
        found
    }

    /// Tokens of the grant that no caller asked for.
    fn strangers(&self, story: &Story) -> Option<String> {
        let code = story.code.as_ref().and_then(|code| self.codes.get(code.digest.as_bytes()));
        let grant = story.grant_id.or(code.map(|code| code.grant_id))?;
        let asked_for = story
            .pairs
            .iter()
            .flat_map(|pair| std::iter::once(&pair.access).chain(&pair.refresh))
            .filter_map(|digest| self.tokens.get(digest.as_bytes()))
            .filter(|row| row.grant_id == grant)
            .count();
        let stored = self.in_grant.get(&grant).copied().unwrap_or_default();
        (stored != asked_for)
            .then(|| format!("{stored} tokens are stored, {asked_for} of them asked for"))
    }
}

fn client_contradiction(client: &ClientStory, found: Option<bool>) -> Option<&'static str> {
    let kept = matches!(client.deleted, None | Some(Told::Refused));
    match (client.registered, found) {
        (Told::Acknowledged, None) if kept => Some("an acknowledged client is lost"),
        (Told::Refused, Some(_)) => Some("a refused client is stored"),
        (_, Some(_)) if client.deleted == Some(Told::Acknowledged) => {
            Some("a deleted client is there")
        }
        (_, Some(disabled))
            if client.disabled.1 == Told::Acknowledged && client.disabled.0 != disabled =>
        {
            Some("whether it is disabled is not what was told")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use oauth_storage::Secret;
    use uuid::Uuid;

    use super::*;

    /// A story of a code, a pair for it, and a rotation of that; and the tables that fit.
    struct Example {
        story: Story,
        codes: HashMap<Key, CodeRow>,
        tokens: HashMap<Key, TokenRow>,
    }

    fn example() -> Example {
        let digest = || Secret::generate().unwrap().digest();
        let grant_id = Uuid::now_v7();
        let pair = |origin| Pair {
            access: digest(),
            refresh: Some(digest()),
            origin,
            issued: Told::Acknowledged,
            ended: None,
        };
        let code = digest();
        let pairs = vec![pair(Origin::Code), pair(Origin::Refresh(0))];
        let mut tokens = HashMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            let row = |rotated: bool| TokenRow { grant_id, active: !rotated, rotated };
            tokens.insert(*pair.access.as_bytes(), row(false));
            tokens.insert(*pair.refresh.unwrap().as_bytes(), row(index == 0));
        }
        Example {
            codes: [(*code.as_bytes(), CodeRow { grant_id, consumed: true })].into(),
            tokens,
            story: Story {
                grant_id: Some(grant_id),
                code: Some(Code { digest: code, created: Told::Acknowledged, deleted: None }),
                pairs,
                ..Story::new("c", true)
            },
        }
    }

    impl Example {
        fn contradictions(&self) -> String {
            let mut in_grant = HashMap::new();
            for token in self.tokens.values() {
                *in_grant.entry(token.grant_id).or_default() += 1;
            }
            let tables = Tables { codes: &self.codes, tokens: &self.tokens, in_grant: &in_grant };
            tables.contradictions(&self.story).join("; ")
        }

        fn row(&mut self, pair: usize, kind: Kind) -> &mut TokenRow {
            let pair = &self.story.pairs[pair];
            let digest = if kind == Kind::Access { pair.access } else { pair.refresh.unwrap() };
            self.tokens.get_mut(digest.as_bytes()).unwrap()
        }
    }

    #[test]
    fn what_fits_is_no_contradiction() {
        assert_eq!(example().contradictions(), "");
    }

    type Spoil = fn(&mut Example);

    #[test]
    fn what_does_not_fit_is_found() {
        let spoilt: &[(Spoil, &str)] = &[
            (|e| e.codes.clear(), "code is lost"),
            (|e| e.story.code.as_mut().unwrap().created = Told::Refused, "refused code is stored"),
            (
                |e| e.story.code.as_mut().unwrap().deleted = Some(Told::Acknowledged),
                "deleted code is there",
            ),
            (|e| e.codes.values_mut().for_each(|code| code.consumed = false), "half a redemption"),
            (
                |e| {
                    let twin = Pair { origin: Origin::Code, ..e.story.pairs[1].clone() };
                    e.story.pairs.push(twin);
                },
                "issued 2 times",
            ),
            (
                |e| {
                    let twin = e.story.pairs[1].clone();
                    e.story.pairs.push(twin);
                },
                "exchanged 2 times",
            ),
            (|e| e.row(0, Kind::Refresh).rotated = false, "half a rotation"),
            (|e| e.row(0, Kind::Refresh).active = true, "Refresh token 0, refused or ended"),
            (|e| e.row(1, Kind::Access).active = false, "Access token 1, acknowledged, is not"),
            (|e| e.story.end(Told::Acknowledged), "Access token 1, refused or ended, is active"),
            (|e| e.story.pairs[1].issued = Told::Refused, "refused pair 1 is stored"),
            (
                |e| {
                    let access = e.story.pairs[1].access;
                    e.tokens.remove(access.as_bytes());
                },
                "half of pair 1 is stored",
            ),
            (
                |e| {
                    let grant_id = e.story.grant_id.unwrap();
                    let row = TokenRow { grant_id, active: true, rotated: false };
                    e.tokens.insert([0; 32], row);
                },
                "5 tokens are stored, 4 of them asked for",
            ),
        ];
        for (spoil, expected) in spoilt {
            let mut example = example();
            spoil(&mut example);
            let found = example.contradictions();
            assert!(found.contains(expected), "{expected:?} is missing in {found:?}");
        }
    }

    #[test]
    fn an_unknown_outcome_may_be_either_but_not_half() {
        let mut example = example();
        example.story.pairs[1].issued = Told::Unknown;
        assert_eq!(example.contradictions(), "");
        for kind in [Kind::Access, Kind::Refresh] {
            let pair = example.story.pairs[1].clone();
            let digest = if kind == Kind::Access { pair.access } else { pair.refresh.unwrap() };
            example.tokens.remove(digest.as_bytes());
            let half = example.contradictions();
            assert_eq!(half.contains("half of pair 1"), kind == Kind::Access, "{half}");
        }
        // With the pair gone, what it was for must not be spent.
        assert!(example.contradictions().contains("half a rotation"));
        *example.row(0, Kind::Refresh) =
            TokenRow { rotated: false, active: true, ..example.row(0, Kind::Refresh).clone() };
        assert_eq!(example.contradictions(), "");
    }

    #[test]
    fn a_client_is_what_was_told() {
        let client = |registered, deleted| ClientStory {
            client_id: "c".into(),
            registered,
            secret: None,
            disabled: (true, Told::Acknowledged),
            deleted,
        };
        let fits = |client: &ClientStory, found| client_contradiction(client, found).is_none();
        assert!(fits(&client(Told::Acknowledged, None), Some(true)));
        assert!(!fits(&client(Told::Acknowledged, None), Some(false)));
        assert!(!fits(&client(Told::Acknowledged, None), None));
        assert!(!fits(&client(Told::Refused, None), Some(true)));
        assert!(fits(&client(Told::Unknown, None), None));
        let deleted = Some(Told::Acknowledged);
        assert!(!fits(&client(Told::Acknowledged, deleted), Some(true)));
        assert!(fits(&client(Told::Acknowledged, deleted), None));
    }
}
