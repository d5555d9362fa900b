//! [`PgStorage`]: the contract on PostgreSQL.

mod authorization_code;
mod batching;
mod builder;
mod client;
mod cluster;
mod consent;
mod context;
mod device_authorization;
mod error;
mod grant;

mod migrate;
pub mod telemetry;

mod record;
mod session;
mod signing_key;
mod token;
#[cfg(feature = "password")]
mod user;
mod user_session;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgConnection, PgPool};

pub use builder::PgStorageBuilder;
pub use migrate::PendingMigration;
#[cfg(feature = "password")]
pub use user::{NewUser, PgUsers};

use crate::error::{Error, Result};
use crate::id_token::{IdTokenHint, IdTokenStorage, NewIdToken};
use crate::request::RequestContext;
use crate::secret::Secret;
use crate::user::{User, UserStorage};
use batching::{Connections, Held, Pooled};
use telemetry::Meters;

/// A storage on PostgreSQL, 14 or newer.
///
/// Each redemption, rotation, lookup and single revocation is atomic: one compile-time-checked
/// statement, or on a Citus cluster one transaction. Dropping its future leaves nothing half done.
/// Bulk operations commit in batches and continue when they are called again.
/// [`set_client_disabled`](crate::ClientRegistry::set_client_disabled) commits in two steps.
///
/// Clones are cheap and share their connections.
///
/// ```no_run
/// use oauth_storage::{ClientMetadata, ClientRegistry, NewClient, PgStorage};
///
/// # async fn run() -> Result<(), oauth_storage::Error> {
/// let storage = PgStorage::connect("postgres://app@localhost/app").await?;
/// storage.migrate().await?;
/// let registered = storage
///     .register_client(NewClient::new(ClientMetadata::authorization_code([
///         "https://client.example/cb",
///     ])))
///     .await?;
/// println!("{}", registered.client.client_id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgStorage<C = Pooled> {
    connections: C,
    users: Option<Arc<dyn UserStorage>>,
    id_tokens: Option<Arc<dyn IdTokenStorage>>,
    create_schema: bool,
}

impl PgStorage {
    /// Sets the signer of ID tokens, which may need the storage itself, as that of
    /// [`ManagedKeys`](https://docs.rs/oauth-storage/latest/oauth_storage/jwt/struct.ManagedKeys.html) does.
    /// Clones made before keep theirs.
    #[must_use]
    pub fn with_id_tokens(mut self, id_tokens: impl IdTokenStorage + 'static) -> Self {
        self.id_tokens = Some(Arc::new(id_tokens));
        self
    }

    /// Connects with the default options.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the URL is malformed, the password is wrong, the
    /// database does not exist, or a session setting would change decisions; [`Error::Unavailable`]
    /// if the server does not answer.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder().connect(url).await
    }

    /// Returns a builder with the default options.
    pub fn builder() -> PgStorageBuilder {
        PgStorageBuilder::default()
    }

    /// Creates a storage on the application's pool, with the default options.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        Self::builder().build_with_pool(pool)
    }

    /// Returns the users of the table `oauth_storage.user_account`, to create and change them.
    #[cfg(feature = "password")]
    #[must_use]
    pub fn password_users(&self) -> PgUsers {
        PgUsers::on(self.connections.clone())
    }

    /// Closes the storage and all its clones. Queued calls still run; later calls fail. A pool supplied
    /// by the application stays open.
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// The pool for calls that do not run on lanes, or the pool that the application supplied.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.connections.pool()
    }

    /// Returns the storage on a connection of the application. Its calls are part of the
    /// application's transaction and are rolled back with it.
    ///
    /// Commit even after `Replayed` or `Reused`: a rollback would also undo the revocation. Use the
    /// isolation level READ COMMITTED, PostgreSQL's default. Locks are held until the transaction
    /// ends: batches of a bulk operation are not committed one by one, and after
    /// `set_client_disabled` every call that issues to this client waits. The storage's deadline
    /// does not apply here.
    ///
    /// ```no_run
    /// use oauth_storage::{GrantStorage, PgStorage};
    /// use sqlx::Connection;
    ///
    /// # async fn run(storage: PgStorage, mut connection: sqlx::PgConnection)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = connection.begin().await?;
    /// sqlx::query("DELETE FROM account WHERE id = 'alice'").execute(&mut *transaction).await?;
    /// storage.with_connection(&mut transaction).revoke_subject("alice").await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_connection<'c>(&self, connection: &'c mut PgConnection) -> PgTransaction<'c> {
        PgStorage {
            connections: Held::new(
                connection,
                self.connections.meters().clone(),
                self.connections.is_cluster(),
            ),
            users: self.users.clone(),
            id_tokens: self.id_tokens.clone(),
            create_schema: self.create_schema,
        }
    }
}

