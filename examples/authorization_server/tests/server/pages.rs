//! Pages: sessions, CSRF protection, connected applications and security headers.

use serde_json::{Value, json};

use crate::support::{Browser, CALLBACK, Page, Site, parameters};

fn request(site: &Site, client: &Value) -> String {
    site.authorize(&[
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "s"),
    ])
}

const ALICE: [(&str, &str); 2] = [("username", "alice"), ("password", "wonderland")];

fn cookie(page: &Page) -> String {
    page.headers["set-cookie"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_at_sign_in_and_ended_at_sign_out() {
    let site = Site::start().await;
    let browser = Browser::new();
    let page = browser.open(&site.url("sign-in")).await.page();
    let before = cookie(&page);
    assert!(before.contains("HttpOnly") && before.contains("SameSite=Lax"), "{before}");
    let (action, mut form) = page.form();
    form.extend(ALICE.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let session = before.split(';').next().unwrap().to_owned();
    let request = site.http.post(action).header("cookie", &session).form(&form);
    let response = request.send().await.unwrap();
    let after = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let after = after.split(';').next().unwrap();
    assert_ne!(after, session, "a planted session has no access (session fixation)");
    let account = async |session: &str| {
        let request = site.http.get(site.url("account")).header("cookie", session);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((account(&session).await, account(after).await), (303, 200));

    let browser = Browser::new();
    let page = browser.sign_in(&site, "alice").await;
    assert_eq!(page.url.path(), "/account");
    let page = browser.submit(&page, &[]).await.page();
    assert_eq!(page.url.path(), "/sign-in", "the only form there was is \"Sign out\"");
    assert_eq!(browser.open(&site.url("account")).await.page().url.path(), "/sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_reported_and_the_request_continues() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let page = browser.open(&request(&site, &client)).await.page();
    let wrong = [("username", "<alice>"), ("password", "looking-glass")];
    let page = browser.submit(&page, &wrong).await.page();
    assert_eq!(page.status, 422);
    assert!(page.body.contains("role=\"alert\""), "{}", page.body);
    assert!(page.body.contains("value=\"&lt;alice&gt;\""), "{}", page.body);
    let page = browser.submit(&page, &ALICE).await.page();
    assert_eq!(page.url.path(), "/consent");
    let answer = parameters(&browser.submit(&page, &[("decision", "deny")]).await.left());
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("access_denied", "s"));
    assert_eq!(browser.submit(&page, &[("decision", "allow")]).await.page().status, 403, "once");
}

/// A form is valid only in the session that it was made for.
#[tokio::test(flavor = "multi_thread")]
async fn forged_forms_are_refused() {
    let site = Site::start().await;
    let client = site.register(json!({ "client_name": "A <b>bold</b> name" })).await;
    let (alice, bob) = (Browser::new(), Browser::new());
    let of_bob = bob.sign_in(&site, "bob").await;
    let page = alice.open(&request(&site, &client)).await.page();
    let page = alice.submit(&page, &ALICE).await.page();
    assert!(page.body.contains("A &lt;b&gt;bold&lt;/b&gt; name"), "{}", page.body);
    let (consent, fields) = page.form();
    let http = &site.http;
    for (what, visit) in [
        ("no cookie", alice_form(http, &consent, &fields, "allow")),
        ("no token", http.post(consent.clone()).form(&[("decision", "allow")])),
    ] {
        let response = visit.send().await.unwrap();
        assert!(response.status().is_client_error(), "{what}");
    }
    // Bob's browser with alice's form, then alice's browser with bob's CSRF token, which is all that
    // an attacker has.
    assert_eq!(bob.submit(&page, &[("decision", "allow")]).await.page().status, 403);
    let token = of_bob.form().1.swap_remove(0).1;
    let forged = Page {
        body: page.body.replace(&fields[0].1, &token),
        url: page.url.clone(),
        status: page.status,
        headers: page.headers.clone(),
    };
    assert_ne!(forged.body, page.body);
    assert_eq!(alice.submit(&forged, &[("decision", "allow")]).await.page().status, 403);
    // Alice can still agree, and she agrees to the scope that she was shown.
    let url = alice.submit(&page, &[("decision", "allow"), ("scope", "api:read")]).await.left();
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&url)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    assert_eq!(site.post("token", &client, &exchange).await.2["scope"], "openid email");
}

fn alice_form(
    http: &reqwest::Client,
    action: &url::Url,
    fields: &[(String, String)],
    decision: &str,
) -> reqwest::RequestBuilder {
    let mut form = fields.to_vec();
    form.push(("decision".into(), decision.into()));
    http.post(action.clone()).form(&form)
}

/// A whole login of the browser's user; returns the access token.
async fn log_in(site: &Site, client: &Value, browser: &Browser) -> String {
    let url = browser.allow(&request(site, client)).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &parameters(&url)["code"]),
        ("redirect_uri", CALLBACK),
    ];
    let (_, _, issued) = site.post("token", client, &exchange).await;
    issued["access_token"].as_str().unwrap().to_owned()
}

async fn is_active(site: &Site, client: &Value, token: &str) -> bool {
    site.post("introspect", client, &[("token", token)]).await.2["active"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnecting_an_application_ends_every_login_of_its_user() {
    let site = Site::start().await;
    let shop = site.register(json!({ "client_name": "Web shop" })).await;
    let blog = site.register(json!({ "client_name": "Weblog" })).await;
    let (alice, bob) = (Browser::new(), Browser::new());
    let of_blog = log_in(&site, &blog, &alice).await;
    // From two browsers.
    let of_shop = [log_in(&site, &shop, &Browser::new()).await, log_in(&site, &shop, &alice).await];
    let page = alice.open(&site.url("account")).await.page();
    assert_eq!(page.body.matches("<h2>Web shop</h2>").count(), 1, "{}", page.body);
    assert!(page.body.contains("2 sign-ins") && page.body.contains("Weblog"), "{}", page.body);

    // Bob sends the same form with the CSRF token of his own session.
    let of_bob = bob.sign_in(&site, "bob").await;
    assert!(!of_bob.body.contains("Web shop"));
    let (disconnect, mut fields) = page.form();
    assert_eq!(fields[1], ("client_id".into(), shop["client_id"].as_str().unwrap().into()));
    fields[0] = of_bob.form().1.swap_remove(0);
    bob.follow(bob.post(disconnect, &fields)).await.page();
    assert!(is_active(&site, &shop, &of_shop[0]).await, "he revokes only his own grants");

    let page = alice.submit(&page, &[]).await.page();
    assert!(!page.body.contains("Web shop") && page.body.contains("Weblog"), "{}", page.body);
    for token in &of_shop {
        assert!(!is_active(&site, &shop, token).await);
    }
    assert!(is_active(&site, &blog, &of_blog).await);
    // The consent ended with the grants.
    let silent = format!("{}&prompt=none", request(&site, &shop));
    let answer = parameters(&alice.open(&silent).await.left());
    assert_eq!(answer["error"], "consent_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_security_headers() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let sign_in = browser.open(&request(&site, &client)).await.page();
    let consent = browser.submit(&sign_in, &ALICE).await.page();
    let account = browser.open(&site.url("account")).await.page();
    let error = browser.open(&site.url("authorize")).await.page();
    for page in [sign_in, consent, account, error] {
        let header = |name: &str| page.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(
            !page.body.contains("style=\"") && !page.body.contains(" onclick"),
            "{}",
            page.body
        );
        for input in page.body.split("<input ").skip(1).filter(|input| !input.contains("hidden")) {
            let id = input.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(page.body.contains(&format!("<label for=\"{id}\"")), "{id} has a label");
        }
    }
}
