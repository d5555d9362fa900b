//! RP-initiated and back-channel logout, and the sessions that their user ends.

use openidconnect::core::{CoreClientAuthMethod, CoreGrantType, CoreIdToken};
use openidconnect::{
    CsrfToken, IssuerUrl, LogoutRequest, PostLogoutRedirectUrl, ProviderMetadataWithLogout,
};
use serde_json::{Value, json};

use crate::support::{Browser, CALLBACK, LogoutListener, SIGN_IN, Site, parameters};

const GOODBYE: &str = "http://127.0.0.1:9/goodbye?a=b";

/// Registers a client that listens for logout tokens.
pub(crate) async fn register(site: &Site, listener: &LogoutListener) -> Value {
    let logout = json!({
        "client_name": "Listener",
        "post_logout_redirect_uris": [GOODBYE],
        "backchannel_logout_uri": listener.uri,
        "backchannel_logout_session_required": true,
    });
    site.register(logout).await
}

/// A login; returns the tokens.
pub(crate) async fn log_in(site: &Site, client: &Value, browser: &Browser) -> Value {
    let url = site.authorize(&[
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
    ]);
    let code = parameters(&browser.allow(&url).await)["code"].clone();
    let form = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", CALLBACK)];
    let (status, _, tokens) = site.post("token", client, &form).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

/// The URL that the crate `openidconnect` makes for a logout.
pub(crate) async fn logout_url(site: &Site, tokens: &Value) -> url::Url {
    let issuer = IssuerUrl::new(site.issuer.clone()).unwrap();
    let metadata = ProviderMetadataWithLogout::discover_async(issuer, &site.http).await.unwrap();
    assert!(metadata.grant_types_supported().unwrap().contains(&CoreGrantType::DeviceCode));
    let methods = metadata.token_endpoint_auth_methods_supported().unwrap();
    assert!(methods.contains(&CoreClientAuthMethod::PrivateKeyJwt));
    let endpoint = metadata.additional_metadata().end_session_endpoint.clone().unwrap();
    let id_token: CoreIdToken = tokens["id_token"].as_str().unwrap().parse().unwrap();
    LogoutRequest::from(endpoint)
        .set_id_token_hint(&id_token)
        .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(GOODBYE.into()).unwrap())
        .set_state(CsrfToken::new("s t".into()))
        .http_get_url()
}

