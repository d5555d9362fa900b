//! Response types, response modes and prompts of the authorization endpoint.

use openidconnect::core::{CoreIdToken, CoreProviderMetadata};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthorizationCode, AuthorizationCodeHash, ClientId, ClientSecret,
    IssuerUrl, Nonce,
};
use serde_json::{Value, json};

use crate::support::{ALICE, Browser, CALLBACK, Options, Site, client_of, parameters};

const ALL: [&str; 8] = [
    "code",
    "none",
    "token",
    "id_token",
    "id_token token",
    "code id_token",
    "code token",
    "code id_token token",
];

async fn with_everything() -> (Site, Value) {
    let site = Site::start_with(Options { implicit: true, ..Options::default() }).await;
    let body = json!({
        "grant_types": ["authorization_code", "implicit", "refresh_token"],
        "response_types": ALL,
    });
    let client = site.register(body).await;
    (site, client)
}

fn request<'a>(client: &'a Value, response_type: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", response_type),
        ("scope", "openid email"),
        ("state", "a b&c"),
        ("nonce", "n-0S6_WzA2Mj"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_response_type_gives_exactly_its_parameters() {
    let (site, registered) = with_everything().await;
    let issuer = IssuerUrl::new(site.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &site.http).await.unwrap();
    let client_id = ClientId::new(registered["client_id"].as_str().unwrap().into());
    let secret = ClientSecret::new(registered["client_secret"].as_str().unwrap().into());
    let client = client_of(&site, metadata, &client_id, Some(secret));
    let browser = Browser::new();
    for response_type in ALL {
        let asked = |word| response_type.split(' ').any(|asked| asked == word);
        let url = browser.allow(&site.authorize(&request(&registered, response_type))).await;
        let in_fragment = asked("token") || asked("id_token");
        assert_eq!(url.fragment().is_some(), in_fragment, "{response_type}");
        assert!(url.as_str().starts_with(CALLBACK), "{url}");
        let answer = parameters(&url);
        assert_eq!(answer["state"], "a b&c");
        assert_eq!(answer["iss"], site.issuer);
        assert!(!answer.contains_key("error"), "{answer:?}");
        assert_eq!(answer.contains_key("code"), asked("code"), "{response_type}");
        assert_eq!(answer.contains_key("access_token"), asked("token"), "{response_type}");
        assert_eq!(answer.contains_key("id_token"), asked("id_token"), "{response_type}");
        assert!(!answer.contains_key("refresh_token"), "RFC 6749 4.2.2");
        if asked("token") {
            assert_eq!(answer["token_type"], "Bearer");
            assert_eq!(answer["expires_in"], "3600");
        }
        let Some(id_token) = answer.get("id_token") else { continue };
        let id_token: CoreIdToken = id_token.parse().unwrap();
        let verifier = client.id_token_verifier();
        let nonce = Nonce::new("n-0S6_WzA2Mj".into());
        let claims = id_token.claims(&verifier, &nonce).unwrap();
        assert_eq!(claims.subject().as_str(), ALICE);
        let alone = !asked("code") && !asked("token");
        assert_eq!(claims.email().is_some(), alone, "OpenID Connect Core 5.4");
        let (alg, key) =
            (id_token.signing_alg().unwrap(), id_token.signing_key(&verifier).unwrap());
        let at_hash = answer.get("access_token").map(|token| {
            AccessTokenHash::from_token(&AccessToken::new(token.clone()), alg, key).unwrap()
        });
        assert_eq!(claims.access_token_hash(), at_hash.as_ref(), "{response_type}");
        let c_hash = answer.get("code").map(|code| {
            AuthorizationCodeHash::from_code(&AuthorizationCode::new(code.clone()), alg, key)
                .unwrap()
        });
        assert_eq!(claims.code_hash(), c_hash.as_ref(), "{response_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_a_replayed_code_revokes_the_access_token_of_its_hybrid_flow() {
    let (site, client) = with_everything().await;
    let url = Browser::new().allow(&site.authorize(&request(&client, "code token"))).await;
    let answer = parameters(&url);
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &answer["code"]),
        ("redirect_uri", CALLBACK),
    ];
    let introspect = [("token", answer["access_token"].as_str())];
    assert_eq!(site.post("token", &client, &exchange).await.0, 200);
    assert_eq!(site.post("introspect", &client, &introspect).await.2["active"], true);
    assert_eq!(site.post("token", &client, &exchange).await.2["error"], "invalid_grant");
    assert_eq!(site.post("introspect", &client, &introspect).await.2, json!({ "active": false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn response_modes() {
    let (site, client) = with_everything().await;
    let browser = Browser::new();
    let with = |response_type, mode| {
        let mut request = request(&client, response_type);
        request.push(("response_mode", mode));
        site.authorize(&request)
    };
    // The first request asks for consent; the ones that follow do not.
    let url = browser.allow(&with("code", "query")).await;
    assert!(url.query().unwrap().contains("code="), "{url}");
    let request = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&url)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    assert_eq!(site.post("token", &client, &request).await.0, 200);

    let url = browser.open(&with("code", "fragment")).await.left();
    assert!(url.fragment().unwrap().contains("code="), "{url}");
    for (response_type, mode) in [("token", "query"), ("code id_token", "query"), ("code", "card")]
    {
        let url = browser.open(&with(response_type, mode)).await.left();
        assert_eq!(parameters(&url)["error"], "invalid_request", "{response_type} {mode}");
        assert_eq!(url.fragment().is_some(), response_type != "code", "{url}");
    }

    // A token that any program on this machine could receive: alice is asked each time.
    let page = browser.open(&with("code id_token", "form_post")).await.page();
    let page = browser.submit(&page, &[("decision", "allow")]).await.page();
    assert_eq!(page.headers["cache-control"], "no-store");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http:; script-src 'self'"), "{policy}");
    assert!(page.body.contains("<button "), "it works without scripts");
    let (action, fields) = page.form();
    assert_eq!(action.as_str(), CALLBACK);
    let field = |name| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    assert_eq!(field("state"), Some("a b&c"));
    assert_eq!(field("iss"), Some(site.issuer.as_str()));
    assert!(field("code").is_some() && field("id_token").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn prompt_and_max_age() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let with = |name, value| {
        let mut request = request(&client, "code");
        request.push((name, value));
        site.authorize(&request)
    };
    let error = async |url: String| {
        let answer = parameters(&browser.open(&url).await.left());
        answer.get("error").cloned()
    };
    assert_eq!(error(with("prompt", "none")).await.unwrap(), "login_required");
    browser.sign_in(&site, "alice").await;
    assert_eq!(error(with("prompt", "none")).await.unwrap(), "consent_required");
    let url = browser.allow(&with("prompt", "consent")).await;
    assert_eq!(error(with("prompt", "none")).await, None, "a stored code is a live grant");
    let request = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&url)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    assert_eq!(site.post("token", &client, &request).await.0, 200);
    assert_eq!(error(with("prompt", "none")).await, None);

    for (prompt, page) in
        [("login", "/sign-in"), ("select_account", "/sign-in"), ("consent", "/consent")]
    {
        let shown = browser.open(&with("prompt", prompt)).await.page();
        assert_eq!(shown.asks(), page, "prompt={prompt}");
        assert!(browser.allow(&with("prompt", prompt)).await.query().unwrap().contains("code="));
    }
    for prompt in ["none login", "card_trick"] {
        assert_eq!(error(with("prompt", prompt)).await.unwrap(), "invalid_request");
    }
    assert_eq!(error(with("max_age", "3600")).await, None);
    assert_eq!(browser.open(&with("max_age", "0")).await.page().url.path(), "/sign-in");
    assert!(browser.allow(&with("max_age", "0")).await.query().unwrap().contains("code="));
    assert_eq!(error(with("max_age", "soon")).await.unwrap(), "invalid_request");
}

/// A post from another site comes without the cookie; the GET that follows has it.
#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_request_can_be_posted() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let posted = site.http.post(site.url("authorize")).form(&request(&client, "code"));
    let location = posted.send().await.unwrap().headers()["location"].clone();
    let url = browser.allow(&site.url(location.to_str().unwrap())).await;
    assert_eq!(parameters(&url)["state"], "a b&c");
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_response_and_grant_types_are_refused() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    for response_type in &ALL[2..] {
        let url = Browser::new().open(&site.authorize(&request(&client, response_type))).await;
        let url = url.left();
        assert!(url.fragment().is_some(), "OAuth 2.0 Multiple Response Type Encoding Practices 5");
        assert_eq!(parameters(&url)["error"], "unauthorized_client", "{response_type}");
    }
    for grant_type in ["password", "implicit"] {
        let body = json!({ "redirect_uris": [CALLBACK], "grant_types": [grant_type] });
        let response = site.http.post(site.url("register")).json(&body).send().await.unwrap();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], "invalid_client_metadata", "{grant_type}");
    }
    let form = [("grant_type", "password"), ("username", "alice"), ("password", "wonderland")];
    let (status, _, body) = site.post("token", &client, &form).await;
    assert_eq!((status.as_u16(), &body["error"]), (400, &json!("unauthorized_client")));
}
