//! Revoking grants one by one and by owner.

use std::time::Duration;

use uuid::Uuid;

use super::context::{
    ACTIVE, Context, Pair, REVOKED, joined, request, strange_client_ids, subject, unique,
};
use super::flow::{authorized, granted, next_pair, redeem, rotate, rotation, strict};
use oauth_storage::error::Result;
use oauth_storage::grant::{GrantState, RotationOutcome};
use oauth_storage::token::TokenRef;
use oauth_storage::{CodeRedemption, RedemptionOutcome, RequestContext, Storage};

rules!("grant" {
    revoke_grant_ends_every_credential: "contract 2, revoke: tokens, successors and code of the grant, and no others",
    revoke_grant_is_true_once: "contract 2, revoke: true once, then false; false for an unknown grant",
    revoke_grant_of_checks_the_subject: "contract 2, revoke a grant of this subject: only if it is theirs",
    revoke_grants_of_takes_subject_and_client: "contract 2, revoke all grants of a subject and a client: how many, and no others",
    revoke_subject_takes_every_client: "contract 2, revoke a subject: how many grants, and no others",
    revoke_client_takes_every_subject: "contract 2, revoke a client: how many grants, and no others; the client stays",
    revoke_ends_an_unused_code: "contract 2, revoke: a code that was not redeemed yet is dead",
    revoke_counts_each_grant_once: "contract 2, revoke: grants are counted, not tokens, and only those not revoked before",
    revoke_of_the_unknown: "contract 3, bad input: owners that are unknown or ill-formed have no grants",
    disabled_clients_grants_are_revoked: "contract 2, revoke: grants of a disabled client can be revoked",
    later_grants_are_active: "contract 2, revoke: a grant that begins after a revocation is active",
    revocation_beats_rotation: "S9, contract 2, revoke: nothing is active after it returns, even with concurrent calls",
});

/// Grants of two subjects for two clients.
pub(super) struct Grants {
    pub(super) clients: [String; 2],
    users: [RequestContext; 2],
    /// Client and user of each pair, by index: two of the first of both, one of each other.
    pub(super) pairs: Vec<(usize, usize, Pair)>,
    /// A code of each user for each client that was not redeemed.
    pub(super) codes: Vec<(usize, usize, CodeRedemption)>,
}

impl Grants {
    pub(super) async fn new(cx: &Context) -> Self {
        let clients = [cx.client().await, cx.client().await];
        let users = [request(), request()];
        let (mut pairs, mut codes) = (Vec::new(), Vec::new());
        for (client, user) in [(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)] {
            let (pair, _) = granted(cx, &users[user], &clients[client]).await;
            pairs.push((client, user, next_pair(cx, &strict(), &pair).await));
        }
        for (client, user) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let redemption = authorized(cx, &users[user], &clients[client]).await;
            codes.push((client, user, redemption));
        }
        Self { clients, users, pairs, codes }
    }

    pub(super) fn subject(&self, user: usize) -> &str {
        subject(&self.users[user])
    }

    /// Asserts that exactly the grants that match are dead.
    async fn check(&self, cx: &Context, is_dead: impl Fn(usize, usize) -> bool, what: &str) {
        for (client, user, pair) in &self.pairs {
            let expected = if is_dead(*client, *user) { REVOKED } else { ACTIVE };
            let states = cx.states(&self.clients[*client], pair).await;
            assert_eq!(states, [expected; 2], "{what}: client {client}, user {user}");
            let grant = cx.grant(pair.grant_id()).await.expect("stored");
            assert_eq!(grant.state == GrantState::Revoked, is_dead(*client, *user), "{what}");
        }
        for (client, user, redemption) in &self.codes {
            let found = cx.get_code(&self.clients[*client], &redemption.code).await;
            let what = format!("{what}: code of client {client}, user {user}");
            assert_eq!(found.is_none(), is_dead(*client, *user), "{what}");
        }
    }
}

async fn revoke_grant_ends_every_credential(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (first, redemption) = granted(&cx, &user, &client).await;
    let second = next_pair(&cx, &strict(), &first).await;
    let third = cx.sibling(&user, &first).await;
    let (other, _) = granted(&cx, &user, &client).await;
    assert!(cx.storage.revoke_grant(first.grant_id()).await.expect("revoke_grant"));
    for pair in [&first, &second, &third] {
        assert_eq!(cx.states(&client, pair).await, [REVOKED; 2]);
        let outcome = rotate(&cx, &strict(), &rotation(pair)).await;
        assert_eq!(outcome, RotationOutcome::Invalid, "a token of a revoked grant");
        assert!(!cx.is_active(&pair.access).await && !cx.is_active(&pair.refresh).await);
    }
    let outcome = redeem(&cx, &redemption).await;
    assert_eq!(outcome, RedemptionOutcome::Invalid, "the code of a revoked grant");
    assert_eq!(cx.states(&client, &other).await, [ACTIVE; 2], "another grant stays");
}

