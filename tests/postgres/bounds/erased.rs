//! S22: an erased subject leaves no trace in a dump.

use oauth_storage::device_authorization::{
    DeviceApproval, NewDeviceAuthorization, UserCodeLookup, UserCodeOutcome,
};
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::postgres::NewUser;
use oauth_storage::token::NewToken;
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, CodeRedemption,
    ConsentStorage as _, DeviceAuthorizationStorage as _, GrantStorage as _, NewAuthorizationCode,
    NewClient, PgStorage, RedemptionOutcome, RequestContext, Secret, TokenPair, TokenStorage as _,
    User, UserSessionStorage as _,
};
use oauth_storage_testbed::Cluster;

use crate::support::{URI, dump, scope};

const SUBJECT: &str = "n33dle-of-a-person";

/// Everything that names a subject: a user, an unused code, a spent one, tokens, rotated and not, a consent, a
/// session, an approved device.
async fn live_a_life(storage: &PgStorage, client_id: &str) -> Vec<TokenPair> {
    let user = NewUser::new("somebody", SUBJECT, Secret::new("wonderland"));
    storage.password_users().create(user).await.unwrap();
    let request = RequestContext::for_user(User::new(SUBJECT));
    let code = Secret::generate().unwrap();
    for code in [code.clone(), Secret::generate().unwrap()] {
        let new = NewAuthorizationCode::new(client_id, scope(), URI, code);
        storage.create_authorization_code(&request, new).await.unwrap();
    }
    let redemption = CodeRedemption::new(client_id, URI, code).with_refresh_token(true);
    let outcome = storage.redeem_authorization_code(&request, redemption).await.unwrap();
    let RedemptionOutcome::Issued(first) = outcome else { panic!("{outcome:?}") };
    let refresh = first.tokens.refresh_token.clone().unwrap();
    let rotation = TokenRotation::new(client_id, refresh);
    let outcome = storage.rotate_refresh_token(&request, rotation).await.unwrap();
    let RotationOutcome::Issued(second) = outcome else { panic!("{outcome:?}") };
    let revoked = TokenPair::generate().unwrap();
    let new = NewToken::new(client_id, scope(), revoked.clone());
    let grant_id = storage.create_token(&request, new).await.unwrap().grant_id;
    storage.revoke_grant(grant_id).await.unwrap();
    storage.add_consent(SUBJECT, client_id, &scope()).await.unwrap();
    storage.start_session(NewUserSession::new(User::new(SUBJECT))).await.unwrap();
    let device = storage
        .start_device_authorization(NewDeviceAuthorization::new(client_id, scope()))
        .await
        .unwrap();
    let lookup = UserCodeLookup::new(&device.user_code);
    let found = storage.find_device_authorization(lookup).await.unwrap();
    let UserCodeOutcome::Found(shown) = found else { panic!("{found:?}") };
    let approval = DeviceApproval::new(&device.user_code, &shown, scope());
    assert!(storage.approve_device_authorization(&request, approval).await.unwrap());
    vec![first.tokens, second.tokens, revoked]
}

#[tokio::test]
async fn s22_an_erased_subject_leaves_no_trace_in_a_dump() {
    let cluster = Cluster::start(&[]).await.unwrap();
    let database = cluster.database("erased").await.unwrap();
    let storage = PgStorage::builder().password_users().connect(database.url()).await.unwrap();
    storage.migrate().await.unwrap();
    let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope());
    let registered = storage.register_client(NewClient::new(metadata)).await.unwrap();
    let client_id = registered.client.client_id;
    let tokens = live_a_life(&storage, &client_id).await;
    let other = TokenPair::generate().unwrap();
    let new = NewToken::new(&client_id, scope(), other.clone()).with_subject("somebody else");
    storage.create_token(&RequestContext::default(), new).await.unwrap();

    let traces = async || {
        let dump = dump(&cluster, database.url()).await;
        let dump = String::from_utf8_lossy(&dump).into_owned();
        assert!(dump.contains("somebody else"), "the dump has the rows");
        dump.matches(SUBJECT).count()
    };
    assert!(traces().await >= 7, "the user, four grants, a consent and a session");
    // A revocation keeps them.
    storage.revoke_subject(SUBJECT).await.unwrap();
    assert!(traces().await >= 7);

    assert_eq!(storage.erase_subject(SUBJECT).await.unwrap(), 4);
    assert_eq!(traces().await, 0);
    for pair in &tokens {
        for token in [&pair.access_token, pair.refresh_token.as_ref().unwrap()] {
            assert_eq!(storage.introspect(token).await.unwrap(), None);
        }
    }
    assert!(storage.introspect(&other.access_token).await.unwrap().is_some());
    assert_eq!(storage.erase_subject(SUBJECT).await.unwrap(), 0);
}
