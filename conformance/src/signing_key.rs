//! Signing keys: added, rotated, revoked and encrypted again, once over all callers.

use std::time::Duration;

use super::context::{Context, SHORT, joined, outlast, refused, together, unique};
use oauth_storage::error::InvalidReason;
use oauth_storage::id_token::SigningAlgorithm::{self, ES256, RS256};
use oauth_storage::signing_key::KeyRotationOutcome::{self, Announced, Created, NotDue, Rotated};
use oauth_storage::signing_key::SigningKeyState::{self, Active, Next, Retired};
use oauth_storage::signing_key::{KeySchedule, SealedSigningKey, StoredSigningKey};

rules!("signing_key" {
    first_is_active: "contract 3, a signing key: the first is active, the second is next, a third is not stored",
    next_waits: "OIDC 10.1.1: a key is published before it signs, for the announcement and for the period of the key before",
    rotation_retires: "OIDC 10.1.1: a retired key is published for the announcement and the retention, and no longer",
    one_creation_wins: "contract 3, exactly once: of 64 first keys at once one is active",
    one_rotation_wins: "contract 3, exactly once: of 64 rotations at once one succeeds",
    keys_are_of_one_issuer: "contract 3, a signing key is listed and rotated for its issuer and algorithm only",
    revocation_replaces_all: "contract 3, revocation ends: no revoked key is listed, and the replacement is active",
    one_active_key_after_a_race: "contract 3, nobody makes others wait: additions, rotations and revocations at once leave one active key",
    encrypted_again_once: "contract 3, only from the key that was seen: of 64 at once one replaces the ciphertext",
    input_is_checked: "contract 3, bad input: by field; a key that is not encrypted is refused",
});

const HOUR: Duration = Duration::from_hours(1);

/// The issuer of one rule.
pub(super) fn issuer() -> String {
    format!("https://{}.example", unique())
}

pub(super) fn key_of(issuer: &str, algorithm: SigningAlgorithm) -> SealedSigningKey {
    let ciphertext = format!("\u{1}{}", unique()).into_bytes();
    SealedSigningKey::new(issuer, unique(), algorithm, "first", ciphertext)
}

fn key(issuer: &str) -> SealedSigningKey {
    key_of(issuer, ES256)
}

/// A schedule by which everything is due during [`outlast`].
pub(super) fn short() -> KeySchedule {
    KeySchedule::default().with_period(SHORT).with_announcement(SHORT).with_retention(SHORT)
}

pub(super) async fn add(cx: &Context, key: &SealedSigningKey) -> KeyRotationOutcome {
    cx.storage.add_signing_key(key.clone()).await.expect("add_signing_key")
}

pub(super) async fn rotate(
    cx: &Context,
    issuer: &str,
    schedule: KeySchedule,
) -> KeyRotationOutcome {
    let rotated = cx.storage.rotate_signing_keys(issuer, ES256, schedule).await;
    rotated.expect("rotate_signing_keys")
}

pub(super) async fn list(cx: &Context, issuer: &str) -> Vec<StoredSigningKey> {
    cx.storage.list_signing_keys(issuer).await.expect("list_signing_keys")
}

/// The listed keys with their states, newest first.
async fn states(cx: &Context, issuer: &str) -> Vec<(String, SigningKeyState)> {
    list(cx, issuer).await.into_iter().map(|own| (own.key.kid, own.state)).collect()
}

fn expected(keys: &[(&SealedSigningKey, SigningKeyState)]) -> Vec<(String, SigningKeyState)> {
    keys.iter().map(|(key, state)| (key.kid.clone(), *state)).collect()
}

fn count(keys: &[(String, SigningKeyState)], wanted: SigningKeyState) -> usize {
    keys.iter().filter(|(_, state)| *state == wanted).count()
}

