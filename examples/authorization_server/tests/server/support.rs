//! A running server, a browser that submits its forms, and a client of the crate `openidconnect`.

mod browser;
mod chromium;
mod listener;
mod openid;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use oauth_storage::error::Result;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{
    IdTokenSigner, KeyEncryption, KeyEncryptionKey, ManagedKeys, SigningKey, SigningKeys,
};
use oauth_storage::postgres::NewUser;
use oauth_storage::{
    ClientMetadata, MemoryStorage, NewClient, PgStorage, RequestContext, ResponseType, Scope,
    Secret, Settings, Storage, User, UserStorage,
};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use authorization_server::{Config, ResourceServer, router};

pub(crate) use browser::{Browser, Page, SIGN_IN, parameters};
pub(crate) use chromium::{Gallery, Size};
pub(crate) use listener::LogoutListener;
pub(crate) use openid::{OpenIdClient, client_of, discover_and_register, log_in, revoke, tokens};

/// No server listens on this port: the browser does not follow redirects to it.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:9/callback?tenant=1";

pub(crate) const ALICE: &str = "248289761001";

/// A server on its own port, until the test ends.
pub(crate) struct Site {
    pub(crate) issuer: String,
    pub(crate) http: reqwest::Client,
    /// The resource server for the scope `api:read`.
    pub(crate) resource_server: Value,
    pub(crate) signer: Arc<IdTokenSigner>,
    _database: Option<oauth_storage_testbed::Database>,
}

/// Options of the server under test.
pub(crate) struct Options {
    pub(crate) implicit: bool,
    pub(crate) password: bool,
    /// All tests come from one address.
    pub(crate) attempts_per_minute: u32,
    /// A key in PEM for RS256.
    pub(crate) rsa_key: Option<&'static str>,
    pub(crate) settings: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            implicit: false,
            password: false,
            attempts_per_minute: 1_000_000,
            rsa_key: None,
            settings: Settings::default().with_refresh_token_grace(Duration::ZERO),
        }
    }
}

impl Site {
    /// Starts a server on PostgreSQL with the default options and without a grace period for refresh
    /// tokens.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let testbed = oauth_storage_testbed::shared().await.unwrap();
        let database = testbed.database("authorization_server").await.unwrap();
        let (listener, issuer) = listen().await;
        let signer = signer(&issuer, options.rsa_key);
        let builder = PgStorage::builder().password_users().id_tokens(Arc::clone(&signer));
        let storage = builder.connect(database.url()).await.unwrap();
        storage.migrate().await.unwrap();
        for (username, subject) in [("alice", ALICE), ("bob", "2")] {
            let user = NewUser::new(username, subject, "wonderland");
            storage.password_users().create(user).await.unwrap();
        }
        let config = config(&issuer, options);
        let router = router(storage.clone(), Arc::clone(&signer), config).unwrap();
        let mut site = Self::serve(listener, issuer, storage, signer, router).await;
        site._database = Some(database);
        site
    }

    /// Starts the server on a `MemoryStorage`.
    pub(crate) async fn start_in_memory() -> Self {
        let (listener, issuer) = listen().await;
        let signer = signer(&issuer, None);
        let storage =
            MemoryStorage::new().with_users(OnlyAlice).with_id_tokens(Arc::clone(&signer));
        let config = config(&issuer, Options::default());
        let router = router(storage.clone(), Arc::clone(&signer), config).unwrap();
        Self::serve(listener, issuer, storage, signer, router).await
    }

    /// Starts two servers on one PostgreSQL database, with the signing keys in it, behind one address. Each request
    /// goes to the server that did not get the one before.
    pub(crate) async fn start_two() -> Self {
        let testbed = oauth_storage_testbed::shared().await.unwrap();
        let database = testbed.database("authorization_server").await.unwrap();
        let (listener, issuer) = listen().await;
        let encryption = KeyEncryptionKey::generate().unwrap();
        let (mut routers, mut first) = (Vec::new(), None);
        for _ in 0..2 {
            let keys = PgStorage::connect(database.url()).await.unwrap();
            keys.migrate().await.unwrap();
            let encryption = KeyEncryption::new(encryption.clone());
            let signer = ManagedKeys::new(keys, &issuer, encryption).signer().await.unwrap();
            let signer = Arc::new(signer);
            let builder = PgStorage::builder().password_users().id_tokens(Arc::clone(&signer));
            let storage = builder.connect(database.url()).await.unwrap();
            let config = config(&issuer, Options::default());
            routers.push(router(storage.clone(), Arc::clone(&signer), config).unwrap());
            first.get_or_insert((storage, signer));
        }
        let (storage, signer) = first.unwrap();
        let alice = NewUser::new("alice", ALICE, "wonderland");
        storage.password_users().create(alice).await.unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let both = Router::new().fallback(move |request: Request| {
            let next = routers[requests.fetch_add(1, Ordering::Relaxed) % 2].clone();
            next.oneshot(request)
        });
        let mut site = Self::serve(listener, issuer, storage, signer, both).await;
        site._database = Some(database);
        site
    }

    async fn serve(
        listener: TcpListener,
        issuer: String,
        storage: impl Storage + 'static,
        signer: Arc<IdTokenSigner>,
        router: Router,
    ) -> Self {
        let new = NewClient::new(ClientMetadata::client_credentials()).with_client_id("api");
        let resource_server = storage.register_client(new).await.unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let resource_server = resource_server.registration_response().into();
        Self { issuer, http: client(false), resource_server, signer, _database: None }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer)
    }

    /// Registers a confidential client of the code flow, changed by the members of the body.
    pub(crate) async fn register(&self, body: Value) -> Value {
        let mut metadata = json!({
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
        });
        metadata.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let response = self.http.post(self.url("register")).json(&metadata).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{metadata}");
        response.json().await.unwrap()
    }

    /// Posts a form as a client with `client_secret_basic`.
    pub(crate) async fn post(
        &self,
        path: &str,
        client: &Value,
        form: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Value) {
        let request = self.http.post(self.url(path)).form(form);
        let secret = client["client_secret"].as_str();
        answer(request.basic_auth(client["client_id"].as_str().unwrap(), secret)).await
    }

    /// The URL of an authorization request.
    pub(crate) fn authorize(&self, parameters: &[(&str, &str)]) -> String {
        Url::parse_with_params(&self.url("authorize"), parameters).unwrap().into()
    }
}