/// A [`PgStorage`] on a connection of the application, see [`PgStorage::with_connection`].
pub type PgTransaction<'c> = PgStorage<Held<'c>>;

impl<C: Connections> PgStorage<C> {
    fn meters(&self) -> &Meters {
        self.connections.meters()
    }
}

impl<C: fmt::Debug> fmt::Debug for PgStorage<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStorage").field("connections", &self.connections).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Connections> UserStorage for PgStorage<C> {
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        match &self.users {
            Some(users) => users.authenticate(username, password).await,
            None => Err(Error::configuration(
                "no users: pass a UserStorage to `PgStorage::builder().users(..)`",
            )),
        }
    }
}

#[async_trait]
impl<C: Connections> IdTokenStorage for PgStorage<C> {
    async fn get_id_token(
        &self,
        request: &RequestContext,
        id_token: NewIdToken<'_>,
    ) -> Result<String> {
        self.signer()?.get_id_token(request, id_token).await
    }

    async fn verify_id_token_hint(&self, id_token_hint: &str) -> Result<Option<IdTokenHint>> {
        self.signer()?.verify_id_token_hint(id_token_hint).await
    }
}

impl<C> PgStorage<C> {
    fn signer(&self) -> Result<&dyn IdTokenStorage> {
        self.id_tokens.as_deref().ok_or_else(|| {
            Error::configuration(
                "no ID tokens: pass an IdTokenStorage, such as the IdTokenSigner of the feature \
                 `jwt`, to `PgStorage::builder().id_tokens(..)`",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientStorage as _;
    use crate::grant::{CodeRedemption, GrantStorage as _, TokenRotation};
    use crate::request::RequestContext;
    use crate::scope::Scope;
    use crate::secret::Secret;
    use crate::token::{NewToken, TokenPair, TokenRef, TokenStorage as _};
    use crate::user_session::UserSessionStorage as _;

    /// The system's allocator caches allocations of up to 1032 bytes for each thread. Beyond that a
    /// lookup took a fifth longer.
    #[tokio::test]
    async fn the_futures_of_frequent_calls_are_small() {
        let pool = sqlx::PgPool::connect_lazy("postgres://localhost/unused").unwrap();
        let storage = PgStorage::builder().build_with_pool(pool);
        let (request, secret) = (RequestContext::default(), Secret::new("secret"));
        let token = TokenRef::Any(&secret);
        let new = NewToken::new("client", Scope::default(), TokenPair::generate().unwrap());
        let redeem = CodeRedemption::new("client", "https://a.example", secret.clone());
        let rotate = TokenRotation::new("client", secret.clone());
        for (what, size) in [
            ("introspect", size_of_val(&*storage.introspect(&secret))),
            ("get_token", size_of_val(&*storage.get_token(&request, "client", token))),
            ("get_client", size_of_val(&*storage.get_client(&request, "client", Some(&secret)))),
            ("create_token", size_of_val(&*storage.create_token(&request, new))),
            ("redeem", size_of_val(&*storage.redeem_authorization_code(&request, redeem))),
            ("rotate", size_of_val(&*storage.rotate_refresh_token(&request, rotate))),
            ("revoke_token", size_of_val(&*storage.revoke_token(&request, "client", token))),
            ("find_session", size_of_val(&*storage.find_session(&secret))),
        ] {
            assert!(size <= 1032, "{what}: {size} bytes");
        }
    }
}
