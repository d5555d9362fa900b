use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
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
    for too_short in ["0s", "999ms"] {
        test.run(&["purge", "--every", too_short]).failed_with(2);
    }
}

/// A run that failed says so, and not that nothing has expired.
#[tokio::test]
async fn a_purge_that_fails_is_not_reported_as_done() {
    let test = Test::new("cli_purge_fails").await;
    test.sql("ALTER TABLE oauth_storage.token RENAME TO renamed").await;
    let mut job = program()
        .args(["purge", "--every", "1s"])
        .env("OAUTH_STORAGE_DATABASE_URL", test.database.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It tries again, and again.
    let errors = BufReader::new(job.stderr.take().unwrap()).lines().take(2);
    assert!(errors.map(Result::unwrap).all(|line| line.starts_with("oauth-storage: ")));
    terminate(&job);
    let output = job.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}

fn terminate(job: &Child) {
    let kill = Command::new("kill").args(["-TERM", &job.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Two jobs share the work, and each ends at SIGTERM with status 0.
#[tokio::test]
async fn purges_run_for_long_and_several_at_once() {
    let test = Test::new("cli_purge_every").await;
    let start = || {
        program()
            .args(["purge", "--every", "1s", "--json"])
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
        terminate(&job);
        let output = job.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let purged: serde_json::Value = serde_json::from_str(line).unwrap();
            removed += purged["tokens"].as_u64().unwrap();
        }
    }
    assert_eq!(removed, 20_000, "each row is reported once");
}
