//! Imports that run twice, are cut off, or are a rehearsal.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::doorkeeper::{self, DOORKEEPER};
use super::{DJANGO, DJANGO_ROWS, HYDRA, HYDRA_ROWS, NODE, NODE_ROWS, PREPARE, run};
use crate::support::TestStorage;

const TABLES: [&str; 5] = ["client", "client_lock", "authorization_grant", "token", "consent"];

/// Rows, settings and script of each project.
fn projects() -> [(&'static str, &'static str, String, &'static str); 4] {
    let scope = |scope| format!("SET import.scope = '{scope}'");
    [
        ("django", DJANGO_ROWS, scope("read write"), DJANGO),
        ("node", NODE_ROWS, scope("openid offline_access"), NODE),
        ("hydra", HYDRA_ROWS, scope(""), HYDRA),
        ("doorkeeper", doorkeeper::ROWS, doorkeeper::settings("plain"), DOORKEEPER),
    ]
}

/// The rows of the storage, with their versions.
async fn stored(test: &TestStorage, columns: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    let mut rows: Vec<String> = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT '{table} ' || {columns} FROM oauth_storage.{table} AS row");
        let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        rows.extend::<Vec<String>>(found.unwrap());
    }
    connection.close().await.unwrap();
    rows.sort_unstable();
    rows
}

/// Times that the scripts take from the clock, such as the end of a refresh token, differ from run to run.
const WITHOUT_CLOCK: &str =
    "(to_jsonb(row) - ARRAY['expires_at', 'updated_at', 'client_id_issued_at'])::text";

#[tokio::test]
async fn the_second_run_changes_nothing() {
    for (name, rows, settings, script) in projects() {
        let test = TestStorage::new(&format!("imports_twice_{name}")).await;
        test.sql(rows).await;
        run(&test, &settings, script).await.unwrap();
        let version = "row.xmin || ' ' || row.ctid || to_jsonb(row)";
        let first = stored(&test, version).await;
        assert!(first.len() > 3, "{name}: {first:?}");
        run(&test, &settings, script).await.unwrap();
        assert_eq!(stored(&test, version).await, first, "{name}");
    }
}

/// A trigger refuses one row in the middle, with a batch of one: what came before is stored.
#[tokio::test]
async fn a_run_that_was_cut_off_is_continued() {
    for (name, rows, settings, script) in projects() {
        let test = TestStorage::new(&format!("imports_cut_{name}")).await;
        test.sql(rows).await;
        run(&test, &settings, script).await.unwrap();
        let whole = stored(&test, WITHOUT_CLOCK).await;
        let table = if name == "hydra" { "consent" } else { "authorization_grant" };
        test.sql(&format!(
            "CREATE SEQUENCE stored;
             CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('stored') = 2 THEN RAISE 'cut off'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER cut BEFORE INSERT ON oauth_storage.{table}
                 FOR EACH ROW EXECUTE FUNCTION cut();
             DELETE FROM oauth_storage.client; DELETE FROM oauth_storage.client_lock;
             DELETE FROM oauth_storage.authorization_grant; DELETE FROM oauth_storage.token;
             DELETE FROM oauth_storage.consent"
        ))
        .await;

        let batched = format!("{settings}; SET import.batch = '1'");
        if name == "node" {
            // It has a single grant.
            test.sql("SELECT nextval('stored')").await;
        }
        let error = run(&test, &batched, script).await.unwrap_err();
        assert!(error.to_string().contains("cut off"), "{name}: {error}");
        let part = stored(&test, WITHOUT_CLOCK).await;
        assert!(part.len() < whole.len(), "{name}");
        assert!(part.iter().all(|row| whole.contains(row)), "{name}: {part:?}");
        let stored_before = part.iter().filter(|row| row.starts_with(table)).count();
        assert_eq!(stored_before, usize::from(name != "node"), "{name}: the batch before stays");
        run(&test, &batched, script).await.unwrap();
        assert_eq!(stored(&test, WITHOUT_CLOCK).await, whole, "{name}");
    }
}

#[tokio::test]
async fn what_ended_here_does_not_come_back() {
    let test = TestStorage::new("imports_ended").await;
    test.sql(DJANGO_ROWS).await;
    let settings = "SET import.scope = 'read write'";
    run(&test, settings, DJANGO).await.unwrap();
    // As after `erase_subject`: the tokens wait for the purge.
    test.sql("DELETE FROM oauth_storage.authorization_grant WHERE subject = '1'").await;
    run(&test, settings, DJANGO).await.unwrap();
    assert_eq!(super::active(&test.storage, "s9hEKcajrip1F09SlLUoBThWwXLJjQ").await, None);
}

#[tokio::test]
async fn a_rehearsal_stores_nothing() {
    for (name, rows, settings, script) in projects() {
        let test = TestStorage::new(&format!("imports_rehearsal_{name}")).await;
        test.sql(rows).await;
        let sql = format!(
            "BEGIN; {settings}; SET LOCAL import.commit = 'off'; {PREPARE}; {script}; ROLLBACK"
        );
        test.sql(&sql).await;
        assert_eq!(stored(&test, WITHOUT_CLOCK).await, Vec::<String>::new(), "{name}");
    }
}

/// With such a batch the loop over the rows would not advance.
#[tokio::test]
async fn a_batch_has_at_least_one_row() {
    for (name, rows, settings, script) in projects() {
        let test = TestStorage::new(&format!("imports_batch_{name}")).await;
        test.sql(rows).await;
        for batch in ["0", "-1"] {
            let settings = format!("{settings}; SET import.batch = '{batch}'");
            let settings = format!("{settings}; SET statement_timeout = '20s'");
            let error = run(&test, &settings, script).await.unwrap_err();
            assert!(error.to_string().contains("import.batch"), "{name}: {error}");
        }
    }
}
