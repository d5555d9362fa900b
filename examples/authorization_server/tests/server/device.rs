//! The device flow with the crate `oauth2`.

use std::time::Duration;

use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::{
    AuthUrl, ClientId, DeviceAuthorizationUrl, DeviceCodeErrorResponseType, RequestTokenError,
    Scope, StandardDeviceAuthorizationResponse, TokenResponse as _, TokenUrl,
};
use serde_json::{Value, json};

use crate::support::{Browser, Page, SIGN_IN, Site};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(crate) struct Device {
    client_id: String,
    pub(crate) codes: StandardDeviceAuthorizationResponse,
}

impl Device {
    pub(crate) async fn start(site: &Site) -> Self {
        let television = json!({
            "client_name": "Television",
            "token_endpoint_auth_method": "none",
            "grant_types": [DEVICE_CODE, "refresh_token"],
            "redirect_uris": [],
            "response_types": [],
        });
        let client = site.register(television).await;
        let client_id = client["client_id"].as_str().unwrap().to_owned();
        let url = DeviceAuthorizationUrl::new(site.url("device_authorization")).unwrap();
        let client =
            BasicClient::new(ClientId::new(client_id.clone())).set_device_authorization_url(url);
        let codes = client.exchange_device_code().add_scope(Scope::new("api:read".into()));
        Self { client_id, codes: codes.request_async(&site.http).await.unwrap() }
    }

    /// Polls until there is a final answer. The pauses are those of the test, a tenth of those of the server.
    pub(crate) async fn wait(
        &self,
        site: &Site,
    ) -> Result<BasicTokenResponse, DeviceCodeErrorResponseType> {
        let client = BasicClient::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::new(site.url("authorize")).unwrap())
            .set_token_uri(TokenUrl::new(site.url("token")).unwrap());
        let poll = client.exchange_device_access_token(&self.codes);
        let pause = |pause: Duration| tokio::time::sleep(pause / 10);
        match poll.request_async(&site.http, pause, Some(Duration::from_secs(60))).await {
            Ok(tokens) => Ok(tokens),
            Err(RequestTokenError::ServerResponse(refused)) => Err(refused.error().clone()),
            Err(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn user_code(&self) -> &str {
        self.codes.user_code().secret()
    }
}

/// Opens the page of the device, signs in, and sends the code: the page that asks.
pub(crate) async fn ask(browser: &Browser, url: &str) -> Page {
    let page = browser.open(url).await.page();
    assert_eq!(page.asks(), "/sign-in");
    let page = browser.submit(&page, &SIGN_IN).await.page();
    assert_eq!(page.asks(), "/device");
    page
}

fn typed(page: &Page) -> &str {
    page.body.split("name=\"user_code\" value=\"").nth(1).unwrap().split('"').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_tokens_when_its_user_allows_it() {
    let site = Site::start().await;
    let device = Device::start(&site).await;
    assert_eq!(device.codes.verification_uri().as_str(), site.url("device"));
    let complete = device.codes.verification_uri_complete().unwrap().secret();
    let browser = Browser::new();
    // The code is filled in and not used: a link alone shows nothing.
    let page = ask(&browser, complete).await;
    assert_eq!(typed(&page), device.user_code());
    assert!(!page.body.contains("Television"), "{}", page.body);
    let lower = device.user_code().to_lowercase();
    let page = browser.submit(&page, &[("user_code", &lower)]).await.page();
    assert!(page.body.contains("Allow Television on your device?"), "{}", page.body);
    assert!(page.body.contains("<code>api:read</code>"), "{}", page.body);
    assert!(page.body.contains("in front of you"), "{}", page.body);
    let (tokens, page) =
        tokio::join!(device.wait(&site), browser.submit(&page, &[("decision", "allow")]));
    assert!(page.page().body.contains("Continue on your device"));
    let tokens = tokens.unwrap();
    assert!(tokens.refresh_token().is_some());
    assert_eq!(
        device.wait(&site).await.unwrap_err(),
        DeviceCodeErrorResponseType::Basic(oauth2::basic::BasicErrorResponseType::InvalidGrant)
    );
    // The account lists it, and a sign-out here does not end it there.
    let page = browser.open(&site.url("account")).await.page();
    assert!(page.body.contains("<h2>Television</h2>"), "{}", page.body);
    let page = browser.open(&site.url("logout")).await.page();
    browser.submit(&page, &[]).await.page();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh_token().unwrap().secret().as_str()),
        ("client_id", device.client_id.as_str()),
    ];
    let response = site.http.post(site.url("token")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_refuses_a_device_and_cannot_guess_codes() {
    let site = Site::start().await;
    let device = Device::start(&site).await;
    let browser = Browser::new();
    let page = ask(&browser, &site.url("device")).await;
    let send = async |fields: &[(&str, &str)]| browser.submit(&page, fields).await.page();
    let page = send(&[("user_code", device.user_code())]).await;
    // An approval of something that was not shown shows it again.
    let again = send(&[("user_code", device.user_code()), ("decision", "allow")]).await;
    assert!(again.body.contains("Allow Television"), "{}", again.body);
    assert!(browser.submit(&page, &[("decision", "deny")]).await.page().body.contains("no access"));
    assert_eq!(device.wait(&site).await.unwrap_err(), DeviceCodeErrorResponseType::AccessDenied);
    let mut limited = 0;
    for _ in 0..20 {
        let page = send(&[("user_code", "BBBB-BBBB")]).await;
        assert!(page.body.contains("role=\"alert\""), "{}", page.body);
        limited += usize::from(page.body.contains("Too many attempts"));
    }
    assert_eq!(limited, 3, "twenty attempts, of which three came before");
    // A pending authorization is not shown then, and another user is not limited.
    let device = Device::start(&site).await;
    let page = send(&[("user_code", device.user_code())]).await;
    assert!(page.body.contains("Too many attempts"), "{}", page.body);
    let bob = Browser::new();
    bob.sign_in(&site, "bob").await;
    let page = bob.open(&site.url("device")).await.page();
    let page = bob.submit(&page, &[("user_code", device.user_code())]).await.page();
    assert!(page.body.contains("Television"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_device_endpoints() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let (status, _, body) = site.post("device_authorization", &client, &[]).await;
    assert_eq!((status.as_u16(), &body["error"]), (400, &Value::from("unauthorized_client")));
    let grants = json!({ "grant_types": [DEVICE_CODE], "response_types": [] });
    let client = site.register(grants).await;
    let (.., body) = site.post("device_authorization", &client, &[("scope", "admin")]).await;
    assert_eq!(body["error"], "invalid_scope");
    for (code, error) in [("x", "invalid_grant"), ("", "invalid_request")] {
        let form = [("grant_type", DEVICE_CODE), ("device_code", code)];
        assert_eq!(site.post("token", &client, &form).await.2["error"], error);
    }
    let (.., codes) = site.post("device_authorization", &client, &[("scope", "openid")]).await;
    let form =
        [("grant_type", DEVICE_CODE), ("device_code", codes["device_code"].as_str().unwrap())];
    for error in ["authorization_pending", "slow_down"] {
        assert_eq!(site.post("token", &client, &form).await.2["error"], error);
    }
}
