//! The shipped table of users.

use oauth_storage::error::InvalidReason;
use oauth_storage::postgres::NewUser;
use oauth_storage::{Error, PgStorage, Secret, User, UserStorage as _};

use crate::support::TestStorage;

async fn login(storage: &PgStorage, username: &str, password: &str) -> Option<User> {
    storage.authenticate(username, &Secret::new(password)).await.unwrap()
}

fn user(username: &str, subject: &str, password: &str) -> NewUser {
    NewUser::new(username, subject, Secret::new(password))
}

#[tokio::test]
async fn s15_users_log_in_with_their_password_only() {
    let test = TestStorage::new("users").await;
    let users = test.storage.password_users();
    users.create(user("alice", "sub-1", "wonderland")).await.unwrap();
    users.create(user("bob", "sub-2", "wonderland")).await.unwrap();

    let found = login(&test.storage, "alice", "wonderland").await.unwrap();
    assert_eq!(found.subject, "sub-1");
    assert!(found.auth_time.is_some());
    for (username, password) in [
        ("alice", "Wonderland"),
        ("alice", ""),
        ("nobody", "wonderland"),
        ("", "wonderland"),
        ("al\0ice", "wonderland"),
        ("alice", &"x".repeat(2000)),
    ] {
        let found = login(&test.storage, username, password).await;
        assert!(found.is_none(), "{username:?}");
    }

    assert!(users.set_password("alice", Secret::new("looking-glass")).await.unwrap());
    assert!(login(&test.storage, "alice", "wonderland").await.is_none());
    assert!(login(&test.storage, "alice", "looking-glass").await.is_some());

    assert!(users.set_disabled("alice", true).await.unwrap());
    assert!(login(&test.storage, "alice", "looking-glass").await.is_none());
    assert!(users.set_disabled("alice", false).await.unwrap());
    assert!(login(&test.storage, "alice", "looking-glass").await.is_some());
    assert!(!users.set_disabled("nobody", true).await.unwrap());
    assert!(!users.set_password("nobody", Secret::new("looking-glass")).await.unwrap());
}

/// One account and one password, in whatever form a keyboard sends them (RFC 8265).
#[tokio::test]
async fn names_and_passwords_have_one_form() {
    let test = TestStorage::new("users_forms").await;
    let users = test.storage.password_users();
    let (composed, decomposed) = ("j\u{fc}rgen", "ju\u{308}rgen");
    users.create(user(composed, "sub-1", "gr\u{fc}n 2026!")).await.unwrap();
    for (n, name) in [decomposed, "J\u{dc}RGEN", "JU\u{308}RGEN"].into_iter().enumerate() {
        let again = users.create(user(name, &format!("other-{n}"), "wonderland")).await;
        let duplicate = Err(Error::Invalid { field: "username", reason: InvalidReason::Duplicate });
        assert_eq!(
            format!("{again:?}"),
            format!("{:?}", duplicate as Result<User, Error>),
            "{name}"
        );
        let found = login(&test.storage, name, "gru\u{308}n\u{a0}2026!").await;
        assert_eq!(found.unwrap().subject, "sub-1", "{name}");
    }
    for name in ["j\u{fc}rgen\u{a0}", "j\u{fc}rgen\u{200b}", "\u{feff}j\u{fc}rgen", "j rgen"] {
        let refused = users.create(user(name, "sub-2", "wonderland")).await;
        assert!(
            matches!(refused, Err(Error::Invalid { field: "username", .. })),
            "{name:?}: {refused:?}"
        );
        assert!(login(&test.storage, name, "gr\u{fc}n 2026!").await.is_none(), "{name:?}");
    }
    assert!(login(&test.storage, composed, "GR\u{dc}N 2026!").await.is_none(), "case counts");
    assert!(users.set_password(decomposed, Secret::new("wonderland")).await.unwrap());
    assert!(login(&test.storage, "J\u{fc}rgen", "wonderland").await.is_some());
    assert!(users.set_disabled("J\u{dc}RGEN", true).await.unwrap());
    assert!(users.delete("ju\u{308}rgen").await.unwrap());
}

#[tokio::test]
async fn bad_users_are_refused_by_field() {
    let test = TestStorage::new("users_bad").await;
    let users = test.storage.password_users();
    users.create(user("alice", "sub-1", "wonderland")).await.unwrap();
    let long = "x".repeat(256);
    for (new, field, reason) in [
        (user("alice", "sub-2", "wonderland"), "username", InvalidReason::Duplicate),
        (user("bob", "sub-1", "wonderland"), "subject", InvalidReason::Duplicate),
        (user("", "sub-2", "wonderland"), "username", InvalidReason::Empty),
        (user("a\0b", "sub-2", "wonderland"), "username", InvalidReason::Character),
        (user(&long, "sub-2", "wonderland"), "username", InvalidReason::TooLong(255)),
        (user("bob", "", "wonderland"), "subject", InvalidReason::Empty),
        (user("bob", "sub-2", "short"), "password", InvalidReason::TooShort(8)),
        (user("bob", "sub-2", &"x".repeat(1025)), "password", InvalidReason::TooLong(1024)),
    ] {
        match users.create(new).await {
            Err(Error::Invalid { field: f, reason: p }) => assert_eq!((f, p), (field, reason)),
            other => panic!("{field}: {other:?}"),
        }
    }
    let bob = login(&test.storage, "bob", "wonderland").await;
    assert!(bob.is_none(), "nothing was stored");
}
