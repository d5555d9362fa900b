//! [`MemoryStorage`]: the reference implementation, for the tests of applications.
//!
//! Its rows are modelled on the tables of PostgreSQL, so a test against it is meaningful for
//! production.

mod authorization_code;
mod client;
mod consent;
mod device_authorization;
mod grant;
mod id_token;
mod record;
mod signing_key;
mod state;
mod token;
mod user;
mod user_session;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

use crate::id_token::IdTokenStorage;
use crate::memory::state::{State, after};
use crate::secret::Secret;
use crate::user::{User, UserStorage};

/// A storage in memory, for the tests of applications. It has the same contract as `PgStorage`. Its
/// data is gone when the last clone is dropped.
///
/// Clones are cheap and share their data. Time is the process's clock, to the microsecond.
///
/// ```
/// use oauth_storage::{
///     ClientMetadata, ClientRegistry, MemoryStorage, NewClient, RequestContext, TokenPair,
///     TokenStorage,
/// };
/// use oauth_storage::token::{NewToken, TokenRef};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oauth_storage::Error> {
/// let storage = MemoryStorage::new();
/// let new = NewClient::new(ClientMetadata::client_credentials());
/// let client = storage.register_client(new).await?.client;
///
/// let request = RequestContext::default();
/// let tokens = TokenPair::generate()?.without_refresh_token();
/// let new = NewToken::new(&client.client_id, "api:read".parse()?, tokens.clone());
/// storage.create_token(&request, new).await?;
///
/// let access_token = TokenRef::Access(&tokens.access_token);
/// let found = storage.get_token(&request, &client.client_id, access_token).await?;
/// assert!(found.is_some_and(|token| token.is_active()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
    users: Option<Arc<dyn UserStorage>>,
    /// Users for tests, by name and password.
    known_users: Vec<(String, Secret, User)>,
    id_tokens: Option<Arc<dyn IdTokenStorage>>,
}

impl MemoryStorage {
    /// An empty storage without users and without a signer of ID tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user whom [`authenticate`](UserStorage::authenticate) finds by this name and password, unless
    /// [`with_users`](Self::with_users) sets another implementation.
    ///
    /// ```
    /// use oauth_storage::{MemoryStorage, User, UserStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let storage = MemoryStorage::new().with_user("alice", "wonderland", User::new("1"));
    /// assert!(storage.authenticate("alice", &"wonderland".into()).await?.is_some());
    /// assert!(storage.authenticate("alice", &"looking-glass".into()).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_user(
        mut self,
        username: impl Into<String>,
        password: impl Into<Secret>,
        user: User,
    ) -> Self {
        self.known_users.push((username.into(), password.into(), user));
        self
    }

    /// Sets the implementation of [`authenticate`](UserStorage::authenticate).
    ///
    /// ```
    /// use async_trait::async_trait;
    /// use oauth_storage::{MemoryStorage, RequestContext, Secret, User, UserStorage};
    /// use oauth_storage::error::Result;
    ///
    /// struct OnlyAlice;
    ///
    /// #[async_trait]
    /// impl UserStorage for OnlyAlice {
    ///     async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
    ///         let right = username == "alice" && *password == Secret::new("wonderland");
    ///         Ok(right.then(|| User::new("248289761001")))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let storage = MemoryStorage::new().with_users(OnlyAlice);
    /// let user = storage.authenticate("alice", &Secret::new("wonderland")).await?;
    /// assert_eq!(user, Some(User::new("248289761001")));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_users(mut self, users: impl UserStorage + 'static) -> Self {
        self.users = Some(Arc::new(users));
        self
    }

    /// Sets the signer of ID tokens.
    ///
    /// ```
    /// use async_trait::async_trait;
    /// use oauth_storage::{IdTokenStorage, MemoryStorage, RequestContext, ResponseType, Scope};
    /// use oauth_storage::error::Result;
    /// use oauth_storage::id_token::{IdTokenHint, NewIdToken};
    ///
    /// struct Unsigned;
    ///
    /// #[async_trait]
    /// impl IdTokenStorage for Unsigned {
    ///     async fn get_id_token(&self, _: &RequestContext, new: NewIdToken<'_>) -> Result<String> {
    ///         Ok(format!("for {}", new.client_id))
    ///     }
    ///
    ///     async fn verify_id_token_hint(&self, _: &str) -> Result<Option<IdTokenHint>> {
    ///         Ok(None)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let storage = MemoryStorage::new().with_id_tokens(Unsigned);
    /// let scope = Scope::default();
    /// let new = NewIdToken::new("s6BhdRkqt3", &scope);
    /// assert_eq!(storage.get_id_token(&RequestContext::default(), new).await?, "for s6BhdRkqt3");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_id_tokens(mut self, id_tokens: impl IdTokenStorage + 'static) -> Self {
        self.id_tokens = Some(Arc::new(id_tokens));
        self
    }

    /// Moves the clock of this storage and its clones forward, so that a test sees credentials
    /// expire without sleeping.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oauth_storage::token::NewToken;
    /// # use oauth_storage::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let storage = MemoryStorage::new();
    /// # let new = NewClient::new(ClientMetadata::client_credentials());
    /// # let client_id = storage.register_client(new).await?.client.client_id;
    /// let tokens = TokenPair::generate()?.without_refresh_token();
    /// let new = NewToken::new(client_id, Scope::default(), tokens.clone());
    /// storage.create_token(&RequestContext::default(), new).await?;
    ///
    /// storage.advance_clock(Duration::from_hours(1)).await;
    /// assert_eq!(storage.introspect(&tokens.access_token).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn advance_clock(&self, by: Duration) {
        let mut state = self.state().await;
        state.clock = after(DateTime::UNIX_EPOCH + state.clock, by) - DateTime::UNIX_EPOCH;
    }

    /// Begins a transaction, the counterpart of a `PgStorage` on a connection that the application holds. Calls on
    /// the storage itself wait until it ends, so the task that holds the transaction must make none. Do not keep a
    /// clone of it: the writes of a clone after the end are lost.
    ///
    /// ```
    /// use oauth_storage::{GrantStorage, MemoryStorage};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// let storage = MemoryStorage::new();
    /// let transaction = storage.begin().await;
    /// transaction.revoke_subject("alice").await?;
    /// transaction.commit().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn begin(&self) -> MemoryTransaction {
        let original = Arc::clone(&self.state).lock_owned().await;
        let state = Arc::new(Mutex::new(original.clone()));
        MemoryTransaction { storage: Self { state, ..self.clone() }, original }
    }

    /// Locks the state for one read or one change. The guard is never held across an await.
    async fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }
}

