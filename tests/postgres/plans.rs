//! The plans of each statement on a large table: by index only, once per call, and HOT.
//!
//! `auto_explain` writes the plan of every statement that the storage sends into the server's log.

use std::time::Duration;

use oauth_storage::device_authorization::{
    DeviceApproval, DevicePoll, DevicePollOutcome, NewDeviceAuthorization, UserCodeLookup,
    UserCodeOutcome,
};
use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::pending_request::NewPendingRequest;
use oauth_storage::replay::Claim;
use oauth_storage::token::{NewToken, TokenRef};
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    CodeRedemption, ConsentStorage as _, DeviceAuthorizationStorage as _, GrantStorage as _,
    NewAuthorizationCode, NewClient, PendingRequestStorage as _, PgStorage, RedemptionOutcome,
    ReplayStorage as _, RequestContext, Secret, Settings, TokenPair, TokenStorage as _, User,
    UserSessionStorage as _,
};
use oauth_storage_testbed::Cluster;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{TestStorage, URI, pair, run_sql, scope, store_grants};

/// The plans that were logged while the call ran.
async fn plans<T>(cluster: &Cluster, call: impl Future<Output = T>) -> (T, Vec<String>) {
    let length = || std::fs::metadata(cluster.log_file()).unwrap().len() as usize;
    let before = length();
    let value = call.await;
    // The log is written by another process.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let log = std::fs::read(cluster.log_file()).unwrap();
    let log = String::from_utf8_lossy(&log[before..]).into_owned();
    let plans = log.split("duration: ").skip(1).filter(|entry| entry.contains("plan:"));
    (value, plans.map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_goes_by_index_runs_once_and_updates_hot() {
    let rows = if std::env::var("OAUTH_STORAGE_TEST_FULL").is_ok_and(|full| full == "1") {
        1_000_000
    } else {
        60_000
    };
    let cluster = Cluster::start(&[
        ("shared_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("autovacuum", "off"),
    ])
    .await
    .unwrap();
    let database = cluster.database("plans").await.unwrap();
    let storage = PgStorage::connect(database.url()).await.unwrap();
    storage.migrate().await.unwrap();
    let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope());
    let registered = storage.register_client(NewClient::new(metadata)).await.unwrap();
    let (client_id, client_secret) =
        (registered.client.client_id, registered.client_secret.unwrap());
    // Most clients and subjects have a few grants, and one of each has a fifth of them.
    let owner = |name: &str, of: usize| {
        format!("'{name}-' || CASE WHEN n % 5 = 0 THEN 0 ELSE n % {of} END")
    };
    let grants = store_grants(rows / 2, &owner("client", 20_000), &owner("user", 10_000));
    let consenting = owner("user", 1_000);
    let session_owner = owner("user", 10_000);
    run_sql(
        database.url(),
        &format!(
            "SET auto_explain.log_min_duration = -1;
             INSERT INTO oauth_storage.client (client_id, token_endpoint_auth_method, redirect_uris,
                 grant_types, response_types, scope, details)
             SELECT 'client-' || n, 'none', '{{}}', '{{}}', '{{}}', '', '{{}}'
             FROM generate_series(0, 20000) n;
             INSERT INTO oauth_storage.client_lock (client_id)
             SELECT client_id FROM oauth_storage.client ON CONFLICT DO NOTHING;
             {grants};
             INSERT INTO oauth_storage.authorization_code (issued_at, expires_at, grant_id, digest,
                 digest_tail, response_type, redirect_uri)
             SELECT now(), now() + interval '10 minutes', grant_id, md5('code' || grant_id)::uuid,
                 md5(grant_id || 'code')::uuid, 'code', '{URI}'
             FROM oauth_storage.authorization_grant LIMIT {rows} / 10;
             INSERT INTO oauth_storage.record (expires_at, kind, digest, digest_tail)
             SELECT now() + n * interval '1 second', 'j', md5('record' || n)::uuid, md5('tail')::uuid
             FROM generate_series(-100, 20000) n;
             INSERT INTO oauth_storage.device_authorization (issued_at, expires_at, grant_id, digest,
                 digest_tail, user_code_digest, poll_interval, client_id, scope)
             SELECT now(), now() + n * interval '1 second', gen_random_uuid(), md5('device' || n)::uuid,
                 md5('tail')::uuid, md5('user code' || n)::uuid, 5, 'client-' || n, ''
             FROM generate_series(1, 20000) n;
             INSERT INTO oauth_storage.consent (granted_at, updated_at, subject, client_id, scope)
             SELECT now(), now(), {consenting}, 'client-' || n, 'openid'
             FROM generate_series(1, 20000) n;
             -- A session in five is of one user, and half of the grants of one session.
             INSERT INTO oauth_storage.user_session (created_at, authenticated_at, expires_at,
                 absolute_expires_at, lifetime, idle_timeout, sid, digest, digest_tail, subject)
             SELECT now(), now(), now() + n * interval '1 second', now() + interval '12 hours',
                 '12 hours', '30 minutes', md5('sid' || n)::uuid, md5('cookie' || n)::uuid,
                 md5('tail')::uuid, {session_owner}
             FROM generate_series(-100, 20000) n;
             UPDATE oauth_storage.authorization_grant
             SET context = jsonb_build_object('sid', CASE WHEN n % 2 = 0 THEN 'large' ELSE 's' || n END)
             FROM (SELECT row_number() OVER () AS n, grant_id AS id
                   FROM oauth_storage.authorization_grant LIMIT {rows} / 5) numbered
             WHERE grant_id = id;
             -- The use of today is written.
             UPDATE oauth_storage.client SET last_used_at = now()"
        ),
    )
    .await;
    run_sql(database.url(), "VACUUM ANALYZE").await;
    // Of the updates only those of the storage count.
    run_sql(database.url(), "SELECT pg_stat_reset()").await;

    let alice = RequestContext::for_user(User::new("alice"));
    let request = RequestContext::default();
    let settings = Settings::default().with_refresh_token_grace(Duration::ZERO);
    let strict = RequestContext::default().with_settings(settings);
    let mut failures = Vec::new();
    let mut check = |what: &str, plans: Vec<String>, most: usize| {
        if plans.is_empty() || plans.len() > most {
            failures.push(format!("{what}: {} statements, expected {most}", plans.len()));
        }
        for plan in plans {
            println!("{what}: {plan}\n");
            let tables = [
                "token",
                "authorization_code",
                "authorization_grant",
                "client",
                "record",
                "device_authorization",
                "consent",
                "user_session",
            ];
            if tables.iter().any(|table| plan.contains(&format!("Seq Scan on {table}"))) {
                failures.push(format!("{what} has a sequential scan:\n{plan}"));
            }
        }
    };

    // Six times: a prepared statement may get a generic plan at the sixth.
    for _ in 0..6 {
        let (found, logged) =
            plans(&cluster, storage.get_client(&request, &client_id, Some(&client_secret))).await;
        assert!(found.unwrap().is_some());
        check("get_client", logged, 1);

        let tokens = pair();
        let access = tokens.access_token.clone();
        let refresh = tokens.refresh_token.clone().unwrap();
        let new = NewToken::new(&client_id, scope(), tokens);
        let (token, logged) = plans(&cluster, storage.create_token(&alice, new)).await;
        let grant_id = token.unwrap().grant_id;
        check("create_token", logged, 1);
        let joined = TokenPair::generate_for(grant_id).unwrap();
        let new = NewToken::new(&client_id, scope(), joined).with_grant_id(grant_id);
        let (token, logged) = plans(&cluster, storage.create_token(&alice, new)).await;
        token.unwrap();
        check("create_token in a grant", logged, 1);
        let find = TokenRef::Access(&access);
        let (found, logged) = plans(&cluster, storage.get_token(&alice, &client_id, find)).await;
        assert!(found.unwrap().is_some());
        check("get_token", logged, 1);
        let (found, logged) = plans(&cluster, storage.introspect(&access)).await;
        assert!(found.unwrap().is_some());
        check("introspect", logged, 1);
        let (listed, logged) = plans(&cluster, storage.list_grants("user-77", None, 10)).await;
        assert!(!listed.unwrap().grants.is_empty());
        check("list_grants", logged, 1);
        let find = TokenRef::Refresh(&refresh);
        let (_, logged) = plans(&cluster, storage.revoke_token(&alice, &client_id, find)).await;
        check("revoke_token", logged, 1);
        let (_, logged) = plans(&cluster, storage.revoke_grant(grant_id)).await;
        check("revoke_grant", logged, 1);

        let code = Secret::generate().unwrap();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
        let (made, logged) = plans(&cluster, storage.create_authorization_code(&alice, new)).await;
        made.unwrap();
        check("create_authorization_code", logged, 1);
        let (found, logged) =
            plans(&cluster, storage.get_authorization_code(&alice, &client_id, &code)).await;
        assert!(found.unwrap().is_some());
        check("get_authorization_code", logged, 1);
        let replayed = Secret::generate().unwrap();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, replayed.clone());
        storage.create_authorization_code(&alice, new).await.unwrap();
        let other = CodeRedemption::new(&client_id, URI, replayed);
        let redemption =
            CodeRedemption::new(&client_id, URI, code.clone()).with_refresh_token(true);
        let (outcome, logged) =
            plans(&cluster, storage.redeem_authorization_code(&request, redemption)).await;
        let RedemptionOutcome::Issued(issued) = outcome.unwrap() else { panic!("not issued") };
        check("redeem_authorization_code", logged, 1);
        let (outcome, logged) =
            plans(&cluster, storage.redeem_authorization_code(&request, other.clone())).await;
        assert!(matches!(outcome.unwrap(), RedemptionOutcome::Issued(_)));
        check("redeem_authorization_code", logged, 1);
        let (outcome, logged) =
            plans(&cluster, storage.redeem_authorization_code(&request, other)).await;
        assert!(matches!(outcome.unwrap(), RedemptionOutcome::Replayed { .. }));
        check("a replay of a code, with its revocation", logged, 1);
        let (_, logged) =
            plans(&cluster, storage.delete_authorization_code(&alice, &client_id, &code)).await;
        check("delete_authorization_code", logged, 1);
        let rotation = TokenRotation::new(&client_id, issued.tokens.refresh_token.unwrap());
        let (outcome, logged) =
            plans(&cluster, storage.rotate_refresh_token(&strict, rotation.clone())).await;
        assert!(matches!(outcome.unwrap(), RotationOutcome::Issued(_)));
        check("rotate_refresh_token", logged, 1);
        let (outcome, logged) =
            plans(&cluster, storage.rotate_refresh_token(&strict, rotation)).await;
        assert!(matches!(outcome.unwrap(), RotationOutcome::Reused { .. }));
        check("a reuse of a refresh token, with its revocation", logged, 1);
        let (found, logged) = plans(&cluster, storage.get_grant(grant_id)).await;
        assert!(found.unwrap().is_some());
        check("get_grant", logged, 1);

        // A scan and a change.
        let (revoked, logged) = plans(&cluster, storage.revoke_subject("user-78")).await;
        revoked.unwrap();
        check("revoke_subject", logged, 2);
        let (revoked, logged) = plans(&cluster, storage.revoke_client("client-79")).await;
        revoked.unwrap();
        check("revoke_client", logged, 2);
        let (purged, logged) = plans(&cluster, storage.purge_expired(1000)).await;
        purged.unwrap();
        check("purge_expired", logged, 6);
        let claim = Claim::new("test", Uuid::now_v7().to_string(), Duration::from_secs(60));
        let (_, logged) = plans(&cluster, storage.claim(claim)).await;
        check("claim", logged, 1);
        let new = NewPendingRequest::new(serde_json::Map::new(), Duration::from_secs(60)).unwrap();
        let id = new.id.clone();
        let (_, logged) = plans(&cluster, storage.suspend_request(new)).await;
        check("suspend_request", logged, 1);
        let (found, logged) = plans(&cluster, storage.find_pending_request(&id)).await;
        check("find_pending_request", logged, 1);
        let (_, logged) =
            plans(&cluster, storage.change_pending_request(&id, found.unwrap().unwrap())).await;
        check("change_pending_request", logged, 1);
        let (taken, logged) = plans(&cluster, storage.resume_request(&id)).await;
        assert!(taken.unwrap().is_some());
        check("resume_request", logged, 1);
        let new = NewDeviceAuthorization::new(&client_id, scope());
        let (device, logged) = plans(&cluster, storage.start_device_authorization(new)).await;
        check("start_device_authorization", logged, 1);
        let device = device.unwrap();
        let poll = DevicePoll::new(&client_id, device.device_code.clone()).with_refresh_token(true);
        let polled = storage.poll_device_authorization(&request, poll.clone());
        let (outcome, logged) = plans(&cluster, polled).await;
        assert_eq!(outcome.unwrap(), DevicePollOutcome::Pending);
        check("poll_device_authorization", logged, 1);
        let lookup = UserCodeLookup::new(&device.user_code);
        let lookup = lookup.with_limit(Uuid::now_v7(), 5, Duration::from_secs(60));
        let (found, logged) = plans(&cluster, storage.find_device_authorization(lookup)).await;
        check("find_device_authorization", logged, 1);
        let UserCodeOutcome::Found(shown) = found.unwrap() else { panic!("not found") };
        let approval = DeviceApproval::new(&device.user_code, &shown, scope());
        let approved = storage.approve_device_authorization(&alice, approval);
        let (approved, logged) = plans(&cluster, approved).await;
        assert!(approved.unwrap());
        check("approve_device_authorization", logged, 1);
        let (denied, logged) =
            plans(&cluster, storage.deny_device_authorization(&device.user_code, shown.grant_id))
                .await;
        assert!(!denied.unwrap());
        check("deny_device_authorization", logged, 1);
        let (outcome, logged) =
            plans(&cluster, storage.poll_device_authorization(&request, poll)).await;
        assert!(outcome.unwrap().issued().is_some());
        check("a poll that is issued the tokens", logged, 2);
        let (added, logged) =
            plans(&cluster, storage.add_consent("user-77", &client_id, &scope())).await;
        added.unwrap();
        check("add_consent", logged, 1);
        let (found, logged) = plans(&cluster, storage.get_consent("user-77", &client_id)).await;
        assert!(found.unwrap().is_some());
        check("get_consent", logged, 1);
        let (page, logged) = plans(&cluster, storage.list_consents("user-77", None, 10)).await;
        assert!(page.unwrap().len() > 1);
        check("list_consents", logged, 1);
        // The consent, a scan and a change.
        let (outcome, logged) =
            plans(&cluster, storage.withdraw_consent("user-77", &client_id)).await;
        assert!(outcome.unwrap().withdrawn);
        check("withdraw_consent", logged, 3);
        let (erased, logged) = plans(&cluster, storage.erase_subject("user-76")).await;
        erased.unwrap();
        check("erase_subject", logged, 8);
        check_sessions(&cluster, &storage, &client_id, &mut check).await;
        let (_, logged) = plans(&cluster, storage.read_client(&client_id)).await;
        check("read_client", logged, 1);
        let (_, logged) = plans(&cluster, storage.list_clients(Some("client-5"), 10)).await;
        check("list_clients", logged, 1);
    }
    // A bulk load leaves free space in each page, so these updates can be HOT.
    let stored =
        "SELECT grant_id FROM oauth_storage.authorization_grant ORDER BY random() LIMIT 500";
    let stored: Vec<uuid::Uuid> =
        sqlx::query_scalar(stored).fetch_all(storage.pool()).await.unwrap();
    for grant_id in stored {
        storage.revoke_grant(grant_id).await.unwrap();
    }
    storage.close().await;
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(database.url()).await.unwrap();
    let (updated, hot): (i64, i64) = sqlx::query_as(
        "SELECT sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'oauth_storage' AND relname IN ('token', 'authorization_code',
             'authorization_grant')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(updated >= 400, "{updated} updates");
    assert!(hot * 100 >= updated * 99, "{hot} of {updated} updates were HOT");
}

/// The statements on sessions.
async fn check_sessions(
    cluster: &Cluster,
    storage: &PgStorage,
    client_id: &str,
    check: &mut impl FnMut(&str, Vec<String>, usize),
) {
    let user = || User::new("user-80");
    let new = NewUserSession::new(user()).with_idle_timeout(Duration::from_millis(500));
    let (started, logged) = plans(cluster, storage.start_session(new)).await;
    let secret = started.unwrap().secret;
    check("start_session", logged, 1);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (found, logged) = plans(cluster, storage.find_session(&secret)).await;
    // The session, and its use.
    check("find_session", logged, 2);
    if found.unwrap().is_none() {
        return; // The machine was slow.
    }
    let other = storage.start_session(NewUserSession::new(user())).await.unwrap();
    let (again, logged) =
        plans(cluster, storage.reauthenticate_session(&other.secret, user())).await;
    let again = again.unwrap().unwrap();
    check("reauthenticate_session", logged, 1);
    let code = Secret::generate().unwrap();
    let new = NewAuthorizationCode::new(client_id, scope(), URI, code).with_session(&again.session);
    let request = RequestContext::for_user(again.session.user());
    let (made, logged) = plans(cluster, storage.create_authorization_code(&request, new)).await;
    made.unwrap();
    check("create_authorization_code for a session", logged, 1);
    let (listed, logged) = plans(cluster, storage.list_sessions("user-0", None, 10)).await;
    assert_eq!(listed.unwrap().sessions.len(), 10);
    check("list_sessions", logged, 1);
    // A mark, a scan for grants, those not revoked, a revocation, and a deletion.
    let (out, logged) = plans(cluster, storage.end_session(&again.secret)).await;
    assert_eq!(out.unwrap().revoked_grants, 1);
    check("end_session", logged, 5);
    let (out, logged) = plans(cluster, storage.end_sessions_of("user-80", None)).await;
    assert!(!out.unwrap().sessions.is_empty());
    check("end_sessions_of", logged, 3);
}

/// A lane plans a statement once. A plan made for an empty table must stay good while the table grows, until the
/// next ANALYZE.
#[tokio::test]
async fn plans_made_for_an_empty_table_do_not_scan_it_when_it_has_grown() {
    const ROWS: i64 = 30_000;
    let test = TestStorage::new("plans_empty").await;
    let (client_id, _) = test.client().await;
    let (storage, alice) = (&test.storage, RequestContext::for_user(User::new("alice")));
    let tokens = TokenPair::generate().unwrap();
    let new = NewToken::new(&client_id, scope(), tokens.clone());
    let grant_id = storage.create_token(&alice, new).await.unwrap().grant_id;
    test.sql(
        "ALTER TABLE oauth_storage.token SET (autovacuum_enabled = false);
         ANALYZE oauth_storage.token",
    )
    .await;
    storage.introspect(&tokens.access_token).await.unwrap().unwrap();
    test.sql(&format!(
        "INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, digest, digest_tail, kind)
         SELECT now(), now() + interval '1 hour', '{grant_id}', gen_random_uuid(), gen_random_uuid(), 'a'
         FROM generate_series(1, {ROWS})"
    ))
    .await;

    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let mut read = async || -> (i64, i64) {
        let counts = "SELECT seq_tup_read, idx_scan FROM pg_stat_user_tables
                      WHERE relid = 'oauth_storage.token'::regclass";
        sqlx::query_as(counts).fetch_one(&mut connection).await.unwrap()
    };
    let (before, after) = (read().await, std::time::Instant::now() + Duration::from_secs(30));
    loop {
        for _ in 0..20 {
            storage.introspect(&tokens.access_token).await.unwrap().unwrap();
        }
        // A session reports its counts at the end of a transaction, at most once a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let (scanned, by_index) = read().await;
        assert!(scanned - before.0 < ROWS, "{} rows of the table were scanned", scanned - before.0);
        if by_index - before.1 >= 20 {
            return;
        }
        assert!(std::time::Instant::now() < after, "no lookup was counted");
    }
}
