use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Test, program};

/// Rows as the storage leaves them when they have expired.
pub(crate) async fn expired(test: &Test, tokens: u32) {
    let client = test.client().await;
    test.sql(&format!(
        "INSERT INTO oauth_storage.authorization_grant
             (granted_at, expires_at, grant_id, client_id, subject, scope)
         SELECT now() - interval '2 days', now() - interval '1 day', gen_random_uuid(), '{client}', 'alice', 'openid'
         FROM generate_series(1, {tokens});
         INSERT INTO oauth_storage.token (issued_at, expires_at, grant_id, digest, digest_tail, kind)
         SELECT granted_at, expires_at, grant_id, gen_random_uuid(), gen_random_uuid(), 'a'
         FROM oauth_storage.authorization_grant;
         ANALYZE oauth_storage.authorization_grant, oauth_storage.token"
    ))
    .await;
}

#[tokio::test]
async fn a_purge_removes_what_has_expired() {
    let test = Test::new("cli_purge").await;
    expired(&test, 3).await;
    assert_eq!(test.run(&["purge"]).ok().out, "removed 3 tokens, 3 grants\n");
    assert_eq!(test.run(&["purge"]).ok().out, "nothing has expired\n");
    assert_eq!(test.run(&["purge", "--json"]).json()["tokens"], 0);
    test.run(&["purge", "--batch", "0"]).failed_with(2);
}

/// Two jobs share the work, and each ends at SIGTERM with status 0.
#[tokio::test]
async fn purges_run_for_long_and_several_at_once() {
    let test = Test::new("cli_purge_every").await;
    let start = || {
        program()
            .args(["purge", "--every", "200ms", "--json"])
            .env("OAUTH_STORAGE_DATABASE_URL", test.database.url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let jobs = [start(), start()];
    expired(&test, 20_000).await;
    let until = Instant::now() + Duration::from_secs(60);
    let left = "SELECT count(*) FROM oauth_storage.token";
    while sqlx::query_scalar::<_, i64>(left).fetch_one(test.storage.pool()).await.unwrap() > 0 {
        assert!(Instant::now() < until, "the jobs purge");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut removed = 0;
    for job in jobs {
        let pid = job.id().to_string();
        assert!(
            std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success()
        );
        let output = job.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let purged: serde_json::Value = serde_json::from_str(line).unwrap();
            removed += purged["tokens"].as_u64().unwrap();
        }
    }
    assert_eq!(removed, 20_000, "each row is reported once");
}

#[tokio::test]
async fn signing_keys_are_rotated_and_listed() {
    let test = Test::new("cli_keys").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = oauth_storage::jwt::KeyEncryptionKey::generate().unwrap().to_base64();
    std::fs::write(file.path(), key.expose()).unwrap();
    let issuer = "https://issuer.example";
    let file = file.path().to_str().unwrap();
    let rotate = ["keys", "rotate", "--issuer", issuer, "--encryption-key-file", file, "--json"];
    test.run(&["keys", "rotate", "--issuer", issuer]).failed(2, "KEY_ENCRYPTION_KEY");
    for outcome in ["created", "announced", "not_due"] {
        assert_eq!(test.run(&rotate).json()["outcome"], outcome);
    }
    let keys = test.run(&["keys", "list", "--json"]).json();
    assert_eq!((&keys[0]["state"], &keys[1]["state"]), (&"active".into(), &"next".into()));
    let text = test.run(&["keys", "list", "--issuer", issuer]).ok().out;
    assert!(text.contains("ES256") && text.contains("active"), "{text}");
    assert!(!text.contains(key.expose()));
    let other = oauth_storage::jwt::KeyEncryptionKey::generate().unwrap().to_base64();
    std::fs::write(file, other.expose()).unwrap();
    test.run(&rotate).failed_with(1);
}
