//! How the server runs each statement on a large table: by index only, once per call, and HOT.
//!
//! `auto_explain` writes the plan of every statement into the server's log, as it was run: the
//! statements are the very ones that the storage sends.

use std::time::Duration;

use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, ClientStorage as _,
    GrantStorage as _, NewAuthorizationCode, NewClient, NewToken, PgStorage, Redeem, Redeemed,
    Request, Rotate, Rotated, TokenRef, TokenStorage as _, User,
};
use oauth_storage_testbed::Cluster;

use crate::support::{run_sql, scope, secret};

const URI: &str = "https://client.example/cb";

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
    // One in a hundred clients and subjects has many rows, as in life.
    run_sql(
        database.url(),
        &format!(
            "SET auto_explain.log_min_duration = -1;
             INSERT INTO oauth_storage.client (client_id, token_endpoint_auth_method, redirect_uris,
                 grant_types, response_types, scope, details)
             SELECT 'client-' || n, 'none', '{{}}', '{{}}', '{{}}', '', '{{}}'
             FROM generate_series(1, 20000) n;
             INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, kind, digest,
                 client_id, subject, scope)
             SELECT now(), now() + n * interval '1 second',
                 md5((n / 2)::text)::uuid, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'r' END::\"char\",
                 sha256(n::text::bytea), 'client-' || n % 20000, 'user-' || n % 10000, 'openid'
             FROM generate_series(1, {rows}) n;
             INSERT INTO oauth_storage.authorization_code (issued_at, expires_at, grant_id, digest,
                 client_id, subject, scope, response_type, redirect_uri)
             SELECT now(), now() + interval '10 minutes', gen_random_uuid(), sha256(n::text::bytea),
                 'client-' || n % 20000, 'user-' || n % 10000, 'openid', 'code', '{URI}'
             FROM generate_series(1, {rows} / 10) n"
        ),
    )
    .await;
    run_sql(database.url(), "VACUUM ANALYZE").await;

    let alice = Request::for_user(User::new("alice"));
    let request = Request::default();
    let mut failures = Vec::new();
    let mut check = |what: &str, plans: Vec<String>, most: usize| {
        if plans.is_empty() || plans.len() > most {
            failures.push(format!("{what}: {} statements, expected {most}", plans.len()));
        }
        for plan in plans {
            println!("{what}: {plan}\n");
            if plan.contains("Seq Scan on token")
                || plan.contains("Seq Scan on authorization_code")
                || plan.contains("Seq Scan on client")
            {
                failures.push(format!("{what} has a sequential scan:\n{plan}"));
            }
        }
    };

    // Six times: a statement that was prepared gets a plan for any parameters at the sixth.
    let mut refresh_tokens = Vec::new();
    for _ in 0..6 {
        let (found, logged) =
            plans(&cluster, storage.get_client(&request, &client_id, Some(&client_secret))).await;
        assert!(found.unwrap().is_some());
        check("get_client", logged, 1);

        let (access, refresh) = (secret(), secret());
        let new =
            NewToken::new(&client_id, scope(), access.clone()).with_refresh_token(refresh.clone());
        let (token, logged) = plans(&cluster, storage.create_token(&alice, new)).await;
        let grant_id = token.unwrap().grant_id;
        check("create_token", logged, 1);
        let find = TokenRef::Access(&access);
        let (found, logged) = plans(&cluster, storage.get_token(&alice, &client_id, find)).await;
        assert!(found.unwrap().is_some());
        check("get_token", logged, 1);
        let (found, logged) = plans(&cluster, storage.introspect(&access)).await;
        assert!(found.unwrap().is_some());
        check("introspect", logged, 1);
        let (listed, logged) = plans(&cluster, storage.list_grants("user-77", None, 10)).await;
        assert!(!listed.unwrap().is_empty());
        check("list_grants", logged, 1);
        let find = TokenRef::Refresh(&refresh);
        let (_, logged) = plans(&cluster, storage.revoke_token(&alice, &client_id, find)).await;
        check("revoke_token", logged, 1);
        let (_, logged) = plans(&cluster, storage.revoke_grant(grant_id)).await;
        check("revoke_grant", logged, 1);

        let code = secret();
        let new = NewAuthorizationCode::new(&client_id, scope(), URI, code.clone());
        let (made, logged) = plans(&cluster, storage.create_authorization_code(&alice, new)).await;
        made.unwrap();
        check("create_authorization_code", logged, 1);
        let (found, logged) =
            plans(&cluster, storage.get_authorization_code(&alice, &client_id, &code)).await;
        assert!(found.unwrap().is_some());
        check("get_authorization_code", logged, 1);
        let redeem = Redeem {
            refresh_token: Some(secret()),
            ..Redeem::new(&client_id, URI, code.clone(), secret())
        };
        refresh_tokens.push(redeem.refresh_token.clone().unwrap());
        let (redeemed, logged) =
            plans(&cluster, storage.redeem_authorization_code(&request, redeem)).await;
        assert!(matches!(redeemed.unwrap(), Redeemed::Issued(_)));
        check("redeem_authorization_code", logged, 1);
        let (_, logged) =
            plans(&cluster, storage.delete_authorization_code(&alice, &client_id, &code)).await;
        check("delete_authorization_code", logged, 1);
        let rotate = Rotate::new(&client_id, refresh_tokens.pop().unwrap(), secret(), secret());
        let (rotated, logged) =
            plans(&cluster, storage.rotate_refresh_token(&request, rotate)).await;
        assert!(matches!(rotated.unwrap(), Rotated::Issued(_)));
        check("rotate_refresh_token", logged, 1);

        // A look and a change; a look that finds nothing more.
        let (revoked, logged) = plans(&cluster, storage.revoke_subject("user-78")).await;
        revoked.unwrap();
        check("revoke_subject", logged, 3);
        let (revoked, logged) = plans(&cluster, storage.revoke_client("client-79")).await;
        revoked.unwrap();
        check("revoke_client", logged, 3);
        let (purged, logged) = plans(&cluster, storage.purge_expired(1000)).await;
        purged.unwrap();
        check("purge_expired", logged, 1);
        let (_, logged) = plans(&cluster, storage.read_client(&client_id)).await;
        check("read_client", logged, 1);
        let (_, logged) = plans(&cluster, storage.list_clients(Some("client-5"), 10)).await;
        check("list_clients", logged, 1);
    }
    // What is loaded at once leaves no page full, so each of these finds room.
    for n in 0..200 {
        let grant = format!("SELECT md5('{}')::uuid", n * 37);
        let grant_id: uuid::Uuid =
            sqlx::query_scalar(sqlx::AssertSqlSafe(grant)).fetch_one(storage.pool()).await.unwrap();
        storage.revoke_grant(grant_id).await.unwrap();
    }
    storage.close().await;
    let mut connection =
        <sqlx::PgConnection as sqlx::Connection>::connect(database.url()).await.unwrap();
    let (updated, hot): (i64, i64) = sqlx::query_as(
        "SELECT sum(n_tup_upd)::bigint, sum(n_tup_hot_upd)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'oauth_storage' AND relname IN ('token', 'authorization_code')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(updated >= 400, "{updated} updates");
    assert!(hot * 100 >= updated * 99, "{hot} of {updated} updates were HOT");
}
