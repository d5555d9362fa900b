//! The steps of an authorization request, which the server does not keep: the pages carry it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use url::Url;

use crate::support::{Browser, CALLBACK, Options, Page, SIGN_IN, Site, parameters};

const ALLOW: [(&str, &str); 1] = [("decision", "allow")];

fn request(site: &Site, client: &Value, extra: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "s"),
    ];
    parameters.extend(extra);
    site.authorize(&parameters)
}

fn has_code(url: &Url) -> bool {
    parameters(url).contains_key("code")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_tab_does_not_end_the_first() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let first = browser.open(&request(&site, &client, &[])).await.page();
    assert_eq!(first.asks(), "/sign-in");
    browser.sign_in(&site, "bob").await;
    let page = browser.submit(&first, &SIGN_IN).await.page();
    assert_eq!(page.asks(), "/consent");
    assert!(has_code(&browser.submit(&page, &ALLOW).await.left()));
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_asked_again_after_another_sign_in() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    browser.allow(&request(&site, &client, &[])).await;
    let page = browser.open(&request(&site, &client, &[("prompt", "consent")])).await.page();
    // The same tab of the same browser, and another user of it.
    for username in ["bob", "alice"] {
        browser.sign_in(&site, username).await;
        for decision in ["allow", "deny"] {
            let again = browser.submit(&page, &[("decision", decision)]).await.page();
            assert!(again.body.contains("role=\"alert\""), "{}", again.body);
            assert!(again.body.contains(&format!("<strong>{username}</strong>")), "{}", again.body);
            assert_eq!(again.asks(), "/consent");
        }
    }
    let again = browser.submit(&page, &ALLOW).await.page();
    assert!(has_code(&browser.submit(&again, &ALLOW).await.left()));
    // Signed out, the form leads to the sign-in page.
    let account = browser.open(&site.url("account")).await.page();
    browser.submit(&account, &[]).await.page();
    let page = browser.submit(&again, &ALLOW).await.page();
    assert_eq!(page.asks(), "/sign-in");
    let page = browser.submit(&page, &SIGN_IN).await.page();
    assert_eq!(page.asks(), "/consent", "the request was not lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_valid_only_in_its_session() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let (alice, bob) = (Browser::new(), Browser::new());
    let of_bob = bob.sign_in(&site, "bob").await;
    let page = alice.open(&request(&site, &client, &[])).await.page();
    let page = alice.submit(&page, &SIGN_IN).await.page();
    // Alice's form in a browser without a session, and in Bob's.
    let stranger = Browser::new().submit(&page, &ALLOW).await.page();
    assert_eq!(stranger.asks(), "/sign-in");
    let of_bob_again = bob.submit(&page, &ALLOW).await.page();
    assert!(of_bob_again.body.contains("<strong>bob</strong>"), "he is asked himself");
    // Alice's browser with Bob's CSRF token, which is all that an attacker has, or with none.
    let token = |page: &Page| page.form().1.swap_remove(0).1;
    for forged in [token(&of_bob), String::new()] {
        let body = page.body.replace(&token(&page), &forged);
        let forged = Page { body, url: page.url.clone(), headers: page.headers.clone(), ..page };
        assert_eq!(alice.submit(&forged, &ALLOW).await.page().asks(), "/consent");
    }
    for path in ["disconnect", "sign-out"] {
        let form = [("client_id".into(), client["client_id"].as_str().unwrap().into())];
        let refused = alice.follow(alice.post(site.url(path).parse().unwrap(), &form)).await.page();
        assert_eq!(refused.status, 403, "{path}");
    }
    // Alice can still agree, and she agrees to the scope that she was shown.
    let url = alice.submit(&page, &[ALLOW[0], ("scope", "api:read")]).await.left();
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&url)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    assert_eq!(site.post("token", &client, &exchange).await.2["scope"], "openid email");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_are_refused() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let sign_in = browser.open(&request(&site, &client, &[])).await.page();
    let signed_in = browser.submit(&sign_in, &SIGN_IN).await.page();
    let account = browser.open(&site.url("account")).await.page();
    let own = site.issuer.as_str();
    for page in [&sign_in, &signed_in, &account] {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("origin", own)],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1")],
        ] {
            let fields = [SIGN_IN[0], SIGN_IN[1], ALLOW[0]];
            let refused = browser.submit_with(page, &fields, headers).await.page();
            assert_eq!(refused.status, 403, "{} {headers:?}", page.asks());
            assert!(!refused.headers.contains_key("set-cookie"));
        }
    }
    for headers in [
        &[("sec-fetch-site", "same-origin"), ("origin", own)][..],
        &[("sec-fetch-site", "none")],
        &[("origin", own)],
    ] {
        let page = browser.submit_with(&sign_in, &SIGN_IN, headers).await.page();
        assert_eq!(page.asks(), "/consent", "{headers:?}");
    }
}

