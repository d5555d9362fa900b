use std::path::Path;

use oauth_storage::jwt::KeyEncryptionKey;
use serde_json::Value;

use crate::support::Test;

const ISSUER: &str = "https://issuer.example";

/// Writes a new encryption key to a file.
fn encryption_key(file: &Path) -> String {
    let key = KeyEncryptionKey::generate().unwrap().to_base64();
    std::fs::write(file, key.expose()).unwrap();
    key.expose().to_owned()
}

fn keys(test: &Test) -> Vec<Value> {
    let keys = test.run(&["keys", "list", "--issuer", ISSUER, "--json"]).json();
    keys.as_array().unwrap().clone()
}

/// A command of the keys of the issuer with its encryption key.
fn command<'a>(name: &'a str, file: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let file = file.to_str().unwrap();
    let mut arguments = vec!["keys", name, "--issuer", ISSUER, "--encryption-key-file", file];
    arguments.extend(more);
    arguments
}

#[tokio::test]
async fn signing_keys_are_rotated_and_listed() {
    let test = Test::new("cli_keys").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = encryption_key(file.path());
    let rotate = command("rotate", file.path(), &["--json"]);
    test.run(&["keys", "rotate", "--issuer", ISSUER]).failed(2, "KEY_ENCRYPTION_KEY");
    for outcome in ["created", "announced", "not_due"] {
        assert_eq!(test.run(&rotate).json()["outcome"], outcome);
    }
    let listed = keys(&test);
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&"active".into(), &"next".into()));
    let text = test.run(&["keys", "list", "--issuer", ISSUER]).ok().out;
    assert!(text.contains("ES256") && text.contains("active"), "{text}");
    assert!(!text.contains(&key));
    encryption_key(file.path());
    test.run(&rotate).failed_with(1);
}

#[tokio::test]
async fn signing_keys_are_revoked_after_a_yes() {
    let test = Test::new("cli_keys_revoke").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    encryption_key(file.path());
    for _ in 0..2 {
        test.run(&command("rotate", file.path(), &[])).ok();
    }
    let before = keys(&test);
    test.run(&command("revoke", file.path(), &[])).failed(2, "--yes");
    assert_eq!(keys(&test), before);
    // The encryption key may be lost.
    encryption_key(file.path());
    let out = test.run(&command("revoke", file.path(), &["--yes"])).ok().out;
    assert_eq!(out, "2 keys revoked, a new key is active; restart all servers\n");
    let after = keys(&test);
    assert_eq!((after.len(), &after[0]["state"]), (1, &"active".into()));
    assert!(before.iter().all(|key| key["kid"] != after[0]["kid"]));
    let body = test.run(&command("revoke", file.path(), &["--yes", "--json"])).json();
    assert_eq!(body["revoked_keys"], 1);
}

#[tokio::test]
async fn signing_keys_are_encrypted_under_another_key() {
    let test = Test::new("cli_keys_reencrypt").await;
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    for file in [&old, &new] {
        encryption_key(file);
    }
    test.run(&command("rotate", &old, &[])).ok();
    let with_old = ["--old-encryption-key-file", old.to_str().unwrap(), "--json"];
    // The steps of the rotation continue while both are in use.
    assert_eq!(test.run(&command("rotate", &new, &with_old)).json()["outcome"], "announced");
    test.run(&command("reencrypt", &new, &[])).failed_with(1);
    let reencrypt = command("reencrypt", &new, &with_old);
    assert_eq!(test.run(&reencrypt).json()["reencrypted_keys"], 1);
    assert_eq!(test.run(&reencrypt).json()["reencrypted_keys"], 0);
    assert_eq!(test.run(&command("reencrypt", &new, &[])).ok().out, "0 keys re-encrypted\n");
    let listed = keys(&test);
    assert_eq!(listed[0]["encryption_key_id"], listed[1]["encryption_key_id"]);
    assert_eq!(test.run(&command("rotate", &new, &["--json"])).json()["outcome"], "not_due");
}