/// Sends the request, and returns the status, the headers and the JSON body.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.json().await.unwrap_or_default())
}

fn config(issuer: &str, options: Options) -> Config {
    Config {
        issuer: issuer.to_owned(),
        scope: "openid profile email offline_access api:read".parse().unwrap(),
        implicit: options.implicit,
        password: options.password,
        settings: options.settings,
        claims,
        resource_servers: vec![ResourceServer {
            client_id: "api".into(),
            scope: "api:read api:write".parse().unwrap(),
        }],
        attempts_per_minute: NonZeroU32::new(options.attempts_per_minute).unwrap(),
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    (listener, issuer)
}

fn signer(issuer: &str, rsa_key: Option<&str>) -> Arc<IdTokenSigner> {
    let mut keys = SigningKeys::new(SigningKey::generate().unwrap());
    if let Some(pem) = rsa_key {
        keys = keys.with_active(SigningKey::from_pkcs8_pem(pem).unwrap());
    }
    let signer = IdTokenSigner::new(issuer, keys).unwrap();
    let signer = signer.with_claims(|request: &RequestContext, new: &NewIdToken<'_>| {
        let subject = new.full_subject(request).unwrap_or_default();
        let alone = new.response_type == ResponseType::ID_TOKEN;
        if alone { claims(subject, new.scope) } else { Map::new() }
    });
    Arc::new(signer)
}

fn claims(_subject: &str, scope: &Scope) -> Map<String, Value> {
    let known = [("profile", "name", "Alice Liddell"), ("email", "email", "alice@example.com")];
    let granted = known.into_iter().filter(|(token, ..)| scope.contains(token));
    granted.map(|(_, name, value)| (name.to_owned(), value.into())).collect()
}

struct OnlyAlice;

#[async_trait::async_trait]
impl UserStorage for OnlyAlice {
    async fn authenticate(&self, username: &str, password: &Secret) -> Result<Option<User>> {
        let right = username == "alice" && *password == Secret::new("wonderland");
        let now = chrono::DateTime::from(std::time::SystemTime::now());
        Ok(right.then(|| User::new(ALICE).with_auth_time(now)))
    }
}

fn client(cookies: bool) -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .cookie_store(cookies)
        .build()
        .unwrap()
}
