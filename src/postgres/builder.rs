use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::error::{Error, Result};
use crate::id_token::IdTokenStorage;
use crate::postgres::PgStorage;
use crate::postgres::batching::{Pooled, server_limit};
use crate::postgres::error::connect_error;
use crate::postgres::session::{self, Session};
use crate::user::UserStorage;

/// A builder of a [`PgStorage`].
///
/// ```no_run
/// use std::time::Duration;
/// use oauth_storage::PgStorage;
///
/// # async fn run() -> Result<(), oauth_storage::Error> {
/// let storage = PgStorage::builder()
///     .lanes(4)
///     .deadline(Duration::from_secs(2))
///     .connect("postgres://app@localhost/app")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct PgStorageBuilder {
    lanes: u32,
    queue: usize,
    citus: bool,
    max_connections: u32,
    max_lifetime: Duration,
    deadline: Duration,
    create_schema: bool,
    users: Option<Users>,
    id_tokens: Option<Arc<dyn IdTokenStorage>>,
}

enum Users {
    Given(Arc<dyn UserStorage>),
    #[cfg(feature = "password")]
    Password,
}

impl Default for PgStorageBuilder {
    fn default() -> Self {
        Self {
            lanes: 2,
            queue: 4096,
            citus: false,
            max_connections: 4,
            max_lifetime: Duration::from_mins(30),
            deadline: Duration::from_secs(5),
            create_schema: true,
            users: None,
            id_tokens: None,
        }
    }
}

impl PgStorageBuilder {
    /// Sets the number of lanes, which are connections for reads, and as many for writes; 2 each by
    /// default, on a Citus cluster at least 8 each. Concurrent calls share a statement on them, so
    /// two serve hundreds of callers. More help if the server has more cores or is far away.
    /// Ignored with a pool supplied by the application.
    pub fn lanes(mut self, each: u32) -> Self {
        self.lanes = each.max(1);
        self
    }

