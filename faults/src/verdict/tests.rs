use oauth_storage::{Secret, TokenPair};

use super::*;

/// The history of a code, a pair for it, and a rotation of that; and the matching rows.
struct Example {
    history: History,
    tables: Tables,
}

fn example() -> Example {
    let grant_id = Uuid::now_v7();
    let pair = |origin| {
        Pair::new(&TokenPair::generate_for(grant_id).unwrap(), origin, Outcome::Acknowledged)
    };
    let code = Secret::generate_for(grant_id).unwrap().digest();
    let pairs = vec![pair(Origin::Code), pair(Origin::Refresh(0))];
    let mut tokens = HashMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        let row = |rotated: bool| TokenRow { grant_id, active: !rotated, rotated };
        tokens.insert(*pair.access.as_bytes(), row(false));
        tokens.insert(*pair.refresh.unwrap().as_bytes(), row(index == 0));
    }
    Example {
        tables: Tables {
            codes: [(*code.as_bytes(), CodeRow { grant_id, consumed: true })].into(),
            tokens,
            grants: [(grant_id, GrantRow { revoked: false })].into(),
            ..Tables::default()
        },
        history: History {
            grant_id: Some(grant_id),
            code: Some(Code { digest: code, created: Outcome::Acknowledged, deleted: None }),
            pairs,
            ..History::new("c", true)
        },
    }
}

impl Example {
    fn contradictions(&mut self) -> String {
        self.tables.tokens_of_grants.clear();
        for token in self.tables.tokens.values() {
            *self.tables.tokens_of_grants.entry(token.grant_id).or_default() += 1;
        }
        self.tables.contradictions(&self.history).join("; ")
    }

    fn row(&mut self, pair: usize, kind: Kind) -> &mut TokenRow {
        let pair = &self.history.pairs[pair];
        let digest = if kind == Kind::Access { pair.access } else { pair.refresh.unwrap() };
        self.tables.tokens.get_mut(digest.as_bytes()).unwrap()
    }

    fn grant(&mut self) -> &mut GrantRow {
        self.tables.grants.values_mut().next().unwrap()
    }

    fn end(&mut self) {
        self.tables.tokens.values_mut().for_each(|token| token.active = false);
    }
}

#[test]
fn matching_rows_are_no_contradiction() {
    assert_eq!(example().contradictions(), "");
}

type Spoil = fn(&mut Example);

#[test]
fn every_mismatch_is_found() {
    let spoilt: &[(Spoil, &str)] = &[
        (|e| e.tables.codes.clear(), "code is lost"),
        (|e| e.history.code.as_mut().unwrap().created = Outcome::Refused, "refused code is stored"),
        (
            |e| {
                e.history.code.as_mut().unwrap().deleted = Some(Outcome::Acknowledged);
                e.tables.codes.values_mut().for_each(|code| code.consumed = false);
            },
            "deleted code is not used",
        ),
        (
            |e| e.tables.codes.values_mut().for_each(|code| code.consumed = false),
            "half a redemption",
        ),
        (
            |e| {
                let twin = Pair { origin: Origin::Code, ..e.history.pairs[1].clone() };
                e.history.pairs.push(twin);
            },
            "redeemed 2 times",
        ),
        (
            |e| {
                let twin = e.history.pairs[1].clone();
                e.history.pairs.push(twin);
            },
            "exchanged 2 times",
        ),
        (|e| e.row(0, Kind::Refresh).rotated = false, "half a rotation"),
        (|e| e.row(0, Kind::Refresh).active = true, "Refresh token 0, refused or ended"),
        (|e| e.row(1, Kind::Access).active = false, "Access token 1, acknowledged, is not"),
        (
            |e| e.history.revoke(Outcome::Acknowledged),
            "Access token 1, refused or ended, is active",
        ),
        (
            |e| {
                e.history.revoke(Outcome::Acknowledged);
                e.end();
            },
            "acknowledged revocation is lost",
        ),
        (|e| e.grant().revoked = true, "revoked that no caller revoked"),
        (|e| e.tables.grants.clear(), "the grant of an acknowledged credential is lost"),
        (
            |e| {
                e.history.erase(Outcome::Acknowledged);
                e.end();
            },
            "an erased grant is stored",
        ),
        (|e| e.history.pairs[1].issued = Outcome::Refused, "refused pair 1 is stored"),
        (
            |e| {
                let access = e.history.pairs[1].access;
                e.tables.tokens.remove(access.as_bytes());
            },
            "half of pair 1 is stored",
        ),
        (
            |e| {
                let grant_id = e.history.grant_id.unwrap();
                let row = TokenRow { grant_id, active: true, rotated: false };
                e.tables.tokens.insert([0; 32], row);
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
fn an_ended_grant_is_revoked_or_erased() {
    let mut example = example();
    example.history.revoke(Outcome::Acknowledged);
    example.grant().revoked = true;
    example.end();
    assert_eq!(example.contradictions(), "");
    example.history.erase(Outcome::Unknown);
    assert_eq!(example.contradictions(), "");
    example.tables.grants.clear();
    assert_eq!(example.contradictions(), "");
}

#[test]
fn an_unknown_outcome_may_be_either_but_not_half() {
    let mut example = example();
    example.history.pairs[1].issued = Outcome::Unknown;
    assert_eq!(example.contradictions(), "");
    for kind in [Kind::Access, Kind::Refresh] {
        let pair = example.history.pairs[1].clone();
        let digest = if kind == Kind::Access { pair.access } else { pair.refresh.unwrap() };
        example.tables.tokens.remove(digest.as_bytes());
        let half = example.contradictions();
        assert_eq!(half.contains("half of pair 1"), kind == Kind::Access, "{half}");
    }
    // Without the pair, the refresh token must not be rotated.
    assert!(example.contradictions().contains("half a rotation"));
    *example.row(0, Kind::Refresh) =
        TokenRow { rotated: false, active: true, ..example.row(0, Kind::Refresh).clone() };
    assert_eq!(example.contradictions(), "");
}

#[test]
fn a_client_is_as_acknowledged() {
    let client = |registered, deleted| ClientHistory {
        registered,
        disabled: (false, Outcome::Acknowledged),
        deleted,
        ..ClientHistory::new("c".into())
    };
    let fits = |client: &ClientHistory, found| client_contradiction(client, found).is_none();
    assert!(fits(&client(Outcome::Acknowledged, None), Some(false)));
    assert!(!fits(&client(Outcome::Acknowledged, None), Some(true)));
    assert!(!fits(&client(Outcome::Acknowledged, None), None));
    assert!(!fits(&client(Outcome::Refused, None), Some(false)));
    assert!(fits(&client(Outcome::Unknown, None), None));
    let deleted = Some(Outcome::Acknowledged);
    assert!(!fits(&client(Outcome::Acknowledged, deleted), Some(false)));
    assert!(fits(&client(Outcome::Acknowledged, deleted), None));
    let cut_off = client(Outcome::Acknowledged, Some(Outcome::Unknown));
    assert!(fits(&cut_off, Some(true)) && fits(&cut_off, Some(false)));
}
