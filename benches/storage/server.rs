//! The throwaway server, and what is done on it beside the subjects: loading and counting.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use oauth_storage_testbed::{Cluster, Database, Testbed};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::data::{self, SCOPE, SPARE, World};
use crate::progress::Progress;

/// Durability stays as it is by default. The rest keeps checkpoints out of the measurements, gives
/// pgbench the connections it asks for, and counts statements only when asked to.
const SETTINGS: &[(&str, &str)] =
    &[("max_connections", "400"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "30min")];
const COUNTING: &[(&str, &str)] =
    &[("shared_preload_libraries", "pg_stat_statements"), ("pg_stat_statements.track", "none")];

/// How many rows a statement of the loader inserts.
const CHUNK: u64 = 50_000;

enum Owner {
    Private(Cluster),
    Shared(Testbed),
}

/// A server. The databases on it are this process's own.
pub(crate) struct Server {
    owner: Owner,
    /// The program, if it is installed.
    pub(crate) pgbench: Option<PathBuf>,
}

impl Server {
    /// A private one can hold so many credentials in its buffers.
    pub(crate) async fn start(rows: u64) -> Result<Self, oauth_storage_testbed::Error> {
        let buffers = format!("{}MB", 512 + rows * 420 / 1_000_000);
        let settings = [SETTINGS, &[("shared_buffers", &*buffers)]].concat();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // The testbed's own rule, which one of them is meant.
        let existing = set("OAUTH_STORAGE_TEST_CITUS")
            || set("OAUTH_STORAGE_DATABASE_URL")
            || (set("DATABASE_URL") && !set("OAUTH_STORAGE_POSTGRES_BIN"));
        let owner = if existing {
            Owner::Shared(Testbed::start().await?)
        } else {
            match Cluster::start(&[&settings, COUNTING].concat()).await {
                Ok(cluster) => Owner::Private(cluster),
                // Most likely without the contributed modules.
                Err(_) => Owner::Private(Cluster::start(&settings).await?),
            }
        };
        let cluster = match &owner {
            Owner::Private(cluster) => Some(cluster),
            Owner::Shared(testbed) => testbed.cluster(),
        };
        let pgbench = cluster.map_or("pgbench".into(), |c| c.bin_dir().join("pgbench"));
        let runs = Command::new(&pgbench).arg("--version").output();
        let pgbench = runs.is_ok_and(|output| output.status.success()).then_some(pgbench);
        Ok(Self { owner, pgbench })
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
    /// For what is not measured.
    pub(crate) admin: PgPool,
    pub(crate) private: bool,
}

/// What stands in the tables; the difference says what a measurement really did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) tokens: i64,
    pub(crate) rotated: i64,
    pub(crate) revoked: i64,
    pub(crate) consumed: i64,
}

