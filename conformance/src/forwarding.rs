//! A storage behind a pointer is the same storage.

use std::sync::Arc;

use super::context::{
    ACTIVE, Context, REVOKED, metadata, new_code, refused, request, scope, secret, subject, tokens,
    unique,
};
use super::flow::{authorized, granted, issued_pair, rotated, rotation, strict};
use super::signing_key::{issuer, key_of, list, short};
use super::user_session::{self, find};
use oauth_storage::client::ClientSecretRotation;
use oauth_storage::error::InvalidReason;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::id_token::SigningAlgorithm::ES256;
use oauth_storage::signing_key::KeyRotationOutcome;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{Error, NewClient, RequestContext, Storage, User};

rules!("forwarding" {
    behind_an_arc: "contract 1: `Arc<dyn Storage>` is a storage",
    behind_a_box: "contract 1: `Box<dyn Storage>` is a storage",
    behind_a_reference: "contract 1: `&dyn Storage` is a storage",
    shared_between_tasks: "contract 1: a token that one task stores every other task finds",
});

/// Calls every method once, as an application that is generic over its storage does, and checks the
/// effect of each through `direct`.
async fn exercise(storage: impl Storage, direct: &Context) {
    let new = NewClient::new(metadata()).with_client_id(unique());
    let registered = storage.register_client(new).await.expect("register_client");
    let id = registered.client.client_id.as_str();
    assert_eq!(direct.read_client(id).await.as_ref(), Some(&registered.client));
    assert_eq!(storage.read_client(id).await.expect("read").as_ref(), Some(&registered.client));
    let request = request();
    let secret_shown = registered.client_secret.expect("a secret");
    let found = storage.get_client(&request, id, Some(&secret_shown)).await.expect("get_client");
    assert_eq!(found.as_ref(), Some(&registered.client));
    let page = storage.list_clients(Some(&id[..id.len() - 1]), 1).await.expect("list_clients");
    assert_eq!(page.len(), 1);
    let renamed = metadata().with_client_name("renamed");
    storage.update_client(id, renamed.clone()).await.expect("update_client");
    assert_eq!(direct.read_client(id).await.map(|client| client.metadata), Some(renamed));
    let rotation = ClientSecretRotation::default();
    let rotated = storage.rotate_client_secret(id, rotation).await.expect("rotate_client_secret");
    let second = rotated.and_then(|rotated| rotated.client_secret).expect("a secret");
    assert!(direct.get_client(id, Some(&second)).await.is_some());
    assert!(storage.set_client_disabled(id, true).await.expect("set_client_disabled"));
    assert_eq!(direct.get_client(id, None).await, None);
    assert!(storage.set_client_disabled(id, false).await.expect("set_client_disabled"));

    let code = secret();
    let new = new_code(id, &code);
    let stored = storage.create_authorization_code(&request, new).await.expect("create a code");
    assert_eq!(direct.get_code(id, &code).await.as_ref(), Some(&stored));
    let found = storage.get_authorization_code(&request, id, &code).await.expect("get a code");
    assert_eq!(found, Some(stored));
    storage.delete_authorization_code(&request, id, &code).await.expect("delete a code");
    assert_eq!(direct.get_code(id, &code).await, None);

    let tokens = tokens();
    let new = NewToken::new(id, scope(), tokens.clone());
    let token = storage.create_token(&request, new).await.expect("create_token");
    let access = TokenRef::Access(&tokens.access_token);
    assert_eq!(direct.get(id, access).await.as_ref(), Some(&token));
    assert_eq!(storage.get_token(&request, id, access).await.expect("get_token"), Some(token));
    storage.revoke_token(&request, id, access).await.expect("revoke_token");
    assert_eq!(direct.get(id, access).await.map(|token| token.state), REVOKED);

    exercise_grants(&storage, direct, id).await;
    exercise_signing_keys(&storage, direct).await;
    exercise_sessions(&storage, direct).await;

    let nobody = storage.authenticate("", &secret()).await;
    assert!(matches!(nobody, Ok(None) | Err(Error::Configuration { .. })), "{nobody:?}");
    let scope = scope();
    let new = NewIdToken::new(id, &scope).at_token_endpoint();
    let id_token = storage.get_id_token(&request, new).await;
    assert!(matches!(id_token, Ok(_) | Err(Error::Configuration { .. })), "{id_token:?}");
    assert!(storage.delete_client(id).await.expect("delete_client"));
    assert_eq!(direct.read_client(id).await, None);
}

