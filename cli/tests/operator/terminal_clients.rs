//! The questions and the progress that a person sees.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use oauth_storage::{ClientRegistry as _, UserStorage as _};
use serde_json::json;

use rexpect::session::spawn_command;

use crate::support::{Test, program, secret};
use crate::terminal::terminal;

#[tokio::test]
async fn the_deletion_of_a_client_asks() {
    let test = Test::new("cli_tty_delete").await;
    let id = test.client().await;
    test.run(&["client", "update", &id, "--name", "Shop"]).ok();
    for (answer, deleted) in [("", false), ("n", false), ("yes", true)] {
        let mut session = terminal(&test, &["client", "delete", &id]);
        let question = format!(
            "Delete the client {id} (Shop) with all its grants? It cannot be undone. [y/N]"
        );
        session.exp_string(&question).unwrap();
        session.send_line(answer).unwrap();
        // The terminal echoes what is typed, so that the test of the password means something.
        session.exp_string(answer).unwrap();
        session.exp_string(if deleted { "is deleted" } else { "nothing was changed" }).unwrap();
        session.exp_eof().unwrap();
        let status = session.process().wait().unwrap();
        let expected = if deleted { "0" } else { "4" };
        assert!(format!("{status:?}").contains(&format!(", {expected})")), "{status:?}");
        let client = test.storage.read_client(&id).await.unwrap();
        assert_eq!(client.is_none(), deleted, "{answer}");
    }
}

#[tokio::test]
async fn a_password_is_asked_for_twice_and_not_echoed() {
    let test = Test::new("cli_tty_password").await;
    let create = |again: &str| {
        let mut session = terminal(&test, &["user", "create", "alice", "--subject", "1"]);
        session.exp_string("Password: ").unwrap();
        session.send_line("wonderland").unwrap();
        let between = session.exp_string("Again: ").unwrap();
        session.send_line(again).unwrap();
        let shown = between + &session.exp_eof().unwrap();
        assert!(!shown.contains("wonder") && !shown.contains(again), "{shown}");
        shown
    };
    assert!(create("wunderland").contains("the passwords differ; nothing was changed"));
    let users = test.storage.password_users();
    assert!(users.authenticate("alice", &secret("wonderland")).await.unwrap().is_none());
    assert!(create("wonderland").contains("alice is created"));
    assert!(users.authenticate("alice", &secret("wonderland")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_long_import_shows_a_bar_on_a_terminal_only() {
    let test = Test::new("cli_tty_import").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients");
    let mut lines = String::new();
    for n in 0..2_000 {
        let line = json!({ "client_id": format!("client-{n}"), "token_endpoint_auth_method": "none",
            "redirect_uris": ["https://client.example/cb"] });
        writeln!(lines, "{line}").unwrap();
    }
    fs::write(&path, lines).unwrap();
    let import = ["client", "import", path.to_str().unwrap()];
    let shown = terminal(&test, &import).exp_eof().unwrap();
    for text in ["of 2,000 clients", "/s,", " left"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(shown.contains("2,000 created"), "{shown}");
    // Into a pipe nothing but the summary; `ok` asserts that standard error is empty.
    let out = test.run(&import).ok().out;
    assert_eq!(out, "0 created, 0 updated, 2,000 unchanged\n");
}

#[tokio::test]
async fn the_terminal_echoes_again_after_ctrl_c() {
    let test = Test::new("cli_tty_interrupt").await;
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap : INT; stty echo; "$0" user create alice; echo "status $?"; stty -a"#])
        .arg(program().get_program())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("OAUTH_STORAGE_DATABASE_URL", test.database.url());
    let mut session = spawn_command(command, Some(30_000)).unwrap();
    session.exp_string("Password: ").unwrap();
    session.send_control('c').unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(shown.contains("nothing was changed") && shown.contains("status 4"), "{shown}");
    assert!(shown.contains(" echo ") && !shown.contains(" -echo "), "{shown}");
}

/// The secrets of registrations that had begun are written.
#[tokio::test]
async fn an_interrupted_import_loses_no_secret() {
    let test = Test::new("cli_tty_import_secrets").await;
    let folder = tempfile::tempdir().unwrap();
    let (path, secrets) = (folder.path().join("clients"), folder.path().join("secrets"));
    let mut lines = String::new();
    for n in 0..20_000 {
        let line = json!({ "client_id": format!("client-{n}"), "response_types": [],
            "grant_types": ["client_credentials"] });
        writeln!(lines, "{line}").unwrap();
    }
    fs::write(&path, lines).unwrap();
    let (path, file) = (path.to_str().unwrap(), secrets.to_str().unwrap());
    let mut session = terminal(&test, &["client", "import", path, "--secret-file", file]);
    session.exp_string("of 20,000 clients").unwrap();
    session.exp_string("of 20,000 clients").unwrap();
    session.send_control('c').unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(shown.contains("interrupted; ") && shown.contains("run it again"), "{shown}");
    let clients = test.run(&["client", "list", "--json", "--limit", "20000"]).json();
    let number = clients.as_array().unwrap().len();
    assert!(number > 0 && number < 20_000, "{number}");
    let written = fs::read_to_string(&secrets).unwrap();
    assert_eq!(written.lines().count(), number);
}
