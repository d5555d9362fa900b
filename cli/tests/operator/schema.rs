use oauth_storage::PgStorage;
use serde_json::json;

use crate::support::{Test, empty, program, run};

#[tokio::test]
async fn migrate_brings_an_empty_database_up_to_date() {
    let database = empty("cli_migrate").await;
    let status = |arguments: &[&str]| run(database.url(), arguments, "");
    let storage = PgStorage::connect(database.url()).await.unwrap();
    let pending = storage.pending_migrations().await.unwrap();
    let before = status(&["status"]).ok().out;
    let expected = format!("{} pending migrations: oauth-storage migrate\n", pending.len());
    assert!(before.starts_with(&expected), "{before}");
    let sql = status(&["migrate", "--dry-run"]).ok().out;
    let tables = sql.matches("\nCREATE TABLE oauth_storage.").count();
    assert!(tables > 1 && sql.contains("CREATE TABLE oauth_storage.token"), "{sql}");
    let planned = status(&["migrate", "--dry-run", "--json"]).json();
    assert_eq!(planned.as_array().unwrap().len(), pending.len());
    for (planned, pending) in planned.as_array().unwrap().iter().zip(&pending) {
        assert_eq!((&planned["applied"], &planned["sql"]), (&json!(false), &json!(pending.sql)));
    }
    assert!(status(&["status"]).ok().out.contains("pending"), "a dry run changes nothing");

    let migrated = status(&["migrate"]).ok().out;
    assert_eq!(migrated.matches("applied ").count(), pending.len(), "{migrated}");
    assert!(status(&["migrate"]).ok().out == "the schema is up to date\n");
    assert!(status(&["status"]).ok().out.starts_with("the schema is up to date"));
    let status = status(&["status", "--json"]).json();
    assert_eq!(status["pending_migrations"].as_array().unwrap().len(), 0);
    assert_eq!(status["tables"].as_array().unwrap().len(), tables);
}

#[tokio::test]
async fn the_url_comes_from_an_option_a_variable_or_a_file() {
    let test = Test::new("cli_url").await;
    let url = test.database.url();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{url}\n")).unwrap();
    let file = file.path().to_str().unwrap();
    let status = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = program().args(arguments).envs(variables.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let right = (0, String::new());
    assert_eq!(status(&["status", "--database-url", url], &[]), right);
    assert_eq!(status(&["status", "--database-url-file", file], &[]), right);
    assert_eq!(status(&["status"], &[("DATABASE_URL", url)]), right);
    let both =
        [("OAUTH_STORAGE_DATABASE_URL", url), ("DATABASE_URL", "postgres://nobody@localhost:1/x")];
    assert_eq!(status(&["status"], &both), right);
    // An empty variable is as good as none.
    let empty = [("OAUTH_STORAGE_DATABASE_URL", ""), ("DATABASE_URL", url)];
    assert_eq!(status(&["status"], &empty), right);
    for variables in [&[][..], &[("OAUTH_STORAGE_DATABASE_URL", "")]] {
        let (code, says) = status(&["status"], variables);
        assert!(code == 2 && says.contains("no database is named"), "{says}");
        assert!(says.contains("--database-url-file"), "{says}");
    }
}
