//! The whole service on [`MemoryStorage`]: no network, no database, and a clock that tests move.

use std::time::Duration;

use axum::http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use oauth_storage::{MemoryStorage, User};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

// Verifier and challenge are those of RFC 7636 appendix B.
const TOKEN: &str = "client_id=notes&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const AUTHORIZE: &str = "/authorize?response_type=code&client_id=notes&state=a%26b\
    &code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const ALICE: &str = "username=alice&password=wonderland&decision=allow";

struct Service(MemoryStorage, Router);

impl Service {
    async fn new() -> Self {
        let storage = MemoryStorage::new().with_user("alice", "wonderland", User::new("1"));
        register_client(&storage).await.unwrap();
        Self(storage.clone(), router(storage, PrometheusBuilder::new().build_recorder().handle()))
    }

    /// Sends a GET, or a POST if there is a form. Returns status, and `Location`, challenge or body.
    async fn send(&self, uri: &str, token: &str, form: &str) -> (u16, String) {
        let request = if form.is_empty() { Request::get(uri) } else { Request::post(uri) };
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut request = request.body(form.to_owned()).unwrap();
        if !token.is_empty() {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let response = self.1.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers());
        let header = headers.get(header::LOCATION).or(headers.get(header::WWW_AUTHENTICATE));
        let header = header.map(|header| header.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, header.unwrap_or_else(|| String::from_utf8(body.to_vec()).unwrap()))
    }

    /// Returns the access token and the refresh token, or the error and nothing.
    async fn token(&self, grant: &str) -> [String; 2] {
        let (_, body) = self.send("/token", "", &format!("{TOKEN}&grant_type={grant}")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        [text("access_token") + &text("error"), text("refresh_token")]
    }

    /// Signs alice in. Returns the token request for the code.
    async fn code(&self, scope: &str) -> String {
        let (_, location) = self.send(&format!("{AUTHORIZE}&scope={scope}"), "", ALICE).await;
        let code = location.strip_prefix("http://127.0.0.1:8081/callback?").unwrap();
        format!("authorization_code&{}", code.split_once("&state=a%26b&iss=http").unwrap().0)
    }

    async fn notes(&self, token: &str) -> u16 {
        self.send("/notes", token, "").await.0
    }
}

#[tokio::test]
async fn a_code_is_exchanged_and_its_tokens_open_only_their_scope() {
    let service = Service::new().await;
    let page = service.send(AUTHORIZE, "", "").await;
    assert!(page.0 == 200 && page.1.contains("<form method=\"post\">"), "{page:?}");
    assert_eq!(service.send(AUTHORIZE, "", &ALICE.replace("land", "")).await, page);
    let [access, refresh] = service.token(&service.code("notes:read").await).await;
    assert_eq!(service.notes(&access).await, 200);
    let [access, _] = service.token(&format!("refresh_token&refresh_token={refresh}")).await;
    assert_eq!(service.notes(&access).await, 200);
    let [other, _] = service.token(&service.code("account").await).await;
    let challenge =
        |code| format!("Bearer realm=\"OAuth\", error=\"{code}\", scope=\"notes:read\"");
    let narrow = challenge("insufficient_scope");
    assert_eq!(service.send("/notes", &other, "").await, (403, narrow));
    assert_eq!(service.send("/notes", &refresh, "").await, (401, challenge("invalid_token")));
}

#[tokio::test]
async fn errors_redirect_only_to_a_registered_uri() {
    let service = Service::new().await;
    let evil = format!("{AUTHORIZE}&scope=admin&redirect_uri=https://evil.example/");
    let page = service.send(&evil, "", ALICE).await;
    assert!(page.0 == 400 && page.1.contains("\"error\":\"invalid_request\""), "{page:?}");
    let plain = service.send(&AUTHORIZE.replace("S256", "plain"), "", ALICE).await.1;
    assert!(plain.contains("/callback?error=invalid_request&error_description="), "{plain}");
    assert!(plain.contains("&state=a%26b&iss=http"), "{plain}");
}

#[tokio::test]
async fn codes_and_tokens_expire() {
    let service = Service::new().await;
    let [access, _] = service.token(&service.code("notes:read").await).await;
    let code = service.code("notes:read").await;
    service.0.advance_clock(Duration::from_mins(2)).await;
    assert_eq!(service.token(&code).await[0], "invalid_grant");
    assert_eq!(service.notes(&access).await, 200);
    service.0.advance_clock(Duration::from_hours(1)).await;
    assert_eq!(service.notes(&access).await, 401);
}

#[tokio::test]
async fn replay_revocation_and_disconnection_end_access() {
    let service = Service::new().await;
    let code = service.code("notes:read").await;
    let [first, _] = service.token(&code).await;
    let [second, refresh] = service.token(&service.code("notes:read").await).await;
    let [third, _] = service.token(&service.code("notes:read+account").await).await;
    assert_eq!(service.token(&code).await[0], "invalid_grant");
    assert_eq!((service.notes(&first).await, service.notes(&second).await), (401, 200));
    service.send("/revoke", "", &format!("{TOKEN}&token={refresh}")).await;
    assert_eq!((service.notes(&second).await, service.notes(&third).await), (401, 200));
    assert!(service.send("/applications", &third, "").await.1.contains("\"client_id\":\"notes\""));
    assert_eq!(service.send("/disconnect", &third, TOKEN).await.1, "{\"revoked\":1}");
    assert_eq!(service.notes(&third).await, 401);
}
