//! ID tokens as hints and with RS256, offline access, and registrations that a client manages itself.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth_storage::Settings;
use oauth_storage::jwt::{SigningKey, SigningKeys};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use crate::support::{Browser, CALLBACK, Options, SIGN_IN, Site, answer, parameters};

/// Written by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, for this test only.
const RSA_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDBHi6bHjN1PqRg
BklSmLBK5rPEGi+7xFqgS7eyDvvnLjM3IqzXVIBOMD0iZa0uQltRIsNDrak8wRyd
Dy6S6yzPtwJ92ReK4K+MRdt7VLtxafb65vQRBYWTnbCY6NwUT6708kAw+r9d9yDK
uulG8RX6uQQ1bILZKfp4hJ06dIotFBi6amlt3ZBjgLIlChWeai6tm1khxpd3WrUP
5G3cpHxf1hlDb+8k08sxrezCsGTg9fTd9Mbf+SwIyPxkXbppaeLWa4An+cUXLL2/
Mc2FskdmYLr8k+Zu/4zRFMNroa+2HmMu8hWuJH5CJedIm3ZOZKv9WsRa0bL9okmP
SgjpzshHAgMBAAECggEAHMjraHqdb+3o4Vk+h52ztU5i4CmJEONJINh4ZoV+Payw
vJiiC6yQPVdKXXyrThhc9SCJ22YgsioUokJ3jjWYpdNg/zIjJLOt5uoot17fW53Q
TwCqw3i/usuH3Zrj5vEjomYTdFmDubVSwXUPvV/FB2yZeH8Wl9j+eQVHTEW/rM0u
PNxrtVz3D/aPINqoX32cNVwB0dwJ3czC5lTJZcW0gyWi7dwQtOmTu9sJ4NY2h3Xh
6jQhqmp+t1QsZchXie7AYRRZKSjV4dwQT6vtfi92VEDTso6QhBHsxqnPjBE5NGwl
yU4C2sVk6JBXwyWcGEpKRV5YS1t5IuextwMcbAptZQKBgQDkvYQh5DM4SuiSLW89
4U7GkPUG2rL/J5HqM0mdhos4CdRE6WZ/QnUUsPFkcFy3rhaRa6TJtZAufDU9p1WG
0b18ZYYvNNXD1rnHDCB+nApLjWmDrO8aHyq3SXNfjEfn+HcIXohCVcMg3axZNu1I
0zvCIEabozQxZkpB8nzuh+3BFQKBgQDYIeLYNE5Be0kR7DXm18yLqX3rSfMr32TE
9nqc53bouKUsfCHEqdkKuEY+FNE/2Ma+jUPLC0xvTcnvP4WeSSnorfboXy2ETmfS
RBosxopX+LKpITmO9V4RxtNY//iPNY2dQy2Bt5UrtKkjQ5TNofzv5msbysPs5cxK
5IvqaDLi6wKBgQCqX3aBf+WesjzUVD8dSipQwDuhZVgZsLGATb8xM7uSe8+9nFMZ
yrhGNx01gHOu5F4u5oyRKUlBNoa5a1/K0YJfm4b8tk/aVJ9/YMr7QuJwL949k5ts
S3aXmn/y1Rvh7jFK7I51SkfSvQnYUY8fxSYni77Lwh3oBZad1C21xU0TmQKBgFHs
HjjHMrZdTagOeavjNjPl7cWmhRanGWIS7wzUK10wx+Lhtkb9/jey+2UCrQHfYA3Q
K9cllDZILPeTg0kpAEqizgjsMquIsI+hoq5AHyYTLV0wK8oFNT/Vtjxw4b0elmv6
j6AwfslPNCEat6dt9BrWotio9bSwscvdby9NiaQ7AoGBANZFAWJ1cAmyMep/d1M4
KDr1xObi71Zz0qmM5ihuZ4Bvxm5ef0xNjrQ8JUPsZ7YuDU5oitRHb28uVTiYwQ7+
L+lg4fj5+pb7mDyXX84jq5J9mccWPFDu0TPsGIzhTqDCO0PlThQx4jLUCtQ39Q93
WRMmTd+zuDRCOTEZu28OGo3H
-----END PRIVATE KEY-----
";

const ALLOW: [(&str, &str); 1] = [("decision", "allow")];

fn request(site: &Site, client: &Value, scope: &str, extra: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", scope),
    ];
    parameters.extend(extra);
    site.authorize(&parameters)
}

