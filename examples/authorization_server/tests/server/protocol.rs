//! CORS, tokens in a form, introspection by others, and hints for wrong client authentication.

use reqwest::Method;
use reqwest::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};

use crate::support::{Browser, CALLBACK, Site, answer, parameters};

/// The tokens of alice for a client.
pub(crate) async fn issue(site: &Site, client: &Value, scope: &str) -> Value {
    let url = site.authorize(&[
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", scope),
    ]);
    let url = Browser::new().allow(&url).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&url)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    site.post("token", client, &exchange).await.2
}

const ORIGIN: &str = "https://app.example";

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_all_sites_may_call_the_endpoints() {
    let site = Site::start().await;
    for (path, methods) in [
        ("token", "POST"),
        ("userinfo", "GET,POST"),
        ("revoke", "POST"),
        ("introspect", "POST"),
        ("register", "GET,POST,PUT,DELETE"),
        (".well-known/openid-configuration", "GET"),
        (".well-known/oauth-authorization-server", "GET"),
        ("jwks", "GET"),
    ] {
        let preflight = site.http.request(Method::OPTIONS, site.url(path)).header("origin", ORIGIN);
        let preflight = preflight.header("access-control-request-method", "POST");
        let preflight = preflight.header("access-control-request-headers", "authorization,dpop");
        let (status, headers, _) = answer(preflight).await;
        assert_eq!(status, 200, "{path}");
        let header = |name: &str| headers[name].to_str().unwrap().to_lowercase();
        assert_eq!(header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(header("access-control-allow-methods").to_uppercase(), methods, "{path}");
        assert_eq!(header("access-control-allow-headers"), "authorization,content-type,dpop");
        assert!(!headers.contains_key("access-control-allow-credentials"), "{path}");

        let method = if methods.contains("POST") { Method::POST } else { Method::GET };
        let request = site.http.request(method, site.url(path)).header("origin", ORIGIN);
        let (_, headers, _) = answer(request).await;
        assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
        assert_eq!(headers["access-control-expose-headers"], "www-authenticate", "{path}");
    }
    for path in ["authorize", "sign-in", "consent", "account", "disconnect", "sign-out", ""] {
        for method in [Method::OPTIONS, Method::GET, Method::POST] {
            let request = site.http.request(method, site.url(path)).header("origin", ORIGIN);
            let request = request.header("access-control-request-method", "POST");
            let (_, headers, _) = answer(request).await;
            assert!(!headers.contains_key("access-control-allow-origin"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_takes_the_token_in_a_form() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let issued = issue(&site, &client, "openid email").await;
    let token = issued["access_token"].as_str().unwrap();
    let post = || site.http.post(site.url("userinfo"));
    let (status, _, claims) = answer(post().form(&[("access_token", token)])).await;
    assert_eq!((status.as_u16(), &claims["email"]), (200, &json!("alice@example.com")));
    // The token in the header, and a body that is empty, or another form.
    for request in [post(), post().body(""), post().form(&[("a", "b"), ("access_token", "")])] {
        assert_eq!(answer(request.bearer_auth(token)).await.0, 200);
    }
    let twice = format!("access_token={token}&access_token={token}");
    let form = "application/x-www-form-urlencoded";
    for (what, request) in [
        ("two ways", post().bearer_auth(token).form(&[("access_token", token)])),
        ("twice", post().header("content-type", form).body(twice)),
    ] {
        let (status, headers, _) = answer(request).await;
        assert_eq!(status, 400, "{what}");
        let challenge = headers[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.contains("error=\"invalid_request\""), "{what}: {challenge}");
    }
    let (status, headers, _) = answer(post().form(&[("access_token", "x")])).await;
    assert_eq!(status, 401);
    assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().contains("error=\"invalid_token\""));
    // A token in the address would stay in logs (RFC 6750 5.3).
    let url = format!("{}?access_token={token}", site.url("userinfo"));
    assert_eq!(answer(site.http.get(&url)).await.0, 401);
    assert_eq!(answer(site.http.post(&url)).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_is_for_the_client_and_its_resource_server() {
    let site = Site::start().await;
    let (client, other) = (site.register(json!({})).await, site.register(json!({})).await);
    let wide = issue(&site, &client, "openid api:read").await;
    let narrow = issue(&site, &client, "openid email").await;
    let api = &site.resource_server;
    let inactive = json!({ "active": false });
    for (by, what, token, is_active) in [
        (&client, "its client", &wide["access_token"], true),
        (&client, "its client", &wide["refresh_token"], true),
        (&other, "another client", &wide["access_token"], false),
        (&other, "another client's refresh token", &wide["refresh_token"], false),
        (api, "a resource server of the scope", &wide["access_token"], true),
        (api, "a resource server, a refresh token", &wide["refresh_token"], false),
        (api, "a resource server of another scope", &narrow["access_token"], false),
    ] {
        let token = token.as_str().unwrap();
        let (status, _, body) = site.post("introspect", by, &[("token", token)]).await;
        assert_eq!(status, 200, "{what}");
        assert_eq!(body["active"], is_active, "{what}");
        assert_eq!(body == inactive, !is_active, "{what}: RFC 7662 2.2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_authentication_method_is_named() {
    let site = Site::start().await;
    let mut clients = Vec::new();
    for method in ["client_secret_basic", "client_secret_post", "none"] {
        let metadata = json!({ "token_endpoint_auth_method": method });
        clients.push((method, site.register(metadata).await));
    }
    for (method, client) in &clients {
        let id = client["client_id"].as_str().unwrap();
        let secret = client["client_secret"].as_str().unwrap_or("x");
        for path in ["token", "introspect", "revoke"] {
            let request = || site.http.post(site.url(path));
            let form = [("client_id", id), ("client_secret", secret)];
            for (used, request) in [
                ("client_secret_basic", request().basic_auth(id, Some(secret)).form(&[("a", "b")])),
                ("client_secret_post", request().form(&form)),
                ("none", request().form(&form[..1])),
            ] {
                let (status, _, body) = answer(request).await;
                let description = format!("this client authenticates with {method}");
                let is_named = body["error_description"] == description.as_str();
                assert_eq!(is_named, used != *method, "{path}, {method} with {used}: {body}");
                if is_named {
                    assert_eq!((status.as_u16(), &body["error"]), (401, &json!("invalid_client")));
                }
            }
        }
    }
    // The method is right, the secret is not: nothing more is said.
    let id = clients[0].1["client_id"].as_str().unwrap();
    let request = site.http.post(site.url("token")).basic_auth(id, Some("wrong"));
    let (_, _, body) = answer(request.form(&[("a", "b")])).await;
    assert_eq!(body["error_description"], "unknown client, or wrong client authentication");
}
