//! Imports that fail between two statements of a line lose no secret silently.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::finds;
use crate::support::{Ran, Test};

/// Lets the statements fail that write a client so.
async fn fault(test: &Test, event: &str, when: &str, action: &str) {
    test.sql(&format!(
        "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {action}; RETURN NEW; END $$;
         CREATE TRIGGER fault BEFORE {event} ON oauth_storage.client FOR EACH ROW
         WHEN ({when}) EXECUTE FUNCTION fault()"
    ))
    .await;
}

async fn repair(test: &Test) {
    test.sql("DROP TRIGGER fault ON oauth_storage.client; DROP FUNCTION fault").await;
}

fn line(client_id: &str, method: &str) -> Value {
    json!({ "client_id": client_id, "redirect_uris": ["https://a.example/"],
        "token_endpoint_auth_method": method })
}

/// Imports lines with a new secret file, and returns its text.
fn import(test: &Test, folder: &TempDir, name: &str, lines: &[Value]) -> (Ran, String) {
    let file = folder.path().join(name);
    let arguments = ["client", "import", "-", "--secret-file", file.to_str().unwrap()];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ran = test.run_with(&arguments, &input);
    (ran, fs::read_to_string(file).unwrap_or_default())
}

fn hint(client_id: &str) -> String {
    format!("; then run: oauth-storage client rotate-secret {client_id}")
}

#[tokio::test]
async fn a_client_that_got_a_method_and_no_secret_is_named() {
    let test = Test::new("cli_import_fault_rotate").await;
    let folder = tempfile::tempdir().unwrap();
    let with = |method| [line("a", method), line("b", method)];
    import(&test, &folder, "1", &with("none")).0.ok();
    let changes_secret = "NEW.client_secret_hash IS DISTINCT FROM OLD.client_secret_hash";
    fault(&test, "UPDATE", changes_secret, "RAISE 'refused by the test'").await;
    let (ran, secrets) = import(&test, &folder, "2", &with("client_secret_basic"));
    let ran = ran.failed(
        1,
        "refused by the test; run it again to continue, with another --secret-file; then run: ",
    );
    // Both had begun.
    assert!(ran.err.contains(&hint("a")) && ran.err.contains(&hint("b")), "{ran:?}");
    assert_eq!(secrets, "");

    // Another run finds nothing to do, so the command of the message is needed, and works.
    repair(&test).await;
    let (ran, _) = import(&test, &folder, "3", &with("client_secret_basic"));
    assert_eq!(ran.ok().out, "0 created, 0 updated, 2 unchanged\n");
    let rotated = test.run(&["client", "rotate-secret", "a", "--json"]).json();
    assert!(finds(&test, "a", rotated["client_secret"].as_str().unwrap()).await);
}

#[tokio::test]
async fn a_secret_is_written_before_the_client_is_disabled() {
    let test = Test::new("cli_import_fault_disable").await;
    let folder = tempfile::tempdir().unwrap();
    let mut disabled = line("a", "client_secret_basic");
    disabled["disabled_at"] = "2026-01-01T00:00:00Z".into();
    fault(&test, "UPDATE", "NEW.disabled_at IS NOT NULL", "RAISE 'refused by the test'").await;
    let (ran, secrets) = import(&test, &folder, "1", std::slice::from_ref(&disabled));
    let ran = ran.failed(1, "refused by the test");
    assert!(!ran.err.contains("rotate-secret"), "{ran:?}");
    let secret: Value = serde_json::from_str(&secrets).unwrap();
    assert!(finds(&test, "a", secret["client_secret"].as_str().unwrap()).await);

    repair(&test).await;
    let (ran, _) = import(&test, &folder, "2", &[disabled]);
    assert_eq!(ran.ok().out, "0 created, 1 updated, 0 unchanged\n");
}

#[tokio::test]
async fn a_registration_of_unknown_outcome_is_named() {
    let test = Test::new("cli_import_fault_unknown").await;
    let folder = tempfile::tempdir().unwrap();
    fault(&test, "INSERT", "true", "PERFORM pg_terminate_backend(pg_backend_pid())").await;
    let (ran, _) = import(&test, &folder, "1", &[line("a", "client_secret_basic")]);
    ran.failed(1, "outcome unknown").failed(1, &hint("a"));
    // A public client has no secret to lose.
    let (ran, _) = import(&test, &folder, "2", &[line("b", "none")]);
    let ran = ran.failed(1, "outcome unknown");
    assert!(!ran.err.contains("rotate-secret"), "{ran:?}");
}
