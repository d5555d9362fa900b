use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use oauth_storage::{ClientMetadata, ClientRegistry as _, NewClient};
use serde_json::{Value, json};

use crate::clients::{confidential, finds, text};
use crate::support::{Ran, Test};

fn lines(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn counts(created: u64, updated: u64, unchanged: u64, expired: u64) -> Value {
    json!({ "created": created, "updated": updated, "unchanged": unchanged, "expired": expired })
}

#[tokio::test]
async fn clients_move_to_another_database() {
    let (from, to) = (Test::new("cli_export").await, Test::new("cli_import").await);
    let (job, secret) = confidential(&from).await;
    let disabled = from.client().await;
    from.run(&["client", "disable", &disabled]).ok();
    let deleted = from.client().await;
    from.sql(&format!(
        "UPDATE oauth_storage.client SET disabled_at = now(), deleted_at = now() WHERE client_id = '{deleted}'"
    ))
    .await;

    let exported = from.run(&["client", "export"]);
    let message =
        "2 clients; not exported: the secrets of 2 clients; left out: 1 client being deleted\n";
    assert_eq!(exported.err, message);
    let all = lines(&exported);
    let ids: Vec<_> = all.iter().map(|line| text(line, "client_id")).collect();
    assert!(all.len() == 2 && ids.contains(&job) && ids.contains(&disabled), "{all:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    let file = path.to_str().unwrap();
    let import = |more: &[&str]| {
        to.run_with(&[&["client", "import", "-", "--json"], more].concat(), &exported.out)
    };
    import(&[]).failed(2, "name a file for it with --secret-file");
    assert_eq!(import(&["--secret-file", file]).json(), counts(2, 0, 0, 0));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let secrets = fs::read_to_string(&path).unwrap();
    assert_eq!(secrets.lines().count(), 2, "{secrets}");
    let new = secrets.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let new =
        text(&new.into_iter().find(|line| line["client_id"] == *job).unwrap(), "client_secret");
    assert!(finds(&to, &job, &new).await && !finds(&to, &job, &secret).await);
    for id in [&job, &disabled] {
        let before = from.storage.read_client(id).await.unwrap().unwrap();
        let after = to.storage.read_client(id).await.unwrap().unwrap();
        assert_eq!(before.metadata, after.metadata);
        assert_eq!(before.disabled_at.is_some(), after.disabled_at.is_some());
    }

    // Again: nothing changes, and no secret is made.
    let again = folder.path().join("again");
    let ran = import(&["--secret-file", again.to_str().unwrap()]);
    assert_eq!(ran.json(), counts(0, 0, 2, 0));
    assert!(!again.exists() && finds(&to, &job, &new).await);
    let ran = to.run_with(&["client", "import", "-"], &exported.out).ok();
    assert_eq!(ran.out, "0 created, 0 updated, 2 unchanged\n");
}

#[tokio::test]
async fn a_wrong_line_is_named_and_nothing_is_changed() {
    let test = Test::new("cli_import_wrong").await;
    let good = json!({ "client_id": "good", "redirect_uris": ["https://a.example/"],
        "token_endpoint_auth_method": "none" });
    for (line, says) in [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (r#"{"redirect_uris":["https://a.example/"]}"#, "client_id: is missing"),
        (r#"{"client_id":"b"}"#, "redirect_uris: is missing"),
        (r#"{"client_id":"b","expires_at":"soon"}"#, "expires_at: is not a supported value"),
        (r#"{"client_id":"b","client_secret":"x","client_secret_hash":"y"}"#, "client_secret_hash"),
        (&good.to_string(), "good is on line 1 already"),
    ] {
        // An empty line counts, and is none.
        let ran = test.run_with(&["client", "import", "-"], &format!("{good}\n\n{line}\n"));
        ran.failed(1, "standard input, line 3: ").failed(1, says);
    }
    assert_eq!(test.run(&["client", "list", "--json"]).json(), json!([]));
    test.run(&["client", "import", "/no/where"]).failed(1, "cannot read /no/where");
}

#[tokio::test]
async fn a_line_with_a_secret_declares_the_client() {
    let test = Test::new("cli_import_secret").await;
    let from = |name: &str, secret: &str| {
        let chosen = json!({ "client_id": "chosen", "client_name": name, "client_secret": secret,
            "grant_types": ["client_credentials"], "response_types": [] });
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                    RdescudvJCsgt3ub+b1dWRWJTmaaJObGRdescudvJCs";
        let hashed = json!({ "client_id": "hashed", "client_secret_hash": hash,
            "grant_types": ["client_credentials"], "response_types": [] });
        let input = format!("{chosen}\n{hashed}\n");
        test.run_with(&["client", "import", "-", "--json"], &input).json()
    };
    assert_eq!(from("One", "correct horse battery"), counts(2, 0, 0, 0));
    assert!(finds(&test, "chosen", "correct horse battery").await);
    assert_eq!(from("One", "correct horse battery"), counts(0, 0, 2, 0));
    assert_eq!(from("Two", "correct horse battery"), counts(0, 1, 1, 0));
    assert_eq!(from("Two", "another horse battery"), counts(0, 1, 1, 0));
    assert!(finds(&test, "chosen", "another horse battery").await);
    assert!(!finds(&test, "chosen", "correct horse battery").await);
}

#[tokio::test]
async fn a_client_that_exists_gets_the_metadata_and_keeps_its_secrets() {
    let test = Test::new("cli_import_update").await;
    let (id, secret) = confidential(&test).await;
    let metadata = ClientMetadata::authorization_code(["https://a.example/"]).public();
    let new = NewClient::new(metadata).with_registration_access_token(true);
    let public = test.storage.register_client(new).await.unwrap();
    let public_id = public.client.client_id;
    let token = public.registration_access_token.unwrap();

    let mut all = lines(&test.run(&["client", "export"]));
    for line in &mut all {
        line["client_name"] = "Renamed".into();
    }
    let text = |all: &[Value]| all.iter().map(|line| format!("{line}\n")).collect::<String>();
    let import = |input: String| test.run_with(&["client", "import", "-", "--json"], &input);
    assert_eq!(import(text(&all)).json(), counts(0, 2, 0, 0));
    assert!(finds(&test, &id, &secret).await);
    assert!(test.storage.get_registration(&public_id, &token).await.unwrap().is_some());

    // One that now needs a secret gets it.
    let line = all.iter_mut().find(|line| line["client_id"] == *public_id).unwrap();
    line["token_endpoint_auth_method"] = "client_secret_basic".into();
    import(text(&all)).failed(2, "name a file for it with --secret-file");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets");
    let with = ["client", "import", "-", "--json", "--secret-file", path.to_str().unwrap()];
    assert_eq!(test.run_with(&with, &text(&all)).json(), counts(0, 1, 1, 0));
    let line: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(finds(&test, &public_id, line["client_secret"].as_str().unwrap()).await);
}

#[tokio::test]
async fn an_expiry_is_kept_and_an_expired_client_left_out() {
    let (from, to) = (Test::new("cli_export_expiry").await, Test::new("cli_import_expiry").await);
    let register = |id: &str| {
        from.run(&[
            "client",
            "register",
            "--client-id",
            id,
            "--redirect-uri",
            "https://a.example/",
            "--auth-method",
            "none",
            "--expires-in",
            "1h",
        ])
        .ok();
    };
    register("lives");
    register("ended");
    from.sql("UPDATE oauth_storage.client SET expires_at = now() - interval '1 day' WHERE client_id = 'ended'").await;
    let exported = from.run(&["client", "export"]).out;
    let ran = to.run_with(&["client", "import", "-"], &exported).ok();
    assert_eq!(
        ran.out,
        "1 created, 0 updated, 0 unchanged, 1 left out because they have expired\n"
    );
    let at = async |test: &Test| {
        test.storage.read_client("lives").await.unwrap().unwrap().expires_at.unwrap()
    };
    let apart = at(&from).await - at(&to).await;
    assert!(apart.num_seconds().abs() < 60, "{apart}");
    assert_eq!(
        to.run_with(&["client", "import", "-", "--json"], &exported).json(),
        counts(0, 0, 1, 1)
    );
}

#[tokio::test]
async fn an_import_that_fails_says_how_far_it_came() {
    let test = Test::new("cli_import_fails").await;
    let id = test.client().await;
    test.sql("UPDATE oauth_storage.client SET disabled_at = now(), deleted_at = now()").await;
    let line = |id: &str| {
        let line = json!({ "client_id": id, "redirect_uris": ["https://a.example/"],
            "token_endpoint_auth_method": "none" });
        format!("{line}\n")
    };
    let input = line("a") + &line(&id);
    let import = || test.run_with(&["client", "import", "-"], &input);
    let ran = import().failed(1, &format!("line 2, {id}: it is being deleted"));
    assert!(ran.err.contains("1 client done, run it again to continue"), "{ran:?}");
    test.run(&["client", "delete", &id, "--yes"]).ok();
    assert_eq!(import().ok().out, "1 created, 0 updated, 1 unchanged\n");
}
