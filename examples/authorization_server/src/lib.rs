//! An OAuth 2.0 / OpenID Connect authorization server on any [`Storage`], one file per endpoint.
//!
//! In the order of a login: `discovery`, `register`, `authorize` with its `callback`, `interact`,
//! then `token`, `userinfo`, `introspect`, and `account` for its end.

mod account;
mod authorize;
mod callback;
mod client;
mod discovery;
mod error;
mod interact;
mod introspect;
mod pages;
mod register;
mod session;
mod token;
mod userinfo;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use oauth_storage::client::GrantType;
use oauth_storage::jwt::JwkSet;
use oauth_storage::{RequestContext, Scope, Settings, Storage, User};
use serde_json::{Map, Value};

use self::session::Sessions;

/// The configuration of the server.
pub struct Config {
    /// The URL of the server for browsers and clients, without a trailing slash.
    pub issuer: String,
    /// The scope that clients may request.
    pub scope: Scope,
    /// True to allow tokens in authorization responses (RFC 9700 2.1.2 advises against it).
    pub implicit: bool,
    /// True to allow the password grant (RFC 9700 2.4 forbids it).
    pub password: bool,
    /// Lifetimes and policies.
    pub settings: Settings,
    /// The claims about a user, without `sub`.
    pub claims: fn(subject: &str, scope: &Scope) -> Map<String, Value>,
}

/// The state of the server.
pub(crate) struct Server {
    storage: Box<dyn Storage>,
    jwk_set: JwkSet,
    config: Config,
    sessions: Sessions,
}

type Shared = State<Arc<Server>>;

/// The endpoints. The JWK set must be that of the storage's ID token signer.
pub fn router(storage: impl Storage + 'static, jwk_set: JwkSet, config: Config) -> Router {
    let (storage, sessions) = (Box::new(storage), Sessions::new(&config.issuer));
    let server = Arc::new(Server { storage, jwk_set, config, sessions });
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/.well-known/oauth-authorization-server", get(discovery::metadata))
        .route("/jwks", get(discovery::jwks))
        .route("/register", post(register::register))
        .route("/authorize", get(authorize::get).post(authorize::post))
        .route("/sign-in", get(interact::sign_in_page).post(interact::sign_in))
        .route("/consent", get(interact::consent_page).post(interact::consent))
        .route("/token", post(token::token))
        .route("/userinfo", get(userinfo::userinfo).post(userinfo::userinfo))
        .route("/introspect", post(introspect::introspect))
        .route("/revoke", post(introspect::revoke))
        .route("/account", get(account::account))
        .route("/disconnect", post(account::disconnect))
        .route("/sign-out", post(account::sign_out))
        .route("/", get(Redirect::to("account")))
        .route("/style.css", get(pages::style))
        .route("/submit.js", get(pages::submit))
        .layer(map_response(add_headers))
        .with_state(server)
}

impl Server {
    /// The request for a storage call.
    fn request(&self, user: Option<User>) -> RequestContext {
        let request = RequestContext::default().with_settings(self.config.settings.clone());
        user.into_iter().fold(request, RequestContext::with_user)
    }

    fn grant_types(&self) -> Vec<GrantType> {
        let mut offered = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        offered.push(GrantType::ClientCredentials);
        offered.extend(self.config.implicit.then_some(GrantType::Implicit));
        offered.extend(self.config.password.then_some(GrantType::Password));
        offered
    }
}

/// Adds security headers that the endpoint did not set itself: responses are not cached
/// (RFC 6749 5.1) and not shown in a frame (RFC 9700 4.16).
async fn add_headers(mut response: Response) -> Response {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
