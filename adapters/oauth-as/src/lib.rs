//! PostgreSQL storage for [`oauth-as`](oauth_as), an authorization server as a library.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::{Duration, SystemTime};
//!
//! use oauth_as::{AuthorizationServer, ServerConfig, Storage};
//! use oauth_storage::PgStorage;
//! use oauth_storage_oauth_as::OauthAsStorage;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let database = PgStorage::builder().max_connections(16);
//! let database = database.connect("postgres://app@localhost/app").await?;
//! let storage = OauthAsStorage::new(&database, std::env::var("SEALING_KEY")?.parse()?);
//! storage.migrate().await?;
//!
//! let config = ServerConfig::new("https://issuer.example", "https://issuer.example/device");
//! let server = Arc::new(AuthorizationServer::new(config, storage));
//! let sweeper = Arc::clone(&server);
//! tokio::spawn(async move {
//!     loop {
//!         let _ = sweeper.store().sweep_expired(SystemTime::now()).await;
//!         tokio::time::sleep(Duration::from_secs(60)).await;
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # Tables
//!
//! The tables are in the schema `oauth_as`, beside those of oauth-storage and of the application. They are not
//! the tables of oauth-storage, because the two contracts differ:
//!
//! - oauth-as stores whole records, which it reads, changes and writes back. The columns hold what a statement
//!   compares; the rest of a record is one JSON document.
//! - oauth-as passes its own clock to the sweep and to revocations, and counts what a sweep removes. PostgreSQL's
//!   clock decides in oauth-storage. So a claim of a replay identifier, which
//!   [`ReplayStorage`](oauth_storage::ReplayStorage) could store as well, has a table of its own here.
//! - oauth-as deletes what it revokes, and refuses later writes by a barrier. In oauth-storage a revoked grant stays.
//!
//! # Revocations
//!
//! A write of a token that races with a revocation is either refused or deleted by it, on any number of nodes.
//! The write locks its scopes (client, consent, token family) in share mode, and the revocation locks its scope
//! exclusively, by advisory locks that end with the statement. Both then read with a new snapshot: the write sees
//! the barrier of every revocation that came before, the revocation sees the token of every write that came
//! before. An operation is one statement; a revocation is one call of a function of the schema. Dropping a future
//! leaves nothing half done.
//!
//! The sessions must have the isolation level READ COMMITTED, PostgreSQL's default; otherwise writes fail.
//! [`PgStorage::connect`](oauth_storage::PgStorage::connect) sets it for its pool.
//!
//! # Secrets at rest
//!
//! Device codes, authorization codes, `request_uri`s, access tokens and refresh tokens are random and long. Their
//! SHA-256 is the key of their row; the value comes back from the caller's argument. Four values have to come
//! back without one, or are short. They are sealed (XChaCha20-Poly1305) under a key that is not in the database:
//!
//! | value | why it is needed | opened with |
//! | --- | --- | --- |
//! | the codes of a device grant | found by user code, and then changed by device code | the sealing key |
//! | the authentication of a client | compared with the presented secret, or the key of an HMAC assertion | the sealing key |
//! | the tokens that a code minted | revoked if the code is replayed | the sealing key and the code |
//! | the token response for a retry | returned again within `refresh_retry_window` | the sealing key and the refresh token |
//!
//! A user code has about 35 bits: its SHA-256 is guessed in seconds. So a device grant is found by the HMAC of its user
//! code under the sealing key.
//!
//! - *Who reads the database*, or a backup, can use and guess none of these values. They see identifiers,
//!   subjects, scopes and times.
//! - *Who also has the sealing key* can open device codes and client secrets, and guess user codes. A device code
//!   is worth something until it is redeemed, ten minutes or so. They still cannot open tokens and codes.
//! - *Who writes to the database* can change any record; sealing prevents only that a sealed value is moved to
//!   another row.
//!
//! Losing the key loses the sealed values: confidential clients have to be registered again. To replace it,
//! first pass the new key to [`OauthAsStorage::with_previous_key`] on every node, then make it the key and the
//! old one the previous one. A client is sealed again when it is written again.
//!
//! # Limits
//!
//! - A revocation is one transaction, as oauth-as requires: deleting a client takes time in proportion to its
//!   tokens, and writes for that client wait. A million tokens take longer than the default
//!   [`deadline`](oauth_storage::postgres::PgStorageBuilder::deadline) of 5 seconds; it then changes nothing.
//! - Times are kept to the nanosecond from 1677 to 2262. oauth-as cannot write a time before 1970.
//!
//! # Features
//!
//! Each feature enables the one of the same name of oauth-as: `client-assertion`, `consent`, `dpop`, `mtls`, `par`,
//! `rar`, `token-exchange`, and `full` all of them. Enable them here and not only in oauth-as, because
//! `client-assertion`, `consent`, `dpop` and `par` add methods to its trait.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod access_token;
mod authorization_code;
mod client;
#[cfg(feature = "consent")]
mod consent;
mod device_grant;
mod digest;
mod document;
mod error;
mod migrate;
#[cfg(feature = "par")]
mod pushed_request;
mod refresh_token;
#[cfg(any(feature = "client-assertion", feature = "dpop"))]
mod replay_id;
mod scope;
mod seal;
mod storage;
mod sweep;
mod time;

use std::fmt;
use std::sync::Arc;

use oauth_as::WriteOutcome;
use oauth_storage::PgStorage;
use sqlx::PgPool;

pub use seal::SealingKey;

use seal::Keys;

/// The [`Storage`](oauth_as::Storage) of oauth-as on PostgreSQL, 14 or newer.
///
/// Clones are cheap and share their connections. See [the crate](crate) for an example.
#[derive(Clone)]
pub struct OauthAsStorage {
    pool: PgPool,
    keys: Arc<Keys>,
}

impl OauthAsStorage {
    /// Creates a storage on the pool of a [`PgStorage`], whose sessions are checked. The pool has
    /// [`max_connections`](oauth_storage::postgres::PgStorageBuilder::max_connections).
    #[must_use]
    pub fn new(database: &PgStorage, key: SealingKey) -> Self {
        Self::from_pool(database.pool().clone(), key)
    }

    /// Creates a storage on the application's pool. Its sessions must have the isolation level READ COMMITTED
    /// and `synchronous_commit` on, PostgreSQL's defaults.
    #[must_use]
    pub fn from_pool(pool: PgPool, key: SealingKey) -> Self {
        Self { pool, keys: Arc::new(Keys::new(key)) }
    }

    /// Adds a key that opens what was sealed under it, and seals nothing, see
    /// [the threats](crate#secrets-at-rest).
    #[must_use]
    pub fn with_previous_key(mut self, key: SealingKey) -> Self {
        Arc::make_mut(&mut self.keys).add_previous(key);
        self
    }
}

impl fmt::Debug for OauthAsStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthAsStorage").finish_non_exhaustive()
    }
}

/// The outcome of a write that a revocation may refuse.
fn outcome(stored: u64) -> WriteOutcome {
    if stored == 0 { WriteOutcome::RefusedRevoked } else { WriteOutcome::Applied }
}