async fn first_is_active(cx: Context) {
    let issuer = issuer();
    assert!(list(&cx, &issuer).await.is_empty(), "an issuer without keys");
    assert_eq!(rotate(&cx, &issuer, short()).await, NotDue { due_at: None }, "no key");
    let [first, second, third] = [(); 3].map(|()| key(&issuer));
    assert_eq!(add(&cx, &first).await, Created);
    assert_eq!(add(&cx, &first).await, NotDue { due_at: None }, "the same key again");
    assert_eq!(add(&cx, &second).await, Announced);
    assert_eq!(add(&cx, &third).await, NotDue { due_at: None });
    let listed = list(&cx, &issuer).await;
    assert_eq!(states(&cx, &issuer).await, expected(&[(&second, Next), (&first, Active)]));
    assert_eq!([&listed[0].key, &listed[1].key], [&second, &first], "unchanged");
    assert_eq!(listed[1].activated_at, Some(listed[1].created_at));
    assert_eq!([listed[0].activated_at, listed[0].expires_at, listed[1].expires_at], [None; 3]);
}

async fn next_waits(cx: Context) {
    let issuer = issuer();
    let [first, next] = [(); 2].map(|()| key(&issuer));
    assert_eq!(add(&cx, &first).await, Created);
    assert_eq!(add(&cx, &next).await, Announced);
    outlast().await;
    let listed = list(&cx, &issuer).await;
    for (schedule, due_at) in [
        (short().with_period(HOUR), listed[1].created_at + HOUR),
        (short().with_announcement(HOUR), listed[0].created_at + HOUR),
    ] {
        let outcome = rotate(&cx, &issuer, schedule).await;
        assert_eq!(outcome, NotDue { due_at: Some(due_at) }, "{schedule:?}");
    }
    assert_eq!(states(&cx, &issuer).await, expected(&[(&next, Next), (&first, Active)]));
    assert_eq!(rotate(&cx, &issuer, short()).await, Rotated);
    let listed = list(&cx, &issuer).await;
    assert_eq!(listed[0].state, Active);
    assert!(listed[0].activated_at.is_some_and(|at| at > listed[0].created_at));
}

async fn rotation_retires(cx: Context) {
    let issuer = issuer();
    let [first, next, last] = [(); 3].map(|()| key(&issuer));
    assert_eq!(add(&cx, &first).await, Created);
    assert_eq!(add(&cx, &next).await, Announced);
    outlast().await;
    assert_eq!(rotate(&cx, &issuer, short().with_retention(HOUR)).await, Rotated);
    assert_eq!(states(&cx, &issuer).await, expected(&[(&next, Active), (&first, Retired)]));
    let retired = list(&cx, &issuer).await.remove(1);
    let retired_at = retired.retired_at.expect("the time of its retirement");
    assert_eq!(retired.expires_at, Some(retired_at + SHORT + HOUR));
    assert_eq!(rotate(&cx, &issuer, short()).await, NotDue { due_at: None }, "no next key");

    assert_eq!(add(&cx, &last).await, Announced);
    outlast().await;
    assert_eq!(rotate(&cx, &issuer, short()).await, Rotated);
    outlast().await;
    let after = states(&cx, &issuer).await;
    assert_eq!(after, expected(&[(&last, Active), (&first, Retired)]), "the second has expired");
}

async fn one_creation_wins(cx: Context) {
    let issuer = issuer();
    let outcomes = together(64, |_| {
        let (cx, key) = (cx.clone(), key(&issuer));
        async move { add(&cx, &key).await }
    });
    let outcomes = outcomes.await;
    let number = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    assert_eq!(number(Created), 1, "{outcomes:?}");
    assert!(number(Announced) <= 1, "{outcomes:?}");
    let keys = states(&cx, &issuer).await;
    assert_eq!((count(&keys, Active), count(&keys, Next)), (1, number(Announced)));
}

async fn one_rotation_wins(cx: Context) {
    let issuer = issuer();
    let [first, next] = [(); 2].map(|()| key(&issuer));
    assert_eq!(add(&cx, &first).await, Created);
    assert_eq!(add(&cx, &next).await, Announced);
    outlast().await;
    let outcomes = together(64, |_| {
        let (cx, issuer) = (cx.clone(), issuer.clone());
        async move { rotate(&cx, &issuer, short().with_retention(HOUR)).await }
    });
    let outcomes = outcomes.await;
    let rotated = outcomes.iter().filter(|outcome| **outcome == Rotated).count();
    assert_eq!(rotated, 1, "{outcomes:?}");
    assert_eq!(states(&cx, &issuer).await, expected(&[(&next, Active), (&first, Retired)]));
}

