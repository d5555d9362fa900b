//! Declared clients, clients that register themselves, and the end of both.

use std::time::Duration;

use super::context::{
    ACTIVE, Context, SHORT, joining, metadata, new_code, new_token, outlast, refused, request,
    secret, together, unique,
};
use super::flow::{authorized, granted, redeem, rotate, rotation, strict};
use oauth_storage::client::{Client, ClientSecret, ClientSecretRotation};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::RotationOutcome;
use oauth_storage::{ClientMetadata, NewClient, RedemptionOutcome, Secret};

rules!("client" {
    expired_issues_nothing: "contract 2: an expired client is as a disabled one: not found, and nothing is issued to it",
    use_is_remembered: "contract 2: a lookup by an endpoint counts as a use, and one by an operator does not",
    manages_its_registration: "RFC 7592 2, 3: only the registration access token finds the registration",
    disabled_manages_nothing: "RFC 7592 2: the registration of a disabled client is not found",
    declared_is_registered: "contract 2, ensure: an unknown client is registered with the given secret",
    declared_again_is_unchanged: "contract 2, ensure: the same declaration changes nothing",
    declared_anew_is_changed: "contract 2, ensure: metadata and secret are those of the last declaration",
    declared_takes_over: "contract 2, ensure: a client that registered itself becomes a declared one",
    declared_by_many: "contract 2, ensure: 16 processes that declare one client at once all succeed",
    declared_during_an_overlap: "contract 2, ensure: after a rotation, declarations with either secret change nothing until the overlap ends",
    declared_secret_does_not_expire: "contract 2, ensure: an expiry of the declared secret is lifted",
    declared_for_a_time: "contract 2, ensure: a lifetime is renewed when half of it has passed",
    declared_stays_disabled: "contract 2, ensure: a declaration does not enable a client",
    declaration_is_whole: "contract 2, ensure: an identifier and a secret, and no lifetime",
    purge_takes_the_expired: "contract 2, purge: expired clients with their tokens, and no others",
    purge_spares_the_used: "contract 2, purge: a time shorter than the resolution of a use is refused",
});

const MONTH: Duration = Duration::from_hours(24 * 30);
/// Long enough for the calls of a rule on a busy machine.
const SOON: Duration = Duration::from_secs(4);

fn declared(id: &str, secret: &str) -> NewClient {
    let secret = ClientSecret::Chosen(Secret::new(secret));
    NewClient::new(metadata()).with_client_id(id).with_client_secret(secret)
}

async fn ensure(cx: &Context, new: NewClient) -> Client {
    cx.storage.ensure_client(new).await.expect("ensure_client of a good client")
}

/// A secret of the generated form, which needs no password hash.
async fn given_secret(cx: &Context) -> Secret {
    cx.client_and_secret().await.1
}

async fn expired_issues_nothing(cx: Context) {
    let new = NewClient::new(metadata()).with_client_id(unique()).with_expires_in(MONTH);
    let lasting = cx.register(new).await.client;
    let lifetime = lasting.expires_at.expect("an expiry") - lasting.client_id_issued_at;
    assert_eq!(lifetime.to_std().expect("a lifetime"), MONTH);
    assert!(cx.get_client(&lasting.client_id, None).await.is_some());

    let new = NewClient::new(metadata()).with_client_id(unique());
    let registered = cx.register(new.with_expires_in(SOON)).await;
    let (id, user) = (registered.client.client_id, request());
    let (pair, used) = granted(&cx, &user, &id).await;
    let unused = authorized(&cx, &user, &id).await;
    tokio::time::sleep(SOON + SHORT).await;
    assert_eq!(cx.get_client(&id, None).await, None);
    assert_eq!(cx.get_client(&id, registered.client_secret.as_ref()).await, None);
    for redemption in [&unused, &used] {
        assert_eq!(redeem(&cx, redemption).await, RedemptionOutcome::Invalid);
    }
    assert_eq!(rotate(&cx, &strict(), &rotation(&pair)).await, RotationOutcome::Invalid);
    let result = cx.storage.create_token(&user, joining(&pair.token)).await;
    refused(result, "grant_id", InvalidReason::Unknown, "a token of an expired client's grant");
    let result = cx.storage.create_token(&user, new_token(&id)).await;
    refused(result, "client_id", InvalidReason::Unknown, "a token for an expired client");
    let result = cx.storage.create_authorization_code(&user, new_code(&id, &secret())).await;
    refused(result, "client_id", InvalidReason::Unknown, "a code for an expired client");
}

