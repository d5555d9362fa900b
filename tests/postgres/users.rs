//! The shipped table of users.

use oauth_storage::{Error, FormParameters, NewUser, Problem, Request, Secret, UserStorage as _};

use crate::support::TestStorage;

fn login(username: &str, password: &str) -> Request {
    let form = FormParameters {
        username: Some(username.into()),
        password: Some(Secret::new(password)),
        ..FormParameters::default()
    };
    Request { form, ..Request::default() }
}

fn user(username: &str, subject: &str, password: &str) -> NewUser {
    NewUser { username: username.into(), subject: subject.into(), password: Secret::new(password) }
}

#[tokio::test]
async fn s15_users_log_in_with_their_password_only() {
    let test = TestStorage::new("users").await;
    let users = test.storage.password_users();
    users.create(user("alice", "sub-1", "wonderland")).await.unwrap();
    users.create(user("bob", "sub-2", "wonderland")).await.unwrap();

    let found = test.storage.authenticate(&login("alice", "wonderland")).await.unwrap().unwrap();
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
        let found = test.storage.authenticate(&login(username, password)).await.unwrap();
        assert!(found.is_none(), "{username:?}");
    }
    assert!(test.storage.authenticate(&Request::default()).await.unwrap().is_none());

    assert!(users.set_password("alice", Secret::new("looking-glass")).await.unwrap());
    assert!(test.storage.authenticate(&login("alice", "wonderland")).await.unwrap().is_none());
    assert!(test.storage.authenticate(&login("alice", "looking-glass")).await.unwrap().is_some());

    assert!(users.set_disabled("alice", true).await.unwrap());
    assert!(test.storage.authenticate(&login("alice", "looking-glass")).await.unwrap().is_none());
    assert!(users.set_disabled("alice", false).await.unwrap());
    assert!(test.storage.authenticate(&login("alice", "looking-glass")).await.unwrap().is_some());
    assert!(!users.set_disabled("nobody", true).await.unwrap());
    assert!(!users.set_password("nobody", Secret::new("looking-glass")).await.unwrap());
}

#[tokio::test]
async fn bad_users_are_refused_by_field() {
    let test = TestStorage::new("users_bad").await;
    let users = test.storage.password_users();
    users.create(user("alice", "sub-1", "wonderland")).await.unwrap();
    let long = "x".repeat(256);
    for (new, field, problem) in [
        (user("alice", "sub-2", "wonderland"), "username", Problem::Duplicate),
        (user("bob", "sub-1", "wonderland"), "subject", Problem::Duplicate),
        (user("", "sub-2", "wonderland"), "username", Problem::Empty),
        (user("a\0b", "sub-2", "wonderland"), "username", Problem::Character),
        (user(&long, "sub-2", "wonderland"), "username", Problem::TooLong(255)),
        (user("bob", "", "wonderland"), "subject", Problem::Empty),
        (user("bob", "sub-2", "short"), "password", Problem::TooShort(8)),
        (user("bob", "sub-2", &"x".repeat(1025)), "password", Problem::TooLong(1024)),
    ] {
        match users.create(new).await {
            Err(Error::Invalid { field: f, problem: p }) => assert_eq!((f, p), (field, problem)),
            other => panic!("{field}: {other:?}"),
        }
    }
    let bob = test.storage.authenticate(&login("bob", "wonderland")).await.unwrap();
    assert!(bob.is_none(), "nothing was stored");
}