async fn keys_are_of_one_issuer(cx: Context) {
    let [own, other] = [(); 2].map(|()| issuer());
    let rsa = key_of(&own, RS256);
    let foreign = key(&other);
    // The identifier is unique for its issuer.
    let mut same_kid = key(&own);
    same_kid.kid.clone_from(&foreign.kid);
    for key in [&rsa, &foreign, &same_kid] {
        assert_eq!(add(&cx, key).await, Created, "{key:?}");
    }
    let next = key(&own);
    assert_eq!(add(&cx, &next).await, Announced);
    outlast().await;
    assert_eq!(rotate(&cx, &other, short()).await, NotDue { due_at: None });
    assert_eq!(rotate(&cx, &own, short().with_retention(HOUR)).await, Rotated);
    let after = expected(&[(&next, Active), (&same_kid, Retired), (&rsa, Active)]);
    assert_eq!(states(&cx, &own).await, after);
    let replacement = key(&own);
    assert_eq!(cx.storage.revoke_signing_keys(replacement.clone()).await.expect("revoke"), 2);
    let after = expected(&[(&replacement, Active), (&rsa, Active)]);
    assert_eq!(states(&cx, &own).await, after);
    assert_eq!(states(&cx, &other).await, expected(&[(&foreign, Active)]));
}

async fn revocation_replaces_all(cx: Context) {
    let issuer = issuer();
    let [first, second, third, replacement, last] = [(); 5].map(|()| key(&issuer));
    assert_eq!(add(&cx, &first).await, Created);
    assert_eq!(add(&cx, &second).await, Announced);
    outlast().await;
    assert_eq!(rotate(&cx, &issuer, short().with_retention(HOUR)).await, Rotated);
    assert_eq!(add(&cx, &third).await, Announced);
    let revoked = cx.storage.revoke_signing_keys(replacement.clone()).await;
    assert_eq!(revoked.expect("revoke_signing_keys"), 3, "active, next and retired");
    assert_eq!(states(&cx, &issuer).await, expected(&[(&replacement, Active)]));
    assert!(list(&cx, &issuer).await[0].activated_at.is_some());
    // Of many that replace the keys at once, one does.
    let replaced = together(64, |_| {
        let (cx, key) = (cx.clone(), key(&issuer));
        async move { cx.storage.revoke_signing_keys(key).await.expect("revoke_signing_keys") }
    });
    assert!(replaced.await.iter().sum::<u64>() >= 1);
    let keys = states(&cx, &issuer).await;
    assert_eq!((keys.len(), count(&keys, Active)), (1, 1), "{keys:?}");
    assert_ne!(keys[0].0, replacement.kid);
    // The same key again.
    assert_eq!(cx.storage.revoke_signing_keys(last.clone()).await.expect("revoke"), 1);
    assert_eq!(cx.storage.revoke_signing_keys(last.clone()).await.expect("revoke"), 1);
    assert_eq!(states(&cx, &issuer).await, expected(&[(&last, Active)]));
}

async fn one_active_key_after_a_race(cx: Context) {
    let issuer = issuer();
    let schedule = short()
        .with_period(Duration::from_micros(1))
        .with_announcement(Duration::ZERO)
        .with_retention(HOUR);
    let calls = together(64, |index| {
        let (cx, issuer) = (cx.clone(), issuer.clone());
        async move {
            for _ in 0..4 {
                match index % 3 {
                    0 => drop(add(&cx, &key(&issuer)).await),
                    1 => drop(rotate(&cx, &issuer, schedule).await),
                    _ if index % 8 == 0 => {
                        let revoked = cx.storage.revoke_signing_keys(key(&issuer)).await;
                        revoked.expect("revoke_signing_keys");
                    }
                    _ => drop(list(&cx, &issuer).await),
                }
            }
        }
    });
    // A reader never sees an issuer without an active key, or with two.
    let (reader, of) = (cx.clone(), issuer.clone());
    assert_eq!(add(&cx, &key(&issuer)).await, Created);
    let reading = tokio::spawn(async move {
        for _ in 0..100 {
            let keys = states(&reader, &of).await;
            assert_eq!(count(&keys, Active), 1, "{keys:?}");
            assert!(count(&keys, Next) <= 1, "{keys:?}");
        }
    });
    calls.await;
    joined(reading.await);
    assert_eq!(count(&states(&cx, &issuer).await, Active), 1);
}

