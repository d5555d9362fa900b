//! Serves several issuers: each has a storage of its own, so that no token of one is valid at another.
use std::collections::BTreeMap;

use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::{PgStorage, UserStorage as _};
use oauth_storage_testbed::Testbed;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let testbed = Testbed::start().await?;
    let (mut issuers, mut databases) = (BTreeMap::new(), Vec::new());
    for issuer in ["https://red.example", "https://blue.example"] {
        let database = testbed.database("issuer").await?;
        let signer = IdTokenSigner::new(issuer, SigningKey::generate()?)?;
        let builder = PgStorage::builder().lanes(1).password_users().id_tokens(signer);
        let storage = builder.connect(database.url()).await?;
        storage.migrate().await?;
        issuers.insert(issuer, storage);
        databases.push(database); // dropped at the end
    }
    let storage = &issuers["https://red.example"]; // by the Host header
    println!("{:?}", storage.authenticate("alice", &"wonderland".into()).await?);
    for storage in issuers.values() {
        storage.close().await;
    }
    Ok(())
}