/// A transaction on a [`MemoryStorage`], see [`MemoryStorage::begin`]. Dropping it rolls it back.
///
/// It dereferences to a storage: pass `&*transaction` where a storage is expected.
#[must_use = "dropping a transaction rolls it back"]
pub struct MemoryTransaction {
    storage: MemoryStorage,
    original: OwnedMutexGuard<State>,
}

impl MemoryTransaction {
    /// Makes the changes visible to the storage and its clones.
    pub async fn commit(mut self) {
        *self.original = std::mem::take(&mut *self.storage.state().await);
    }
}

impl Deref for MemoryTransaction {
    type Target = MemoryStorage;

    fn deref(&self) -> &MemoryStorage {
        &self.storage
    }
}

impl fmt::Debug for MemoryTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryTransaction").field(&self.storage).finish()
    }
}

/// Shows the numbers of rows, not their content.
impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(state) = self.state.try_lock() else {
            return f.write_str("MemoryStorage { locked, .. }");
        };
        f.debug_struct("MemoryStorage")
            .field("clients", &state.clients.len())
            .field("grants", &state.grants.len())
            .field("tokens", &state.tokens.len())
            .field("codes", &state.codes.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};

    use super::*;
    use crate::client::{ClientMetadata, ClientRegistry as _, NewClient};
    use crate::storage::Storage;

    #[test]
    fn a_clone_shares_and_debug_counts() {
        let storage = MemoryStorage::new();
        let clone = storage.clone();
        let _: &dyn Storage = &clone;
        assert!(Arc::ptr_eq(&storage.state, &clone.state));
        assert_eq!(
            format!("{storage:?}"),
            "MemoryStorage { clients: 0, grants: 0, tokens: 0, codes: 0, .. }"
        );
    }

    #[tokio::test]
    async fn a_transaction_is_visible_after_its_commit_and_gone_after_a_drop() {
        let storage = MemoryStorage::new();
        let register = async |storage: &MemoryStorage| {
            let new = NewClient::new(ClientMetadata::client_credentials());
            storage.register_client(new).await.unwrap().client.client_id
        };
        let transaction = storage.begin().await;
        let dropped = register(&transaction).await;
        assert!(transaction.read_client(&dropped).await.unwrap().is_some());
        // A call on the storage waits until the transaction has ended.
        let waiting = storage.clone();
        let waiting = tokio::spawn(async move { waiting.list_clients(None, 10).await.unwrap() });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(transaction);
        assert!(waiting.await.unwrap().is_empty());
        assert!(storage.read_client(&dropped).await.unwrap().is_none());

        let transaction = storage.begin().await;
        let committed = register(&transaction).await;
        transaction.advance_clock(Duration::from_hours(1)).await;
        transaction.commit().await;
        assert!(storage.read_client(&committed).await.unwrap().is_some());
        assert!(storage.state().await.clock >= TimeDelta::hours(1));
    }

    #[test]
    fn lifetimes_do_not_overflow() {
        let start = State::default().now();
        assert_eq!(
            after(start, Duration::from_millis(1500)) - start,
            TimeDelta::milliseconds(1500)
        );
        assert_eq!(after(start, Duration::MAX), DateTime::<Utc>::MAX_UTC);
        assert_eq!(start.timestamp_subsec_nanos() % 1000, 0);
    }
}
