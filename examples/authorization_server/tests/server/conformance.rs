//! Tests of the OpenID Foundation's Basic OP and Config OP plans that no other file has.
//! `docs/conformance.md` lists all tests of the plans.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

use crate::support::{ALICE, Browser, CALLBACK, SIGN_IN, Site, answer, parameters};

/// The parameters of an authorization request, without a nonce.
fn request<'a>(client: &'a Value, scope: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", scope),
        ("state", "s"),
    ]
}

/// Exchanges the code of an authorization response, and returns the tokens and the claims of the ID
/// token, whose signature other tests verify.
async fn exchange(site: &Site, client: &Value, callback: &Url) -> (Value, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(callback)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    let (status, _, tokens) = site.post("token", client, &form).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    (tokens, claims)
}

async fn userinfo(site: &Site, tokens: &Value) -> Value {
    let token = tokens["access_token"].as_str().unwrap();
    answer(site.http.get(site.url("userinfo")).bearer_auth(token)).await.2
}

/// `oidcc-server-client-secret-post`: the code flow of a client with this method.
#[tokio::test(flavor = "multi_thread")]
async fn client_secret_post() {
    let site = Site::start().await;
    let method = json!({ "token_endpoint_auth_method": "client_secret_post" });
    let client = site.register(method).await;
    let callback = Browser::new().allow(&site.authorize(&request(&client, "openid"))).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&callback)["code"]),
        ("redirect_uri", CALLBACK),
        ("client_id", client["client_id"].as_str().unwrap()),
        ("client_secret", client["client_secret"].as_str().unwrap()),
    ];
    let (status, _, tokens) = answer(site.http.post(site.url("token")).form(&form)).await;
    assert_eq!(status, 200, "{tokens}");
    assert!(tokens["id_token"].is_string());
}

/// `oidcc-ensure-request-without-nonce-succeeds-for-code-flow`.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_flow_needs_no_nonce() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let callback = Browser::new().allow(&site.authorize(&request(&client, "openid"))).await;
    let (_, claims) = exchange(&site, &client, &callback).await;
    assert_eq!((claims["sub"].as_str(), claims.get("nonce")), (Some(ALICE), None));
}

/// `oidcc-scope-profile`, `oidcc-scope-email`, `oidcc-ensure-other-scope-order-succeeds`.
#[tokio::test(flavor = "multi_thread")]
async fn each_scope_gives_its_claims_in_any_order() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let (_, _, metadata) =
        answer(site.http.get(site.url(".well-known/openid-configuration"))).await;
    let supported = metadata["scopes_supported"].as_array().unwrap().clone();
    for (scope, expected) in [
        ("openid profile", json!({ "sub": ALICE, "name": "Alice Liddell" })),
        ("openid email", json!({ "sub": ALICE, "email": "alice@example.com" })),
        ("email openid", json!({ "sub": ALICE, "email": "alice@example.com" })),
    ] {
        assert!(scope.split(' ').all(|token| supported.contains(&json!(token))));
        let callback = Browser::new().allow(&site.authorize(&request(&client, scope))).await;
        let (tokens, claims) = exchange(&site, &client, &callback).await;
        assert_eq!(userinfo(&site, &tokens).await, expected, "{scope}");
        assert!(claims.get("name").is_none() && claims.get("email").is_none(), "Core 5.4");
    }
    for skipped in ["address", "phone"] {
        assert!(!supported.contains(&json!(skipped)), "then the suite skips oidcc-scope-{skipped}");
    }
}

/// `oidcc-display-page`, `oidcc-display-popup`, `oidcc-ui-locales`, `oidcc-claims-locales`,
/// `oidcc-ensure-request-with-acr-values-succeeds`, `oidcc-claims-essential`,
/// `oidcc-ensure-request-with-unknown-parameter-succeeds`.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_not_acted_on_are_accepted() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    for parameter in [
        ("display", "page"),
        ("display", "popup"),
        ("ui_locales", "se"),
        ("claims_locales", "se"),
        ("acr_values", "1 2"),
        ("claims", r#"{"userinfo":{"name":{"essential":true}}}"#),
        ("extra", "foobar"),
    ] {
        let mut request = request(&client, "openid");
        request.push(parameter);
        let callback = Browser::new().allow(&site.authorize(&request)).await;
        let (tokens, _) = exchange(&site, &client, &callback).await;
        assert_eq!(userinfo(&site, &tokens).await["sub"], ALICE, "{parameter:?}");
    }
}

