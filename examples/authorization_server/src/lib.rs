//! An OAuth 2.0 / OpenID Connect authorization server on any [`Storage`], one file per endpoint.
//!
//! In the order of a login: `discovery`, `register`, `authorize` with its `authorization` and `callback`, `session` and
//! `interact`, then `token`, `userinfo`, and `account` and `logout` for its end. Beside it: `device` and `par`. What
//! every server needs is in `oauth-storage-axum`: client authentication, proofs, registration, introspection, limits.
//!
//! All state is in the storage, so any number of servers behind one address work as one. Only rates are limited by
//! each server.

mod account;
mod authorization;
mod authorize;
mod callback;
mod device;
mod discovery;
mod error;
mod form;
mod interact;
mod logout;
mod pages;
mod par;
mod register;
mod session;
mod token;
mod userinfo;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::map_response;
use axum::response::{Redirect, Response};
use axum::routing::{MethodRouter, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::client::{Client, GrantType};
use oauth_storage::id_token::SigningAlgorithm;
use oauth_storage::jwt::IdTokenSigner;
use oauth_storage::{RequestContext, Scope, Secret, Settings, Storage, User};
pub use oauth_storage_axum::ResourceServer;
use oauth_storage_axum::{
    AttemptLimit, BackchannelLogout, OAuthState, Registration, SessionCookie, introspect, revoke,
};
use serde_json::{Map, Value};
use tower_http::cors::{Any, CorsLayer};
use url::Url;

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
    /// The resource servers, which may introspect the access tokens of all clients.
    pub resource_servers: Vec<ResourceServer>,
    /// The number of sign-ins, of registrations, and of device authorizations and pushed requests that one client address may try in a
    /// minute.
    pub attempts_per_minute: NonZeroU32,
}

/// The state of the server.
pub(crate) struct Server {
    storage: Arc<dyn Storage>,
    signer: Arc<IdTokenSigner>,
    config: Config,
    /// The origin of the issuer, which browsers send with the forms of the pages.
    origin: String,
    cookie: SessionCookie,
    logout: BackchannelLogout,
    sign_ins: AttemptLimit,
    /// For what a public client stores without a user: device authorizations and pushed requests.
    requests: AttemptLimit,
}

type Shared = State<Arc<Server>>;

const REGISTRATION: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];

/// The state of the router.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    server: Arc<Server>,
    oauth: OAuthState,
}

/// The endpoints. The signer must be that of the storage; its keys may change while the server runs.
///
/// Serve it with [`Router::into_make_service_with_connect_info`], because rates are limited by client
/// address.
///
/// # Errors
/// Fails if the system has no randomness for the TLS client.
pub fn router(
    storage: impl Storage + 'static,
    signer: Arc<IdTokenSigner>,
    config: Config,
) -> Result<Router, reqwest::Error> {
    let limit = || AttemptLimit::per_minute(config.attempts_per_minute);
    let (registrations, secrets) = (limit(), limit());
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let origin = Url::parse(&config.issuer).map(|url| url.origin().ascii_serialization());
    let server = Arc::new(Server {
        origin: origin.unwrap_or_default(),
        cookie: SessionCookie::new(&config.issuer),
        logout: BackchannelLogout::new(Arc::clone(&storage), Arc::clone(&signer))?
            .with_loopback(config.issuer.starts_with("http://")),
        sign_ins: limit(),
        requests: limit(),
        storage,
        signer,
        config,
    });
    let policy = Arc::clone(&server);
    let registration = Registration::new(move |metadata| {
        register::admit(&policy.config, &policy.signer.keys().algorithms(), metadata)
    });
    let oauth = OAuthState::new(Arc::clone(&server.storage))
        .with_issuer(&server.config.issuer)
        .with_resource_servers(server.config.resource_servers.clone())
        .with_client_secret_limit(secrets);
    let app = App { oauth, server };
    Ok(routes(registration.with_limit(registrations)).with_state(app))
}

fn routes(registration: Registration) -> Router<App> {
    let metadata = || public(get(discovery::metadata), &[Method::GET]);
    Router::new()
        .route("/.well-known/openid-configuration", metadata())
        .route("/.well-known/oauth-authorization-server", metadata())
        .route("/jwks", public(get(discovery::jwks), &[Method::GET]))
        .merge(registration.router().layer(cors(&REGISTRATION)))
        .route("/token", public(post(token::token), &[Method::POST]))
        .route(
            "/userinfo",
            public(get(userinfo::get).post(userinfo::post), &[Method::GET, Method::POST]),
        )
        .route("/introspect", public(post(introspect), &[Method::POST]))
        .route("/revoke", public(post(revoke), &[Method::POST]))
        .route("/device_authorization", public(post(device::authorize), &[Method::POST]))
        .route("/par", public(post(par::push), &[Method::POST]))
        .route("/authorize", get(authorize::get).post(authorize::post))
        .route("/sign-in", get(interact::sign_in_page).post(interact::sign_in))
        .route("/consent", get(Redirect::to("account")).post(interact::consent))
        .route("/account", get(account::account))
        .route("/disconnect", get(account::disconnect_page).post(account::disconnect))
        .route("/device", get(device::get).post(device::post))
        .route("/logout", get(logout::get).post(logout::post))
        .route("/sign-out", get(Redirect::to("account")).post(logout::sign_out))
        .route("/", get(Redirect::to("account")))
        .route("/style.css", get(pages::style))
        .route("/submit.js", get(pages::submit))
        .fallback(pages::not_found)
        .layer(map_response(add_headers))
}

/// Opens an endpoint to the scripts of all sites (CORS). They send tokens and secrets explicitly; the
/// browser adds no cookie.
fn public(endpoint: MethodRouter<App>, methods: &[Method]) -> MethodRouter<App> {
    endpoint.layer(cors(methods))
}

fn cors(methods: &[Method]) -> CorsLayer {
    let dpop = HeaderName::from_static("dpop");
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(methods.to_vec())
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, dpop])
        .expose_headers([header::WWW_AUTHENTICATE])
        .max_age(Duration::from_hours(1))
}

impl Server {
    /// The request for a storage call.
    fn request(&self, user: Option<User>) -> RequestContext {
        let request = RequestContext::default().with_settings(self.config.settings.clone());
        user.into_iter().fold(request, RequestContext::with_user)
    }

    /// The algorithm that the client registered, if there still is such a key. Otherwise the default one:
    /// an error would come after the code or the refresh token was spent.
    fn signing_alg(&self, client: &Client) -> Option<SigningAlgorithm> {
        let registered = client.id_token_signing_alg().ok().flatten();
        registered.filter(|own| self.signer.keys().active(Some(*own)).is_some())
    }
}

impl Config {
    fn grant_types(&self) -> Vec<GrantType> {
        let mut offered = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        offered.extend([GrantType::ClientCredentials, GrantType::DeviceCode]);
        offered.extend(self.implicit.then_some(GrantType::Implicit));
        offered.extend(self.password.then_some(GrantType::Password));
        offered
    }
}

/// A digest of the parts, of which only the last may have a line break.
pub(crate) fn digest(parts: &[&str]) -> String {
    URL_SAFE_NO_PAD.encode(Secret::new(parts.join("\n")).digest().as_bytes())
}

/// Adds security headers that the endpoint did not set itself: responses are not cached
/// (RFC 6749 5.1) and not shown in a frame (RFC 9700 4.16). No other site learns the address of a page,
/// but this server learns which page sent a form.
async fn add_headers(mut response: Response) -> Response {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
