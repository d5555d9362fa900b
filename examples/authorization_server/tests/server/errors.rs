//! Errors of each endpoint: status, headers and error code.

use reqwest::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};

use crate::support::{Browser, CALLBACK, Site, answer, parameters};

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_redirect_uri_gives_an_error_page() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let id = client["client_id"].as_str().unwrap();
    for redirect_uri in [
        "https://evil.example/",
        "http://127.0.0.1:9/callback",
        "http://127.0.0.1:9/callback?tenant=1&x",
        "http://127.0.0.1:9/callback?tenant=1#",
        "http://127.0.0.1:9/callback?tenant=%31",
        "HTTP://127.0.0.1:9/callback?tenant=1",
        "http://127.0.0.2:9/callback?tenant=1",
        "http://localhost:9/callback?tenant=1",
        "javascript:alert(1)",
    ] {
        // Even if something else is wrong with the request.
        for response_type in ["code", "card_trick"] {
            let url = site.authorize(&[
                ("client_id", id),
                ("redirect_uri", redirect_uri),
                ("response_type", response_type),
            ]);
            let page = Browser::new().open(&url).await.page();
            assert_eq!(page.status, 400, "{redirect_uri}");
            assert!(!page.body.contains("evil.example"), "{}", page.body);
        }
    }
    for unknown in ["nobody", "", "\0", "<script>"] {
        let url = [("client_id", unknown), ("redirect_uri", CALLBACK), ("response_type", "code")];
        assert_eq!(Browser::new().open(&site.authorize(&url)).await.page().status, 400);
    }
    let twice = format!("{}&client_id=x", site.authorize(&[("client_id", id)]));
    assert_eq!(Browser::new().open(&twice).await.page().status, 400, "RFC 6749 3.1");

    // A single registered URI may be omitted, but not in an OpenID Connect request (Core 3.1.2.1).
    let url = site.authorize(&[("client_id", id), ("response_type", "card_trick")]);
    let url = Browser::new().open(&url).await.left();
    assert!(url.as_str().starts_with(CALLBACK), "{url}");
    assert_eq!(parameters(&url)["error"], "unsupported_response_type");
    let url = site.authorize(&[("client_id", id), ("response_type", "code"), ("scope", "openid")]);
    let page = Browser::new().open(&url).await.page();
    assert_eq!(page.status, 400);
    assert!(page.body.contains("redirect_uri"), "{}", page.body);
    let two = json!({ "redirect_uris": [CALLBACK, "https://client.example/"] });
    let client = site.register(two).await;
    let id = client["client_id"].as_str().unwrap();
    let url = site.authorize(&[("client_id", id), ("response_type", "code")]);
    assert_eq!(Browser::new().open(&url).await.page().status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_authorization_endpoint() {
    let site = Site::start().await;
    let client = site.register(json!({ "scope": "openid email" })).await;
    let id = client["client_id"].as_str().unwrap();
    let browser = Browser::new();
    for (extra, error) in [
        (vec![], "invalid_request"),
        (vec![("response_type", "")], "invalid_request"),
        (vec![("response_type", "none")], "unauthorized_client"),
        (vec![("response_type", "code"), ("scope", "api:read")], "invalid_scope"),
        (vec![("response_type", "code"), ("scope", "a\"b")], "invalid_scope"),
        (vec![("response_type", "code"), ("request", "e30.e30.")], "request_not_supported"),
        (
            vec![("response_type", "code"), ("request_uri", "https://client.example/r")],
            "request_uri_not_supported",
        ),
        (vec![("response_type", "code"), ("code_challenge", "short")], "invalid_request"),
        (vec![("response_type", "code"), ("code_challenge_method", "S256")], "invalid_request"),
    ] {
        let mut request = vec![("client_id", id), ("redirect_uri", CALLBACK), ("state", "s")];
        request.extend(&extra);
        let answer = parameters(&browser.open(&site.authorize(&request)).await.left());
        assert_eq!(answer["error"], error, "{extra:?}");
        assert_eq!((answer["state"].as_str(), &answer["iss"]), ("s", &site.issuer));
        let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        assert!(answer["error_description"].chars().all(allowed), "RFC 6749 A.8: {answer:?}");
    }
    // `plain` is refused when the code is stored, after alice agreed.
    let challenge = "a".repeat(43);
    let request = [("client_id", id), ("response_type", "code"), ("code_challenge", &challenge)];
    assert_eq!(
        parameters(&browser.allow(&site.authorize(&request)).await)["error"],
        "invalid_request"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_token_endpoint() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    for (form, error) in [
        (vec![], "invalid_request"),
        (vec![("grant_type", "")], "invalid_request"),
        (vec![("grant_type", "card_trick")], "unsupported_grant_type"),
        (
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:device_code")],
            "unauthorized_client",
        ),
        (vec![("grant_type", "client_credentials")], "unauthorized_client"),
        (vec![("grant_type", "authorization_code")], "invalid_request"),
        (vec![("grant_type", "authorization_code"), ("code", "x")], "invalid_grant"),
        (vec![("grant_type", "authorization_code"), ("code", "\0")], "invalid_grant"),
        (
            vec![
                ("grant_type", "authorization_code"),
                ("code", "x"),
                ("redirect_uri", "https://a/"),
            ],
            "invalid_grant",
        ),
        (vec![("grant_type", "refresh_token")], "invalid_request"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "x")], "invalid_grant"),
        (vec![("grant_type", "a"), ("grant_type", "b")], "invalid_request"),
        (vec![("client_secret", "x")], "invalid_request"),
        (vec![("client_id", "another")], "invalid_request"),
    ] {
        let (status, headers, body) = site.post("token", &client, &form).await;
        assert_eq!((status.as_u16(), &body["error"]), (400, &json!(error)), "{form:?}");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["pragma"], "no-cache");
    }
    let wrong = site.http.post(site.url("token")).json(&json!({ "grant_type": "refresh_token" }));
    assert_eq!(answer(wrong).await.2["error"], "invalid_request", "not a form");
    assert_eq!(site.http.get(site.url("token")).send().await.unwrap().status(), 405);
}

