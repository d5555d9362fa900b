//! Two servers behind one address: no request may depend on the server that it reaches.

use crate::device::{Device, ask};
use crate::logout::{is_active, log_in, logout_url, register};
use crate::support::{Browser, LogoutListener, Site, answer, discover_and_register, tokens};
use oauth2::TokenResponse as _;
use openidconnect::core::CoreTokenResponse;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_behind_one_address_work_as_one() {
    let site = Site::start_two().await;
    // Both sign with the same key. The first to start learns the next key at its next update.
    let keys = async || answer(site.http.get(site.url("jwks"))).await.2["keys"][0].clone();
    assert!(keys().await.is_object());
    assert_eq!(keys().await, keys().await);

    // The shift decides which of them gets the first request.
    for shift in 0..2 {
        for _ in 0..shift {
            keys().await;
        }
        // Sign-in, consent, code, refresh.
        let client = discover_and_register(&site).await;
        let (first, _) = tokens(&site, &client, &Browser::new()).await;
        let refresh = client.exchange_refresh_token(first.refresh_token().unwrap()).unwrap();
        let second: CoreTokenResponse = refresh.request_async(&site.http).await.unwrap();
        assert!(second.refresh_token().is_some());

        // A device.
        let device = Device::start(&site).await;
        let browser = Browser::new();
        let page = ask(&browser, device.codes.verification_uri_complete().unwrap().secret()).await;
        let code = [("user_code", device.user_code())];
        let page = browser.submit(&page, &code).await.page();
        browser.submit(&page, &[("decision", "allow")]).await.page();
        device.wait(&site).await.unwrap();

        // A logout.
        let mut listener = LogoutListener::start().await;
        let client = register(&site, &listener).await;
        let issued = log_in(&site, &client, &browser).await;
        let page = browser.open(logout_url(&site, &issued).await.as_str()).await.page();
        browser.submit(&page, &[]).await.left();
        listener.claims(&site, client["client_id"].as_str().unwrap()).await;
        assert!(!is_active(&site, &client, &issued["access_token"]).await);
        for _ in 0..2 {
            assert_eq!(browser.open(&site.url("account")).await.page().url.path(), "/sign-in");
        }
    }
}
