//! A running server, a browser that submits its forms, and a client of the crate `openidconnect`.

use std::time::Duration;

use axum::http::StatusCode;
use oauth_storage::error::Result;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::jwt::{IdTokenSigner, JwkSet, SigningKey};
use oauth_storage::postgres::NewUser;
use oauth_storage::{
    IdTokenStorage, MemoryStorage, PgStorage, RequestContext, ResponseType, Scope, Secret,
    Settings, Storage, User, UserStorage,
};
use openidconnect::core::{
    CoreClient, CoreClientRegistrationRequest, CoreGrantType, CoreIdTokenClaims,
    CoreProviderMetadata, CoreRevocableToken, CoreTokenResponse,
};
use openidconnect::registration::EmptyAdditionalClientMetadata;
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, IntrospectionUrl, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RevocationUrl, TokenResponse as _,
};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use url::Url;

use authorization_server::{Config, router};

/// Nobody listens on this port: the browser does not follow redirects to it.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:9/callback?tenant=1";

pub(crate) const ALICE: &str = "248289761001";

/// A server on its own port, until the test ends.
pub(crate) struct Site {
    pub(crate) issuer: String,
    pub(crate) http: reqwest::Client,
    _database: Option<oauth_storage_testbed::Database>,
}

/// Options of the server under test.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) implicit: bool,
    pub(crate) password: bool,
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
        let (signer, jwk_set) = signer(&issuer);
        let builder = PgStorage::builder().password_users().id_tokens(signer);
        let storage = builder.connect(database.url()).await.unwrap();
        storage.migrate().await.unwrap();
        for (username, subject) in [("alice", ALICE), ("bob", "2")] {
            let (username, subject) = (username.into(), subject.into());
            let password = Secret::new("wonderland");
            let user = NewUser { username, subject, password };
            storage.password_users().create(user).await.unwrap();
        }
        let mut site = Self::serve(listener, issuer, storage, jwk_set, options);
        site._database = Some(database);
        site
    }

    /// Starts the server on a `MemoryStorage`.
    pub(crate) async fn start_in_memory() -> Self {
        let (listener, issuer) = listen().await;
        let (signer, jwk_set) = signer(&issuer);
        let storage = MemoryStorage::new().with_users(OnlyAlice).with_id_tokens(signer);
        Self::serve(listener, issuer, storage, jwk_set, Options::default())
    }

    fn serve(
        listener: TcpListener,
        issuer: String,
        storage: impl Storage + 'static,
        jwk_set: JwkSet,
        options: Options,
    ) -> Self {
        let config = Config {
            issuer: issuer.clone(),
            scope: "openid profile email api:read".parse().unwrap(),
            implicit: options.implicit,
            password: options.password,
            settings: Settings::default().with_refresh_token_grace(Duration::ZERO),
            claims,
        };
        let router = router(storage, jwk_set, config);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, http: client(false), _database: None }
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

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    (listener, issuer)
}

fn signer(issuer: &str) -> (impl IdTokenStorage + 'static, JwkSet) {
    let signer = IdTokenSigner::new(issuer, SigningKey::generate().unwrap()).unwrap();
    let signer = signer.with_claims(|request: &RequestContext, new: &NewIdToken<'_>| {
        let subject = new.full_subject(request).unwrap_or_default();
        let alone = new.response_type == ResponseType::ID_TOKEN;
        if alone { claims(subject, new.scope) } else { Map::new() }
    });
    let jwk_set = signer.jwk_set();
    (signer, jwk_set)
}