/// Each step checks the request again, so nobody can change it between the pages.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_request_fails_at_each_step() {
    let site = Site::start().await;
    let client = site.register(json!({ "scope": "openid email" })).await;
    let browser = Browser::new();
    let account = browser.sign_in(&site, "alice").await;
    let csrf_token = account.form().1.swap_remove(0);
    let invalid = [
        (request(&site, &client, &[("client_id", "x")]), None),
        (request(&site, &client, &[]).replace("callback", "elsewhere"), None),
        (
            request(&site, &client, &[]).replace("code", "card_trick"),
            Some("unsupported_response_type"),
        ),
        (request(&site, &client, &[]).replace("openid+email", "admin"), Some("invalid_scope")),
        (request(&site, &client, &[("code_challenge", "x")]), Some("invalid_request")),
        (request(&site, &client, &[("max_age", "x")]), Some("invalid_request")),
        (request(&site, &client, &[("prompt", "x")]), Some("invalid_request")),
        (site.url("authorize?https://evil.example/"), None),
        (site.url("authorize?"), None),
    ];
    for (url, expected) in invalid {
        let query = Url::parse(&url).unwrap().query().unwrap_or_default().to_owned();
        let page = Url::parse_with_params(&site.url("sign-in"), [("continue", &query)]).unwrap();
        let post = |path: &str, extra: [(&str, &str); 3]| {
            let mut form = vec![("continue".to_owned(), query.clone()), csrf_token.clone()];
            form.extend(extra.map(|(name, value)| (name.to_owned(), value.to_owned())));
            browser.follow(browser.post(site.url(path).parse().unwrap(), &form))
        };
        let fields = [SIGN_IN[0], SIGN_IN[1], ALLOW[0]];
        let steps =
            [("authorize", browser.open(&url).await), ("consent", post("consent", fields).await)];
        let mut steps = Vec::from(steps);
        // Without a request both sign-in pages are those of the account.
        if !query.is_empty() {
            steps.push(("the sign-in page", browser.open(page.as_str()).await));
            steps.push(("sign-in", post("sign-in", fields).await));
        }
        for (step, visit) in steps {
            match expected {
                None => assert_eq!(visit.page().status, 400, "{step}: {query}"),
                Some(error) => {
                    let answer = parameters(&visit.left());
                    assert_eq!(answer["error"], error, "{step}: {query}");
                }
            }
        }
    }
}

/// A value of `continue` is only ever the query of the authorization endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn continue_is_no_open_redirect() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let query = Url::parse(&request(&site, &client, &[])).unwrap().query().unwrap().to_owned();
    for hostile in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\r\nlocation: https://evil.example/",
        "#@evil.example",
    ] {
        let target = format!("{query}&x={hostile}");
        let form = [SIGN_IN[0], SIGN_IN[1], ("continue", &target)];
        let response = site.http.post(site.url("sign-in")).form(&form).send().await.unwrap();
        let location = response.headers()["location"].to_str().unwrap();
        assert!(location.starts_with("authorize?client_id="), "{location}");
        assert!(!location.contains("//") && !location.contains('#'), "{location}");
        let form = [SIGN_IN[0], SIGN_IN[1], ("continue", hostile)];
        let response = site.http.post(site.url("sign-in")).form(&form).send().await.unwrap();
        assert_eq!(response.status(), 400, "{hostile}");
    }
}

