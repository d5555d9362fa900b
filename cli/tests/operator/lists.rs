//! Every list has the same limits, pages and notice.

use std::collections::BTreeSet;

use oauth_storage::user_session::NewUserSession;
use oauth_storage::{ConsentStorage as _, User, UserSessionStorage as _};
use serde_json::Value;

use crate::support::{Test, scope};

const ROWS: usize = 5;

/// The identifiers of a list, page by page, each named by the notice of the one before.
fn pages(test: &Test, list: &[&str], id: &str) -> Vec<Vec<String>> {
    let mut after: Option<String> = None;
    let mut pages = Vec::new();
    loop {
        let mut arguments = [list, &["--json", "--limit", "2"]].concat();
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let ran = test.run(&arguments);
        assert_eq!(ran.status, 0, "{ran:?}");
        let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        pages.push(rows.iter().map(|row| row[id].as_str().unwrap().to_owned()).collect());
        let notice = ran.err.strip_prefix("There are more: --after ");
        match notice.and_then(|rest| rest.strip_suffix('\n')) {
            Some(last) => after = Some(last.to_owned()),
            None => {
                assert_eq!(ran.err, "");
                return pages;
            }
        }
    }
}

#[tokio::test]
async fn every_list_is_paged_and_says_if_there_are_more() {
    let test = Test::new("cli_lists").await;
    let client = test.client().await;
    test.storage.add_consent("alice", &client, &scope()).await.unwrap();
    for _ in 1..ROWS {
        let other = test.client().await;
        test.storage.add_consent("alice", &other, &scope()).await.unwrap();
        // Between the others.
        test.tokens(&other, "bob").await;
    }
    for _ in 0..ROWS {
        test.tokens(&client, "alice").await;
        test.storage.start_session(NewUserSession::new(User::new("alice"))).await.unwrap();
    }
    let lists: [(&[&str], &str); 6] = [
        (&["client", "list"], "client_id"),
        (&["grants", "list", "--subject", "alice"], "grant_id"),
        (&["grants", "list", "--client", &client], "grant_id"),
        (&["grants", "list", "--subject", "alice", "--client", &client], "grant_id"),
        (&["sessions", "list", "--subject", "alice"], "sid"),
        (&["consents", "list", "--subject", "alice"], "client_id"),
    ];
    for (list, id) in lists {
        let pages = pages(&test, list, id);
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1], "{list:?}");
        assert_eq!(pages.concat().into_iter().collect::<BTreeSet<_>>().len(), ROWS, "{list:?}");
        let with = |more: &[&str]| test.run(&[list, more].concat());
        // A table has the same notice, and a limit that is just enough has none.
        let ran = with(&["--limit", "2"]);
        let last = &pages[0][1];
        assert_eq!((ran.status, ran.err), (0, format!("There are more: --after {last}\n")));
        assert_eq!(with(&["--limit", "5"]).ok().out.lines().count(), 1 + ROWS, "{list:?}");
        assert_eq!(with(&["--limit", "1001"]).ok().out.lines().count(), 1 + ROWS, "{list:?}");
        with(&["--limit", "0"]).failed_with(2);
        if id != "client_id" {
            with(&["--after", "nothing"]).failed(2, "\"nothing\" is no identifier of this list");
        }
    }
}

#[tokio::test]
async fn a_list_can_be_longer_than_a_page_of_the_storage() {
    let test = Test::new("cli_long_list").await;
    test.sql(
        "INSERT INTO oauth_storage.consent (granted_at, updated_at, subject, client_id, scope)
         SELECT now(), now(), 'alice', 'client' || n, 'openid' FROM generate_series(1, 1005) n",
    )
    .await;
    let list = |limit| {
        let ran = test.run(&["consents", "list", "--subject", "alice", "--json", "--limit", limit]);
        let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        (rows.len(), ran.err.starts_with("There are more"))
    };
    assert_eq!(list("1001"), (1_001, true));
    assert_eq!(list("1005"), (1_005, false));
    assert_eq!(list("4000"), (1_005, false));
}
