use oauth_storage::UserStorage as _;
use serde_json::json;

use crate::support::{Test, secret};

async fn signs_in(test: &Test, username: &str, password: &str) -> Option<String> {
    let users = test.storage.password_users();
    users.authenticate(username, &secret(password)).await.unwrap().map(|user| user.subject)
}

#[tokio::test]
async fn a_user_is_created_and_changed() {
    let test = Test::new("cli_user").await;
    let create = ["user", "create", "alice", "--subject", "248289761001"];
    let out = test.run_with(&create, "wonderland\r\n").ok().out;
    assert_eq!(out, "alice is created, with the subject 248289761001\n");
    assert_eq!(signs_in(&test, "alice", "wonderland").await.as_deref(), Some("248289761001"));

    let body = test.run_with(&["user", "create", "bob", "--json"], "wonderland").json();
    let subject = body["subject"].as_str().unwrap();
    assert_eq!(subject.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    assert_eq!(body, json!({ "username": "bob", "subject": subject }));

    // Spaces belong to a password.
    let out = test.run_with(&["user", "set-password", "alice"], " through the glass \n").ok().out;
    assert_eq!(out, "alice has a new password\n");
    assert!(signs_in(&test, "alice", "wonderland").await.is_none());
    assert!(signs_in(&test, "alice", " through the glass ").await.is_some());

    let out = test.run(&["user", "disable", "alice"]).ok().out;
    assert!(out.starts_with("alice is disabled; sessions and grants stay"), "{out}");
    assert!(signs_in(&test, "alice", " through the glass ").await.is_none());
    let body = test.run(&["user", "enable", "alice", "--json"]).json();
    assert_eq!(body, json!({ "username": "alice", "disabled": false }));
    assert!(signs_in(&test, "alice", " through the glass ").await.is_some());
}

#[tokio::test]
async fn a_user_that_cannot_be_is_refused_by_name() {
    let test = Test::new("cli_user_wrong").await;
    let create = |arguments: &[&str], input: &str| {
        test.run_with(&[&["user", "create"], arguments].concat(), input)
    };
    create(&["alice"], "short").failed(1, "password: is shorter than 8 bytes");
    create(&["alice"], "\n").failed(2, "no password; write it to standard input");
    create(&["a b"], "wonderland").failed(1, "username: ");
    create(&["alice", "--subject", "1"], "wonderland").ok();
    create(&["ALICE"], "wonderland").failed(1, "username: already exists");
    create(&["bob", "--subject", "1"], "wonderland").failed(1, "subject: already exists");
    for command in ["set-password", "disable", "enable"] {
        let ran = test.run_with(&["user", command, "nobody"], "wonderland");
        ran.failed(3, "there is no user \"nobody\"");
    }
}
