//! Lists a user's applications, and disconnects one of them.
use std::collections::BTreeSet;

use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, Error, GrantStorage as _, GrantStorageExt as _,
    MemoryStorage, NewClient, RequestContext, TokenPair, TokenStorage as _, User,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let storage = MemoryStorage::new();
    let alice = RequestContext::for_user(User::new("alice"));
    for client_id in ["mail", "calendar", "calendar"] {
        let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
        let new = NewClient::new(metadata).with_client_id(client_id.to_owned());
        let _ = storage.register_client(new).await; // the second time it exists
        let new = NewToken::new(client_id, "profile".parse()?, TokenPair::generate()?);
        storage.create_token(&alice, new).await?;
    }
    let grants = storage.list_all_grants("alice").await?;
    let applications: BTreeSet<_> = grants.into_iter().map(|grant| grant.client_id).collect();
    println!("alice uses {applications:?}");
    let revoked = storage.revoke_grants_of("alice", "calendar").await?;
    println!("{revoked} grants of the calendar revoked");
    Ok(())
}