/// The same for the methods of grants.
async fn exercise_grants(storage: &impl Storage, direct: &Context, id: &str) {
    let (user, none) = (request(), RequestContext::default());
    let redemption = authorized(direct, &user, id).await;
    let redeemed = storage.redeem_authorization_code(&none, redemption).await;
    let pair = issued_pair(redeemed.expect("redeem_authorization_code"));
    let next = storage.rotate_refresh_token(&strict(), rotation(&pair)).await;
    let next = rotated(next.expect("rotate_refresh_token"));
    assert_eq!(direct.states(id, &next).await, [ACTIVE; 2]);
    let found = storage.introspect(&next.access).await.expect("introspect");
    assert_eq!(found.as_ref(), Some(&next.token));
    let grant = storage.get_grant(pair.grant_id()).await.expect("get_grant");
    assert_eq!(grant, direct.grant(pair.grant_id()).await);
    let page = storage.list_grants(subject(&user), None, 1).await.expect("list_grants");
    assert_eq!(page.grants.first(), grant.as_ref());
    assert!(storage.revoke_grant(pair.grant_id()).await.expect("revoke_grant"));
    assert_eq!(direct.states(id, &next).await, [REVOKED; 2]);
    let (own, _) = granted(direct, &user, id).await;
    let revoked = storage.revoke_grant_of(subject(&user), own.grant_id()).await;
    assert!(revoked.expect("revoke_grant_of"));
    granted(direct, &user, id).await;
    let revoked = storage.revoke_grants_of(subject(&user), id).await;
    assert_eq!(revoked.expect("revoke_grants_of"), 1);
    granted(direct, &user, id).await;
    assert_eq!(storage.revoke_subject(subject(&user)).await.expect("revoke_subject"), 1);
    granted(direct, &user, id).await;
    let revoked = storage.revoke_client(id).await.expect("revoke_client");
    assert_eq!(revoked, 2, "this one, and that of the deleted code");
    assert_eq!(storage.erase_subject(subject(&user)).await.expect("erase_subject"), 5);
    assert_eq!(direct.grant(own.grant_id()).await, None);
    // A purge would remove the rows of other rules.
    let purged = storage.purge_expired(0).await;
    refused(purged, "limit", InvalidReason::OutOfRange, "purge_expired");
}

/// The same for the methods of signing keys.
async fn exercise_signing_keys(storage: &impl Storage, direct: &Context) {
    let issuer = issuer();
    let first = key_of(&issuer, ES256);
    let added = storage.add_signing_key(first.clone()).await.expect("add_signing_key");
    assert_eq!(added, KeyRotationOutcome::Created);
    let listed = storage.list_signing_keys(&issuer).await.expect("list_signing_keys");
    assert_eq!(listed, list(direct, &issuer).await);
    let rotated = storage.rotate_signing_keys(&issuer, ES256, short()).await;
    let not_due = KeyRotationOutcome::NotDue { due_at: None };
    assert_eq!(rotated.expect("rotate_signing_keys"), not_due, "there is no next key");
    let mut again = first.clone();
    again.encryption_key_id = "second".into();
    let done = storage.reencrypt_signing_key(again.clone(), &first.encryption_key_id).await;
    assert!(done.expect("reencrypt_signing_key"));
    assert_eq!(list(direct, &issuer).await[0].key, again);
    let revoked = storage.revoke_signing_keys(key_of(&issuer, ES256)).await;
    assert_eq!(revoked.expect("revoke_signing_keys"), 1);
}

/// The same for the methods of sessions.
async fn exercise_sessions(storage: &impl Storage, direct: &Context) {
    let user = User::new(unique());
    let new = NewUserSession::new(user.clone());
    let started = storage.start_session(new).await.expect("start_session");
    assert_eq!(find(direct, &started.secret).await.as_ref(), Some(&started.session));
    let found = storage.find_session(&started.secret).await.expect("find_session");
    assert_eq!(found.as_ref(), Some(&started.session));
    let again = storage.reauthenticate_session(&started.secret, user.clone()).await;
    let again = again.expect("reauthenticate_session").expect("it is live");
    assert_eq!(find(direct, &again.secret).await.as_ref(), Some(&again.session));
    let page = storage.list_sessions(&user.subject, None, 1).await.expect("list_sessions");
    assert_eq!(page.sessions, [again.session]);
    let out = storage.end_session(&again.secret).await.expect("end_session");
    assert_eq!(out.sessions.len(), 1);
    assert_eq!(find(direct, &again.secret).await, None);
    for everywhere in [false, true] {
        let started = user_session::started(direct, &user.subject).await;
        let out = if everywhere {
            storage.end_sessions_of(&user.subject, None).await
        } else {
            storage.end_session_of(&user.subject, started.session.sid).await
        };
        assert_eq!(out.expect("a sign-out").sessions.len(), 1);
        assert_eq!(find(direct, &started.secret).await, None);
    }
}

async fn behind_an_arc(cx: Context) {
    exercise(Arc::clone(&cx.storage), &cx).await;
}

async fn behind_a_box(cx: Context) {
    let boxed: Box<dyn Storage> = Box::new(Arc::clone(&cx.storage));
    exercise(boxed, &cx).await;
}

async fn behind_a_reference(cx: Context) {
    exercise(&*cx.storage, &cx).await;
}

async fn shared_between_tasks(cx: Context) {
    let client = cx.client().await;
    let (storing, id) = (cx.clone(), client.clone());
    let pair = tokio::spawn(async move { storing.pair(&request(), &id).await });
    let pair = pair.await.expect("a task that stores");
    let reading = tokio::spawn(async move { cx.states(&client, &pair).await });
    assert_eq!(reading.await.expect("a task that reads"), [ACTIVE; 2]);
}