async fn use_is_remembered(cx: Context) {
    let id = cx.client().await;
    let last_use = async || {
        let client = cx.storage.read_client(&id).await.expect("read_client");
        client.expect("known").last_used_at
    };
    for _ in 0..3 {
        assert_eq!(last_use().await, None);
    }
    assert!(cx.get_client(&id, None).await.is_some());
    let mut used_at = None;
    // A storage may write it after the lookup.
    for _ in 0..50 {
        used_at = last_use().await;
        if used_at.is_some() {
            break;
        }
        outlast().await;
    }
    assert!(used_at.is_some(), "the use is remembered");
    outlast().await;
    assert!(cx.get_client(&id, None).await.is_some());
    outlast().await;
    assert_eq!(last_use().await, used_at, "once a day");
}

async fn manages_its_registration(cx: Context) {
    let new = || NewClient::new(metadata()).with_client_id(unique());
    let registered = cx.register(new().with_registration_access_token(true)).await;
    let token = registered.registration_access_token.expect("a registration access token");
    let other = cx.register(new().with_registration_access_token(true)).await;
    let without = cx.register(new()).await;
    assert_eq!(without.registration_access_token, None);
    let found = async |id: &str, token: &Secret| {
        cx.storage.get_registration(id, token).await.expect("get_registration")
    };
    let id = &registered.client.client_id;
    assert_eq!(found(id, &token).await.expect("found").client_id, *id);
    let others = other.registration_access_token.expect("a token");
    let secret = registered.client_secret.expect("a secret");
    for wrong in [&others, &secret, &Secret::new(""), &Secret::new("sha256:"), &self::secret()] {
        assert_eq!(found(id, wrong).await, None);
    }
    assert_eq!(found(&without.client.client_id, &token).await, None);
    assert_eq!(found(&unique(), &token).await, None);
    assert_eq!(found("", &token).await, None);
    assert_eq!(cx.get_client(id, Some(&token)).await, None, "it is no client secret");
}

async fn disabled_manages_nothing(cx: Context) {
    let new = NewClient::new(metadata()).with_client_id(unique());
    let registered = cx.register(new.with_registration_access_token(true)).await;
    let token = registered.registration_access_token.expect("a registration access token");
    let id = registered.client.client_id;
    let found = async || cx.storage.get_registration(&id, &token).await.expect("get_registration");
    cx.set_disabled(&id, true).await;
    assert_eq!(found().await, None);
    cx.set_disabled(&id, false).await;
    assert!(found().await.is_some());
    assert!(cx.storage.delete_client(&id).await.expect("delete"));
    assert_eq!(found().await, None);
}

async fn declared_is_registered(cx: Context) {
    let (id, secret) = (unique(), given_secret(&cx).await);
    let client = ensure(&cx, declared(&id, secret.expose())).await;
    assert_eq!((&client.client_id, &client.metadata), (&id, &metadata()));
    assert!(cx.get_client(&id, Some(&secret)).await.is_some());
    assert_eq!(cx.get_client(&id, Some(&given_secret(&cx).await)).await, None);

    let public = NewClient::new(metadata().public()).with_client_id(unique());
    let client = ensure(&cx, public).await;
    assert!(client.is_public() && cx.get_client(&client.client_id, None).await.is_some());
}

async fn declared_again_is_unchanged(cx: Context) {
    let (id, secret) = (unique(), given_secret(&cx).await);
    let first = ensure(&cx, declared(&id, secret.expose())).await;
    let (pair, _) = granted(&cx, &request(), &id).await;
    let again = ensure(&cx, declared(&id, secret.expose())).await;
    assert_eq!(again, first, "nothing is changed, not even the time");
    assert!(cx.get_client(&id, Some(&secret)).await.is_some());
    assert_eq!(cx.states(&id, &pair).await, [ACTIVE; 2]);
}