/// `oidcc-login-hint`.
#[tokio::test(flavor = "multi_thread")]
async fn the_login_hint_is_filled_in() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let mut request = request(&client, "openid");
    request.push(("login_hint", "buffy@op.example"));
    let browser = Browser::new();
    let page = browser.open(&site.authorize(&request)).await.page();
    assert!(page.body.contains("value=\"buffy@op.example\""), "{}", page.body);
    let page = browser.submit(&page, &SIGN_IN).await.page();
    assert_eq!(page.asks(), "/consent", "it is only a hint");
}

/// `oidcc-prompt-none-logged-in`, `oidcc-max-age-10000`: a second request needs no sign-in and has the
/// same subject and `auth_time`. `oidcc-prompt-login`, `oidcc-max-age-1`: it needs one, and has another
/// `auth_time`.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_signs_in_only_where_it_asks_for_it() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let with = |parameter: Option<(&'static str, &'static str)>| {
        let mut request = request(&client, "openid");
        request.extend(parameter);
        site.authorize(&request)
    };
    let callback = browser.allow(&with(None)).await;
    let (_, first) = exchange(&site, &client, &callback).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    for (parameter, signs_in) in [
        (("prompt", "none"), false),
        (("max_age", "10000"), false),
        (("max_age", "1"), true),
        (("prompt", "login"), true),
    ] {
        let callback = if signs_in {
            let page = browser.open(&with(Some(parameter))).await.page();
            assert_eq!(page.asks(), "/sign-in", "{parameter:?}");
            browser.submit(&page, &SIGN_IN).await.left()
        } else {
            browser.open(&with(Some(parameter))).await.left()
        };
        let (_, second) = exchange(&site, &client, &callback).await;
        assert_eq!(second["sub"], first["sub"]);
        assert!(second["auth_time"].is_number());
        assert_eq!(second["auth_time"] != first["auth_time"], signs_in, "{parameter:?}");
    }
}

/// `oidcc-ensure-request-object-with-redirect-uri` and its like: without support for request objects
/// the server refuses them, and redirects only to the plain redirect URI.
#[tokio::test(flavor = "multi_thread")]
async fn request_objects_are_refused() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let object = |claims: Value| {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", encode(json!({ "alg": "none" })), encode(claims))
    };
    let object = object(json!({ "redirect_uri": CALLBACK, "response_type": "code" }));
    let mut asked = request(&client, "openid");
    asked.push(("request", &object));
    let refused = parameters(&Browser::new().open(&site.authorize(&asked)).await.left());
    assert_eq!(
        (refused["error"].as_str(), refused["state"].as_str()),
        ("request_not_supported", "s")
    );
    asked[1].1 = "https://invalid.example/callback";
    let page = Browser::new().open(&site.authorize(&asked)).await.page();
    assert_eq!(page.status, 400);
}

/// `oidcc-refresh-token`: it is bound to its client.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_of_no_use_to_another_client() {
    let site = Site::start().await;
    let (client, other) = (site.register(json!({})).await, site.register(json!({})).await);
    let callback = Browser::new().allow(&site.authorize(&request(&client, "openid"))).await;
    let (tokens, first) = exchange(&site, &client, &callback).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    assert_eq!(site.post("token", &other, &form).await.2["error"], "invalid_grant");
    let (status, _, tokens) = site.post("token", &client, &form).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    for claim in ["iss", "sub", "aud", "auth_time"] {
        assert_eq!(claims[claim], first[claim], "OpenID Connect Core 12.2: {claim}");
    }
}

/// `oidcc-discovery-endpoint-verification`, but for https, which the issuer of this test does not have.
#[tokio::test(flavor = "multi_thread")]
async fn discovery_has_what_is_required() {
    let site = Site::start().await;
    let url = site.url(".well-known/openid-configuration");
    let (status, headers, metadata) = answer(site.http.get(url)).await;
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(metadata["issuer"], site.issuer);
    let members = metadata.as_object().unwrap();
    for (name, value) in members.iter().filter(|(name, _)| name.ends_with("_endpoint")) {
        assert!(value.as_str().unwrap().starts_with(&site.issuer), "{name}");
    }
    for (name, required) in [
        ("response_types_supported", "code"),
        ("subject_types_supported", "public"),
        ("scopes_supported", "openid"),
        ("grant_types_supported", "authorization_code"),
        ("code_challenge_methods_supported", "S256"),
        ("claims_supported", "sub"),
    ] {
        let values = metadata[name].as_array().unwrap();
        assert!(values.contains(&json!(required)), "{name}");
    }
    for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
        assert!(members.contains_key(name), "{name}");
    }
    let (_, _, keys) = answer(site.http.get(metadata["jwks_uri"].as_str().unwrap())).await;
    let keys = keys["keys"].as_array().unwrap();
    for key in keys {
        assert!(
            key["kid"].is_string() && key.get("d").is_none() && key.get("k").is_none(),
            "{key}"
        );
    }
    assert!(!keys.is_empty());
}
