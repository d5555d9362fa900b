//! Gives a client a new secret. The old one stays valid for a day, so that the client can change over.
use std::time::Duration;

use oauth_storage::client::ClientSecretRotation;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, Error, MemoryStorage, NewClient,
    RequestContext,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let storage = MemoryStorage::new();
    let registered =
        storage.register_client(NewClient::new(ClientMetadata::client_credentials())).await?;
    let client_id = registered.client.client_id;

    let rotation = ClientSecretRotation::new().with_overlap(Duration::from_hours(24));
    let rotated = storage.rotate_client_secret(&client_id, rotation).await?;
    let new = rotated.and_then(|rotated| rotated.client_secret); // shown only now
    for secret in [registered.client_secret, new] {
        let request = RequestContext::default();
        assert!(storage.get_client(&request, &client_id, secret.as_ref()).await?.is_some());
    }
    println!("both secrets of {client_id} are valid for a day");
    Ok(())
}
