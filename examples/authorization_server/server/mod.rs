//! An OAuth 2.0 / OpenID Connect authorization server on any [`Storage`], a file per endpoint.
//!
//! Read them as a login goes: `discovery`, `register`, `authorize` with its `callback`, `interact`,
//! then `token`, `userinfo`, `introspect`.

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
use oauth_storage::jwt::JwkSet;
use oauth_storage::{GrantType, Request, Scope, Settings, Storage, User};
use serde_json::{Map, Value};

use self::session::Sessions;

/// What an operator decides.
pub(crate) struct Config {
    /// Where the server is reached from outside, without a slash at the end.
    pub(crate) issuer: String,
    /// What clients may ask for.
    pub(crate) scope: Scope,
    /// Whether tokens may be sent through the browser (RFC 9700 2.1.2 advises against it).
    pub(crate) implicit: bool,
    /// Whether clients may ask users for their password (RFC 9700 2.4 forbids it).
    pub(crate) password: bool,
    /// Lifetimes and policies.
    pub(crate) settings: Settings,
    /// What the application knows of a user, beside `sub`.
    pub(crate) claims: fn(subject: &str, scope: &Scope) -> Map<String, Value>,
}

/// The storage, and what the storage does not know.
pub(crate) struct Server {
    storage: Box<dyn Storage>,
    jwk_set: JwkSet,
    config: Config,
    sessions: Sessions,
}

type Shared = State<Arc<Server>>;

/// The endpoints. The JWK set is that of the storage's signer.
pub(crate) fn router(storage: impl Storage + 'static, jwk_set: JwkSet, config: Config) -> Router {
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
        .route("/account", get(interact::account))
        .route("/disconnect", post(interact::disconnect))
        .route("/sign-out", post(interact::sign_out))
        .route("/", get(Redirect::to("account")))
        .route("/style.css", get(pages::style))
        .route("/submit.js", get(pages::submit))
        .layer(map_response(careful))
        .with_state(server)
}

impl Server {
    /// What the storage is told of a request.
    fn request(&self, user: Option<User>) -> Request {
        Request { user, settings: self.config.settings.clone(), ..Request::default() }
    }

    fn grant_types(&self) -> Vec<GrantType> {
        let mut offered = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        offered.push(GrantType::ClientCredentials);
        offered.extend(self.config.implicit.then_some(GrantType::Implicit));
        offered.extend(self.config.password.then_some(GrantType::Password));
        offered
    }
}

/// What every answer carries, unless its endpoint knows better: most are for one pair of eyes only
/// (RFC 6749 5.1), and none is for a frame (RFC 9700 4.16).
async fn careful(mut response: Response) -> Response {
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