async fn revoke_grant_is_true_once(cx: Context) {
    let client = cx.client().await;
    let pair = cx.pair(&request(), &client).await;
    let revoke = async |id| cx.storage.revoke_grant(id).await.expect("revoke_grant");
    assert!(revoke(pair.grant_id()).await, "true for a grant that was live");
    assert!(!revoke(pair.grant_id()).await, "false for a grant that was revoked before");
    for unknown in [Uuid::now_v7(), Uuid::nil(), Uuid::max()] {
        assert!(!revoke(unknown).await, "false for an unknown grant");
    }
    let pair = cx.pair(&request(), &client).await;
    cx.revoke(&client, TokenRef::Access(&pair.access)).await;
    assert!(!revoke(pair.grant_id()).await, "false for a grant that a token ended");
}

async fn revoke_grant_of_checks_the_subject(cx: Context) {
    let client = cx.client().await;
    let (alice, bob) = (request(), request());
    let (pair, _) = granted(&cx, &alice, &client).await;
    let revoke = async |subject: &str, id| {
        cx.storage.revoke_grant_of(subject, id).await.expect("revoke_grant_of")
    };
    let upper = subject(&alice).to_uppercase();
    for other in [subject(&bob), &upper, "", "%", "a\0b", &"x".repeat(256)] {
        assert!(!revoke(other, pair.grant_id()).await, "{other:.20?} is not the subject");
    }
    assert!(!revoke(subject(&alice), Uuid::now_v7()).await, "an unknown grant");
    assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2], "nothing was revoked");
    assert!(revoke(subject(&alice), pair.grant_id()).await);
    assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
    assert!(!revoke(subject(&alice), pair.grant_id()).await, "false for the second time");
    // A grant without a subject belongs to no subject.
    let own = cx.pair(&RequestContext::default(), &client).await;
    for anybody in [subject(&alice), "", &client] {
        assert!(!revoke(anybody, own.grant_id()).await);
    }
    assert_eq!(cx.states(&client, &own).await, [ACTIVE; 2]);
}

async fn revoke_grants_of_takes_subject_and_client(cx: Context) {
    let grants = Grants::new(&cx).await;
    let own = cx.pair(&RequestContext::default(), &grants.clients[0]).await;
    let revoke = async |subject: &str, client: &str| {
        cx.storage.revoke_grants_of(subject, client).await.expect("revoke_grants_of")
    };
    assert_eq!(revoke(grants.subject(0), &grants.clients[0]).await, 3, "two pairs and a code");
    grants.check(&cx, |client, user| (client, user) == (0, 0), "revoke_grants_of").await;
    assert_eq!(revoke(grants.subject(0), &grants.clients[0]).await, 0, "for the second time");
    for (subject, client) in [
        (grants.subject(0), unique().as_str()),
        (&unique(), &grants.clients[0]),
        ("", &grants.clients[0]),
        (grants.subject(1), ""),
    ] {
        assert_eq!(revoke(subject, client).await, 0, "{subject:?} and {client:?}");
    }
    grants.check(&cx, |client, user| (client, user) == (0, 0), "nothing else").await;
    assert_eq!(cx.states(&grants.clients[0], &own).await, [ACTIVE; 2], "the client's own stays");
}

async fn revoke_subject_takes_every_client(cx: Context) {
    let grants = Grants::new(&cx).await;
    let own = cx.pair(&RequestContext::default(), &grants.clients[0]).await;
    let revoked = cx.storage.revoke_subject(grants.subject(0)).await.expect("revoke_subject");
    assert_eq!(revoked, 5, "three pairs and two codes");
    grants.check(&cx, |_, user| user == 0, "revoke_subject").await;
    let again = cx.storage.revoke_subject(grants.subject(0)).await.expect("revoke_subject");
    assert_eq!(again, 0, "for the second time");
    assert_eq!(cx.states(&grants.clients[0], &own).await, [ACTIVE; 2], "the client's own stays");
}

async fn revoke_client_takes_every_subject(cx: Context) {
    let grants = Grants::new(&cx).await;
    let client = &grants.clients[0];
    let own = cx.pair(&RequestContext::default(), client).await;
    let revoked = cx.storage.revoke_client(client).await.expect("revoke_client");
    assert_eq!(revoked, 6, "three pairs, two codes and the client's own pair");
    grants.check(&cx, |client, _| client == 0, "revoke_client").await;
    assert_eq!(cx.states(client, &own).await, [REVOKED; 2], "the client's own ends as well");
    let again = cx.storage.revoke_client(client).await.expect("revoke_client");
    assert_eq!(again, 0, "for the second time");
    assert!(cx.get_client(client, None).await.is_some(), "the client stays");
}

async fn revoke_ends_an_unused_code(cx: Context) {
    let client = cx.client().await;
    for way in 0..5 {
        let user = request();
        let redemption = authorized(&cx, &user, &client).await;
        let code = cx.get_code(&client, &redemption.code).await.expect("stored");
        revoke_by(&*cx.storage, way, code.grant_id, subject(&user), &client).await.expect("revoke");
        assert_eq!(cx.get_code(&client, &redemption.code).await, None, "it is not found");
        let outcome = redeem(&cx, &redemption).await;
        assert_eq!(outcome, RedemptionOutcome::Invalid, "and it is not redeemed");
    }
}

