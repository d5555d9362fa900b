//! Authenticating resource owners.

use super::context::{Context, secret, unique};
use oauth_storage::error::Result;
use oauth_storage::{Error, Secret, User};

rules!("user" {
    right_password_gives_the_user: "contract 1, authenticate: whether, and which user (RFC 6749 4.3.2)",
    wrong_password_is_none: "contract 1, authenticate: None for a wrong password",
    unknown_is_none: "contract 1, authenticate: None for an unknown user, or not configured",
    ill_formed_is_none: "contract 3, bad input: an ill-formed user is not found, or named",
});

async fn authenticate(cx: &Context, username: &str, password: Secret) -> Result<Option<User>> {
    cx.storage.authenticate(username, &password).await
}

/// Asserts that no user was authenticated. Without a user of the suite, the storage may lack users.
#[track_caller]
fn nobody(cx: &Context, result: Result<Option<User>>, what: &str) {
    match result {
        Ok(None) => {}
        Err(Error::Configuration { message, .. }) if cx.user.is_none() => {
            assert!(!message.is_empty(), "a configuration error has a message");
        }
        other => panic!("{what}: must be `None`, but is {other:?}"),
    }
}

async fn right_password_gives_the_user(cx: Context) {
    let Some(user) = cx.user.clone() else { return };
    let authenticate = || authenticate(&cx, &user.username, user.password.clone());
    for _ in 0..2 {
        let found = authenticate().await.expect("authenticate of a good user");
        let subject = found.map(|user| user.subject);
        assert_eq!(subject.as_deref(), Some(user.subject.as_str()), "the user with this password");
    }
}

async fn wrong_password_is_none(cx: Context) {
    let Some(user) = cx.user.clone() else { return };
    let right = user.password.expose();
    let wrong = [
        secret(),
        Secret::new(format!("{right} ")),
        Secret::new(format!("{right}\0")),
        Secret::new(format!("{right}x")),
        Secret::new(user.username.clone()),
    ];
    for wrong in wrong {
        let result = authenticate(&cx, &user.username, wrong).await;
        nobody(&cx, result, "a wrong password");
    }
}

async fn unknown_is_none(cx: Context) {
    nobody(&cx, authenticate(&cx, &unique(), secret()).await, "an unknown user");
    if let Some(user) = &cx.user {
        let result = authenticate(&cx, &unique(), user.password.clone()).await;
        nobody(&cx, result, "an unknown user with a known password");
    }
}

async fn ill_formed_is_none(cx: Context) {
    let long = "x".repeat(1024 * 1024);
    let known = cx.user.clone();
    let username = known.as_ref().map_or_else(unique, |user| user.username.clone());
    let ill_formed = |result: Result<Option<User>>, what: &str| match result {
        Err(Error::Invalid { field: "username" | "password", .. }) => {}
        result => nobody(&cx, result, what),
    };
    for bad in ["", "\0", "a\0b", "a\nb", "\u{202e}", "' OR '1'='1", &long] {
        let result = authenticate(&cx, bad, secret()).await;
        ill_formed(result, "an ill-formed username");
        let result = authenticate(&cx, &username, Secret::new(bad)).await;
        ill_formed(result, "an ill-formed password");
    }
}