async fn declared_during_an_overlap(cx: Context) {
    let (id, old) = (unique(), given_secret(&cx).await);
    ensure(&cx, declared(&id, old.expose())).await;
    let rotated = cx.storage.rotate_client_secret(&id, ClientSecretRotation::new()).await;
    let rotated = rotated.expect("rotate_client_secret").expect("known");
    let new = rotated.client_secret.expect("generated");
    // Processes with the old and with the new configuration start in turn.
    for secret in [&old, &new, &old] {
        assert_eq!(ensure(&cx, declared(&id, secret.expose())).await, rotated.client);
    }
    for secret in [&old, &new] {
        assert!(cx.get_client(&id, Some(secret)).await.is_some());
    }
    // Changed metadata does not end the overlap.
    let mut renamed = declared(&id, old.expose());
    renamed.metadata = metadata().with_client_name("Billing");
    assert_eq!(ensure(&cx, renamed.clone()).await.metadata, renamed.metadata);
    for secret in [&old, &new] {
        assert!(cx.get_client(&id, Some(secret)).await.is_some());
    }
}

async fn declared_secret_does_not_expire(cx: Context) {
    let new = NewClient::new(metadata()).with_client_id(unique());
    let registered = cx.register(new.with_client_secret_expires_in(MONTH)).await;
    let id = registered.client.client_id;
    let secret = registered.client_secret.expect("a secret");
    let client = ensure(&cx, declared(&id, secret.expose())).await;
    assert_eq!(client.client_secret_expires_at, None);
    assert!(cx.get_client(&id, Some(&secret)).await.is_some());
}

async fn declared_for_a_time(cx: Context) {
    let id = unique();
    let for_a = |lifetime| {
        NewClient::new(metadata().public()).with_client_id(&id).with_expires_in(lifetime)
    };
    let first = ensure(&cx, for_a(MONTH)).await;
    let expires_at = first.expires_at.expect("an expiry");
    assert_eq!(ensure(&cx, for_a(MONTH)).await, first, "most of it is left");
    // As if most of it had passed.
    let renewed = ensure(&cx, for_a(MONTH * 3)).await;
    assert!(renewed.expires_at.is_some_and(|renewed| renewed > expires_at));
    let shorter = ensure(&cx, for_a(MONTH)).await;
    assert!(shorter.expires_at < renewed.expires_at, "the last declaration counts");
    let lasting = NewClient::new(metadata().public()).with_client_id(&id);
    assert_eq!(ensure(&cx, lasting).await.expires_at, None);
}

async fn declared_anew_is_changed(cx: Context) {
    let (id, old, new) = (unique(), given_secret(&cx).await, given_secret(&cx).await);
    let first = ensure(&cx, declared(&id, old.expose())).await;
    let changed = metadata().with_client_name("Billing");
    let mut declaration = declared(&id, new.expose());
    declaration.metadata = changed.clone();
    let second = ensure(&cx, declaration).await;
    assert_eq!(
        (&second.metadata, second.client_id_issued_at),
        (&changed, first.client_id_issued_at)
    );
    assert!(second.updated_at > first.updated_at);
    assert!(cx.get_client(&id, Some(&new)).await.is_some());
    assert_eq!(cx.get_client(&id, Some(&old)).await, None, "the old secret has ended");

    let public = NewClient::new(changed.public()).with_client_id(&id);
    assert!(ensure(&cx, public).await.is_public());
    assert_eq!(cx.get_client(&id, Some(&new)).await, None, "a public client has no secret");
}

