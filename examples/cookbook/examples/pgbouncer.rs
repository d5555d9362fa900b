//! Connects through PgBouncer. docs/deployment.md has its settings; `connect` refuses one without them.
use oauth_storage::{GrantStorageExt as _, PgStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let testbed = oauth_storage_testbed::Testbed::start().await?;
    let database = testbed.database("pgbouncer").await?;
    let direct = database.url().to_owned();
    let pooled = std::env::var("PGBOUNCER_URL").unwrap_or_else(|_| direct.clone());

    // Migrate on a direct connection: the lock between two migrators belongs to a session.
    let migrator = PgStorage::builder().lanes(1).connect(&direct).await?;
    migrator.migrate().await?;
    migrator.close().await;

    let storage = PgStorage::connect(&pooled).await?;
    assert_eq!(storage.list_all_grants("alice").await?, []);
    println!("connected to {}", storage.pool().connect_options().get_host());
    storage.close().await;
    Ok(())
}
