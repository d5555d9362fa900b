use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, GrantStorage as _, NewClient,
    RequestContext,
};
use serde_json::{Value, json};

use crate::support::Test;

const CALLBACK: &str = "https://client.example/cb";

#[tokio::test]
async fn a_client_is_registered_from_options_or_a_file() {
    let test = Test::new("cli_register").await;
    let options = [
        "client",
        "register",
        "--json",
        "--client-id",
        "web",
        "--name",
        "Web",
        "--redirect-uri",
        CALLBACK,
        "--grant-type",
        "authorization_code",
        "--grant-type",
        "refresh_token",
        "--scope",
        "openid profile",
        "--auth-method",
        "none",
    ];
    let body = test.run(&options).json();
    let expected = json!({
        "client_id": "web", "client_name": "Web", "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "scope": "openid profile", "token_endpoint_auth_method": "none",
        "client_id_issued_at": body["client_id_issued_at"],
    });
    assert_eq!(body, expected);
    assert!(body["client_id_issued_at"].is_u64(), "{body}");
    test.run(&options).failed(1, "client_id: already exists");

    // Options take precedence over the file; a short name of a grant type, and no response type for it.
    let file = json!({ "client_name": "Television", "grant_types": ["implicit"], "x": 1 });
    let with = ["client", "register", "-", "--grant-type", "device_code", "--json"];
    let body = test.run_with(&with, &file.to_string()).json();
    assert_eq!(body["grant_types"], json!(["urn:ietf:params:oauth:grant-type:device_code"]));
    assert_eq!((&body["client_name"], &body["x"]), (&json!("Television"), &json!(1)));
    assert_eq!(body["response_types"], json!([]));
    let id = body["client_id"].as_str().unwrap();
    let stored = test.storage.read_client(id).await.unwrap().unwrap();
    assert_eq!(stored.display_name(), "Television");

    // The secret of a registration elsewhere stays.
    let file = json!({
        "client_id": "moved", "client_secret": "correct horse battery",
        "grant_types": ["client_credentials"],
    });
    let body = test.run_with(&["client", "register", "-", "--json"], &file.to_string()).json();
    assert_eq!((&body["client_id"], body.get("client_secret")), (&json!("moved"), None));
    assert!(finds(&test, "moved", "correct horse battery").await);
}

