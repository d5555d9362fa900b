use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::support::{Test, empty, run};
use crate::upkeep::expired;

/// The exit status and the findings that need attention: check, severity and text.
fn complaints(url: &str, arguments: &[&str]) -> (i32, Vec<[String; 3]>) {
    let ran = run(url, &[&["doctor", "--quiet", "--json"], arguments].concat(), "");
    let findings: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = findings.as_array().unwrap().iter().map(|finding| {
        assert!(!text(&finding["action"]).is_empty());
        ["check", "severity", "found"].map(|member| text(&finding[member]))
    });
    (ran.status, findings.collect())
}

#[track_caller]
fn finds(url: &str, check: &str, severity: &str, says: &str) {
    let (status, found) = complaints(url, &[]);
    let is_it = |[its_check, its_severity, text]: &[String; 3]| {
        its_check == check && its_severity == severity && text.contains(says)
    };
    assert!(found.iter().any(is_it), "{check}: {found:?}");
    assert!(status == 6 || severity == "warning" && status == 5, "{status}");
}

#[tokio::test]
async fn a_healthy_database_has_no_complaints() {
    let test = Test::new("cli_doctor").await;
    let client = test.client().await;
    test.tokens(&client, "alice").await;
    let app = Role::new(&test, "app").await;
    test.sql(&deployment_grants(&app.name)).await;
    assert_eq!(complaints(&app.url, &[]), (0, vec![]));
    let ran = run(&app.url, &["doctor"], "").ok();
    let text = ran.out;
    for check in
        ["connection", "TLS", "version", "clock", "schema", "rights", "dead rows", "expired rows"]
    {
        assert!(text.contains(&format!("  {check}  ")), "{check}: {text}");
    }
    assert!(text.ends_with("\n0 errors, 0 warnings\n"), "{text}");
    let quiet = run(&app.url, &["doctor", "--quiet"], "").ok();
    assert_eq!(quiet.out, "0 errors, 0 warnings\n");
    // The superuser of the tests is the only complaint.
    let (status, found) = complaints(test.database.url(), &[]);
    assert!(status == 5 && found.len() == 1 && found[0][0] == "role", "{found:?}");
    app.drop(&test).await;
}

#[tokio::test]
async fn an_unreachable_and_an_empty_database_are_errors() {
    finds("postgres://app:secret@127.0.0.1:1/app", "connection", "error", "refused");
    let database = empty("cli_doctor_empty").await;
    finds(database.url(), "schema", "error", " pending migrations");
}

#[tokio::test]
async fn what_is_wrong_with_the_tables_is_found() {
    let test = Test::new("cli_doctor_tables").await;
    let url = test.database.url();
    expired(&test, 2_000).await;
    finds(url, "expired rows", "warning", "token is 2");
    test.sql("UPDATE oauth_storage.client SET disabled_at = now(), deleted_at = now() - interval '1 day'").await;
    finds(url, "unfinished", "warning", "1 half-deleted client");
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
    // PostgreSQL 14 counts them later.
    let counted = "SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'consent'";
    while sqlx::query_scalar::<_, i64>(counted).fetch_one(test.storage.pool()).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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
    // It reports who waits for a second.
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND clock_timestamp() - state_change > interval '1 second'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(test.storage.pool()).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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
    let app = Role::new(&test, "app").await;
    let name = &app.name;
    test.sql(&deployment_grants(name)).await;
    test.sql(&format!("REVOKE DELETE ON oauth_storage.token FROM {name}")).await;
    finds(&app.url, "rights", "error", "lacks DELETE on token");
    test.sql(&format!(
        "GRANT DELETE ON oauth_storage.token TO {name};
         ALTER TABLE oauth_storage.consent ENABLE ROW LEVEL SECURITY"
    ))
    .await;
    finds(&app.url, "settings", "error", "row-level security hides rows of oauth_storage.consent");
    app.drop(&test).await;
}

#[tokio::test]
async fn another_role_can_be_checked() {
    let test = Test::new("cli_doctor_role").await;
    let (app, reader) = (Role::new(&test, "app").await, Role::new(&test, "reader").await);
    test.sql(&format!(
        "GRANT USAGE ON SCHEMA oauth_storage TO {0};
         GRANT SELECT ON ALL TABLES IN SCHEMA oauth_storage TO {0}",
        reader.name
    ))
    .await;
    let check = || complaints(&reader.url, &["--role", &app.name]);
    let (status, found) = check();
    assert_eq!(status, 6);
    assert!(found.iter().any(|finding| finding[2].ends_with("lacks USAGE on the schema")));
    test.sql(&deployment_grants(&app.name)).await;
    assert_eq!(check(), (0, vec![]));
    test.sql("ALTER TABLE oauth_storage.consent ENABLE ROW LEVEL SECURITY").await;
    let superuser = complaints(test.database.url(), &["--role", &app.name]);
    let hidden = format!("a policy hides rows of consent from {}", app.name);
    let expected = ["row-level security".to_owned(), "error".to_owned(), hidden];
    assert_eq!(superuser, (6, vec![expected]));
    test.sql("ALTER TABLE oauth_storage.consent DISABLE ROW LEVEL SECURITY").await;

    // Without the right to read, the rest is not checked, and that is said.
    test.sql(&format!("REVOKE SELECT ON oauth_storage.token FROM {}", reader.name)).await;
    let (status, found) = check();
    assert!(status == 5 && found[0][2].contains("may not read them"), "{found:?}");
    test.run(&["doctor", "--role", "nobody at all"]).failed(3, "no role \"nobody at all\"");
    app.drop(&test).await;
    reader.drop(&test).await;
}

/// The statements of docs/deployment.md, for another role than its `app`.
fn deployment_grants(role: &str) -> String {
    let page = include_str!("../../../docs/deployment.md");
    let begin = page.find("GRANT USAGE ON SCHEMA oauth_storage").unwrap();
    let (block, _) = page[begin..].split_once("```").unwrap();
    block.replace("TO app;", &format!("TO {role};"))
}

/// A role that can connect and nothing else.
struct Role {
    name: String,
    url: String,
}

impl Role {
    async fn new(test: &Test, label: &str) -> Self {
        let name = format!("{}_{label}", test.database.name());
        test.sql(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'")).await;
        let (scheme, rest) = test.database.url().split_once("://").unwrap();
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        Self { url: format!("{scheme}://{name}:secret@{host}"), name }
    }

    async fn drop(self, test: &Test) {
        let name = &self.name;
        test.sql(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
    }
}