    /// Sets the maximum number of calls that wait for a read lane, and for a write lane; 4096 each
    /// by default. Beyond it a call fails at once with [`Error::Overloaded`].
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = calls.max(1);
        self
    }

    /// Sets the maximum number of connections in addition to the lanes; 4 by default, opened when
    /// needed. They serve the client registry, users, lists, bulk operations, the purge, and calls
    /// that wait for a locked row. Ignored with a pool supplied by the application.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Marks the application's pool as connected to the coordinator of a Citus cluster. Not needed with
    /// [`connect`](Self::connect), which detects it.
    pub fn citus(mut self, citus: bool) -> Self {
        self.citus = citus;
        self
    }

    /// Sets the maximum age of a connection, lanes included; 30 minutes by default, 1 second to 1
    /// day. It is then replaced between two calls; if that fails, the old one stays in use. So
    /// every connection follows a changed address, even one that only reads and would not notice.
    /// Replacements are spread over the last fifth of the time. Ignored with a pool supplied by the
    /// application.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime.clamp(Duration::from_secs(1), Duration::from_hours(24));
        self
    }

    /// Sets the time limit of a call, including the wait for a connection; 5 seconds by default, 1
    /// ms to one hour. In a bulk operation it applies to each statement. Calls through
    /// [`PgStorage::with_connection`] have none. The server gives up slightly earlier
    /// (`statement_timeout`), so nothing takes effect after the call has failed. Past the limit a
    /// read fails with [`Error::Unavailable`], a write with [`Error::OutcomeUnknown`], and a call
    /// that got no connection with [`Error::Overloaded`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.clamp(Duration::from_millis(1), Duration::from_hours(1));
        self
    }

    /// Allows [`migrate`](PgStorage::migrate) to create the schema `oauth_storage`; true by default. Set
    /// it to false if the role lacks CREATE on the database.
    pub fn create_schema(mut self, create_schema: bool) -> Self {
        self.create_schema = create_schema;
        self
    }

    /// Sets the implementation of [`authenticate`](UserStorage::authenticate), for the
    /// application's own users.
    pub fn users(mut self, users: impl UserStorage + 'static) -> Self {
        self.users = Some(Users::Given(Arc::new(users)));
        self
    }

    /// Authenticates users by the table `oauth_storage.user_account`, see
    /// [`PgUsers`](crate::postgres::PgUsers).
    #[cfg(feature = "password")]
    pub fn password_users(mut self) -> Self {
        self.users = Some(Users::Password);
        self
    }

    /// Sets the signer of ID tokens.
    pub fn id_tokens(mut self, id_tokens: impl IdTokenStorage + 'static) -> Self {
        self.id_tokens = Some(Arc::new(id_tokens));
        self
    }

    /// Connects to the database with this URL (`postgres://user:password@host:port/database`, with
    /// the parameters of libpq).
    ///
    /// # Errors
    /// Returns the errors of [`PgStorage::connect`].
    pub async fn connect(self, url: &str) -> Result<PgStorage> {
        // The parser accepts any scheme, and its message quotes parts of the URL, password
        // included.
        let ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let options: Option<PgConnectOptions> = ours.then(|| url.parse().ok()).flatten();
        let options = options.ok_or_else(|| {
            Error::configuration(
                "the database URL is malformed; expected \
                 postgres://user:password@host:port/database, with special characters of the \
                 password percent-encoded",
            )
        })?;
        self.connect_with(options).await
    }

    /// Connects with driver options: certificates, sockets, an application name.
    ///
    /// Every connection sets the parameters that decisions depend on, whatever the database or the
    /// role says: isolation level, row-level security, string syntax. Connecting fails if a pooler
    /// drops them and the role's values would change a decision. It also fails if the `search_path`
    /// has another schema before `pg_catalog`, or if the encoding of the database is not UTF8.
    ///
    /// # Errors
    /// Returns the errors of [`PgStorage::connect`].
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<PgStorage> {
        let options = if options.get_application_name().is_some() {
            options
        } else {
            options.application_name("oauth-storage")
        };
        let options = options.options([("statement_timeout", self.statement_timeout())]);
        let mut options = session::pin(options);
        let mut session = self.probe(&options).await?;
        if session.loses_commits() {
            options = options.options([("synchronous_commit", "on")]);
            session = self.probe(&options).await?;
        }
        session.check()?;

        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .max_lifetime(self.max_lifetime)
            .idle_timeout(self.max_lifetime.min(Duration::from_mins(10)))
            .acquire_timeout(self.deadline)
            .connect_lazy_with(options.clone());
        let connections = Pooled::new(pool, self.deadline, session.is_cluster);
        // A lane runs few, fixed statements, so generic plans suffice. Citus finds the shard by the
        // parameters and refuses a generic plan.
        let plans = if session.is_cluster { "auto" } else { "force_generic_plan" };
        // A plan that was made while the tables were nearly empty would scan them sequentially until the next
        // ANALYZE, however much they grow. Each of these statements has an index for every table.
        let scans = if session.is_cluster { "on" } else { "off" };
        let options = options.options([
            ("plan_cache_mode", plans),
            ("enable_seqscan", scans),
            ("jit", "off"),
            ("lock_timeout", LOCK_TIMEOUT),
        ]);
        // On a cluster a call runs alone, so concurrent callers need more lanes.
        let lanes = if session.is_cluster { self.lanes.max(CLUSTER_LANES) } else { self.lanes };
        let connections = connections.with_lanes(options, lanes, self.queue, self.max_lifetime);
        Ok(self.on(connections))
    }

    /// Creates the storage on the application's pool. Its sessions must have the isolation level
    /// READ COMMITTED and `synchronous_commit` on, PostgreSQL's defaults, and a `search_path`
    /// without another schema before `pg_catalog`.
    #[must_use]
    pub fn build_with_pool(self, pool: PgPool) -> PgStorage {
        let connections = Pooled::new(pool, self.deadline, self.citus);
        self.on(connections)
    }

    async fn probe(&self, options: &PgConnectOptions) -> Result<Session> {
        // Not through the pool, which would retry and then report only a time-out.
        let probe = tokio::time::timeout(self.deadline, Session::probe(options)).await;
        let probe = probe.map_err(|_| Error::Unavailable {
            message: format!("the server did not answer within {:?}", self.deadline),
            source: None,
        })?;
        probe.map_err(|error| match error {
            // Over TCP only a file can be missing.
            sqlx::Error::Io(error) if error.kind() == ErrorKind::NotFound && uses_tcp(options) => {
                Error::Configuration {
                    message: "a certificate or key file in the options does not exist".into(),
                    source: Some(Box::new(error)),
                }
            }
            error => connect_error(error),
        })
    }

    /// The `statement_timeout` in milliseconds, early enough for the answer to arrive in time.
    fn statement_timeout(&self) -> String {
        server_limit(self.deadline).as_millis().max(1).to_string()
    }

    fn on(self, connections: Pooled) -> PgStorage {
        let users = self.users.map(|users| match users {
            Users::Given(users) => users,
            #[cfg(feature = "password")]
            Users::Password => Arc::new(crate::postgres::PgUsers::on(connections.clone())) as _,
        });
        PgStorage {
            connections,
            users,
            id_tokens: self.id_tokens,
            create_schema: self.create_schema,
        }
    }
}

/// The minimum number of lanes of each kind on a Citus cluster.
const CLUSTER_LANES: u32 = 8;

/// The `lock_timeout` of a lane in milliseconds. Calls of the same batch wait as long.
const LOCK_TIMEOUT: &str = "50";

fn uses_tcp(options: &PgConnectOptions) -> bool {
    options.get_socket().is_none() && !options.get_host().starts_with('/')
}

impl fmt::Debug for PgStorageBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStorageBuilder")
            .field("lanes", &self.lanes)
            .field("queue", &self.queue)
            .field("max_connections", &self.max_connections)
            .field("max_lifetime", &self.max_lifetime)
            .field("deadline", &self.deadline)
            .field("create_schema", &self.create_schema)
            .finish_non_exhaustive()
    }
}
