//! Registers clients that exist elsewhere, with their identifiers and secrets.
use oauth_storage::client::ClientSecret;
use oauth_storage::error::InvalidReason;
use oauth_storage::{ClientMetadata, ClientRegistry as _, Error, MemoryStorage, NewClient, Secret};

const CLIENTS: [(&str, &str, &str); 2] = [
    ("shop", "shop-secret-1", "https://shop.example/cb"),
    ("forum", "forum-secret-1", "https://forum.example/cb"),
];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let storage = MemoryStorage::new();
    for _ in 0..2 {
        for (client_id, secret, redirect_uri) in CLIENTS {
            let new = NewClient::new(ClientMetadata::authorization_code([redirect_uri]))
                .with_client_id(client_id.to_owned())
                .with_client_secret(ClientSecret::Chosen(Secret::new(secret)));
            match storage.register_client(new).await {
                Ok(registered) => println!("{} imported", registered.client.client_id),
                Err(Error::Invalid { field: "client_id", reason: InvalidReason::Duplicate }) => {
                    println!("{client_id} exists");
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
