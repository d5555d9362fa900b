//! Lists a user's applications, and disconnects one of them.
use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ConsentStorage as _, Error, MemoryStorage, NewClient,
    RequestContext, TokenPair, TokenStorage as _, User,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let storage = MemoryStorage::new();
    let alice = RequestContext::for_user(User::new("alice"));
    for client_id in ["mail", "calendar"] {
        let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
        let new = NewClient::new(metadata).with_client_id(client_id.to_owned());
        storage.register_client(new).await?;
        let new = NewToken::new(client_id, "profile".parse()?, TokenPair::generate()?);
        storage.create_token(&alice, new).await?;
        storage.add_consent("alice", client_id, &"profile".parse()?).await?;
    }
    for consent in storage.list_consents("alice", None, 100).await? {
        println!("alice uses {}: {}", consent.client_id, consent.scope);
    }
    let outcome = storage.withdraw_consent("alice", "calendar").await?;
    println!("{} grants of the calendar revoked", outcome.revoked_grants);
    Ok(())
}
