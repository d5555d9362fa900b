use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::support::{Test, empty, run};
use crate::upkeep::expired;

/// The findings that are not in order, by check.
fn complaints(url: &str) -> (i32, Vec<(String, String, String)>) {
    let ran = run(url, &["doctor", "--quiet", "--json"], "");
    let findings: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = findings.as_array().unwrap().iter().map(|own| {
        assert!(!text(&own["action"]).is_empty());
        (text(&own["check"]), text(&own["severity"]), text(&own["found"]))
    });
    // What the test server is.
    let findings = findings.filter(|(check, ..)| check != "role" && check != "durability");
    (ran.status, findings.collect())
}

#[track_caller]
fn finds(url: &str, check: &str, severity: &str, says: &str) {
    let (status, found) = complaints(url);
    let is_it = |(own, level, found): &(String, String, String)| {
        own == check && level == severity && found.contains(says)
    };
    assert!(found.iter().any(is_it), "{check}: {found:?}");
    assert!(status == 6 || severity == "warning" && status == 5, "{status}");
}

#[tokio::test]
async fn a_healthy_database_has_no_complaints() {
    let test = Test::new("cli_doctor").await;
    let client = test.client().await;
    test.tokens(&client, "alice").await;
    let (_, found) = complaints(test.database.url());
    assert_eq!(found, []);
    let text = test.run(&["doctor"]).out;
    for check in
        ["connection", "TLS", "version", "clock", "schema", "rights", "dead rows", "expired rows"]
    {
        assert!(text.contains(&format!("  {check}  ")), "{check}: {text}");
    }
    assert!(text.contains(" error") && text.contains(" warning"), "{text}");
}

#[tokio::test]
async fn an_unreachable_and_an_empty_database_are_errors() {
    finds("postgres://app:secret@127.0.0.1:1/app", "connection", "error", "refused");
    let database = empty("cli_doctor_empty").await;
    finds(database.url(), "schema", "error", "11 migrations are pending");
}

#[tokio::test]
async fn what_is_wrong_with_the_tables_is_found() {
    let test = Test::new("cli_doctor_tables").await;
    let url = test.database.url();
    expired(&test, 2_000).await;
    finds(url, "expired rows", "warning", "token is 2");
    test.sql("UPDATE oauth_storage.client SET disabled_at = now(), deleted_at = now() - interval '1 day'").await;
    finds(url, "unfinished", "warning", "1 clients are half deleted");
    test.sql("ALTER TABLE oauth_storage.token SET (autovacuum_enabled = false)").await;
    finds(url, "dead rows", "error", "switched off for token");
    test.sql(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'oauth_storage.token_expires_at'::regclass",
    )
    .await;
    finds(url, "indexes", "error", "token_expires_at");
    test.sql(
        "INSERT INTO oauth_storage.consent (granted_at, updated_at, subject, client_id, scope)
         SELECT now(), now(), 'subject' || n, 'client', 'openid' FROM generate_series(1, 5000) n",
    )
    .await;
    finds(url, "statistics", "warning", "consent has 5000 rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_found() {
    let test = Test::new("cli_doctor_locks").await;
    let url = test.database.url();
    let mut holder = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE oauth_storage.consent").execute(&mut holder).await.unwrap();
    let waiting = url.to_owned();
    let waiter = tokio::spawn(async move {
        let mut waiter = PgConnection::connect(&waiting).await.unwrap();
        sqlx::raw_sql("DELETE FROM oauth_storage.consent").execute(&mut waiter).await.unwrap();
    });
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    tokio::task::block_in_place(|| {
        finds(url, "locks", "warning", "1 wait for it");
        finds(url, "tables", "error", "locked");
    });
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    waiter.await.unwrap();
}

#[tokio::test]
async fn a_role_without_rights_and_a_hidden_row_are_errors() {
    let test = Test::new("cli_doctor_rights").await;
    let role = format!("{}_role", test.database.name());
    test.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret';
         GRANT USAGE ON SCHEMA oauth_storage TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA oauth_storage TO {role};
         REVOKE DELETE ON oauth_storage.token FROM {role}"
    ))
    .await;
    let (scheme, rest) = test.database.url().split_once("://").unwrap();
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    let url = format!("{scheme}://{role}:secret@{host}");
    finds(&url, "rights", "error", "lacks DELETE on token");
    test.sql(&format!(
        "GRANT DELETE ON oauth_storage.token TO {role};
         ALTER TABLE oauth_storage.consent ENABLE ROW LEVEL SECURITY"
    ))
    .await;
    finds(&url, "settings", "error", "row-level security hides rows of oauth_storage.consent");
    test.sql(&format!(
        "ALTER TABLE oauth_storage.consent DISABLE ROW LEVEL SECURITY;
         ALTER TABLE oauth_storage.client ADD COLUMN extra text; DROP OWNED BY {role}; DROP ROLE {role}"
    ))
    .await;
}
