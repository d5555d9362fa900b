use std::fmt;
use std::sync::Arc;

use axum::extract::FromRef;
use oauth_storage::Storage;
use oauth_storage::endpoint::ProtectedResource;

#[cfg(feature = "limits")]
use crate::AttemptLimit;
use crate::ResourceServer;

/// The state of the extractors: the storage, the protected resource and the issuer.
///
/// It is the state of the router, or a part of it ([`FromRef`]). A router whose state is the storage itself (any
/// [`Storage`] that is `Clone`, such as `PgStorage`, `MemoryStorage` or `Arc<dyn Storage>`) needs no `OAuthState`: then
/// the defaults apply.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::extract::{FromRef, State};
/// use axum::{Router, routing::get};
/// use oauth_storage::{MemoryStorage, Storage};
/// use oauth_storage_axum::{Bearer, OAuthState};
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     oauth: OAuthState,
///     greeting: String,
/// }
///
/// async fn hello(State(greeting): State<String>, bearer: Bearer) -> String {
///     format!("{greeting}, {}", bearer.token.client_id)
/// }
///
/// let oauth = OAuthState::new(MemoryStorage::new());
/// let app = App { oauth, greeting: "hello".into() };
/// let router: Router = Router::new().route("/hello", get(hello)).with_state(app);
///
/// // Without settings of its own, the storage is the state.
/// async fn client_id(bearer: Bearer) -> String {
///     bearer.token.client_id
/// }
/// let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
/// let router: Router = Router::new().route("/", get(client_id)).with_state(storage);
/// ```
///
/// An `Arc` of a state of your own cannot implement `FromRef`: put it into a struct with the `OAuthState` beside it, as
/// `App` above.
///
/// A handler of a router with this state can take `State<Arc<dyn Storage>>`.
#[derive(Clone)]
pub struct OAuthState {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    storage: Arc<dyn Storage>,
    resource: ProtectedResource,
    issuer: Option<String>,
    resource_servers: Vec<ResourceServer>,
    #[cfg(feature = "limits")]
    secret_limit: Option<Arc<AttemptLimit>>,
}

impl OAuthState {
    /// The state with the default settings.
    #[must_use]
    pub fn new(storage: impl Storage + 'static) -> Self {
        let shared = Shared {
            storage: Arc::new(storage),
            resource: ProtectedResource::new(),
            issuer: None,
            resource_servers: Vec::new(),
            #[cfg(feature = "limits")]
            secret_limit: None,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the protected resource: the realm and the URL of metadata in challenges, and the resource indicator
    /// that access tokens must have.
    #[must_use]
    pub fn with_protected_resource(mut self, resource: ProtectedResource) -> Self {
        Arc::make_mut(&mut self.shared).resource = resource;
        self
    }

    /// Sets the issuer: the URL of the server without a trailing slash. Every authorization response then names it
    /// (RFC 9207), and the proofs of clients must be for it.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.shared).issuer = Some(issuer.into());
        self
    }

    /// Sets the resource servers, for which [`introspect`](crate::introspect) answers.
    #[must_use]
    pub fn with_resource_servers(mut self, servers: impl Into<Vec<ResourceServer>>) -> Self {
        Arc::make_mut(&mut self.shared).resource_servers = servers.into();
        self
    }

    /// Sets the limit for client secrets that this crate did not generate: each costs the server as much as a password.
    #[cfg(feature = "limits")]
    #[must_use]
    pub fn with_client_secret_limit(mut self, limit: AttemptLimit) -> Self {
        Arc::make_mut(&mut self.shared).secret_limit = Some(Arc::new(limit));
        self
    }

    /// The storage.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.shared.storage
    }

    pub(crate) fn resource(&self) -> &ProtectedResource {
        &self.shared.resource
    }

    pub(crate) fn resource_servers(&self) -> &[ResourceServer] {
        &self.shared.resource_servers
    }

    #[cfg(feature = "limits")]
    pub(crate) fn secret_limit(&self) -> Option<&AttemptLimit> {
        self.shared.secret_limit.as_deref()
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        self.shared.issuer.as_deref()
    }

    /// Returns true if both are clones of one state.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<S: Storage + Clone + 'static> FromRef<S> for OAuthState {
    fn from_ref(storage: &S) -> Self {
        Self::new(storage.clone())
    }
}

impl FromRef<OAuthState> for Arc<dyn Storage> {
    fn from_ref(state: &OAuthState) -> Self {
        Self::clone(state.storage())
    }
}

/// The settings, without the storage.
impl fmt::Debug for OAuthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthState")
            .field("resource", self.resource())
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}
