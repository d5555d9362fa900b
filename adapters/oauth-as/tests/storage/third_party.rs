//! The client library `oauth2` against the example server, on two nodes of one database.

#[allow(dead_code)]
#[path = "../../examples/oauth_as_server.rs"]
mod server;

use std::time::Duration;

use oauth2::basic::{BasicClient, BasicTokenType};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, DeviceAuthorizationUrl,
    EmptyExtraTokenFields, IntrospectionUrl, PkceCodeChallenge, RedirectUrl, RevocationUrl, Scope,
    StandardDeviceAuthorizationResponse, StandardTokenResponse, TokenIntrospectionResponse as _,
    TokenResponse as _, TokenUrl,
};
use reqwest::redirect::Policy;
use tokio::net::TcpListener;
use url::Url;

use crate::support::{TestStorage, key};

type Tokens = StandardTokenResponse<EmptyExtraTokenFields, BasicTokenType>;

macro_rules! client {
    ($node:expr, $id:expr) => {{
        let node = &$node;
        BasicClient::new(ClientId::new($id.into()))
            .set_auth_uri(AuthUrl::new(format!("{node}/authorize")).unwrap())
            .set_token_uri(TokenUrl::new(format!("{node}/token")).unwrap())
            .set_redirect_uri(RedirectUrl::new("http://127.0.0.1:9000/cb".into()).unwrap())
            .set_introspection_url(IntrospectionUrl::new(format!("{node}/introspect")).unwrap())
            .set_revocation_url_option(
                RevocationUrl::new(format!("{node}/revoke").replacen("http", "https", 1)).ok(),
            )
            .set_device_authorization_url(
                DeviceAuthorizationUrl::new(format!("{node}/device_authorization")).unwrap(),
            )
    }};
}

/// Starts a node. Returns its URL.
async fn node(test: &TestStorage) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let url = test.database.url().to_owned();
    tokio::spawn(async move {
        if let Err(error) = server::serve(listener, &url, key()).await {
            panic!("{error}");
        }
    });
    issuer
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .cookie_store(true)
        .no_proxy()
        .build()
        .unwrap()
}

/// Sends a request for an `https` address without TLS: the library revokes at no other.
fn without_tls(
    http: &reqwest::Client,
) -> impl Fn(oauth2::HttpRequest) -> BoxFuture<Result<oauth2::HttpResponse, reqwest::Error>> {
    let http = http.clone();
    move |mut request| {
        let http = http.clone();
        let uri = request.uri().to_string().replacen("https", "http", 1);
        *request.uri_mut() = uri.parse().unwrap();
        Box::pin(async move {
            let answer = http.execute(request.try_into()?).await?;
            let response = oauth2::http::Response::builder().status(answer.status());
            Ok(response.body(answer.bytes().await?.to_vec()).unwrap())
        })
    }
}

type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("name={name} value="))
        .or_else(|| page.split_once(&format!("name=\"{name}\" value=")))
        .unwrap_or_else(|| panic!("no {name}: {page}"));
    let value = rest.trim_start_matches('"');
    let end = value.find(['"', '>']).unwrap();
    value[..end].replace("&amp;", "&")
}

/// Signs in.
async fn sign_in(browser: &reqwest::Client, node: &str) {
    let form = [("username", "alice"), ("password", "correct horse battery staple"), ("next", "/")];
    let response = browser.post(format!("{node}/login")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 303);
}

