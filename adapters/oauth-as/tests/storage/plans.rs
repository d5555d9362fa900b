//! Every statement reads by an index, whatever the size of its table.

use sqlx::{Connection as _, Executor as _, PgConnection, SqlSafeStr as _};

use crate::support::TestStorage;

/// The statements that select rows.
const STATEMENTS: [(&str, &str); 8] = [
    ("access_token by family", "SELECT FROM oauth_as.access_token WHERE family = md5('a')::uuid"),
    (
        "access_token by client and subject",
        "SELECT FROM oauth_as.access_token WHERE client = md5('a')::uuid AND subject = md5('a')::uuid",
    ),
    ("refresh_token by family", "SELECT FROM oauth_as.refresh_token WHERE family = md5('a')::uuid"),
    ("refresh_token by client", "SELECT FROM oauth_as.refresh_token WHERE client = md5('a')::uuid"),
    (
        "authorization_code by client",
        "SELECT FROM oauth_as.authorization_code WHERE client = md5('a')::uuid",
    ),
    ("device_grant by client", "SELECT FROM oauth_as.device_grant WHERE client = md5('a')::uuid"),
    (
        "pushed_request by client",
        "SELECT FROM oauth_as.pushed_request WHERE client = md5('a')::uuid",
    ),
    ("consent by subject", "SELECT FROM oauth_as.consent WHERE subject = md5('a')::uuid"),
];

const SWEEPS: [&str; 7] = [
    include_str!("../../src/sql/sweep_access_token.sql"),
    include_str!("../../src/sql/sweep_authorization_code.sql"),
    include_str!("../../src/sql/sweep_barrier.sql"),
    include_str!("../../src/sql/sweep_device_grant.sql"),
    include_str!("../../src/sql/sweep_pushed_request.sql"),
    include_str!("../../src/sql/sweep_refresh_token.sql"),
    include_str!("../../src/sql/sweep_replay_id.sql"),
];

#[tokio::test]
async fn lookups_and_sweeps_use_an_index() {
    let test = TestStorage::new("plans").await;
    let mut connection = PgConnection::connect(test.database.url()).await.unwrap();
    // A sequential scan remains possible, at a cost that no index scan has.
    connection.execute("SET enable_seqscan = off".into_sql_str()).await.unwrap();
    let sweeps = SWEEPS.map(|sql| {
        let now = i64::MAX.to_string();
        ("sweep", sql.replace("$1", &now).replace("$2", "1000"))
    });
    let lookups = STATEMENTS.map(|(what, sql)| (what, sql.to_owned()));
    for (what, sql) in lookups.into_iter().chain(sweeps) {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {sql}"));
        let plan: Vec<String> =
            sqlx::query_scalar(explain).fetch_all(&mut connection).await.unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{what}:\n{plan}");
    }
}
