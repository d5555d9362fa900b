//! The output on a terminal, in a pseudo-terminal.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

use oauth_storage::GrantStorage as _;

use crate::support::{Test, program};
use crate::upkeep::expired;

const TIMEOUT_MS: u64 = 30_000;

/// Runs the program on a terminal that echoes, as that of a person does; rexpect turns the echo off.
pub(crate) fn terminal(test: &Test, arguments: &[&str]) -> PtySession {
    let program = program();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"stty echo; exec "$0" "$@""#])
        .arg(program.get_program())
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .env("OAUTH_STORAGE_DATABASE_URL", test.database.url());
    spawn_command(command, Some(TIMEOUT_MS)).unwrap()
}

#[tokio::test]
async fn erase_subject_asks() {
    let test = Test::new("cli_tty_erase").await;
    let client = test.client().await;
    test.tokens(&client, "alice").await;
    for (answer, erased) in [("", false), ("no", false), ("y", true)] {
        let mut session = terminal(&test, &["erase-subject", "--subject", "alice"]);
        session
            .exp_string("Delete everything about the subject alice? It cannot be undone. [y/N]")
            .unwrap();
        session.send_line(answer).unwrap();
        session.exp_string(if erased { "alice is erased" } else { "nothing was changed" }).unwrap();
        session.exp_eof().unwrap();
        let grants = test.storage.list_grants("alice", None, 10).await.unwrap().grants;
        assert_eq!(grants.is_empty(), erased, "{answer}");
    }
}

#[tokio::test]
async fn a_token_is_not_echoed() {
    let test = Test::new("cli_tty_token").await;
    let client = test.client().await;
    let token = test.tokens(&client, "alice").await.access_token;
    let mut session = terminal(&test, &["token", "inspect"]);
    session.exp_string("Token: ").unwrap();
    session.send_line(token.expose()).unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(shown.contains("access token") && !shown.contains(token.expose()), "{shown}");
}

#[tokio::test]
async fn doctor_has_colours_on_a_terminal_unless_they_are_not_wanted() {
    let test = Test::new("cli_tty_doctor").await;
    let shown = terminal(&test, &["doctor"]).exp_eof().unwrap();
    assert!(shown.contains("\x1b[") && shown.contains("ok"), "{shown}");
    let mut command = program();
    command
        .arg("doctor")
        .env("NO_COLOR", "1")
        .env("OAUTH_STORAGE_DATABASE_URL", test.database.url());
    let shown = spawn_command(command, Some(TIMEOUT_MS)).unwrap().exp_eof().unwrap();
    assert!(!shown.contains("\x1b["), "{shown:?}");
}

#[tokio::test]
async fn a_purge_shows_a_bar_with_rate_and_rest() {
    let test = Test::new("cli_tty_purge").await;
    expired(&test, 20_000).await;
    let shown = terminal(&test, &["purge", "--batch", "100"]).exp_eof().unwrap();
    assert!(
        shown.contains("of 20,000 rows") && shown.contains("/s,") && shown.contains(" left"),
        "{shown}"
    );
    assert!(shown.contains("removed 20,000 tokens"), "{shown}");
}

#[tokio::test]
async fn top_leaves_the_screen_as_it_was() {
    let test = Test::new("cli_tty_top").await;
    let mut session = terminal(&test, &["top", "--every", "200ms"]);
    session.exp_string("\x1b[?1049h").unwrap();
    session.exp_string("OLDEST EXPIRED").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("\x1b[?1049l").unwrap();
    session.exp_eof().unwrap();
}
