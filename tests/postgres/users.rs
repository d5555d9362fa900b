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
        ("Alice", "wonderland"),
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