pub(crate) async fn is_active(site: &Site, client: &Value, token: &Value) -> bool {
    let form = [("token", token.as_str().unwrap())];
    site.post("introspect", client, &form).await.2["active"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_its_user_out_and_is_told() {
    let site = Site::start().await;
    let mut listener = LogoutListener::start().await;
    let client = register(&site, &listener).await;
    let (browser, elsewhere) = (Browser::new(), Browser::new());
    let tokens = log_in(&site, &client, &browser).await;
    let others = log_in(&site, &client, &elsewhere).await;
    let url = logout_url(&site, &tokens).await;

    // A page asks first, and nothing happens before the answer.
    let page = browser.open(url.as_str()).await.page();
    assert!(
        page.body.contains("Listener") && page.body.contains("http://127.0.0.1:9"),
        "{}",
        page.body
    );
    let mut forged = page.form();
    forged.1[0].1 = String::new();
    assert_eq!(browser.follow(browser.post(forged.0, &forged.1)).await.page().status, 403);
    assert!(listener.is_quiet().await && is_active(&site, &client, &tokens["access_token"]).await);

    let left = browser.submit(&page, &[]).await.left();
    assert_eq!(left.as_str(), format!("{GOODBYE}&state=s+t"));
    let claims = listener.claims(&site, client["client_id"].as_str().unwrap()).await;
    let sid = crate::proofs::claims(tokens["id_token"].as_str().unwrap())["sid"].clone();
    assert!(sid.is_string() && claims["sid"] == sid, "{claims}");
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(!is_active(&site, &client, &tokens["access_token"]).await);
    assert!(is_active(&site, &client, &others["access_token"]).await, "another session");
    assert!(listener.is_quiet().await, "notified once");
    assert_eq!(browser.open(&site.url("account")).await.page().url.path(), "/sign-in");
    // Nobody is signed in, so nobody is asked.
    assert!(browser.open(url.as_str()).await.left().as_str().starts_with(GOODBYE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_leads_only_to_a_registered_address() {
    let site = Site::start().await;
    let listener = LogoutListener::start().await;
    let client = register(&site, &listener).await;
    let browser = Browser::new();
    let tokens = log_in(&site, &client, &browser).await;
    let hint = tokens["id_token"].as_str().unwrap();
    let other = site.register(json!({})).await;
    let other = other["client_id"].as_str().unwrap();
    let visit = async |parameters: &[(&str, &str)]| {
        let url = url::Url::parse_with_params(&site.url("logout"), parameters).unwrap();
        browser.open(url.as_str()).await.page().status.as_u16()
    };
    let to = |uri| ("post_logout_redirect_uri", uri);
    for (parameters, status) in [
        (&[][..], 200),
        (&[("id_token_hint", hint), to(GOODBYE)], 200),
        (&[to(GOODBYE)], 400),
        (&[("client_id", client["client_id"].as_str().unwrap()), to(GOODBYE)], 400),
        (&[("id_token_hint", hint), to("https://evil.example/")], 400),
        (&[("id_token_hint", hint), ("client_id", other), to(GOODBYE)], 400),
        (&[("id_token_hint", "e30.e30.x"), to(GOODBYE)], 400),
    ] {
        assert_eq!(visit(parameters).await, status, "{parameters:?}");
    }
    let post = site.http.post(site.url("logout")).form(&[("id_token_hint", hint)]);
    assert_eq!(post.send().await.unwrap().status(), 303, "the cookie comes with a GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_and_ends_sessions() {
    let site = Site::start().await;
    let mut listener = LogoutListener::start().await;
    let client = register(&site, &listener).await;
    let [here, there, third] = [Browser::new(), Browser::new(), Browser::new()];
    let tokens = log_in(&site, &client, &there).await;
    third.sign_in(&site, "alice").await;
    let bob = Browser::new();
    bob.sign_in(&site, "bob").await;
    let page = here.sign_in(&site, "alice").await;
    let sid = crate::proofs::claims(tokens["id_token"].as_str().unwrap())["sid"].clone();
    let sid = sid.as_str().unwrap();
    assert_eq!(
        page.body.matches("name=\"sid\"").count(),
        4,
        "three, and all others: {}",
        page.body
    );
    assert!(page.body.contains(sid) && page.body.contains("This browser, since"), "{}", page.body);

    // Bob cannot end a session of Alice.
    let end = async |browser: &Browser, sid: &str| {
        let page = browser.open(&site.url("account")).await.page();
        let (action, mut fields) = page.form();
        fields[1].1 = sid.to_owned();
        browser.follow(browser.post(action, &fields)).await.page();
    };
    end(&bob, sid).await;
    assert!(is_active(&site, &client, &tokens["access_token"]).await);
    end(&here, sid).await;
    assert_eq!(listener.claims(&site, client["client_id"].as_str().unwrap()).await["sid"], sid);
    assert!(!is_active(&site, &client, &tokens["access_token"]).await);
    assert_eq!(there.open(&site.url("account")).await.page().url.path(), "/sign-in");
    assert_eq!(third.open(&site.url("account")).await.page().url.path(), "/account");
    end(&here, "others").await;
    assert_eq!(third.open(&site.url("account")).await.page().url.path(), "/sign-in");
    for browser in [&here, &bob] {
        assert_eq!(browser.open(&site.url("account")).await.page().url.path(), "/account");
    }
}

/// A new sign-in of the same user continues the session (`sid`), one of another user ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_continues_after_a_new_sign_in_of_its_user() {
    let site = Site::start().await;
    let mut listener = LogoutListener::start().await;
    let client = register(&site, &listener).await;
    let browser = Browser::new();
    let tokens = log_in(&site, &client, &browser).await;
    let page = browser.open(&site.url("sign-in")).await.page();
    browser.submit(&page, &SIGN_IN).await.page();
    assert!(is_active(&site, &client, &tokens["access_token"]).await);
    let again = log_in(&site, &client, &browser).await;
    let sid =
        |tokens: &Value| crate::proofs::claims(tokens["id_token"].as_str().unwrap())["sid"].clone();
    assert_eq!(sid(&again), sid(&tokens));
    browser.sign_in(&site, "bob").await;
    assert_eq!(
        listener.claims(&site, client["client_id"].as_str().unwrap()).await["sid"],
        sid(&tokens)
    );
    assert!(!is_active(&site, &client, &tokens["access_token"]).await);
}
