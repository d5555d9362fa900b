//! Lists a user's applications, and disconnects one of them.
use std::collections::BTreeSet;

use oauth_storage::token::NewToken;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ConsentStorage as _, Error, GrantStorageExt as _,
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
        storage.add_consent("alice", client_id, &"profile".parse()?).await?;
    }
    // A consent without a grant, or a grant without a consent, is an application as well.
    let grants = storage.list_all_grants("alice").await?;
    let consents = storage.list_consents("alice", None, 100).await?;
    let mut applications: BTreeSet<_> = grants.into_iter().map(|grant| grant.client_id).collect();
    applications.extend(consents.into_iter().map(|consent| consent.client_id));
    println!("alice uses {applications:?}");
    let outcome = storage.withdraw_consent("alice", "calendar").await?;
    println!("{} grants of the calendar revoked", outcome.revoked_grants);
    Ok(())
}
