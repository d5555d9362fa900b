//! S14: what is wrong cannot be told from what is unknown by the time it takes.

use std::time::{Duration, Instant};

use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientSecret, ClientStorage as _, FormParameters,
    NewClient, NewUser, Request, Secret, UserStorage as _,
};

use crate::support::{TestStorage, secret};

/// The median times of two calls that take turns.
async fn medians(
    rounds: usize,
    mut left: impl AsyncFnMut(),
    mut right: impl AsyncFnMut(),
) -> (Duration, Duration) {
    let (mut lefts, mut rights) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        left().await;
        lefts.push(started.elapsed());
        let started = Instant::now();
        right().await;
        rights.push(started.elapsed());
    }
    lefts.sort();
    rights.sort();
    (lefts[rounds / 2], rights[rounds / 2])
}

fn assert_alike(what: &str, (left, right): (Duration, Duration)) {
    let ratio = left.as_secs_f64() / right.as_secs_f64();
    assert!((0.6..1.67).contains(&ratio), "{what}: {left:?} against {right:?}");
}

#[tokio::test]
async fn s14_unknown_costs_what_wrong_costs() {
    let test = TestStorage::new("s14").await;
    let (generated_id, generated) = test.client().await;
    let chosen = NewClient {
        client_secret: ClientSecret::Chosen(Secret::new("correct horse battery")),
        ..NewClient::new(ClientMetadata::client_credentials()).with_client_id("chosen")
    };
    test.storage.register_client(chosen).await.unwrap();
    let user = NewUser {
        username: "alice".into(),
        subject: "alice".into(),
        password: Secret::new("wonderland"),
    };
    test.storage.password_users().create(user).await.unwrap();

    let request = Request::default();
    let refused = async |client_id: &str, secret: &Secret| {
        let found = test.storage.get_client(&request, client_id, Some(secret)).await.unwrap();
        assert!(found.is_none());
    };
    // The form of a generated secret is its length and its prefix.
    let looks_generated = Secret::new(format!("{}{}", &generated.expose()[..4], secret().expose()));
    let looks_chosen = Secret::new("correct horse staple");
    for (what, presented, known, rounds) in [
        ("generated form, generated client", &looks_generated, generated_id.as_str(), 300),
        ("generated form, chosen client", &looks_generated, "chosen", 300),
        ("chosen form, chosen client", &looks_chosen, "chosen", 15),
        ("chosen form, generated client", &looks_chosen, generated_id.as_str(), 15),
    ] {
        let times = medians(
            rounds,
            async || refused(known, presented).await,
            async || refused("unknown", presented).await,
        );
        assert_alike(what, times.await);
    }

    let login = async |username: &str| {
        let form = FormParameters {
            username: Some(username.into()),
            password: Some(Secret::new("looking-glass")),
            ..FormParameters::default()
        };
        let request = Request { form, ..Request::default() };
        assert!(test.storage.authenticate(&request).await.unwrap().is_none());
    };
    let times = medians(15, async || login("alice").await, async || login("nobody").await);
    assert_alike("users", times.await);
}