async fn declared_takes_over(cx: Context) {
    let new = NewClient::new(metadata()).with_client_id(unique()).with_expires_in(MONTH);
    let registered = cx.register(new.with_registration_access_token(true)).await;
    let id = registered.client.client_id;
    let secret = registered.client_secret.expect("a secret");
    let client = ensure(&cx, declared(&id, secret.expose())).await;
    assert_eq!(client.expires_at, None);
    let token = registered.registration_access_token.expect("a token");
    let found = cx.storage.get_registration(&id, &token).await.expect("get_registration");
    assert_eq!(found, None, "its owner is the operator now");

    // While it is disabled as well.
    let new = NewClient::new(metadata().public()).with_client_id(unique());
    let registered = cx.register(new.with_registration_access_token(true)).await;
    let id = registered.client.client_id;
    cx.set_disabled(&id, true).await;
    ensure(&cx, NewClient::new(metadata().public()).with_client_id(&id)).await;
    cx.set_disabled(&id, false).await;
    let token = registered.registration_access_token.expect("a token");
    let found = cx.storage.get_registration(&id, &token).await.expect("get_registration");
    assert_eq!(found, None, "its owner is the operator now");
}

async fn declared_by_many(cx: Context) {
    let (id, secret) = (unique(), given_secret(&cx).await);
    let clients = together(16, |_| {
        let (cx, new) = (cx.clone(), declared(&id, secret.expose()));
        async move { ensure(&cx, new).await }
    });
    for client in clients.await {
        assert_eq!((&client.client_id, &client.metadata), (&id, &metadata()));
    }
    assert!(cx.get_client(&id, Some(&secret)).await.is_some());
}

async fn declared_stays_disabled(cx: Context) {
    let (id, secret) = (unique(), given_secret(&cx).await);
    ensure(&cx, declared(&id, secret.expose())).await;
    cx.set_disabled(&id, true).await;
    let again = ensure(&cx, declared(&id, given_secret(&cx).await.expose())).await;
    assert!(again.disabled_at.is_some());
    assert_eq!(cx.get_client(&id, None).await, None);
}

async fn declaration_is_whole(cx: Context) {
    let secret = given_secret(&cx).await;
    let whole = || declared(&unique(), secret.expose());
    let mut nameless = whole();
    nameless.client_id = None;
    let secretless = NewClient::new(metadata()).with_client_id(unique());
    let (missing, not_allowed) = (InvalidReason::Missing, InvalidReason::NotAllowed);
    for (new, field, reason) in [
        (nameless, "client_id", missing),
        (secretless, "client_secret", missing),
        (whole().with_client_secret_expires_in(MONTH), "client_secret_expires_in", not_allowed),
        (whole().with_registration_access_token(true), "registration_access_token", not_allowed),
    ] {
        refused(cx.storage.ensure_client(new).await, field, reason, "a declaration");
    }
    let public = ClientMetadata::client_credentials().public();
    let result = cx.storage.ensure_client(NewClient::new(public).with_client_id(unique())).await;
    refused(result, "grant_types", not_allowed, "metadata is checked");
}

async fn purge_takes_the_expired(cx: Context) {
    let new = || NewClient::new(metadata()).with_client_id(unique());
    let expiring = cx.register(new().with_expires_in(SOON)).await.client.client_id;
    let fresh = cx.register(new().with_registration_access_token(true)).await.client.client_id;
    let lasting = cx.client().await;
    let user = request();
    let (gone, _) = granted(&cx, &user, &expiring).await;
    let (kept, _) = granted(&cx, &user, &fresh).await;
    tokio::time::sleep(SOON + SHORT).await;
    // Another run of the suite may purge it as well.
    cx.storage.purge_clients(MONTH).await.expect("purge_clients");
    assert_eq!(cx.read_client(&expiring).await, None);
    assert_eq!(cx.states(&expiring, &gone).await, [None; 2]);
    assert_eq!(cx.grant(gone.grant_id()).await, None);
    for id in [&fresh, &lasting] {
        assert!(cx.read_client(id).await.is_some());
    }
    assert_eq!(cx.states(&fresh, &kept).await, [ACTIVE; 2]);
}

async fn purge_spares_the_used(cx: Context) {
    for unused_for in [Duration::ZERO, Duration::from_hours(47), Duration::MAX] {
        let result = cx.storage.purge_clients(unused_for).await;
        refused(result, "unused_for", InvalidReason::OutOfRange, "a purge of clients in use");
    }
}
