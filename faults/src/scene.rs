//! The setting of a fault: a server, a database on it, a storage under load.

use std::sync::Arc;
use std::time::Duration;

use oauth_storage::PgStorage;
use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::postgres::PgStorageBuilder;
use oauth_storage_testbed::Cluster;
use tokio::sync::OnceCell;

use crate::caller::Caller;
use crate::database::Database;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::load::{Load, recovery};
use crate::report::Row;
use crate::verdict;
use crate::world::World;

/// Durability is the default of PostgreSQL. Waits for a lock of more than 100 ms are logged.
const SETTINGS: &[(&str, &str)] =
    &[("deadlock_timeout", "100ms"), ("log_lock_waits", "on"), ("max_wal_size", "2GB")];

/// The deadline of the storages under test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// The connections of a storage with the default options: four lanes and a pool of four.
pub(crate) const CONNECTIONS: u64 = 8;

/// The default number of callers.
pub(crate) const CALLERS: usize = 16;

/// The server of the faults that leave it unchanged. It ends with this process.
pub(crate) async fn shared() -> Result<&'static Cluster> {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED.get_or_try_init(|| server(&[])).await
}

/// A server with its own settings.
pub(crate) async fn server(settings: &[(&str, &str)]) -> Result<Cluster> {
    Ok(Cluster::start(&[SETTINGS, settings].concat()).await?)
}

/// The options of a storage under test: the defaults with a shorter deadline.
pub(crate) fn builder() -> Result<PgStorageBuilder> {
    let signer = IdTokenSigner::new("https://issuer.example", SigningKey::generate()?)?;
    Ok(PgStorage::builder().deadline(DEADLINE).password_users().id_tokens(signer))
}

pub(crate) struct Scene {
    pub(crate) url: String,
    pub(crate) caller: Caller,
    pub(crate) world: Arc<World>,
    pub(crate) row: Row,
}

impl Scene {
    /// A storage with lanes on its own database.
    pub(crate) async fn new(cluster: &Cluster, label: &str) -> Result<Self> {
        let database = cluster.database(label).await?;
        let url = database.url();
        Self::of(url, builder()?.connect(url).await?).await
    }

    /// The given storage, on the database of the URL.
    pub(crate) async fn of(url: &str, storage: PgStorage) -> Result<Self> {
        storage.migrate().await?;
        let world = World::new(&storage).await?;
        let caller = Caller::new(storage, Arc::new(Ledger::default()));
        Ok(Self { url: url.to_owned(), caller, world, row: Row::default() })
    }

    pub(crate) fn load(&self, callers: usize) -> Load {
        Load::start(&self.caller, &self.world, callers, Duration::ZERO)
    }

    /// A connection beside the storage.
    pub(crate) async fn beside(&self) -> Result<Database> {
        Database::connect(&self.url).await
    }

    /// Waits after a fault until a read and a write are acknowledged.
    pub(crate) async fn recovers(&mut self, limit: Duration) -> Result<()> {
        let took = recovery(&self.caller, &self.world).await?;
        self.row.recovered(took, limit);
        Ok(())
    }

    /// Stops the load, and checks its ledger against the database.
    pub(crate) async fn check(&mut self, load: Load) -> Result<()> {
        load.stop().await?;
        let mut database = self.beside().await?;
        verdict::pass(&self.caller.ledger, &mut database).await?;
        let in_transaction = database.in_transaction().await?;
        self.row.require(in_transaction == 0, || {
            format!("{in_transaction} sessions were left in a transaction")
        });
        database.close().await
    }

    /// Closes the storage, and returns the row of the fault.
    pub(crate) async fn end(mut self) -> Row {
        self.caller.storage.close().await;
        let counts = self.caller.ledger.tally.snapshot();
        if !counts.errors.is_empty() {
            let errors = counts.errors.iter().map(|(name, count)| format!("{name} {count}"));
            self.row.remark(format!("errors: {}", errors.collect::<Vec<_>>().join(", ")));
        }
        if let Some(error) = &counts.unexcused {
            let error = error.clone();
            self.row.require(false, || format!("an error with the wrong advice: {error}"));
        }
        self.row.counts = counts;
        self.row
    }
}
