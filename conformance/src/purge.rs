//! Purging expired rows. A purge removes the rows of other rules, so these rules run alone.

use std::ops::ControlFlow;
use std::time::Duration;

use super::context::{
    ACTIVE, Context, SHORT, foreign_tokens, new_token, outlast, refused, request, scope,
    short_lived, subject, unique,
};
use super::flow::{
    authorized, authorized_by, granted, next_pair, redeem, redeem_with, rotate, rotation, strict,
};
use super::record::{MINUTE, SECOND, push, take};
use super::signing_key::{add, issuer, key_of, list, rotate as rotate_keys, short};
use super::user_session::{find, start, started};
use oauth_storage::device_authorization::{
    DeviceApproval, DeviceAuthorization, DevicePoll, DevicePollOutcome, NewDeviceAuthorization,
    UserCodeLookup, UserCodeOutcome,
};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::{GrantState, Purged, RotationOutcome};
use oauth_storage::id_token::SigningAlgorithm::ES256;
use oauth_storage::signing_key::KeyRotationOutcome;
use oauth_storage::token::{NewToken, TokenState};
use oauth_storage::user_session::{NewUserSession, SignOut};
use oauth_storage::{GrantStorageExt as _, RedemptionOutcome, User};

rules!("purge" {
    removes_what_expired: "contract 2, purge: expired tokens and codes, and the grants that ended with them",
    live_credential_keeps_its_grant: "contract 2, purge: a grant leaves with its last credential, not before",
    keeps_what_a_replay_needs: "contract 2, purge: used codes and rotated tokens stay until they expire",
    revoked_grant_stays_until_it_expires: "S23, contract 2, purge: a revoked grant stays as long as its credentials",
    removes_tokens_without_a_grant: "S19, S22, contract 2, purge: credentials of erased subjects and deleted clients",
    runs_in_batches: "contract 2, purge: in bounded batches, and whether there is more",
    batch_size_is_bounded: "contract 3, bad input: a batch of 1 to 100,000",
    takes_expired_records: "contract 2, purge: expired records, and no others",
    takes_expired_devices: "contract 2, purge: expired device authorizations, with grants that issued nothing",
    takes_expired_signing_keys: "contract 2, purge: expired signing keys, and no others",
    takes_expired_sessions: "contract 2, purge: expired sessions, and no others",
});

async fn purge_all(cx: &Context) -> Purged {
    let purged = cx.storage.purge_with(100, |_| ControlFlow::Continue(())).await.expect("purge");
    assert!(!purged.more, "it continues until nothing is left");
    purged
}

async fn removes_what_expired(cx: Context) {
    let client = cx.client().await;
    let short = short_lived();
    let expired = cx.pair(&short, &client).await;
    let revoked = cx.pair(&short, &client).await;
    assert!(cx.storage.revoke_grant(revoked.grant_id()).await.expect("revoke_grant"));
    let (code, stored) = cx.code(&short, &client).await;
    let (live, _) = granted(&cx, &request(), &client).await;
    outlast().await;
    let purged = purge_all(&cx).await;
    assert!(purged.tokens >= 4 && purged.authorization_codes >= 1, "it counts: {purged:?}");
    assert!(purged.grants >= 3, "it counts grants: {purged:?}");
    for pair in [&expired, &revoked] {
        assert_eq!(cx.states(&client, pair).await, [None; 2], "an expired token leaves");
        assert_eq!(cx.grant(pair.grant_id()).await, None, "its grant leaves with it");
    }
    assert_eq!(cx.get_code(&client, &code).await, None, "an expired code leaves");
    assert_eq!(cx.grant(stored.grant_id).await, None, "its grant leaves with it");
    assert_eq!(cx.states(&client, &live).await, [ACTIVE; 2], "a live grant stays");
    assert!(cx.grant(live.grant_id()).await.is_some());
}

