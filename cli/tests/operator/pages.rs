use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Ran, empty, program, run};

/// A URL that nothing answers: these commands need no database.
const URL: &str = "postgres://nobody@127.0.0.1:1/none";

fn help(command: &[String]) -> String {
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    arguments.push("--help");
    run(URL, &arguments, "").ok().out
}

/// Every command, with those below it, as its help lists them.
fn commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut next = 0;
    while let Some(command) = all.get(next).cloned() {
        let text = help(&command);
        let listed = text.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            let name = line.strip_prefix("  ").unwrap().split_whitespace().next().unwrap();
            // A further line of the text before.
            if !line.starts_with("   ") && name != "help" {
                all.push([&command[..], &[name.to_owned()]].concat());
            }
        }
        next += 1;
    }
    all
}

#[test]
fn every_command_has_help_and_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    run(URL, &["man", "--dir", dir.to_str().unwrap()], "").ok();
    let commands = commands();
    assert!(commands.contains(&vec!["client".to_owned(), "rotate-secret".to_owned()]));
    for command in &commands {
        let text = help(command);
        assert!(text.contains("Usage: oauth-storage") && text.contains("--help"), "{text}");
        let page = [&["oauth-storage".to_owned()], &command[..]].concat().join("-");
        let page = fs::read_to_string(dir.join(format!("{page}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    let pages = fs::read_dir(&dir).unwrap().count();
    assert_eq!(pages, commands.len(), "one page for each command");
    // A directory that cannot be.
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let ran: Ran = run(URL, &["man", "--dir", file.to_str().unwrap()], "");
    ran.failed(1, "cannot write to");
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let out = run(URL, &["completions", shell], "").ok().out;
        assert!(out.contains("rotate-secret") && out.contains("secret-file"), "{shell}");
    }
    run(URL, &["completions", "abacus"], "").failed_with(2);
    // bash reads it, and completes with it.
    let script = run(URL, &["completions", "bash"], "").ok().out;
    let test = r#"
        COMP_WORDS=(oauth-storage client ro); COMP_CWORD=2
        _oauth__storage oauth-storage ro client; echo "${COMPREPLY[@]}""#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("completions");
    fs::write(&file, script + test).unwrap();
    let output = Command::new("bash").arg(&file).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "rotate-secret", "{output:?}");
}

#[tokio::test]
async fn a_reader_that_stops_reading_gets_no_panic() {
    let database = empty("cli_pipe").await;
    for arguments in [
        &["completions", "bash"][..],
        &["migrate", "--dry-run"],
        &["migrate"],
        &["status"],
        &["doctor"],
        &["purge"],
        &["grants", "revoke", "--subject", "alice", "--yes"],
        &["sessions", "end", "--subject", "alice", "--all", "--yes"],
        &["erase-subject", "--subject", "alice", "--yes"],
    ] {
        let mut child = program()
            .args(arguments)
            .env("OAUTH_STORAGE_DATABASE_URL", database.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("panicked"), "{arguments:?}: {err}");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
    }
}