/// The code flow with PKCE, in a browser that has signed in.
async fn code_flow(
    browser: &reqwest::Client,
    node: &str,
) -> (AuthorizationCode, oauth2::PkceCodeVerifier) {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = client!(node, "app")
        .authorize_url(CsrfToken::new_random)
        .add_scope(Scope::new("read".into()))
        .set_pkce_challenge(challenge)
        .url();
    let page = browser.get(url.clone()).send().await.unwrap();
    assert_eq!(page.status(), 200, "asks for consent");
    let page = page.text().await.unwrap();
    let form = [
        ("csrf", field(&page, "csrf")),
        ("request", field(&page, "request")),
        ("answer", "allow".into()),
    ];
    let response = browser.post(format!("{node}/consent")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 303);
    let response = browser.get(url).send().await.unwrap();
    let location = response.headers()["location"].to_str().unwrap();
    let pairs: std::collections::HashMap<_, _> =
        Url::parse(location).unwrap().query_pairs().into_owned().collect();
    assert_eq!(&pairs["state"], state.secret());
    (AuthorizationCode::new(pairs["code"].clone()), verifier)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_library_completes_every_flow_on_two_nodes() {
    let test = TestStorage::new("third_party").await;
    let (one, two) = (node(&test).await, node(&test).await);
    let (browser, http) = (http(), http());
    for node in [&one, &two] {
        // The first start creates the user.
        for _ in 0..100 {
            if browser.get(format!("{node}/login")).send().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    sign_in(&browser, &one).await;

    // The code of one node is redeemed on the other.
    let (code, verifier) = code_flow(&browser, &one).await;
    let app = client!(two, "app");
    let exchange = app.exchange_code(code.clone()).set_pkce_verifier(verifier);
    let tokens: Tokens = exchange.request_async(&http).await.unwrap();
    let refreshed: Tokens = client!(one, "app")
        .exchange_refresh_token(tokens.refresh_token().unwrap())
        .request_async(&http)
        .await
        .unwrap();
    assert_ne!(refreshed.access_token().secret(), tokens.access_token().secret());

    // Client credentials, and introspection on the other node.
    let service = client!(one, "service");
    let service = service.set_client_secret(ClientSecret::new("a long and random secret".into()));
    let own: Tokens = service
        .exchange_client_credentials()
        .add_scope(Scope::new("write".into()))
        .request_async(&http)
        .await
        .unwrap();
    let there = client!(two, "service");
    let there = there.set_client_secret(ClientSecret::new("a long and random secret".into()));
    let active = async |token: &oauth2::AccessToken| {
        there.introspect(token).request_async(&http).await.unwrap().active()
    };
    assert!(active(own.access_token()).await);

    // Revocation, seen on the other node.
    let revoke = service.revoke_token(own.access_token().into()).unwrap();
    revoke.request_async(&without_tls(&http)).await.unwrap();
    assert!(!active(own.access_token()).await);

    // The reuse of a refresh token revokes its family.
    let reuse = client!(two, "app");
    let reuse = reuse.exchange_refresh_token(tokens.refresh_token().unwrap());
    reuse.request_async(&http).await.unwrap_err();
    let after = client!(one, "app");
    let after = after.exchange_refresh_token(refreshed.refresh_token().unwrap());
    after.request_async(&http).await.unwrap_err();

    // The device polls one node, and the user approves on the other.
    let device = client!(one, "app");
    let details: StandardDeviceAuthorizationResponse = device
        .exchange_device_code()
        .add_scope(Scope::new("read".into()))
        .request_async(&http)
        .await
        .unwrap();
    let polling = tokio::spawn({
        let (device, details, http) = (client!(two, "app"), details.clone(), http.clone());
        async move {
            let polling = device.exchange_device_access_token(&details);
            polling.request_async(&http, tokio::time::sleep, Some(Duration::from_secs(30))).await
        }
    });
    let page = browser.get(format!("{one}/device")).send().await.unwrap().text().await.unwrap();
    let user_code = details.user_code().secret().clone();
    let form = [
        ("csrf_token", field(&page, "csrf_token")),
        ("user_code", user_code),
        ("action", "approve".into()),
    ];
    let response = browser
        .post(format!("{one}/device"))
        .form(&form)
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains("Approved"));
    let tokens: Tokens = polling.await.unwrap().unwrap();
    assert!(tokens.refresh_token().is_some());
}