/// A sign-in for one request is not one for another, and not for the same one a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_sign_in_counts_for_its_request_once() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    for fresh in [("prompt", "login"), ("prompt", "select_account"), ("max_age", "0")] {
        let browser = Browser::new();
        browser.allow(&request(&site, &client, &[])).await;
        let url = request(&site, &client, &[fresh, ("nonce", "1")]);
        let page = browser.open(&url).await.page();
        assert_eq!(page.asks(), "/sign-in", "{fresh:?}");
        // Back without signing in.
        assert_eq!(browser.open(&url).await.page().asks(), "/sign-in", "{fresh:?}");
        // A sign-in elsewhere does not count, one for this request does.
        browser.sign_in(&site, "alice").await;
        assert_eq!(browser.open(&url).await.page().asks(), "/sign-in", "{fresh:?}");
        assert!(has_code(&browser.submit(&page, &SIGN_IN).await.left()), "{fresh:?}");
        // It does not count for another request, nor again for this one.
        let other = request(&site, &client, &[fresh, ("nonce", "2")]);
        for url in [&other, &url] {
            assert_eq!(browser.open(url).await.page().asks(), "/sign-in", "{fresh:?}");
        }
        // While the user has yet to agree, it counts for its request only.
        let client = site.register(json!({})).await;
        let url = request(&site, &client, &[fresh]);
        let page = browser.open(&url).await.page();
        browser.submit(&page, &SIGN_IN).await.page();
        assert_eq!(browser.open(&other).await.page().asks(), "/sign-in", "{fresh:?}");
        assert_eq!(browser.open(&url).await.page().asks(), "/consent", "{fresh:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_requests_are_refused() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let (state, other) = ("s".repeat(2_048), "o".repeat(5_000));
    let longest = request(&site, &client, &[("state", &state), ("other", &other)]);
    let longest = longest.replace("&state=s&", "&");
    assert!(has_code(&browser.allow(&longest).await));
    let post = async |parameter: &str, length: usize| {
        let long = "x".repeat(length);
        let url =
            request(&site, &client, &[(parameter, &long)]).replace("&state=s&state", "&state");
        let query = Url::parse(&url).unwrap().query().unwrap().to_owned();
        let post = site.http.post(site.url("authorize"));
        let post = post.header("content-type", "application/x-www-form-urlencoded").body(query);
        (browser.open(&url).await.page().status.as_u16(), browser.follow(post).await.page().status)
    };
    for (parameter, length) in
        [("state", 2_049), ("nonce", 8_193), ("state", 20_000), ("ui", 50_000)]
    {
        let (by_get, by_post) = post(parameter, length).await;
        assert_eq!((by_get, by_post.as_u16()), (400, 400), "{parameter} of {length} bytes");
    }
    let long = format!("state={}", "x".repeat(100_000));
    let posted = site.http.post(site.url("authorize")).body(long.clone());
    let posted = posted.header("content-type", "application/x-www-form-urlencoded").send().await;
    assert_eq!(posted.unwrap().status(), 400);
    // The HTTP library refuses such a URL itself, at both ends.
    let mut stream = TcpStream::connect(site.issuer.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET /authorize?{long} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 414 "), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_and_registrations_are_limited() {
    let options = Options { attempts_per_minute: 3, password: true, ..Options::default() };
    let site = Site::start_with(options).await;
    let metadata =
        json!({ "redirect_uris": [CALLBACK], "grant_types": ["password"], "response_types": [] });
    let register = || site.http.post(site.url("register")).json(&metadata).send();
    let sign_in = || site.http.post(site.url("sign-in")).form(&SIGN_IN).send();
    let mut client = Value::Null;
    for _ in 0..3 {
        let registered = register().await.unwrap();
        assert_eq!(registered.status(), 201);
        client = registered.json().await.unwrap();
        assert_eq!(sign_in().await.unwrap().status(), 303);
    }
    let page = sign_in().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let body = register().await.unwrap();
    for response in [&page, &body] {
        assert_eq!(response.status(), 429);
        let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=21).contains(&seconds), "{seconds}");
    }
    let body: Value = body.json().await.unwrap();
    assert_eq!(body["error"], "temporarily_unavailable");
    // The password grant is a sign-in as well.
    let form = [("grant_type", "password"), SIGN_IN[0], SIGN_IN[1]];
    assert_eq!(site.post("token", &client, &form).await.0, 429);
    // What a client stores without a user. The limit comes before the check of the parameters.
    let push = async || site.post("par", &client, &[]).await.0;
    assert_eq!([push().await, push().await, push().await, push().await], [400, 400, 400, 429]);
}
