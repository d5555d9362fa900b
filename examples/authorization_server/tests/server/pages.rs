//! Pages: sessions, connected applications and security headers.

use serde_json::{Value, json};

use crate::support::{Browser, CALLBACK, Page, SIGN_IN, Site, parameters};

fn request(site: &Site, client: &Value) -> String {
    site.authorize(&[
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "s"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_starts_at_sign_in_and_ends_at_sign_out() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    for url in [site.url("sign-in"), request(&site, &client), site.url("account")] {
        let page = browser.open(&url).await.page();
        assert_eq!(page.url.path(), "/sign-in");
        assert!(!page.headers.contains_key("set-cookie"), "no session before the sign-in");
    }
    let form = SIGN_IN.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let planted = "session=planted";
    let sign_in = site.http.post(site.url("sign-in")).header("cookie", planted).form(&form);
    let response = sign_in.send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let own = cookie.split(';').next().unwrap();
    let account = async |session: &str| {
        let request = site.http.get(site.url("account")).header("cookie", session);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(account(planted).await, 303, "a planted session has no access (session fixation)");
    assert_eq!(account(own).await, 200);

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
    let page = browser.submit(&page, &SIGN_IN).await.page();
    assert_eq!(page.asks(), "/consent");
    let answer = parameters(&browser.submit(&page, &[("decision", "deny")]).await.left());
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("access_denied", "s"));
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

    // The link to it asks first.
    let link = page.link("disconnect?client_id=");
    let page = alice.open(link.as_str()).await.page();
    assert!(page.body.contains("Disconnect Web shop?"), "{}", page.body);
    assert!(is_active(&site, &shop, &of_shop[0]).await, "nothing has happened yet");

    // Bob sends the same form with the CSRF token of his own session.
    let of_bob = bob.sign_in(&site, "bob").await;
    assert!(!of_bob.body.contains("Web shop"));
    assert_eq!(bob.open(link.as_str()).await.page().url.path(), "/account", "he has no such one");
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

/// The consent outlasts its grants: an application that revoked its tokens is not asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn consent_is_remembered_beyond_the_tokens() {
    let site = Site::start().await;
    let shop = site.register(json!({ "client_name": "Web shop" })).await;
    let browser = Browser::new();
    let token = log_in(&site, &shop, &browser).await;
    site.post("revoke", &shop, &[("token", &token)]).await;
    assert!(!is_active(&site, &shop, &token).await);
    let answer = async |extra: &str| {
        let visit = browser.open(&format!("{}{extra}", request(&site, &shop))).await;
        parameters(&visit.left())
    };
    assert!(answer("&prompt=none").await.contains_key("code"));
    let wider = request(&site, &shop).replace("email", "email+profile");
    let wider = browser.open(&format!("{wider}&prompt=none")).await.left();
    assert_eq!(parameters(&wider)["error"], "consent_required");
    let page = browser.open(&format!("{}&prompt=consent", request(&site, &shop))).await.page();
    assert_eq!(page.asks(), "/consent");
    let page = browser.open(&site.url("account")).await.page();
    assert!(page.body.contains("<h2>Web shop</h2>"), "without a grant: {}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_security_headers() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let browser = Browser::new();
    let sign_in = browser.open(&request(&site, &client)).await.page();
    let consent = browser.submit(&sign_in, &SIGN_IN).await.page();
    let account = browser.open(&site.url("account")).await.page();
    let error = browser.open(&site.url("authorize")).await.page();
    let unknown = browser.open(&site.url("a/b?c")).await.page();
    assert_eq!((error.status.as_u16(), unknown.status.as_u16()), (400, 404));
    for page in [sign_in, consent, account, error, unknown] {
        check_headers(&page);
        for input in page.body.split("<input ").skip(1).filter(|input| !input.contains("hidden")) {
            let id = input.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(page.body.contains(&format!("<label for=\"{id}\"")), "{id} has a label");
        }
    }
}

fn check_headers(page: &Page) {
    let header = |name: &str| page.headers[name].to_str().unwrap();
    let policy = header("content-security-policy");
    for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(
        !["unsafe", "img-src", "script-src"].iter().any(|own| policy.contains(own)),
        "{policy}"
    );
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-frame-options"), "DENY");
    // Without a referrer, browsers send no origin with a form.
    assert_eq!(header("referrer-policy"), "same-origin");
    check_classes(&page.body);
    assert!(!page.body.contains("style=\"") && !page.body.contains(" onclick"), "{}", page.body);
}

/// The logo and the links of an application on its consent page.
#[tokio::test(flavor = "multi_thread")]
async fn consent_shows_what_is_known_of_the_application() {
    let site = Site::start().await;
    let about = |logo: &str| {
        json!({
            "client_name": "A <b>bold</b> name",
            "logo_uri": logo,
            "client_uri": "https://shop.example/",
            "policy_uri": "https://shop.example/privacy",
            "tos_uri": "https://shop.example/terms",
        })
    };
    let client = site.register(about("https://shop.example/logo.png")).await;
    let browser = Browser::new();
    browser.sign_in(&site, "alice").await;
    let page = browser.open(&request(&site, &client)).await.page();
    assert!(page.body.contains("A &lt;b&gt;bold&lt;/b&gt; name"), "{}", page.body);
    let logo = r#"<img src="https://shop.example/logo.png" alt="" referrerpolicy="no-referrer">"#;
    assert!(page.body.contains(logo), "{}", page.body);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("; img-src https:") && !policy.contains("script-src"), "{policy}");
    for path in ["", "privacy", "terms"] {
        let link = format!(r#"href="https://shop.example/{path}" target="_blank" rel="noopener""#);
        assert!(page.body.contains(&link), "{}", page.body);
    }
    assert!(page.body.contains("Signed in as <strong>alice</strong>"), "{}", page.body);
    let other = browser.open(page.link("sign-in?continue=").as_str()).await.page();
    let bob = [("username", "bob"), ("password", "wonderland")];
    let page = browser.submit(&other, &bob).await.page();
    assert!(page.body.contains("Signed in as <strong>bob</strong>"), "{}", page.body);
    assert_eq!(page.asks(), "/consent");

    let client = site.register(about("http://shop.example/logo.png")).await;
    let page = browser.open(&request(&site, &client)).await.page();
    assert!(!page.body.contains("<img"), "not without encryption");
    check_headers(&page);

    // An error page of a known application links to it.
    let wrong = request(&site, &client).replace("callback", "elsewhere");
    let page = browser.open(&wrong).await.page();
    assert_eq!(page.status, 400);
    assert!(page.body.contains(r#"href="https://shop.example/""#), "{}", page.body);
    assert!(page.body.contains(r#"href="account""#), "{}", page.body);
}

/// Checks that the style sheet has a rule for each class of the page.
pub(crate) fn check_classes(body: &str) {
    let style = include_str!("../../src/style.css");
    for classes in body.split(" class=\"").skip(1) {
        for class in classes.split('"').next().unwrap().split(' ') {
            let is_known =
                [' ', ':', '.', ','].iter().any(|end| style.contains(&format!(".{class}{end}")));
            assert!(is_known, "no rule for .{class}");
        }
    }
}