async fn encrypted_again_once(cx: Context) {
    let issuer = issuer();
    let first = key(&issuer);
    assert_eq!(add(&cx, &first).await, Created);
    let before = list(&cx, &issuer).await.remove(0);
    let again = |number: usize| {
        let mut own = first.clone();
        own.encryption_key_id = "second".into();
        own.ciphertext.extend(number.to_be_bytes());
        own
    };
    let replaced = together(64, |number| {
        let (cx, key) = (cx.clone(), again(number));
        async move {
            let done = cx.storage.reencrypt_signing_key(key, "first").await;
            done.expect("reencrypt_signing_key")
        }
    });
    let replaced = replaced.await;
    let winners: Vec<_> = (0..64).filter(|number| replaced[*number]).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let after = list(&cx, &issuer).await.remove(0);
    assert_eq!(after, StoredSigningKey { key: again(winners[0]), ..before });
    let unknown = cx.storage.reencrypt_signing_key(key(&issuer), "first").await;
    assert!(!unknown.expect("reencrypt_signing_key of an unknown key"));
}

async fn input_is_checked(cx: Context) {
    let issuer = issuer();
    let good = || key(&issuer);
    let with = |change: &dyn Fn(&mut SealedSigningKey)| {
        let mut own = good();
        change(&mut own);
        own
    };
    let nul = || "a\0b".to_owned();
    for (key, field, reason) in [
        (with(&|own| own.issuer.clear()), "issuer", InvalidReason::Empty),
        (with(&|own| own.issuer = nul()), "issuer", InvalidReason::Character),
        (with(&|own| own.issuer = "x".repeat(2049)), "issuer", InvalidReason::TooLong(2048)),
        (with(&|own| own.kid.clear()), "kid", InvalidReason::Empty),
        (with(&|own| own.kid = "x".repeat(256)), "kid", InvalidReason::TooLong(255)),
        (with(&|own| own.encryption_key_id = nul()), "encryption_key_id", InvalidReason::Character),
        (with(&|own| own.ciphertext.clear()), "ciphertext", InvalidReason::Empty),
        (
            with(&|own| own.ciphertext = b"-----BEGIN PRIVATE KEY-----".to_vec()),
            "ciphertext",
            InvalidReason::Unsupported,
        ),
        (
            with(&|own| own.ciphertext.resize(16 * 1024 + 1, 0)),
            "ciphertext",
            InvalidReason::TooLong(16 * 1024),
        ),
    ] {
        refused(cx.storage.add_signing_key(key.clone()).await, field, reason, "add");
        refused(cx.storage.revoke_signing_keys(key.clone()).await, field, reason, "revoke");
        refused(cx.storage.reencrypt_signing_key(key, "f").await, field, reason, "reencrypt");
    }
    refused(cx.storage.list_signing_keys("\n").await, "issuer", InvalidReason::Character, "list");
    for (schedule, field) in [
        (short().with_period(Duration::ZERO), "period"),
        (short().with_announcement(Duration::MAX), "announcement"),
        (short().with_retention(Duration::MAX), "retention"),
    ] {
        let outcome = cx.storage.rotate_signing_keys(&issuer, ES256, schedule).await;
        refused(outcome, field, InvalidReason::OutOfRange, "rotate");
    }
    // The longest values.
    let mut long = good();
    long.issuer = format!("{:x<2048}", issuer);
    long.kid = "k".repeat(255);
    long.ciphertext.resize(16 * 1024, 0);
    let century = Duration::from_hours(24 * 36_525);
    assert_eq!(add(&cx, &long).await, Created);
    assert_eq!(add(&cx, &key(&long.issuer)).await, Announced);
    outlast().await;
    let schedule = short().with_announcement(Duration::ZERO).with_retention(century);
    assert_eq!(rotate(&cx, &long.issuer, schedule).await, Rotated);
    let schedule = schedule.with_period(century);
    assert_eq!(add(&cx, &key(&long.issuer)).await, Announced);
    assert!(matches!(rotate(&cx, &long.issuer, schedule).await, NotDue { due_at: Some(_) }));
    let keys = list(&cx, &long.issuer).await;
    assert_eq!(keys.iter().find(|own| own.state == Retired).map(|own| &own.key), Some(&long));
}
