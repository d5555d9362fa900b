use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{FromRef, Request};
use axum::response::{IntoResponse, Response};
use oauth_storage::endpoint::{BearerError, ProtectedResource};
use tower_layer::Layer;
use tower_service::Service;

use crate::bearer::{Bearer, authenticate, refusal};
use crate::{OAuthError, OAuthState};

/// A layer that requires an access token with a scope (RFC 6750). The handler below it can take [`Bearer`], which is
/// not introspected again if the router has the same [`OAuthState`].
///
/// Layers can be nested: a request needs the scopes of all of them. Challenges name the scope, so that a client knows
/// which one to request.
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_axum::{Bearer, OAuthState, RequireScope};
///
/// async fn notes(bearer: Bearer) -> String {
///     format!("the notes of {:?}", bearer.token.subject)
/// }
/// # async fn add() {}
///
/// let state = OAuthState::new(MemoryStorage::new());
/// let app: Router = Router::new()
///     .route("/notes", get(notes).route_layer(RequireScope::new(&state, "notes:read")))
///     .route("/notes/new", post(add).route_layer(RequireScope::new(&state, "notes:write")))
///     .with_state(state);
/// ```
///
/// # Errors
/// Responds as [`Bearer`], and with status 403 and `insufficient_scope` if the scope of the token is too narrow.
#[derive(Debug, Clone)]
pub struct RequireScope {
    state: OAuthState,
    resource: ProtectedResource,
    scope: String,
}

impl RequireScope {
    /// The layer for a scope: one or more scope tokens, separated by spaces, all of which are required. The state is
    /// that of the router: an [`OAuthState`], a storage, or a state that has one of them.
    pub fn new<S>(state: &S, scope: impl Into<String>) -> Self
    where
        OAuthState: FromRef<S>,
    {
        let (state, scope) = (OAuthState::from_ref(state), scope.into());
        let resource = state.resource().clone();
        let resource = match scope.parse() {
            Ok(scope) => resource.with_scope(scope),
            // No token has such a scope, so every request is refused.
            Err(_) => resource,
        };
        Self { state, resource, scope }
    }

    async fn check(&self, request: Request) -> Result<Request, OAuthError> {
        let (mut parts, body) = request.into_parts();
        let found = parts.extensions.get::<Bearer>();
        let result = match found.filter(|found| found.belongs_to(&self.state)) {
            Some(found) => Some(found.clone()),
            None => authenticate(&parts, None, &self.state, &self.resource).await?,
        };
        let refuse = |error: BearerError| refusal(&self.resource, error);
        let bearer = result.ok_or_else(|| refuse(BearerError::Missing))?;
        bearer.token.require_scope(&self.scope).map_err(refuse)?;
        parts.extensions.insert(bearer);
        Ok(Request::from_parts(parts, body))
    }
}

impl<T> Layer<T> for RequireScope {
    type Service = RequireScopeService<T>;

    fn layer(&self, inner: T) -> RequireScopeService<T> {
        RequireScopeService { layer: self.clone(), inner }
    }
}

/// The service of [`RequireScope`].
#[derive(Debug, Clone)]
pub struct RequireScopeService<T> {
    layer: RequireScope,
    inner: T,
}

impl<T> Service<Request> for RequireScopeService<T>
where
    T: Service<Request> + Clone + Send + 'static,
    T::Response: IntoResponse,
    T::Future: Send,
{
    type Response = Response;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, T::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The clone is not ready, so it stays here, and the ready one is called.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.check(request).await {
                Ok(request) => Ok(inner.call(request).await?.into_response()),
                Err(error) => Ok(error.into_response()),
            }
        })
    }
}