async fn live_credential_keeps_its_grant(cx: Context) {
    let client = cx.client().await;
    // The code has expired, and the access token, but not the refresh token.
    let mut user = request();
    user.settings.authorization_code_expires_in = Duration::from_secs(2);
    let redemption = authorized(&cx, &user, &client).await;
    let mut settings = strict();
    settings.settings.access_token_expires_in = SHORT;
    let refreshable = super::flow::issued_pair(redeem_with(&cx, &settings, &redemption).await);
    // The refresh token has expired, but not the access token.
    let mut settings = short_lived();
    settings.settings.access_token_expires_in = Duration::from_hours(1);
    let usable = cx.pair(&settings, &client).await;
    // All of the first pair has expired, but none of the second.
    let first = cx.pair(&short_lived(), &client).await;
    let second = cx.sibling(&request(), &first).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    purge_all(&cx).await;

    assert_eq!(cx.states(&client, &refreshable).await, [None, ACTIVE]);
    let next = next_pair(&cx, &strict(), &refreshable).await;
    assert_eq!(cx.states(&client, &next).await, [ACTIVE; 2]);
    assert_eq!(cx.states(&client, &usable).await, [ACTIVE, None]);
    assert_eq!(cx.states(&client, &first).await, [None; 2]);
    assert_eq!(cx.states(&client, &second).await, [ACTIVE; 2]);
    for pair in [&refreshable, &usable, &second] {
        let grant = cx.grant(pair.grant_id()).await.expect("a live credential keeps its grant");
        assert_eq!(grant.state, GrantState::Active);
    }
    let page = cx.storage.list_grants(subject(&user), None, 10).await.expect("list_grants");
    assert_eq!(page.grants.len(), 1, "and it is listed");
}

async fn keeps_what_a_replay_needs(cx: Context) {
    let client = cx.client().await;
    let (pair, _) = granted(&cx, &request(), &client).await;
    let next = next_pair(&cx, &strict(), &pair).await;
    let (other, redemption) = granted(&cx, &request(), &client).await;
    purge_all(&cx).await;
    let reused = RotationOutcome::Reused { grant_id: pair.grant_id() };
    assert_eq!(rotate(&cx, &strict(), &rotation(&pair)).await, reused, "a rotated token stays");
    assert!(!cx.is_active(&next.refresh).await);
    let replayed = RedemptionOutcome::Replayed { grant_id: other.grant_id() };
    assert_eq!(redeem(&cx, &redemption).await, replayed, "a used code stays");
}

async fn revoked_grant_stays_until_it_expires(cx: Context) {
    let client = cx.client().await;
    let user = request();
    let (pair, _) = granted(&cx, &user, &client).await;
    assert!(cx.storage.revoke_grant(pair.grant_id()).await.expect("revoke_grant"));
    purge_all(&cx).await;
    assert_eq!(cx.states(&client, &pair).await, [Some(TokenState::Revoked); 2]);
    let late = cx.sibling(&user, &pair).await;
    assert_eq!(late.token.state, TokenState::Revoked, "a token that joins it is dead");
}

async fn removes_tokens_without_a_grant(cx: Context) {
    let (client, deleted) = (cx.client().await, cx.client().await);
    let short = short_lived();
    let tokens = [foreign_tokens(), foreign_tokens()];
    let new = |client: &str, index: usize| NewToken::new(client, scope(), tokens[index].clone());
    let erased_code = authorized_by(&cx, &short, &client, super::context::foreign_secret()).await;
    cx.pair_of(&short, new(&client, 0)).await;
    cx.pair_of(&request().with_settings(short.settings.clone()), new(&deleted, 1)).await;
    assert_eq!(cx.storage.erase_subject(subject(&short)).await.expect("erase_subject"), 2);
    assert!(cx.storage.delete_client(&deleted).await.expect("delete_client"));
    outlast().await;
    purge_all(&cx).await;
    // Nothing of them is left: the same secrets are no duplicates.
    for index in [0, 1] {
        let pair = cx.pair_of(&request(), new(&client, index)).await;
        assert_eq!(cx.states(&client, &pair).await, [ACTIVE; 2]);
    }
    authorized_by(&cx, &request(), &client, erased_code.code).await;
}