#[tokio::test]
async fn a_registration_that_cannot_be_names_the_place() {
    let test = Test::new("cli_register_wrong").await;
    let register = |input: &str| test.run_with(&["client", "register", "-"], input);
    register("").failed(1, "standard input: not JSON");
    register("[]").failed(1, "standard input: not a JSON object");
    register("{}").failed(1, "standard input: redirect_uris: is missing");
    register(r#"{"grant_types":["card_trick"]}"#)
        .failed(1, "grant_types: is not a supported value");
    register(r#"{"client_id":5}"#).failed(1, "client_id: is not a supported value");
    register(r#"{"redirect_uris":["https://a.example/#x"]}"#)
        .failed(1, "redirect_uri: has a fragment");
    test.run(&["client", "register"]).failed(2, "no metadata is given; name a file");
    test.run(&["client", "register", "/no/where.json"]).failed(1, "cannot read /no/where.json");
    test.run(&["client", "register", "--grant-type", "card_trick"]).failed_with(2);
    assert_eq!(test.run(&["client", "list", "--json"]).json(), json!([]));
}

#[tokio::test]
async fn clients_are_shown_and_listed() {
    let test = Test::new("cli_show").await;
    for id in ["a", "b", "c"] {
        test.run(&[
            "client",
            "register",
            "--client-id",
            id,
            "--name",
            "One",
            "--redirect-uri",
            CALLBACK,
        ]);
    }
    test.run(&["client", "disable", "b"]).ok();
    let shown = test.run(&["client", "show", "b"]).ok().out;
    for text in ["client_name", "One", "state", "disabled", CALLBACK, "authorization_code"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let body = test.run(&["client", "show", "b", "--json"]).json();
    assert!(body["disabled_at"].is_string() && body["deleted_at"].is_null(), "{body}");
    assert_eq!((&body["client_id"], &body["client_secret_expires_at"]), (&json!("b"), &json!(0)));

    let listed = test.run(&["client", "list"]).ok().out;
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[0].starts_with("CLIENT") && lines[2].contains("disabled"), "{listed}");
    let all = test.run(&["client", "list", "--json", "--after", "a"]).json();
    assert_eq!((&all[0]["client_id"], &all[1]["client_id"]), (&json!("b"), &json!("c")));
}

#[tokio::test]
async fn an_update_changes_what_options_name_or_replaces_all() {
    let test = Test::new("cli_update").await;
    let id = test.client().await;
    let update = |arguments: &[&str], input: &str| {
        let all = [&["client", "update", &id, "--json"], arguments].concat();
        test.run_with(&all, input).json()
    };
    let body = update(&["--name", "New", "--scope", "openid"], "");
    assert_eq!((&body["client_name"], &body["scope"]), (&json!("New"), &json!("openid")));
    assert_eq!(body["redirect_uris"], json!([CALLBACK]));
    assert_eq!(update(&["--name", ""], "").get("client_name"), None);

    // The output of show can be edited and given back.
    let mut shown = test.run(&["client", "show", &id, "--json"]).json();
    shown["tos_uri"] = "https://client.example/tos".into();
    let body = update(&["-"], &shown.to_string());
    assert_eq!(body["tos_uri"], "https://client.example/tos");
    let body =
        update(&["-"], &json!({ "redirect_uris": ["https://other.example/cb"] }).to_string());
    assert_eq!((body.get("tos_uri"), &body["scope"]), (None, &json!("")));

    let other = [json!({ "client_id": "other" }), json!({ "client_secret": "correct horse" })];
    for (body, says) in other.iter().zip(["client_id", "client_secret"]) {
        let ran = test.run_with(&["client", "update", &id, "-"], &body.to_string());
        ran.failed(1, &format!("standard input: {says}: is not allowed here"));
    }
    test.run(&["client", "update", &id]).failed(2, "nothing is to change");

    // Without a secret it cannot authenticate.
    test.run(&["client", "update", &id, "--auth-method", "none"]).ok();
    let ran = test.run(&["client", "update", &id, "--auth-method", "client_secret_post"]);
    assert_eq!(ran.err, format!("It has no secret yet: oauth-storage client rotate-secret {id}\n"));
}

#[tokio::test]
async fn a_disabled_client_is_not_found_until_it_is_enabled() {
    let test = Test::new("cli_disable").await;
    let id = test.client().await;
    let found = async || {
        let request = RequestContext::default();
        test.storage.get_client(&request, &id, None).await.unwrap().is_some()
    };
    let out = test.run(&["client", "disable", &id]).ok().out;
    assert!(
        out.contains("is disabled; to revoke its tokens: oauth-storage grants revoke --client"),
        "{out}"
    );
    assert!(!found().await);
    assert_eq!(test.run(&["client", "enable", &id]).ok().out, format!("{id} is enabled\n"));
    assert!(found().await);
    let body = test.run(&["client", "disable", &id, "--json"]).json();
    assert_eq!(body, json!({ "client_id": id, "disabled": true }));
}

#[tokio::test]
async fn a_client_is_deleted_with_its_grants_if_that_is_wanted() {
    let test = Test::new("cli_delete").await;
    let (id, second) = (test.client().await, test.client().await);
    test.tokens(&id, "alice").await;
    test.run(&["client", "delete", &id]).failed(2, "--yes");
    assert!(test.storage.read_client(&id).await.unwrap().is_some());
    let out = test.run(&["client", "delete", &id, "--yes"]).ok().out;
    assert_eq!(out, format!("{id} is deleted\n"));
    assert!(test.storage.read_client(&id).await.unwrap().is_none());
    let page = test.storage.list_grants("alice", None, 10).await.unwrap();
    assert!(page.grants.is_empty(), "{page:?}");
    let body = test.run(&["client", "delete", &second, "--yes", "--json"]).json();
    assert_eq!(body, json!({ "client_id": second, "deleted": true }));
}

#[tokio::test]
async fn an_unknown_client_is_status_3() {
    let test = Test::new("cli_unknown").await;
    let id = "nobody";
    for arguments in [
        &["client", "show", id][..],
        &["client", "update", id, "--name", "x"],
        &["client", "disable", id],
        &["client", "enable", id],
        &["client", "delete", id],
        &["client", "rotate-secret", id],
    ] {
        let ran = test.run(arguments).failed_and_silent(3);
        assert!(ran.err.contains("there is no client \"nobody\""), "{ran:?}");
    }
}

/// Returns true if the client authenticates with the secret.
pub(crate) async fn finds(test: &Test, id: &str, secret: &str) -> bool {
    let secret = crate::support::secret(secret);
    let request = RequestContext::default();
    test.storage.get_client(&request, id, Some(&secret)).await.unwrap().is_some()
}

/// Registers a client with a secret, and returns its identifier and the secret.
pub(crate) async fn confidential(test: &Test) -> (String, String) {
    let new = NewClient::new(ClientMetadata::client_credentials());
    let registered = test.storage.register_client(new).await.unwrap();
    (registered.client.client_id, registered.client_secret.unwrap().expose().to_owned())
}

/// A member of a JSON object, as text.
#[track_caller]
pub(crate) fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap().to_owned()
}
