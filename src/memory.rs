//! The storage in memory: the reference implementation, for the tests of applications.
//!
//! It behaves as the one on PostgreSQL, and its rows are modelled on the tables there, so a test
//! against it says something about production.

mod authorization_code;
mod client;
mod grant;
mod id_token;
mod token;
mod user;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use uuid::Uuid;

use crate::error::{Error, Problem, Result};
use crate::memory::authorization_code::CodeRow;
use crate::memory::client::ClientRow;
use crate::memory::grant::GrantRow;
use crate::memory::token::TokenRow;
use crate::model::micros;
use crate::secret::Digest;
use crate::storage::{IdTokenStorage, UserStorage};

/// A storage in memory, for the tests of an application: the same contract, the same answers, and
/// nothing left when the last clone of it is dropped.
///
/// A clone is cheap, and shares everything with the original. Time is this process's own clock, to
/// the microsecond.
///
/// ```
/// use oauth_storage::{
///     ClientMetadata, ClientRegistry, MemoryStorage, NewClient, NewToken, Request, TokenPair,
///     TokenRef, TokenStorage,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> oauth_storage::Result<()> {
/// let storage = MemoryStorage::new();
/// let new = NewClient::new(ClientMetadata::client_credentials());
/// let client = storage.register_client(new).await?.client;
///
/// let request = Request::default();
/// let tokens = TokenPair::generate()?;
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
    id_tokens: Option<Arc<dyn IdTokenStorage>>,
}

impl MemoryStorage {
    /// An empty storage, which authenticates nobody and signs nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the implementation of [`authenticate`](UserStorage::authenticate).
    ///
    /// ```
    /// use async_trait::async_trait;
    /// use oauth_storage::{MemoryStorage, Request, Result, Secret, User, UserStorage};
    ///
    /// struct OnlyAlice;
    ///
    /// #[async_trait]
    /// impl UserStorage for OnlyAlice {
    ///     async fn authenticate(&self, request: &Request) -> Result<Option<User>> {
    ///         let form = &request.form;
    ///         let right = form.username.as_deref() == Some("alice")
    ///             && form.password == Some(Secret::new("wonderland"));
    ///         Ok(right.then(|| User::new("248289761001")))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oauth_storage::Result<()> {
    /// let storage = MemoryStorage::new().with_users(OnlyAlice);
    /// let mut request = Request::default();
    /// request.form.username = Some("alice".into());
    /// request.form.password = Some("wonderland".into());
    /// assert_eq!(storage.authenticate(&request).await?, Some(User::new("248289761001")));
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
    /// use oauth_storage::{
    ///     IdTokenStorage, MemoryStorage, NewIdToken, Request, ResponseType, Result, Scope,
    /// };
    ///
    /// struct Unsigned;
    ///
    /// #[async_trait]
    /// impl IdTokenStorage for Unsigned {
    ///     async fn get_id_token(&self, _: &Request, new: NewIdToken<'_>) -> Result<String> {
    ///         Ok(format!("for {}", new.client_id))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oauth_storage::Result<()> {
    /// let storage = MemoryStorage::new().with_id_tokens(Unsigned);
    /// let new = NewIdToken {
    ///     client_id: "s6BhdRkqt3",
    ///     subject: None,
    ///     scope: &Scope::default(),
    ///     response_type: ResponseType::CODE,
    ///     redirect_uri: Some("https://client.example/cb"),
    ///     nonce: None,
    ///     auth_time: None,
    ///     acr: None,
    ///     amr: &[],
    ///     access_token: None,
    ///     code: None,
    /// };
    /// assert_eq!(storage.get_id_token(&Request::default(), new).await?, "for s6BhdRkqt3");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_id_tokens(mut self, id_tokens: impl IdTokenStorage + 'static) -> Self {
        self.id_tokens = Some(Arc::new(id_tokens));
        self
    }

    /// Locks the state for one read or one change. The guard is never held across an await. A panic
    /// while it is held leaves no row half changed, so poisoning is ignored.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers of rows, and nothing of their content.
impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStorage")
            .field("clients", &state.clients.len())
            .field("grants", &state.grants.len())
            .field("tokens", &state.tokens.len())
            .field("codes", &state.codes.len())
            .finish_non_exhaustive()
    }
}

/// The tables.
#[derive(Default)]
struct State {
    clients: BTreeMap<String, ClientRow>,
    grants: BTreeMap<Uuid, GrantRow>,
    tokens: HashMap<Digest, TokenRow>,
    codes: HashMap<Digest, CodeRow>,
}

impl State {
    /// Nothing is issued to a client that is unknown or disabled.
    fn check_enabled(&self, client_id: &str) -> Result<()> {
        match self.clients.get(client_id) {
            Some(row) if row.client.disabled_at.is_none() => Ok(()),
            _ => Err(Error::invalid("client_id", Problem::Unknown)),
        }
    }
}

/// Now, in PostgreSQL's unit. Ask while the state is held, so that time goes the way of changes.
#[expect(clippy::disallowed_methods, reason = "there is no PostgreSQL here, whose clock decides")]
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// The end of a lifetime that was checked.
fn after(start: DateTime<Utc>, lifetime: Duration) -> DateTime<Utc> {
    after_micros(start, micros(lifetime))
}

fn after_micros(start: DateTime<Utc>, lifetime: i64) -> DateTime<Utc> {
    start.checked_add_signed(TimeDelta::microseconds(lifetime)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn lifetimes_do_not_overflow() {
        let start = now();
        assert_eq!(
            after(start, Duration::from_millis(1500)) - start,
            TimeDelta::milliseconds(1500)
        );
        assert_eq!(after(start, Duration::MAX), DateTime::<Utc>::MAX_UTC);
        assert_eq!(start.timestamp_subsec_nanos() % 1000, 0);
    }
}