/// Exchanges the code of a response.
async fn exchange(site: &Site, client: &Value, left: &Url) -> Value {
    let code = parameters(left)["code"].clone();
    let form = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
    let (status, _, body) = site.post("token", client, &form).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// Signs the user in for a new client, and returns its ID token.
async fn id_token(site: &Site, client: &Value, browser: &Browser, scope: &str) -> Value {
    let page = browser.open(&request(site, client, scope, &[])).await.page();
    let page = browser.submit(&page, &SIGN_IN).await.page();
    let left = browser.submit(&page, &ALLOW).await.left();
    exchange(site, client, &left).await
}

fn header(id_token: &str) -> Value {
    let part = id_token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hint_of_another_user_is_not_answered() {
    let site = Site::start().await;
    let client = site.register(json!({ "scope": "openid" })).await;
    let browser = Browser::new();
    let tokens = id_token(&site, &client, &browser, "openid").await;
    let hint = tokens["id_token"].as_str().unwrap();
    let silent = [("prompt", "none"), ("id_token_hint", hint)];
    let with_consent = [("prompt", "consent"), ("id_token_hint", hint)];
    let https = request(&site, &client, "openid", &silent);
    // Alice is signed in. The redirect URI is not https, but the client is confidential.
    let left = browser.open(&https).await.left();
    assert!(parameters(&left).contains_key("code"), "{left}");
    // Bob is signed in.
    browser.sign_in(&site, "bob").await;
    let left = browser.open(&https).await.left();
    assert_eq!(parameters(&left)["error"], "login_required");
    let page = browser.open(&request(&site, &client, "openid", &with_consent)).await.page();
    assert_eq!(page.asks(), "/sign-in");
    // Bob signs in again; Alice was expected.
    let as_bob = [("username", "bob"), ("password", "wonderland")];
    let left = browser.submit(&page, &as_bob).await.left();
    assert_eq!(parameters(&left)["error"], "login_required");
    let page = browser.open(&request(&site, &client, "openid", &with_consent)).await.page();
    let page = browser.submit(&page, &SIGN_IN).await.page();
    let left = browser.submit(&page, &ALLOW).await.left();
    assert!(parameters(&left).contains_key("code"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_is_no_id_token_for_the_client_asks_for_a_sign_in() {
    let site = Site::start().await;
    let (client, other) = (site.register(json!({})).await, site.register(json!({})).await);
    let browser = Browser::new();
    let of_other = id_token(&site, &other, &Browser::new(), "openid").await;
    id_token(&site, &client, &browser, "openid").await;
    let of_other = of_other["id_token"].as_str().unwrap();
    for hint in ["x", "a.b.c", of_other] {
        let silent = [("prompt", "none"), ("id_token_hint", hint)];
        let left = browser.open(&request(&site, &client, "openid", &silent)).await.left();
        assert_eq!(parameters(&left)["error"], "login_required", "{hint}");
        let page = browser.open(&request(&site, &client, "openid", &silent[1..])).await.page();
        assert_eq!(page.asks(), "/sign-in");
        // She agreed before, so the sign-in is answered.
        let left = browser.submit(&page, &SIGN_IN).await.left();
        assert!(parameters(&left).contains_key("code"), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rs256_is_the_default_where_there_is_a_key() {
    let site = Site::start_with(Options { rsa_key: Some(RSA_KEY), ..Options::default() }).await;
    let discovery = site.url(".well-known/openid-configuration");
    let (_, _, metadata) = answer(site.http.get(discovery)).await;
    assert_eq!(metadata["id_token_signing_alg_values_supported"], json!(["ES256", "RS256"]));
    let (_, _, jwks) = answer(site.http.get(site.url("jwks"))).await;
    assert_eq!((&jwks["keys"][0]["kty"], &jwks["keys"][1]["kty"]), (&"EC".into(), &"RSA".into()));
    for (asked, alg) in [
        (json!({}), "RS256"),
        (json!({ "id_token_signed_response_alg": "RS256" }), "RS256"),
        (json!({ "id_token_signed_response_alg": "ES256" }), "ES256"),
    ] {
        let client = site.register(asked).await;
        assert_eq!(client["id_token_signed_response_alg"], alg);
        let tokens = id_token(&site, &client, &Browser::new(), "openid").await;
        let header = header(tokens["id_token"].as_str().unwrap());
        let key = if alg == "RS256" { &jwks["keys"][1] } else { &jwks["keys"][0] };
        assert_eq!((&header["alg"], &header["kid"]), (&json!(alg), &key["kid"]));
    }
    for alg in ["none", "HS256", "PS256"] {
        let body = json!({ "redirect_uris": [CALLBACK], "id_token_signed_response_alg": alg });
        let (status, ..) = answer(site.http.post(site.url("register")).json(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{alg}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_scopes_are_ignored_and_offline_access_gives_a_refresh_token() {
    let strict = Settings::default().with_require_offline_access(true);
    for (settings, scope, is_offline) in [
        (strict.clone(), "openid", false),
        (strict.clone(), "openid offline_access", true),
        (strict, "openid offline_access unheard-of", true),
        (Settings::default(), "openid", true),
    ] {
        let site = Site::start_with(Options { settings, ..Options::default() }).await;
        let client = site.register(json!({})).await;
        let tokens = id_token(&site, &client, &Browser::new(), scope).await;
        assert_eq!(tokens["scope"], scope.replace(" unheard-of", ""));
        assert_eq!(tokens.get("refresh_token").is_some(), is_offline, "{scope}");
        let Some(refresh_token) = tokens["refresh_token"].as_str() else { continue };
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let (status, _, body) = site.post("token", &client, &form).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_for_what_was_shown() {
    let site = Site::start().await;
    let client = site.register(json!({ "scope": "openid", "client_name": "Tea" })).await;
    let uri = client["registration_client_uri"].as_str().unwrap();
    let token = client["registration_access_token"].as_str().unwrap();
    let change = async |members: Value| {
        let mut body = json!({ "redirect_uris": [CALLBACK], "scope": "openid" });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let (status, _, body) = answer(site.http.put(uri).bearer_auth(token).json(&body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    };
    let browser = Browser::new();
    let asked = request(&site, &client, "openid email api:read", &[]);
    let page = browser.open(&asked).await.page();
    let page = browser.submit(&page, &SIGN_IN).await.page();
    // The client widens its scope, or takes another name, while the page is open.
    let wider = json!({ "scope": "openid email api:read", "client_name": "Tea" });
    let renamed = json!({ "client_name": "Your bank" });
    for changed in [wider, renamed] {
        change(changed).await;
        let again = browser.submit(&page, &ALLOW).await.page();
        assert_eq!(again.asks(), "/consent");
        assert!(again.body.contains("role=\"alert\""), "{}", again.body);
    }
    change(json!({ "client_name": "Tea" })).await;
    let left = browser.submit(&page, &ALLOW).await.left();
    let tokens = exchange(&site, &client, &left).await;
    assert_eq!(tokens["scope"], "openid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_gone_costs_no_code() {
    let site = Site::start_with(Options { rsa_key: Some(RSA_KEY), ..Options::default() }).await;
    let client = site.register(json!({})).await;
    assert_eq!(client["id_token_signed_response_alg"], "RS256");
    // As after a restart without the RSA key.
    site.signer.update_keys(|_| SigningKeys::new(SigningKey::generate().unwrap()));
    let tokens = id_token(&site, &client, &Browser::new(), "openid").await;
    assert_eq!(header(tokens["id_token"].as_str().unwrap())["alg"], "ES256");
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let (status, _, body) = site.post("token", &client, &form).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessed_client_secrets_are_limited() {
    let site = Site::start_with(Options { attempts_per_minute: 3, ..Options::default() }).await;
    let client = site.register(json!({})).await;
    let mut guess = client.clone();
    guess["client_secret"] = json!("wonderland");
    let form = [("grant_type", "client_credentials")];
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(site.post("token", &guess, &form).await.0.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    // The client itself is not kept out.
    let (status, _, body) = site.post("token", &client, &form).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("unauthorized_client")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_manages_its_registration() {
    let site = Site::start().await;
    let client = site.register(json!({ "client_name": "Before" })).await;
    let uri = client["registration_client_uri"].as_str().unwrap();
    let token = client["registration_access_token"].as_str().unwrap();
    assert_eq!(uri, site.url(&format!("register/{}", client["client_id"].as_str().unwrap())));
    let call = async |method: Method, token: &str, body: Option<Value>| {
        let request = site.http.request(method, uri).bearer_auth(token);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        answer(request).await
    };
    let (status, _, read) = call(Method::GET, token, None).await;
    assert_eq!((status, &read["client_name"]), (StatusCode::OK, &json!("Before")));
    assert!(read.get("client_secret").is_none(), "it was shown once");
    // RFC 7592 3.
    for name in ["registration_access_token", "registration_client_uri"] {
        assert_eq!(read[name], client[name]);
    }

    let secret = client["client_secret"].as_str().unwrap();
    let mut change = json!({
        "client_id": client["client_id"], "client_secret": secret, "client_name": "After",
        "redirect_uris": [CALLBACK], "logo_uri": null,
    });
    let (status, _, changed) = call(Method::PUT, token, Some(change.clone())).await;
    assert_eq!((status, &changed["client_name"]), (StatusCode::OK, &json!("After")), "{changed}");
    for (name, value) in [
        ("client_id", json!("another")),
        ("client_secret", json!("another")),
        ("redirect_uris", json!(["javascript:alert(1)"])),
        ("scope", json!("admin")),
        ("registration_access_token", json!(token)),
    ] {
        let before = change[name].take();
        change[name] = value;
        let (status, _, body) = call(Method::PUT, token, Some(change.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {body}");
        match before {
            Value::Null => drop(change.as_object_mut().unwrap().remove(name)),
            before => change[name] = before,
        }
    }

    // The token of another client, the secret, and none.
    let other = site.register(json!({})).await;
    for wrong in [other["registration_access_token"].as_str().unwrap(), secret, "x"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let (status, headers, _) = call(method, wrong, Some(change.clone())).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Bearer "));
        }
    }
    let browser = Browser::new();
    let tokens = id_token(&site, &client, &browser, "openid").await;
    let (status, ..) = call(Method::DELETE, token, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, ..) = call(Method::GET, token, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let userinfo = site.http.get(site.url("userinfo"));
    let (status, ..) = answer(userinfo.bearer_auth(tokens["access_token"].as_str().unwrap())).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "its tokens are gone");
}
