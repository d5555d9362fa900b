//! The program of the README runs.

use oauth_storage::{ClientMetadata, ClientRegistry as _, MemoryStorage, NewClient, User};

use crate::support::{get, post};

#[allow(dead_code, reason = "its main listens on a port")]
#[path = "../../examples/server.rs"]
mod server;

#[test]
fn the_program_of_the_readme_is_the_example() {
    let readme = include_str!("../../README.md");
    let (_, program) = readme.split_once("```rust,no_run\n").unwrap();
    let (program, _) = program.split_once("```\n").unwrap();
    assert_eq!(program, include_str!("../../examples/server.rs"));
}

#[tokio::test]
async fn a_user_signs_in_and_the_application_reads_the_notes() {
    let storage = MemoryStorage::new().with_user("alice", "wonderland", User::new("1"));
    let metadata = ClientMetadata::authorization_code(["http://127.0.0.1:8081/callback"]);
    let metadata = metadata.with_scope("notes:read".parse().unwrap()).public();
    let new = NewClient::new(metadata).with_client_id("notes");
    storage.register_client(new).await.unwrap();
    let router = server::router(storage);

    let authorize = "/authorize?response_type=code&client_id=notes&code_challenge_method=S256\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let page = get(&router, authorize, &[]).await;
    assert!(page.status == 200 && page.body.contains("<form method=post>"), "{page:?}");
    let wrong = post(&router, authorize, &[], "username=alice&password=x").await;
    assert_eq!((wrong.status, wrong.body), (200, page.body));
    let answer = post(&router, authorize, &[], "username=alice&password=wonderland").await;
    let code = answer.header("location").split_once("?code=").unwrap().1;
    let code = code.split_once("&iss=").unwrap().0;

    let form = format!(
        "grant_type=authorization_code&client_id=notes&code={code}\
         &code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let issued = post(&router, "/token", &[], &form).await.json();
    let bearer = format!("Bearer {}", issued["access_token"].as_str().unwrap());
    assert_eq!(get(&router, "/notes", &[&bearer]).await.body, "the notes of 1\n");
    assert_eq!(get(&router, "/notes", &[]).await.status, 401);

    let refresh = issued["refresh_token"].as_str().unwrap();
    let form = format!("client_id=notes&token={refresh}");
    assert_eq!(post(&router, "/revoke", &[], &form).await.status, 200);
    assert_eq!(get(&router, "/notes", &[&bearer]).await.status, 401);
}
