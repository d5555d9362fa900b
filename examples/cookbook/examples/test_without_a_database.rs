//! Tests an application against `MemoryStorage`: the same contract, and a clock that tests move.
use std::time::Duration;

use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, Error, GrantStorage as _, MemoryStorage, NewClient,
    RequestContext, TokenPair, TokenStorage as _,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let storage = MemoryStorage::new();
    let new = NewClient::new(ClientMetadata::client_credentials());
    let client_id = storage.register_client(new).await?.client.client_id;
    let tokens = TokenPair::generate()?.without_refresh_token();
    let new = NewToken::new(client_id, "api:read".parse()?, tokens.clone());
    storage.create_token(&RequestContext::default(), new).await?;

    assert!(storage.introspect(&tokens.access_token).await?.is_some());
    storage.advance_clock(Duration::from_hours(1)).await;
    assert!(storage.introspect(&tokens.access_token).await?.is_none());
    println!("an access token expires after an hour");
    Ok(())
}