async fn runs_in_batches(cx: Context) {
    let client = cx.client().await;
    purge_all(&cx).await;
    let short = short_lived();
    for _ in 0..5 {
        let mut new = new_token(&client);
        new.tokens = new.tokens.without_refresh_token();
        cx.create(&short, new).await;
    }
    outlast().await;
    let first = cx.storage.purge_expired(2).await.expect("purge_expired");
    assert_eq!((first.tokens, first.more), (2, true), "a batch is no larger than its limit");
    let mut batches = Vec::new();
    let stop_after_two = |batch| {
        batches.push(batch);
        if batches.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let stopped = cx.storage.purge_with(1, stop_after_two).await.expect("purge");
    assert_eq!((stopped.tokens, batches.len()), (2, 2), "the callback can stop it");
    // Rows of other rules may expire at the same time.
    let rest = purge_all(&cx).await;
    assert!(rest.tokens >= 1 && rest.grants >= 1, "the next call continues: {rest:?}");
}

async fn batch_size_is_bounded(cx: Context) {
    for limit in [0, 100_001, usize::MAX] {
        let result = cx.storage.purge_expired(limit).await;
        refused(result, "limit", InvalidReason::OutOfRange, "purge_expired");
    }
}

async fn takes_expired_records(cx: Context) {
    let client = unique();
    let (gone, kept) = (push(&cx, &client, SECOND).await, push(&cx, &client, MINUTE).await);
    tokio::time::sleep(SECOND + SHORT).await;
    assert!(purge_all(&cx).await.records > 0);
    assert_eq!(take(&cx, &client, &gone).await, None);
    assert!(take(&cx, &client, &kept).await.is_some());
    assert_eq!(purge_all(&cx).await.records, 0);
}

async fn takes_expired_devices(cx: Context) {
    let client = cx.client().await;
    let new = |lifetime| NewDeviceAuthorization::new(&client, scope()).with_expires_in(lifetime);
    let start = async |lifetime| {
        let started = cx.storage.start_device_authorization(new(lifetime)).await;
        started.expect("start_device_authorization")
    };
    let (gone, approved, kept) = (start(SECOND).await, start(SECOND).await, start(MINUTE).await);
    let lookup = UserCodeLookup::new(&approved.user_code);
    let found = cx.storage.find_device_authorization(lookup).await.expect("find");
    let UserCodeOutcome::Found(shown) = found else { panic!("{found:?}") };
    let approval = DeviceApproval::new(&approved.user_code, &shown, scope());
    let done = cx.storage.approve_device_authorization(&request(), approval).await;
    assert!(done.expect("approve_device_authorization"));
    let grant_id = approved.device_code.grant_id().expect("a generated code names its grant");
    assert!(cx.grant(grant_id).await.is_some());
    tokio::time::sleep(SECOND + SHORT).await;
    let purged = purge_all(&cx).await;
    assert!(purged.device_authorizations >= 2 && purged.grants >= 1, "{purged:?}");
    assert_eq!(cx.grant(grant_id).await, None, "nothing else would remove its grant");
    let poll = async |device: &DeviceAuthorization| {
        let poll = DevicePoll::new(&client, device.device_code.clone());
        cx.storage.poll_device_authorization(&strict(), poll).await.expect("poll")
    };
    assert_eq!(poll(&gone).await, DevicePollOutcome::Invalid);
    assert_eq!(poll(&kept).await, DevicePollOutcome::Pending);
    assert_eq!(purge_all(&cx).await.device_authorizations, 0);
}

async fn takes_expired_signing_keys(cx: Context) {
    let issuer = issuer();
    for outcome in [KeyRotationOutcome::Created, KeyRotationOutcome::Announced] {
        assert_eq!(add(&cx, &key_of(&issuer, ES256)).await, outcome);
    }
    outlast().await;
    assert_eq!(rotate_keys(&cx, &issuer, short()).await, KeyRotationOutcome::Rotated);
    outlast().await;
    let before = list(&cx, &issuer).await;
    assert!(purge_all(&cx).await.signing_keys > 0);
    assert_eq!(purge_all(&cx).await.signing_keys, 0);
    assert_eq!(list(&cx, &issuer).await, before, "the active key stays");
    assert_eq!(before.len(), 1);
}

async fn takes_expired_sessions(cx: Context) {
    purge_all(&cx).await;
    let new = || NewUserSession::new(User::new(unique()));
    let expired = start(&cx, new().with_lifetime(SHORT)).await;
    let idle = start(&cx, new().with_idle_timeout(SHORT)).await;
    let live = started(&cx, &unique()).await;
    outlast().await;
    let purged = cx.storage.purge_expired(1).await.expect("purge_expired");
    assert_eq!((purged.sessions, purged.more), (1, true), "a batch is no larger than its limit");
    // Sessions of other rules may have expired meanwhile.
    assert!(purge_all(&cx).await.sessions >= 1);
    for gone in [expired, idle] {
        let out = cx.storage.end_session(&gone.secret).await.expect("end_session");
        assert_eq!(out, SignOut::default(), "it is gone");
    }
    assert_eq!(find(&cx, &live.secret).await, Some(live.session), "a live session stays");
}