fn claims(_subject: &str, scope: &Scope) -> Map<String, Value> {
    let mut claims = Map::new();
    if scope.contains("email") {
        claims.insert("email".into(), "alice@example.com".into());
    }
    claims
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

/// A browser with its own cookies.
pub(crate) struct Browser {
    http: reqwest::Client,
}

/// A page of the server.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The end of a chain of redirects.
pub(crate) enum Visit {
    Page(Page),
    /// A redirect to a client.
    Left(Url),
}

impl Visit {
    pub(crate) fn page(self) -> Page {
        match self {
            Self::Page(page) => page,
            Self::Left(url) => panic!("a page was expected, not a redirect to {url}"),
        }
    }

    pub(crate) fn left(self) -> Url {
        match self {
            Self::Left(url) => url,
            Self::Page(page) => panic!("a redirect was expected, not {}", page.body),
        }
    }
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self { http: client(true) }
    }

    pub(crate) async fn open(&self, url: &str) -> Visit {
        self.follow(self.http.get(url)).await
    }

    /// Submits the first form of the page.
    pub(crate) async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Visit {
        let (action, mut form) = page.form();
        form.extend(fields.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        self.follow(self.http.post(action).form(&form)).await
    }

    pub(crate) async fn follow(&self, request: reqwest::RequestBuilder) -> Visit {
        let mut response = request.send().await.unwrap();
        loop {
            let (url, status) = (response.url().clone(), response.status());
            let headers = response.headers().clone();
            let Some(location) = headers.get(LOCATION) else {
                let body = response.text().await.unwrap();
                return Visit::Page(Page { url, status, headers, body });
            };
            assert_eq!(status, StatusCode::SEE_OTHER, "RFC 9700 4.12");
            let next = url.join(location.to_str().unwrap()).unwrap();
            if next.origin() != url.origin() {
                return Visit::Left(next);
            }
            response = self.http.get(next).send().await.unwrap();
        }
    }

    /// Opens an authorization request, signs in as alice where needed and agrees.
    pub(crate) async fn allow(&self, url: &str) -> Url {
        let mut visit = self.open(url).await;
        loop {
            let page = match visit {
                Visit::Left(url) => return url,
                Visit::Page(page) => page,
            };
            assert_eq!(page.status, StatusCode::OK, "{}", page.body);
            visit = match page.url.path() {
                "/sign-in" => {
                    let fields = [("username", "alice"), ("password", "wonderland")];
                    self.submit(&page, &fields).await
                }
                "/consent" => self.submit(&page, &[("decision", "allow")]).await,
                other => panic!("{other}: {}", page.body),
            };
        }
    }

    /// A form post with the cookies of this browser.
    pub(crate) fn post(&self, url: Url, form: &[(String, String)]) -> reqwest::RequestBuilder {
        self.http.post(url).form(form)
    }

    /// Signs in without an authorization request.
    pub(crate) async fn sign_in(&self, site: &Site, username: &str) -> Page {
        let page = self.open(&site.url("sign-in")).await.page();
        self.submit(&page, &[("username", username), ("password", "wonderland")]).await.page()
    }
}

impl Page {
    /// The action of the first form, and its hidden fields.
    pub(crate) fn form(&self) -> (Url, Vec<(String, String)>) {
        let form = self.body.split("<form ").nth(1).unwrap();
        let form = form.split("</form>").next().unwrap();
        let action = self.url.join(&attribute(form, "action")).unwrap();
        let hidden = form.split("<input type=\"hidden\" ").skip(1);
        (
            action,
            hidden.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect(),
        )
    }
}

fn attribute(tag: &str, name: &str) -> String {
    let value = tag.split(&format!("{name}=\"")).nth(1).unwrap();
    let value = value.split('"').next().unwrap();
    value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The parameters of an authorization response.
pub(crate) fn parameters(url: &Url) -> std::collections::HashMap<String, String> {
    let encoded = url.fragment().or(url.query()).unwrap_or_default();
    url::form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
}

/// An `openidconnect` client with all endpoints.
pub(crate) type OpenIdClient = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointSet,
    EndpointSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Discovers the server and registers a client.
pub(crate) async fn discover_and_register(site: &Site) -> OpenIdClient {
    let issuer = IssuerUrl::new(site.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &site.http).await.unwrap();
    let redirect_uri = RedirectUrl::new(CALLBACK.into()).unwrap();
    let registered = CoreClientRegistrationRequest::new(
        vec![redirect_uri.clone()],
        EmptyAdditionalClientMetadata {},
    )
    .set_grant_types(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken]))
    .register_async(metadata.registration_endpoint().unwrap(), &site.http)
    .await
    .unwrap();
    client_of(site, metadata, registered.client_id(), registered.client_secret().cloned())
}

pub(crate) fn client_of(
    site: &Site,
    metadata: CoreProviderMetadata,
    client_id: &ClientId,
    secret: Option<ClientSecret>,
) -> OpenIdClient {
    CoreClient::from_provider_metadata(metadata, client_id.clone(), secret)
        .set_redirect_uri(RedirectUrl::new(CALLBACK.into()).unwrap())
        .set_introspection_url(IntrospectionUrl::new(site.url("introspect")).unwrap())
        .set_revocation_url(
            RevocationUrl::new(site.url("revoke").replacen("http", "https", 1)).unwrap(),
        )
}

pub(crate) async fn revoke(site: &Site, client: &OpenIdClient, token: CoreRevocableToken) {
    let http = WithoutTls(site.http.clone());
    client.revoke_token(token).unwrap().request_async(&http).await.unwrap();
}

/// `openidconnect` revokes over https only. This client sends the request over http, in place of a
/// TLS proxy in front of the server.
struct WithoutTls(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for WithoutTls {
    type Error = <reqwest::Client as AsyncHttpClient<'c>>::Error;
    type Future = <reqwest::Client as AsyncHttpClient<'c>>::Future;

    fn call(&'c self, mut request: HttpRequest) -> Self::Future {
        let uri = request.uri().to_string().replacen("https", "http", 1);
        *request.uri_mut() = uri.parse().unwrap();
        self.0.call(request)
    }
}

/// A code flow up to the code.
pub(crate) struct Login {
    pub(crate) code: AuthorizationCode,
    pub(crate) verifier: PkceCodeVerifier,
    pub(crate) nonce: Nonce,
}

pub(crate) async fn log_in(site: &Site, client: &OpenIdClient, browser: &Browser) -> Login {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            openidconnect::core::CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(openidconnect::Scope::new("email".into()))
        .set_pkce_challenge(challenge)
        .url();
    let callback = browser.allow(url.as_str()).await;
    assert!(callback.as_str().starts_with(CALLBACK), "{callback}");
    let answer = parameters(&callback);
    assert_eq!(answer.get("state"), Some(state.secret()), "{callback}");
    assert_eq!(answer["iss"], site.issuer, "RFC 9207");
    Login { code: AuthorizationCode::new(answer["code"].clone()), verifier, nonce }
}

/// A whole code flow: the tokens, and the claims of the verified ID token.
pub(crate) async fn tokens(
    site: &Site,
    client: &OpenIdClient,
    browser: &Browser,
) -> (CoreTokenResponse, CoreIdTokenClaims) {
    let login = log_in(site, client, browser).await;
    let response = client.exchange_code(login.code).unwrap().set_pkce_verifier(login.verifier);
    let response: CoreTokenResponse = response.request_async(&site.http).await.unwrap();
    let id_token = response.id_token().unwrap();
    let claims = id_token.claims(&client.id_token_verifier(), &login.nonce).unwrap().clone();
    (response, claims)
}
