use std::fmt;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef, FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use oauth_storage::client::{Client, RegisteredClient};
use oauth_storage::endpoint::bearer_token;
use oauth_storage::{ClientMetadata, Error, NewClient, RequestContext, Secret};
use serde_json::Value;

#[cfg(feature = "limits")]
use oauth_storage::backend::is_generated_client_secret;

#[cfg(feature = "limits")]
use crate::AttemptLimit;
use crate::{OAuthError, OAuthState, RegistrationResponse};

const INVALID: &str = "invalid_client_metadata";

/// The largest registration, in bytes. The storage has the same limit for what it keeps.
const MAX_BYTES: usize = 64 * 1024;

type Policy = dyn Fn(ClientMetadata) -> Result<ClientMetadata, OAuthError> + Send + Sync;

/// The endpoints of dynamic client registration (RFC 7591) and of its management (RFC 7592): `POST /register`, and
/// `GET`, `PUT` and `DELETE /register/{client_id}` with the registration access token.
///
/// **It is open to everyone.** A registered client can make the server redirect people to its URIs, because a refused
/// request redirects at once (RFC 9700 4.11.2). A public server requires an initial access token (RFC 7591 3) with a
/// layer, or checks the URIs in the policy.
///
/// The client configuration endpoint needs the [issuer](OAuthState::with_issuer). Without it clients get no
/// registration access token, and cannot change their registration.
///
/// ```
/// use axum::Router;
/// use oauth_storage::MemoryStorage;
/// use oauth_storage::client::GrantType;
/// use oauth_storage_axum::{OAuthError, OAuthState, Registration};
///
/// let registration = Registration::new(|metadata| {
///     let is_offered = |own: &GrantType| *own == GrantType::AuthorizationCode;
///     if !metadata.grant_types.iter().all(is_offered) {
///         let description = "this grant type is not offered";
///         return Err(OAuthError::new("invalid_client_metadata", description));
///     }
///     Ok(metadata)
/// });
/// let state = OAuthState::new(MemoryStorage::new()).with_issuer("https://issuer.example");
/// let app: Router = Router::new().merge(registration.router()).with_state(state);
/// ```
#[derive(Clone)]
pub struct Registration {
    policy: Arc<Policy>,
    #[cfg(feature = "limits")]
    limit: Option<Arc<AttemptLimit>>,
}