async fn revoke_counts_each_grant_once(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (first, _) = granted(&cx, &user, &client).await;
    let mut pair = first.clone();
    for _ in 0..3 {
        pair = next_pair(&cx, &strict(), &pair).await;
        cx.sibling(&user, &first).await;
    }
    let (revoked, _) = granted(&cx, &user, &client).await;
    assert!(cx.storage.revoke_grant(revoked.grant_id()).await.expect("revoke_grant"));
    let count = cx.storage.revoke_subject(subject(&user)).await.expect("revoke_subject");
    assert_eq!(count, 1, "one grant, however many tokens; the other was revoked before");
}

async fn revoke_of_the_unknown(cx: Context) {
    let storage = &cx.storage;
    let mut strange = strange_client_ids();
    strange.push(unique());
    for owner in strange {
        assert_eq!(storage.revoke_subject(&owner).await.expect("none"), 0, "{owner:.20?}");
        assert_eq!(storage.revoke_client(&owner).await.expect("none"), 0, "{owner:.20?}");
        assert_eq!(storage.revoke_grants_of(&owner, &owner).await.expect("none"), 0);
        assert_eq!(storage.erase_subject(&owner).await.expect("none"), 0, "{owner:.20?}");
        let revoked = storage.revoke_grant_of(&owner, Uuid::now_v7()).await;
        assert!(!revoked.expect("none"), "{owner:.20?}");
    }
}

async fn disabled_clients_grants_are_revoked(cx: Context) {
    let client = cx.client().await;
    let user = request();
    for way in 0..5 {
        let (pair, _) = granted(&cx, &user, &client).await;
        cx.set_disabled(&client, true).await;
        revoke_by(&*cx.storage, way, pair.grant_id(), subject(&user), &client)
            .await
            .expect("revoke");
        assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2]);
        cx.set_disabled(&client, false).await;
    }
}

async fn later_grants_are_active(cx: Context) {
    let client = cx.client().await;
    let user = request();
    for way in 0..5 {
        let (before, _) = granted(&cx, &user, &client).await;
        revoke_by(&*cx.storage, way, before.grant_id(), subject(&user), &client)
            .await
            .expect("revoke");
        let (after, _) = granted(&cx, &user, &client).await;
        assert_eq!(cx.states(&client, &before).await, [REVOKED; 2]);
        assert_eq!(cx.states(&client, &after).await, [ACTIVE; 2], "a revocation is no ban");
    }
}

/// Revokes a grant by one of the five operations.
async fn revoke_by(
    storage: &dyn Storage,
    way: u64,
    grant_id: Uuid,
    subject: &str,
    client: &str,
) -> Result<u64> {
    match way {
        0 => storage.revoke_grant(grant_id).await.map(u64::from),
        1 => storage.revoke_grant_of(subject, grant_id).await.map(u64::from),
        2 => storage.revoke_grants_of(subject, client).await,
        3 => storage.revoke_subject(subject).await,
        _ => storage.revoke_client(client).await,
    }
}

/// Rotates until the storage refuses, and returns every pair that was issued.
pub(super) async fn rotate_until_refused(cx: Context, first: Pair) -> Vec<Pair> {
    let mut pairs = vec![first];
    while pairs.len() < 2_000 {
        let rotation = rotation(&pairs[pairs.len() - 1]);
        match rotate(&cx, &strict(), &rotation).await {
            RotationOutcome::Issued(issued) => pairs.push(Pair::new(issued.token, issued.tokens)),
            RotationOutcome::Invalid => return pairs,
            other @ RotationOutcome::Reused { .. } => panic!("each token is used once: {other:?}"),
        }
        tokio::task::yield_now().await;
    }
    panic!("the rotations were never refused");
}

async fn revocation_beats_rotation(cx: Context) {
    for round in 0..30 {
        let client = cx.client().await;
        let user = request();
        let (pair, _) = granted(&cx, &user, &client).await;
        let (grant_id, access) = (pair.grant_id(), pair.access.clone());
        let rotating = tokio::spawn(rotate_until_refused(cx.clone(), pair));
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
        let subject = subject(&user);
        match round % 6 {
            5 => cx.revoke(&client, TokenRef::Any(&access)).await,
            way => {
                let revoked = revoke_by(&*cx.storage, way, grant_id, subject, &client).await;
                assert_eq!(revoked.expect("revoke"), 1, "one grant, however many tokens");
            }
        }
        let page = cx.storage.list_grants(subject, None, 10).await.expect("list_grants");
        assert_eq!(page.grants, [], "nothing is live when the revocation has returned");
        for pair in joined(rotating.await) {
            assert_eq!(cx.states(&client, &pair).await, [REVOKED; 2], "whenever it was issued");
        }
    }
}