/// Which lifetimes the loaded tokens have.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lifetime {
    Alive,
    Expired,
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

    /// On a Citus cluster.
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

    /// Pairs of tokens by number, both of them, as a server that has run for a while has them: the
    /// indexes grow row by row, and no two expire at the same moment.
    pub(crate) async fn load_pairs(&self, from: u64, to: u64, lifetime: Lifetime) {
        let (access, refresh) = match lifetime {
            Lifetime::Alive => ("interval '1 day'", "interval '30 days'"),
            Lifetime::Expired => ("interval '-2 hours'", "interval '-1 hour'"),
        };
        let insert = format!(
            "INSERT INTO oauth_storage.token
                (issued_at, expires_at, grant_id, kind, digest, client_id, subject, scope)
             SELECT now(), now() + kind.lifetime + (pair % 1000000) * interval '1 millisecond',
                {grant}, kind.kind,
                sha256(('bench-token-' || (2 * pair + kind.offset_))::bytea), {client}, {subject},
                '{SCOPE}'
             FROM generate_series($1::bigint, $2::bigint - 1) AS pair
             CROSS JOIN (VALUES ('a'::\"char\", 0, {access}), ('r'::\"char\", 1, {refresh}))
                AS kind (kind, offset_, lifetime)",
            grant = data::sql_grant_of_pair("pair"),
            client = data::sql_client_id("pair"),
            subject = data::sql_subject("pair"),
        );
        self.load("pairs of tokens", &insert, from, to).await;
    }

    /// Codes by number, good for long enough to be redeemed.
    pub(crate) async fn load_codes(&self, world: &World, from: u64, to: u64) {
        let insert = format!(
            "INSERT INTO oauth_storage.authorization_code
                (issued_at, expires_at, grant_id, digest, client_id, subject, scope, response_type,
                 redirect_uri, code_challenge, code_challenge_method)
             SELECT now(), now() + interval '1 day' + (k % 1000000) * interval '1 millisecond',
                {grant}, sha256(('bench-code-' || k)::bytea), {client}, {subject}, '{SCOPE}',
                'code', '{redirect_uri}', '{challenge}', 'S256'
             FROM generate_series($1::bigint, $2::bigint - 1) AS k",
            grant = data::sql_grant_of_code("k"),
            client = data::sql_client_id("k"),
            subject = data::sql_subject("k"),
            redirect_uri = data::REDIRECT_URI,
            challenge = world.challenge.as_s256(),
        );
        self.load("codes", &insert, from, to).await;
    }

    async fn load(&self, what: &str, insert: &str, from: u64, to: u64) {
        let progress = Progress::new(format!("loading {} {what}", to - from), to - from);
        let mut connection = self.admin.acquire().await.unwrap();
        // What is loaded need not be durable one by one: a checkpoint follows.
        let relax = sqlx::query("SET synchronous_commit = off");
        relax.execute(&mut *connection).await.unwrap();
        let mut next = from;
        while next < to {
            let end = (next + CHUNK).min(to);
            sqlx::query(AssertSqlSafe(insert.to_owned()))
                .bind(i64::try_from(next).unwrap())
                .bind(i64::try_from(end).unwrap())
                .execute(&mut *connection)
                .await
                .unwrap();
            next = end;
            progress.at(next - from);
        }
        sqlx::query("RESET synchronous_commit").execute(&mut *connection).await.unwrap();
    }

    /// After loading: nothing is left to do that would fall into the first measurement.
    pub(crate) async fn settle(&self) {
        let progress = Progress::new("vacuum and checkpoint".to_owned(), 0);
        progress.at(0);
        self.sql("VACUUM ANALYZE oauth_storage.token").await.unwrap();
        self.sql("VACUUM ANALYZE oauth_storage.authorization_code").await.unwrap();
        self.sql("VACUUM ANALYZE oauth_storage.client").await.unwrap();
        if let Err(error) = self.sql("CHECKPOINT").await {
            println!("no checkpoint after loading: {error}");
        }
    }

    pub(crate) async fn counts(&self) -> Counts {
        let count = "SELECT (SELECT count(*) FROM oauth_storage.token),
            (SELECT count(*) FROM oauth_storage.token WHERE rotated_at IS NOT NULL),
            (SELECT count(*) FROM oauth_storage.token WHERE revoked),
            (SELECT count(*) FROM oauth_storage.authorization_code WHERE consumed_at IS NOT NULL)";
        let counted: (i64, i64, i64, i64) =
            sqlx::query_as(count).fetch_one(&self.admin).await.unwrap();
        let (tokens, rotated, revoked, consumed) = counted;
        Counts { tokens, rotated, revoked, consumed }
    }

    /// Bytes of the token table: heap, indexes, and all with TOAST and maps.
    pub(crate) async fn sizes(&self) -> (i64, i64, i64) {
        let sizes = "SELECT pg_relation_size('oauth_storage.token'),
            pg_indexes_size('oauth_storage.token'), pg_total_relation_size('oauth_storage.token')";
        sqlx::query_as(sizes).fetch_one(&self.admin).await.unwrap()
    }
}

/// The rows to spend, handed out once each.
pub(crate) struct Spare {
    next_code: u64,
    next_pair: u64,
}

impl Spare {
    pub(crate) fn new() -> Self {
        Self { next_code: 0, next_pair: SPARE }
    }

    pub(crate) async fn codes(
        &mut self,
        bench: &Bench,
        world: &World,
        count: u64,
    ) -> std::ops::Range<u64> {
        let range = self.next_code..self.next_code + count;
        self.next_code = range.end;
        bench.load_codes(world, range.start, range.end).await;
        range
    }

    pub(crate) async fn pairs(&mut self, bench: &Bench, count: u64) -> std::ops::Range<u64> {
        let range = self.next_pair..self.next_pair + count;
        self.next_pair = range.end;
        bench.load_pairs(range.start, range.end, Lifetime::Alive).await;
        range
    }
}

/// How long a call may wait: longer than by default, for an overloaded machine is to show in the
/// latency, not to end the benchmark.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
