//! An OAuth 2.0 / OpenID Connect authorization server on any [`Storage`]: a file per endpoint.
//!
//! The order to read it in is that of a login: `discovery`, `register`, `authorize` and with it
//! `callback`, `sign_in`, `consent`; then `token`, `userinfo`, `introspect`, `account`.

mod account;
mod authorize;
mod callback;
mod client;
mod consent;
mod discovery;
mod error;
mod introspect;
mod pages;
mod register;
mod session;
mod sign_in;
mod token;
mod userinfo;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use oauth_storage::jwt::JwkSet;
use oauth_storage::{GrantType, Request, Scope, Settings, Storage, User};
use serde_json::{Map, Value};

use self::session::Sessions;

/// The server: a storage, and what the storage does not know.
pub(crate) struct Server<S> {
    pub(crate) storage: S,
    pub(crate) config: Config,
    /// The keys that verify the ID tokens, see [`oauth_storage::jwt::IdTokenSigner::jwk_set`].
    pub(crate) jwk_set: JwkSet,
    pub(crate) sessions: Sessions,
}

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

type Shared<S> = State<Arc<Server<S>>>;

impl<S: Storage + 'static> Server<S> {
    pub(crate) fn new(storage: S, jwk_set: JwkSet, config: Config) -> Self {
        Self { storage, config, jwk_set, sessions: Sessions::default() }
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery::metadata::<S>))
            .route("/.well-known/oauth-authorization-server", get(discovery::metadata::<S>))
            .route("/jwks", get(discovery::jwks::<S>))
            .route("/register", post(register::register::<S>))
            .route("/authorize", get(authorize::get::<S>).post(authorize::post))
            .route("/sign-in", get(sign_in::get::<S>).post(sign_in::post::<S>))
            .route("/consent", get(consent::get::<S>).post(consent::post::<S>))
            .route("/token", post(token::token::<S>))
            .route("/userinfo", get(userinfo::userinfo::<S>).post(userinfo::userinfo::<S>))
            .route("/introspect", post(introspect::introspect::<S>))
            .route("/revoke", post(introspect::revoke::<S>))
            .route("/account", get(account::get::<S>))
            .route("/disconnect", post(account::disconnect::<S>))
            .route("/sign-out", post(account::sign_out::<S>))
            .route("/", get(Redirect::to("account")))
            .route("/style.css", get(pages::style))
            .route("/submit.js", get(pages::submit))
            .layer(map_response(careful_headers))
            .with_state(Arc::new(self))
    }

    /// What the storage is told of a request that no user stands behind.
    fn request(&self) -> Request {
        Request::default().with_settings(self.config.settings.clone())
    }

    /// What the storage is told of a request on behalf of a user.
    fn request_for(&self, user: User) -> Request {
        Request::for_user(user).with_settings(self.config.settings.clone())
    }

    fn grant_types(&self) -> Vec<GrantType> {
        let mut offered = vec![
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::ClientCredentials,
        ];
        offered.extend(self.config.implicit.then_some(GrantType::Implicit));
        offered.extend(self.config.password.then_some(GrantType::Password));
        offered
    }
}

/// What every answer carries, unless its endpoint knows better: most are for one pair of eyes only
/// (RFC 6749 5.1), and none is for a frame (RFC 9700 4.16).
async fn careful_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::CACHE_CONTROL, "no-store");
    default(header::PRAGMA, "no-cache");
    default(header::REFERRER_POLICY, "no-referrer");
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::X_FRAME_OPTIONS, "DENY");
    default(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    response
}
