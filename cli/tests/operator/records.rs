use oauth_storage::token::TokenRef;
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{
    ConsentStorage as _, GrantStorage as _, RequestContext, TokenStorage as _, User,
    UserSessionStorage as _,
};

use crate::support::{Test, scope, secret};

#[tokio::test]
async fn grants_are_listed_and_revoked() {
    let test = Test::new("cli_grants").await;
    let (client, other) = (test.client().await, test.client().await);
    for client in [&client, &other] {
        for subject in ["alice", "bob"] {
            test.tokens(client, subject).await;
        }
    }
    let list = |of: &[&str]| test.run(&[&["grants", "list", "--json"], of].concat()).json();
    let number = |of: &[&str]| list(of).as_array().unwrap().len();
    assert_eq!(number(&["--subject", "alice"]), 2);
    assert_eq!(number(&["--client", &client]), 2);
    assert_eq!(number(&["--subject", "alice", "--client", &client]), 1);
    assert_eq!(number(&["--subject", "nobody"]), 0);
    let grant = list(&["--subject", "alice", "--client", &client])[0].clone();
    assert_eq!(grant["scope"], "openid profile");
    assert_eq!(grant["state"], "active");
    let grant_id = grant["grant_id"].as_str().unwrap();
    let text = test.run(&["grants", "list", "--subject", "alice"]).ok().out;
    assert!(text.contains(grant_id) && text.contains("openid profile"), "{text}");
    test.run(&["grants", "list"]).failed_with(2);

    let revoked = test.run(&["grants", "revoke", "--grant", grant_id]).ok().out;
    assert_eq!(revoked, "1 grant revoked\n");
    test.run(&["grants", "revoke", "--grant", grant_id]).failed(3, grant_id);
    test.run(&["grants", "revoke", "--client", &other]).failed(2, "--yes");
    let revoked = test.run(&["grants", "revoke", "--client", &other, "--yes", "--json"]).json();
    assert_eq!(revoked["revoked_grants"], 2);
    let both = ["grants", "revoke", "--subject", "bob", "--client", &client];
    test.run(&both).failed(2, "standard input is not a terminal; confirm with --yes");
    assert_eq!(test.run(&[&both[..], &["--yes"]].concat()).ok().out, "1 grant revoked\n");
    assert_eq!(
        test.run(&["grants", "revoke", "--subject", "bob", "--yes"]).ok().out,
        "0 grants revoked\n"
    );
    assert_eq!(number(&["--client", &client]) + number(&["--client", &other]), 0);
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let test = Test::new("cli_sessions").await;
    let new = || NewUserSession::new(User::new("alice").with_amr(vec!["pwd".into()]));
    let first = test.storage.start_session(new()).await.unwrap();
    test.storage.start_session(new()).await.unwrap();
    let listed = test.run(&["sessions", "list", "--subject", "alice", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["amr"][0], "pwd");
    let sid = first.session.sid.to_string();
    let text = test.run(&["sessions", "list", "--subject", "alice"]).ok().out;
    assert!(text.contains(&sid) && !text.contains(first.secret.expose()), "{text}");

    test.run(&["sessions", "end", "--subject", "bob", "--sid", &sid]).failed(3, &sid);
    let ended = test.run(&["sessions", "end", "--subject", "alice", "--sid", &sid]).ok().out;
    assert_eq!(ended, "1 session ended, 0 grants revoked\n");
    let all = ["sessions", "end", "--subject", "alice", "--all", "--json"];
    test.run(&all).failed(2, "--yes");
    let ended = test.run(&[&all[..], &["--yes"]].concat()).json();
    assert_eq!(ended["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(test.storage.find_session(&first.secret).await.unwrap(), None);
    test.run(&["sessions", "end", "--subject", "alice"]).failed_with(2);
}

#[tokio::test]
async fn consents_are_listed_and_withdrawn() {
    let test = Test::new("cli_consents").await;
    let client = test.client().await;
    test.storage.add_consent("alice", &client, &scope()).await.unwrap();
    test.tokens(&client, "alice").await;
    let listed = test.run(&["consents", "list", "--subject", "alice", "--json"]).json();
    assert_eq!(listed[0]["client_id"], client.as_str());
    assert!(
        test.run(&["consents", "list", "--subject", "alice"]).ok().out.contains("openid profile")
    );
    let withdraw = ["consents", "withdraw", "--subject", "alice", "--client", &client];
    test.run(&withdraw).failed(2, "--yes");
    let withdraw = [&withdraw[..], &["--yes"]].concat();
    assert_eq!(test.run(&withdraw).ok().out, "withdrawn, 1 grant revoked\n");
    test.run(&withdraw).failed(3, "alice");
}

#[tokio::test]
async fn a_subject_is_erased_only_after_a_yes() {
    let test = Test::new("cli_erase").await;
    let client = test.client().await;
    test.tokens(&client, "alice").await;
    test.run(&["erase-subject", "--subject", "alice"]).failed(2, "--yes");
    let erased = test.run(&["erase-subject", "--subject", "alice", "--yes"]).ok().out;
    assert_eq!(erased, "alice is erased, 1 grant deleted\n");
    let page = test.storage.list_grants("alice", None, 10).await.unwrap();
    assert!(page.grants.is_empty());
}

#[tokio::test]
async fn a_token_is_inspected_and_never_printed() {
    let test = Test::new("cli_token").await;
    let client = test.client().await;
    let tokens = test.tokens(&client, "alice").await;
    let access = tokens.access_token.expose();
    let refresh = tokens.refresh_token.as_ref().unwrap().expose();
    let inspect = |token: &str| test.run_with(&["token", "inspect", "--json"], token);
    let found = inspect(&format!("{access}\n")).json();
    assert_eq!((&found["kind"], &found["state"]), (&"access_token".into(), &"active".into()));
    assert_eq!(
        (&found["client_id"], &found["subject"]),
        (&client.as_str().into(), &"alice".into())
    );
    assert_eq!(inspect(refresh).json()["kind"], "refresh_token");
    let text = test.run_with(&["token", "inspect"], access).ok().out;
    assert!(
        text.contains("access token") && text.contains("in 59 min") || text.contains("in 60 min"),
        "{text}"
    );
    assert!(!text.contains(access) && !found.to_string().contains(access));

    let token = TokenRef::Any(&tokens.access_token);
    test.storage.revoke_token(&RequestContext::default(), &client, token).await.unwrap();
    assert_eq!(inspect(access).json()["state"], "revoked");
    let unknown = secret("an-unknown-token").expose().to_owned();
    let refused = inspect(&unknown).failed(3, "no such token");
    assert!(!refused.err.contains(&unknown));
    inspect("").failed(2, "standard input");
}
