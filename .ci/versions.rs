//! The program of `.ci/versions`: one action of a version of the crate, on the database of
//! OAUTH_STORAGE_DATABASE_URL. Prints `ok`, the number of pending migrations, or the error's variant.

use oauth_storage::grant::{RotationOutcome, TokenRotation};
use oauth_storage::{
    AuthorizationCodeStorage as _, ClientMetadata, ClientRegistry as _, CodeRedemption, Error,
    GrantStorage as _, GrantStorageExt as _, NewAuthorizationCode, NewClient, PgStorage,
    RedemptionOutcome, RequestContext, Scope, Secret, User,
};
use sqlx::Connection as _;

#[tokio::main]
async fn main() {
    let url = std::env::var("OAUTH_STORAGE_DATABASE_URL").unwrap();
    let action = std::env::args().nth(1).unwrap();
    match run(&url, &action).await {
        Ok(done) => println!("{done}"),
        Err(Error::Schema(problem)) => {
            let problem = format!("{problem:?}");
            println!("Schema::{}", problem.split([' ', '{']).next().unwrap());
        }
        Err(error) => println!("{error:?}"),
    }
}

async fn run(url: &str, action: &str) -> Result<String, Error> {
    if action == "reset" {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let sql = "DROP SCHEMA IF EXISTS oauth_storage CASCADE";
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        return Ok("ok".to_owned());
    }
    let storage = PgStorage::connect(url).await?;
    match action {
        "migrate" => storage.migrate().await?,
        "pending" => return Ok(storage.pending_migrations().await?.len().to_string()),
        "walk" => walk(&storage).await?,
        other => panic!("no action {other}"),
    }
    Ok("ok".to_owned())
}

/// A client, a sign-in, two rotations, a replay, a revocation and a purge.
async fn walk(storage: &PgStorage) -> Result<(), Error> {
    const URI: &str = "https://client.example/cb";
    let scope: Scope = "openid".parse()?;
    let metadata = ClientMetadata::authorization_code([URI]).with_scope(scope.clone());
    let client_id = storage.register_client(NewClient::new(metadata)).await?.client.client_id;
    let alice = RequestContext::for_user(User::new("alice"));
    let code = Secret::generate()?;
    let new = NewAuthorizationCode::new(&client_id, scope, URI, code.clone());
    storage.create_authorization_code(&alice, new).await?;
    let redemption = CodeRedemption::new(&client_id, URI, code).with_refresh_token(true);
    let outcome = storage.redeem_authorization_code(&alice, redemption.clone()).await?;
    let RedemptionOutcome::Issued(issued) = outcome else { panic!("not issued") };
    let mut tokens = issued.tokens;
    for _ in 0..2 {
        let rotation = TokenRotation::new(&client_id, tokens.refresh_token.unwrap());
        let outcome = storage.rotate_refresh_token(&alice, rotation).await?;
        let RotationOutcome::Issued(issued) = outcome else { panic!("not rotated") };
        tokens = issued.tokens;
    }
    assert!(storage.introspect(&tokens.access_token).await?.is_some());
    assert_eq!(storage.list_grants("alice", None, 10).await?.grants.len(), 1);
    let replayed = storage.redeem_authorization_code(&alice, redemption).await?;
    assert!(matches!(replayed, RedemptionOutcome::Replayed { .. }));
    assert!(storage.introspect(&tokens.access_token).await?.is_none());
    storage.revoke_subject("alice").await?;
    storage.purge().await?;
    storage.delete_client(&client_id).await?;
    Ok(())
}
