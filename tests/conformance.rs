//! Every storage of this crate against the conformance suite.
//!
//! `CONFORMANCE=grant:: cargo test --test conformance` runs the rules of one noun.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "statements of a test, not of the storage")]

use std::sync::Arc;

use async_trait::async_trait;
use oauth_storage::error::Result;
use oauth_storage::{MemoryStorage, Secret, Storage, User, UserStorage};
use oauth_storage_conformance::Conformance;

struct OnlyAlice;

#[async_trait]
impl UserStorage for OnlyAlice {
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        let right = username == "alice" && *password == Secret::new("wonderland");
        Ok(right.then(|| User::new("248289761001")))
    }
}

/// The suite with the rules that the environment selects.
fn suite(storage: Arc<dyn Storage>) -> Conformance {
    let only = std::env::var("CONFORMANCE").unwrap_or_default();
    Conformance::new(storage).only(only.leak())
}

/// Twice on the same storage, because the first run leaves its rows behind.
#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    suite(Arc::clone(&storage)).run().await;
    suite(storage).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_users_conforms() {
    let storage = Arc::new(MemoryStorage::new().with_users(OnlyAlice));
    suite(storage).user("alice", "wonderland", "248289761001").run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_id_tokens_conforms() {
    use oauth_storage::jwt::{IdTokenSigner, SigningKey};

    let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate().unwrap());
    let storage = Arc::new(MemoryStorage::new().with_id_tokens(signer.unwrap()));
    suite(storage).id_tokens().run().await;
}

mod postgres {
    use std::time::Duration;

    use oauth_storage::PgStorage;
    use oauth_storage::jwt::{IdTokenSigner, SigningKey};
    use oauth_storage::postgres::NewUser;

    use super::*;

    /// A deadline for a busy machine, and for a cluster on one machine.
    const PATIENCE: Duration = Duration::from_mins(1);

    /// With users and ID tokens, through a trait object, twice on the same database.
    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_conforms() {
        let testbed = oauth_storage_testbed::shared().await.unwrap();
        let database = testbed.database("conformance").await.unwrap();
        let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate().unwrap());
        let builder = PgStorage::builder().password_users().id_tokens(signer.unwrap());
        let storage = builder.deadline(PATIENCE).connect(database.url()).await.unwrap();
        storage.migrate().await.unwrap();
        database.distribute().await.unwrap();
        let user = NewUser::new("alice", "248289761001", Secret::new("wonderland"));
        storage.password_users().create(user).await.unwrap();
        let storage: Arc<dyn Storage> = Arc::new(storage);
        for _ in 0..2 {
            suite(Arc::clone(&storage))
                .user("alice", "wonderland", "248289761001")
                .id_tokens()
                .run()
                .await;
        }
    }

    /// Without users and a signer, on the application's pool.
    #[tokio::test(flavor = "multi_thread")]
    async fn postgres_without_users_conforms() {
        let testbed = oauth_storage_testbed::shared().await.unwrap();
        let database = testbed.database("conformance_bare").await.unwrap();
        let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
        let storage = PgStorage::builder().deadline(PATIENCE);
        let storage = storage.citus(database.is_on_cluster()).build_with_pool(pool);
        storage.migrate().await.unwrap();
        database.distribute().await.unwrap();
        let storage = Arc::new(storage);
        for noun in ["user::", "id_token::", "token::"] {
            Conformance::new(storage.clone()).only(noun).run().await;
        }
    }
}
