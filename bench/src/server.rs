//! The throwaway server and its databases.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use oauth_storage_testbed::{Cluster, Database, Testbed};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::progress::Progress;

/// Durability stays at its defaults. The rest keeps checkpoints out of the measurements, gives
/// pgbench the connections it needs, and counts statements only on request.
const SETTINGS: &[(&str, &str)] =
    &[("max_connections", "400"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "30min")];
const COUNTING: &[(&str, &str)] =
    &[("shared_preload_libraries", "pg_stat_statements"), ("pg_stat_statements.track", "none")];

enum Owner {
    Private(Cluster),
    Shared(Testbed),
}

/// A server with databases of this process.
pub(crate) struct Server {
    owner: Owner,
    /// The program, if it is installed.
    pub(crate) pgbench: Option<PathBuf>,
}

impl Server {
    /// The server that the environment names, or a private one.
    pub(crate) async fn start(rows: u64) -> Result<Self, oauth_storage_testbed::Error> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // The same choice as in the testbed.
        let existing = set("OAUTH_STORAGE_TEST_CITUS")
            || set("OAUTH_STORAGE_DATABASE_URL")
            || (set("DATABASE_URL") && !set("OAUTH_STORAGE_POSTGRES_BIN"));
        if existing {
            return Ok(Self::new(Owner::Shared(Testbed::start().await?)));
        }
        Self::private(rows).await
    }

    /// A private server with buffers for so many credentials.
    pub(crate) async fn private(rows: u64) -> Result<Self, oauth_storage_testbed::Error> {
        let buffers = format!("{}MB", 512 + rows * 420 / 1_000_000);
        let settings = [SETTINGS, &[("shared_buffers", &*buffers)]].concat();
        let owner = match Cluster::start(&[&settings, COUNTING].concat()).await {
            Ok(cluster) => Owner::Private(cluster),
            // Most likely the contrib modules are missing.
            Err(_) => Owner::Private(Cluster::start(&settings).await?),
        };
        Ok(Self::new(owner))
    }

    fn new(owner: Owner) -> Self {
        let cluster = match &owner {
            Owner::Private(cluster) => Some(cluster),
            Owner::Shared(testbed) => testbed.cluster(),
        };
        let pgbench = cluster.map_or("pgbench".into(), |c| c.bin_dir().join("pgbench"));
        let runs = Command::new(&pgbench).arg("--version").output();
        let pgbench = runs.is_ok_and(|output| output.status.success()).then_some(pgbench);
        Self { owner, pgbench }
    }

    pub(crate) fn version(&self) -> String {
        let version = match &self.owner {
            Owner::Private(cluster) => cluster.server_version(),
            Owner::Shared(testbed) => testbed.server_version(),
        };
        format!("PostgreSQL {version}")
    }

    pub(crate) async fn database(&self, label: &str) -> Bench {
        let database = match &self.owner {
            Owner::Private(cluster) => cluster.database(label).await,
            Owner::Shared(testbed) => testbed.database(label).await,
        };
        Bench::new(database.unwrap(), matches!(self.owner, Owner::Private(_))).await
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.owner {
            Owner::Private(cluster) => cluster.fmt(f),
            Owner::Shared(testbed) => testbed.fmt(f),
        }
    }
}

/// A database to measure on.
pub(crate) struct Bench {
    database: Database,
    /// Connections for everything that is not measured.
    pub(crate) admin: PgPool,
    pub(crate) private: bool,
}

/// Counts of rows. Their difference shows the effect of a measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) grants: i64,
    pub(crate) ended: i64,
    pub(crate) tokens: i64,
    pub(crate) rotated: i64,
    pub(crate) revoked: i64,
    pub(crate) consumed: i64,
}

impl Bench {
    async fn new(database: Database, private: bool) -> Self {
        let options = PgPoolOptions::new().max_connections(4);
        let admin = options.connect(database.url()).await.unwrap();
        Self { database, admin, private }
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// Distributes the tables if the server is a Citus cluster.
    pub(crate) async fn distribute(&self) {
        self.database.distribute().await.unwrap();
    }

    pub(crate) async fn close(self) {
        self.admin.close().await;
        self.database.close().await.unwrap();
    }

    pub(crate) async fn sql(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&self.admin).await.map(|_| ())
    }

    pub(crate) async fn setting(&self, name: &str) -> String {
        let setting = "SELECT current_setting($1)";
        sqlx::query_scalar(setting).bind(name).fetch_one(&self.admin).await.unwrap()
    }

    /// Vacuums, analyses and checkpoints after loading, so that none of it falls into a measurement.
    pub(crate) async fn settle(&self) {
        let progress = Progress::new("vacuum and checkpoint".to_owned(), 0);
        progress.at(0);
        for table in ["authorization_grant", "token", "authorization_code", "client"] {
            self.sql(&format!("VACUUM ANALYZE oauth_storage.{table}")).await.unwrap();
        }
        if let Err(error) = self.sql("CHECKPOINT").await {
            println!("no checkpoint after loading: {error}");
        }
    }

    pub(crate) async fn counts(&self) -> Counts {
        let count = "SELECT (SELECT count(*) FROM oauth_storage.authorization_grant),
            (SELECT count(*) FROM oauth_storage.authorization_grant WHERE revoked_at IS NOT NULL),
            (SELECT count(*) FROM oauth_storage.token),
            (SELECT count(*) FROM oauth_storage.token WHERE rotated_at IS NOT NULL),
            (SELECT count(*) FROM oauth_storage.token WHERE revoked),
            (SELECT count(*) FROM oauth_storage.authorization_code WHERE consumed_at IS NOT NULL)";
        let counted: (i64, i64, i64, i64, i64, i64) =
            sqlx::query_as(count).fetch_one(&self.admin).await.unwrap();
        let (grants, ended, tokens, rotated, revoked, consumed) = counted;
        Counts { grants, ended, tokens, rotated, revoked, consumed }
    }

    /// Bytes of the tables of credentials and grants: heap, indexes, and everything with TOAST and
    /// maps.
    pub(crate) async fn sizes(&self) -> (i64, i64, i64) {
        let sizes = "SELECT sum(pg_relation_size(t))::bigint, sum(pg_indexes_size(t))::bigint,
                sum(pg_total_relation_size(t))::bigint
            FROM unnest('{oauth_storage.token, oauth_storage.authorization_grant,
                oauth_storage.authorization_code}'::regclass[]) AS t";
        sqlx::query_as(sizes).fetch_one(&self.admin).await.unwrap()
    }
}

/// The deadline of a call: longer than the default, so that an overloaded machine shows in the
/// latency and does not end the benchmark.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