/// The error is the same for an unknown client and for failed authentication.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_client() {
    let site = Site::start().await;
    let basic = site.register(json!({})).await;
    let public = site.register(json!({ "token_endpoint_auth_method": "none" })).await;
    let of = |client: &Value| client["client_id"].as_str().unwrap().to_owned();
    let secret = basic["client_secret"].as_str().unwrap();
    let (basic_id, public_id) = (of(&basic), of(&public));
    for path in ["token", "introspect", "revoke"] {
        let request = || site.http.post(site.url(path));
        let form = |id: &str, secret: &str| {
            [("client_id", id.to_owned()), ("client_secret", secret.to_owned())]
        };
        for (what, request) in [
            ("nobody", request().form(&[("token", "x")])),
            ("unknown", request().form(&[("client_id", "nobody")])),
            ("no secret", request().form(&[("client_id", &basic_id)])),
            ("a secret by the other way", request().form(&form(&basic_id, secret))),
            ("a wrong secret", request().basic_auth(&basic_id, Some("wrong")).form(&[("a", "b")])),
            ("an unknown one", request().basic_auth("nobody", Some(secret)).form(&[("a", "b")])),
            ("a secret of none", request().form(&form(&public_id, secret))),
            ("a bearer", request().bearer_auth("x").form(&[("a", "b")])),
        ] {
            let (status, headers, body) = answer(request).await;
            assert_eq!(
                (status.as_u16(), &body["error"]),
                (401, &json!("invalid_client")),
                "{what}"
            );
            assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "), "{what}");
        }
    }
    // The header is form-encoded first (RFC 6749 2.3.1).
    let encoded: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let request = site.http.post(site.url("introspect")).form(&[("token", "x")]);
    let (status, ..) = answer(request.basic_auth(&basic_id, Some(encoded))).await;
    assert_eq!(status, 200);
    // Only authenticated clients may introspect (RFC 7662 2.1).
    let form = [("client_id", public_id.as_str()), ("token", "x")];
    let (status, ..) = answer(site.http.post(site.url("introspect")).form(&form)).await;
    assert_eq!(status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_and_revocation() {
    let site = Site::start().await;
    let grant =
        json!({ "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [] });
    let (owner, other) = (site.register(grant.clone()).await, site.register(grant).await);
    let (_, _, issued) = site.post("token", &owner, &[("grant_type", "client_credentials")]).await;
    let token = [("token", issued["access_token"].as_str().unwrap())];
    let inactive = json!({ "active": false });

    assert_eq!(site.post("introspect", &owner, &[]).await.2["error"], "invalid_request");
    for unknown in ["x", "\0", "\u{e9}"] {
        assert_eq!(site.post("introspect", &owner, &[("token", unknown)]).await.2, inactive);
        let (status, ..) = site.post("revoke", &owner, &[("token", unknown)]).await;
        assert_eq!(status, 200, "RFC 7009 2.2");
    }
    assert_eq!(site.post("revoke", &owner, &[]).await.2["error"], "invalid_request");
    assert_eq!(site.post("revoke", &other, &token).await.0, 200);
    assert_eq!(site.post("introspect", &other, &token).await.2, inactive);
    let (_, headers, body) = site.post("introspect", &owner, &token).await;
    assert_eq!(body["active"], true, "s10: only the owner revokes");
    assert_eq!(body.get("sub"), None);
    assert_eq!(headers["cache-control"], "no-store");
    // A hint that is wrong is only a hint (RFC 7009 2.1).
    let hinted = [token[0], ("token_type_hint", "refresh_token")];
    assert_eq!(site.post("revoke", &owner, &hinted).await.0, 200);
    assert_eq!(site.post("introspect", &owner, &token).await.2, inactive);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_userinfo() {
    let site = Site::start().await;
    let body =
        json!({ "grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [] });
    let client = site.register(body).await;
    let (_, _, issued) = site.post("token", &client, &[("grant_type", "client_credentials")]).await;
    let request = || site.http.get(site.url("userinfo"));
    let (status, headers, _) = answer(request()).await;
    assert_eq!(status, 401);
    assert_eq!(headers[WWW_AUTHENTICATE], "Bearer realm=\"OAuth\"", "RFC 6750 3.1: no error");
    let (status, headers, _) = answer(request().bearer_auth("x")).await;
    assert_eq!(status, 401);
    assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().contains("error=\"invalid_token\""));
    let token = issued["access_token"].as_str().unwrap();
    let (status, headers, _) = answer(request().bearer_auth(token)).await;
    assert_eq!(status, 403);
    assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().contains("error=\"insufficient_scope\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_registration() {
    let site = Site::start().await;
    for (body, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["/callback"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["https://client.example/#x"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://client.example/"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [CALLBACK], "scope": "admin" }), "invalid_client_metadata"),
        (json!({ "redirect_uris": [CALLBACK], "grant_types": ["x"] }), "invalid_client_metadata"),
        (
            json!({ "redirect_uris": [CALLBACK], "id_token_signed_response_alg": "none" }),
            "invalid_client_metadata",
        ),
        (
            json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "private_key_jwt" }),
            "invalid_client_metadata",
        ),
        (json!({ "redirect_uris": [CALLBACK], "client_secret": "x" }), "invalid_client_metadata"),
        (json!([]), "invalid_client_metadata"),
    ] {
        let request = site.http.post(site.url("register")).json(&body);
        let (status, headers, answer) = answer(request).await;
        assert_eq!((status.as_u16(), &answer["error"]), (400, &json!(error)), "{body}");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

/// A client would rely on what the response says it registered.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_metadata_is_not_registered() {
    let site = Site::start().await;
    let promises = json!({
        "dpop_bound_access_tokens": true,
        "require_signed_request_object": true,
        "subject_type": "pairwise",
        "client_name#de": "Laden",
    });
    let client = site.register(promises).await;
    for name in ["dpop_bound_access_tokens", "require_signed_request_object", "subject_type"] {
        assert_eq!(client.get(name), None, "RFC 7591 2: {name}");
    }
    assert_eq!(client["client_name#de"], "Laden");
    assert_eq!(client["id_token_signed_response_alg"], "ES256");
}

/// A description may quote the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_description_has_only_the_characters_of_rfc_6749() {
    let site = Site::start().await;
    let post = site.http.post(site.url("register")).header("content-type", "application/json");
    let (_, _, answer) = answer(post.body("{ \u{e9}\"\\\n")).await;
    let description = answer["error_description"].as_str().unwrap();
    assert!(description.contains("line 1"), "{description}");
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    assert!(description.chars().all(allowed), "RFC 6749 5.2: {description}");
}
