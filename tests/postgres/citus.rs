//! Properties of a Citus cluster. `docs/citus.md` describes how to run the tests on one.

use std::fmt::Write as _;

use oauth_storage::token::NewToken;
use oauth_storage::{GrantStorage as _, TokenStorage as _};

use crate::support::{TestStorage, alice, pair, scope, secret};

/// The statements of the hot path, with values for their parameters.
const ROUTED: [(&str, &[&str]); 13] = [
    (include_str!("../../src/postgres/sql/cluster/find_token.sql"), &[ID, ID, ID]),
    (include_str!("../../src/postgres/sql/cluster/find_code.sql"), &[ID, ID, ID, "'c'"]),
    (include_str!("../../src/postgres/sql/cluster/flag_token.sql"), &[ID, ID, ID, "'r'", "'c'"]),
    (include_str!("../../src/postgres/sql/cluster/end_grant.sql"), &[ID, "'s'", "'c'"]),
    (include_str!("../../src/postgres/sql/cluster/delete_code.sql"), &[ID, ID, ID, "'c'"]),
    (
        include_str!("../../src/postgres/sql/cluster/spend_code.sql"),
        &[ID, ID, ID, "'u'", "'x'", TIME],
    ),
    (
        include_str!("../../src/postgres/sql/cluster/is_spent_code.sql"),
        &[ID, ID, ID, "'u'", "'x'", TIME],
    ),
    (
        include_str!("../../src/postgres/sql/cluster/hold_refresh_token.sql"),
        &[ID, ID, ID, "'c'", TIME, "0"],
    ),
    (include_str!("../../src/postgres/sql/cluster/spend_refresh_token.sql"), &[ID, ID, ID, TIME]),
    (
        include_str!("../../src/postgres/sql/cluster/join_grant.sql"),
        &[ID, "'c'", "'s'", TIME, TIME],
    ),
    (include_str!("../../src/postgres/sql/cluster/extend_grant.sql"), &[ID, "'c'", TIME, TIME]),
    (
        include_str!("../../src/postgres/sql/cluster/insert_token.sql"),
        &[TIME, TIME, ID, "'a'", ID, ID, "NULL"],
    ),
    (
        include_str!("../../src/postgres/sql/cluster/insert_grant.sql"),
        &[TIME, TIME, TIME, ID, "'c'", "'s'", "'openid'", "NULL"],
    ),
];

const ID: &str = "'01a212d6-7185-7385-a64f-27e9e7fe5da9'::uuid";
const TIME: &str = "'2030-01-01 00:00:00+00'::timestamptz";

async fn on_cluster(test: &str) -> Option<TestStorage> {
    if std::env::var_os("OAUTH_STORAGE_TEST_CITUS").is_none_or(|url| url.is_empty()) {
        println!("NOT RUN: citus::{test}: no Citus");
        return None;
    }
    Some(TestStorage::new("citus").await)
}

/// Each statement that names a grant is one task on one shard.
#[tokio::test]
async fn a_statement_that_names_its_grant_goes_to_one_shard() {
    let Some(test) = on_cluster("a_statement_that_names_its_grant_goes_to_one_shard").await else {
        return;
    };
    for (statement, values) in ROUTED {
        let mut sql = statement.to_owned();
        for (index, value) in values.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", index + 1), value);
        }
        let explained: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {sql}")))
                .fetch_all(test.storage.pool())
                .await
                .unwrap();
        let mut plan = String::new();
        explained.iter().for_each(|line| writeln!(plan, "{line}").unwrap());
        assert!(plan.contains("Task Count: 1\n"), "{sql}\n{plan}");
    }
}

/// A token that was made elsewhere names no grant, and a unique index covers one shard only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_string_is_stored_once_on_all_shards() {
    let Some(test) = on_cluster("one_string_is_stored_once_on_all_shards").await else { return };
    let (client_id, _) = test.client().await;
    let token = secret();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (storage, client_id) = (test.storage.clone(), client_id.clone());
        let tokens = oauth_storage::TokenPair::new(token.clone());
        racers.spawn(async move {
            let new = NewToken::new(client_id, scope(), tokens);
            storage.create_token(&alice(), new).await.is_ok()
        });
    }
    let stored = racers.join_all().await.into_iter().filter(|stored| *stored).count();
    assert_eq!(stored, 1);
    assert!(test.storage.introspect(&token).await.unwrap().is_some());
    // Generated ones name their grant, so they need no lookup on all shards.
    let tokens = pair();
    let new = NewToken::new(&client_id, scope(), tokens.clone());
    test.storage.create_token(&alice(), new).await.unwrap();
    assert!(test.storage.introspect(&tokens.access_token).await.unwrap().is_some());
}