impl Registration {
    /// The endpoints with a policy, which returns the metadata to register, or refuses it. The storage has checked the
    /// metadata before.
    pub fn new(
        policy: impl Fn(ClientMetadata) -> Result<ClientMetadata, OAuthError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            policy: Arc::new(policy),
            #[cfg(feature = "limits")]
            limit: None,
        }
    }

    /// Sets the limit for registrations.
    #[cfg(feature = "limits")]
    #[must_use]
    pub fn with_limit(mut self, limit: AttemptLimit) -> Self {
        self.limit = Some(Arc::new(limit));
        self
    }

    /// The router with the endpoints.
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S>
    where
        OAuthState: FromRef<S>,
    {
        Router::new()
            .route("/register", post(register))
            .route("/register/{client_id}", get(read).put(update).delete(delete))
            .layer(Extension(self))
            .layer(DefaultBodyLimit::max(MAX_BYTES))
    }

    fn admit(&self, metadata: ClientMetadata) -> Result<ClientMetadata, OAuthError> {
        metadata.check().map_err(refused)?;
        (self.policy)(metadata)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

async fn register(
    State(state): State<OAuthState>,
    Extension(own): Extension<Registration>,
    request: Request,
) -> Result<Response, OAuthError> {
    #[cfg(feature = "limits")]
    crate::limits::check(own.limit.as_deref(), crate::limits::address(&request))?;
    let metadata = ClientMetadata::from_json(body(request).await?).map_err(refused)?;
    let new = NewClient::new(own.admit(metadata)?);
    let new = new.with_registration_access_token(state.issuer().is_some());
    let registered = state.storage().register_client(new).await.map_err(refused)?;
    Ok(response(&state, &registered).into_response())
}

async fn read(
    State(state): State<OAuthState>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    let (client, token) = authenticate(&state, &client_id, &headers).await?;
    let registered = RegisteredClient::new(client).with_registration_access_token(token);
    Ok(current(&state, &registered))
}

/// Replaces the whole metadata (RFC 7592 2.2).
async fn update(
    State(state): State<OAuthState>,
    Path(client_id): Path<String>,
    Extension(own): Extension<Registration>,
    request: Request,
) -> Result<Response, OAuthError> {
    let (before, token) = authenticate(&state, &client_id, request.headers()).await?;
    #[cfg(feature = "limits")]
    let address = crate::limits::address(&request);
    let mut body = body(request).await?;
    let secret = body.as_object_mut().and_then(|members| members.remove("client_secret"));
    if let Some(secret) = secret.filter(|secret| !secret.is_null()) {
        let secret = Secret::new(secret.as_str().unwrap_or_default());
        // Another one costs as much as a password.
        #[cfg(feature = "limits")]
        if !is_generated_client_secret(&secret) {
            crate::limits::check(own.limit.as_deref(), address)?;
        }
        check_secret(&state, &client_id, &secret).await?;
    }
    let metadata = ClientMetadata::from_json_of(&client_id, body).map_err(refused)?;
    let metadata = own.admit(metadata)?;
    // A new secret would have to be shown, which this endpoint does not do.
    let uses_secret = |metadata: &ClientMetadata| metadata.token_endpoint_auth_method.uses_secret();
    if uses_secret(&metadata) && !uses_secret(&before.metadata) {
        return Err(OAuthError::new(INVALID, "register again for a client secret"));
    }
    let changed = state.storage().update_client(&client_id, metadata).await;
    let changed = changed.map_err(refused)?.ok_or_else(invalid_token)?;
    let registered = RegisteredClient::new(changed).with_registration_access_token(token);
    Ok(current(&state, &registered))
}

/// Deletes the client, with its grants and tokens (RFC 7592 2.3).
async fn delete(
    State(state): State<OAuthState>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, OAuthError> {
    authenticate(&state, &client_id, &headers).await?;
    state.storage().delete_client(&client_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn body(request: Request) -> Result<Value, OAuthError> {
    let body = Json::<Value>::from_request(request, &()).await;
    body.map(|Json(body)| body).map_err(|error| OAuthError::new(INVALID, error.body_text()))
}

/// The response with the URL of the client configuration endpoint (RFC 7592 3).
fn response(state: &OAuthState, registered: &RegisteredClient) -> RegistrationResponse {
    let response = RegistrationResponse::new(registered);
    match state.issuer() {
        Some(issuer) => {
            response.with_client_uri(format!("{issuer}/register/{}", registered.client.client_id))
        }
        None => response,
    }
}

/// The response to a client that was registered before.
fn current(state: &OAuthState, registered: &RegisteredClient) -> Response {
    let mut response = response(state, registered).into_response();
    *response.status_mut() = StatusCode::OK;
    response
}

fn refused(error: Error) -> OAuthError {
    match error.registration_error_code() {
        Some(code) => OAuthError::new(code, error.to_string()),
        None => error.into(),
    }
}

/// No such registration, or another registration access token (401, RFC 7592 2.1).
fn invalid_token() -> OAuthError {
    let challenge = "Bearer realm=\"registrations\", error=\"invalid_token\"".to_owned();
    OAuthError::new("invalid_token", "no such registration access token")
        .with_status(StatusCode::UNAUTHORIZED)
        .with_challenge(challenge)
}

/// Finds the client by its registration access token. The error is the same if the client does not exist.
async fn authenticate(
    state: &OAuthState,
    client_id: &str,
    headers: &HeaderMap,
) -> Result<(Client, Secret), OAuthError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = bearer_token(header).ok_or_else(invalid_token)?;
    let found = state.storage().get_registration(client_id, &token).await?;
    found.map(|client| (client, token)).ok_or_else(invalid_token)
}

/// A secret in the request must be the current one (RFC 7592 2.2).
async fn check_secret(
    state: &OAuthState,
    client_id: &str,
    secret: &Secret,
) -> Result<(), OAuthError> {
    let context = RequestContext::default();
    match state.storage().get_client(&context, client_id, Some(secret)).await? {
        Some(_) => Ok(()),
        None => Err(OAuthError::new(INVALID, "the client_secret is another one")),
    }
}
