//! Whole flows with the crates `openidconnect` and `oauth2`.

use std::sync::Arc;

use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicTokenType};
use oauth2::{AuthType, AuthUrl, TokenResponse as _, TokenUrl};
use openidconnect::core::{CoreErrorResponseType, CoreTokenResponse, CoreUserInfoClaims};
use openidconnect::{
    AccessToken, AccessTokenHash, ClientId, ClientSecret, RequestTokenError, Scope,
    StandardErrorResponse, TokenIntrospectionResponse as _, TokenResponse as _,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    ALICE, Browser, CALLBACK, OpenIdClient, Options, Site, discover_and_register, log_in,
    parameters, revoke, tokens,
};

type Refused<E> = RequestTokenError<E, StandardErrorResponse<CoreErrorResponseType>>;

fn is_invalid_grant<E: std::error::Error>(refused: Refused<E>) -> bool {
    match refused {
        RequestTokenError::ServerResponse(response) => {
            *response.error() == CoreErrorResponseType::InvalidGrant
        }
        other => panic!("{other:?}"),
    }
}

async fn is_active(site: &Site, client: &OpenIdClient, token: &str) -> bool {
    let token = AccessToken::new(token.to_owned());
    client.introspect(&token).request_async(&site.http).await.unwrap().active()
}

/// Every flow of the crate `openidconnect`: discovery, registration, code flow with PKCE, ID token,
/// userinfo, refresh, introspection, revocation.
async fn the_whole_life_of_a_login(site: &Site) {
    let client = discover_and_register(site).await;
    let browser = Browser::new();
    let (first, claims) = tokens(site, &client, &browser).await;
    assert_eq!(claims.subject().as_str(), ALICE);
    assert!(claims.auth_time().is_some());
    let id_token = first.id_token().unwrap();
    let verifier = client.id_token_verifier();
    let at_hash = AccessTokenHash::from_token(
        first.access_token(),
        id_token.signing_alg().unwrap(),
        id_token.signing_key(&verifier).unwrap(),
    );
    assert_eq!(claims.access_token_hash(), Some(&at_hash.unwrap()));
    assert_eq!(first.expires_in().unwrap().as_secs(), 3600);
    let scopes = vec![Scope::new("openid".into()), Scope::new("email".into())];
    assert_eq!(first.scopes(), Some(&scopes));

    let subject = Some(claims.subject().clone());
    let info = client.user_info(first.access_token().clone(), subject).unwrap();
    let info: CoreUserInfoClaims = info.request_async(&site.http).await.unwrap();
    assert_eq!(info.email().unwrap().as_str(), "alice@example.com");

    let refresh_token = AccessToken::new(first.refresh_token().unwrap().secret().clone());
    let info = client.user_info(refresh_token, None).unwrap();
    let info: Result<CoreUserInfoClaims, _> = info.request_async(&site.http).await;
    assert!(info.is_err(), "a refresh token is no access token");

    let introspection = client.introspect(first.access_token()).request_async(&site.http).await;
    let introspection = introspection.unwrap();
    assert!(introspection.active());
    assert_eq!(introspection.sub(), Some(ALICE));
    assert_eq!(introspection.client_id(), Some(client.client_id()));
    assert_eq!(introspection.scopes(), Some(&scopes));

    let refresh_token = first.refresh_token().unwrap();
    let second = client.exchange_refresh_token(refresh_token).unwrap();
    let second: CoreTokenResponse = second.request_async(&site.http).await.unwrap();
    assert_ne!(second.refresh_token().unwrap().secret(), refresh_token.secret());
    let again = second.id_token().unwrap().claims(&verifier, |_: Option<&_>| Ok(())).unwrap();
    assert_eq!(again.subject(), claims.subject());
    assert_eq!(again.auth_time(), claims.auth_time(), "OpenID Connect Core 12.2");
    assert!(is_active(site, &client, second.access_token().secret()).await);

    let last = second.refresh_token().unwrap().clone();
    revoke(site, &client, last.into()).await;
    assert!(!is_active(site, &client, second.access_token().secret()).await);
    let after = client.exchange_refresh_token(second.refresh_token().unwrap()).unwrap();
    assert!(is_invalid_grant(after.request_async(&site.http).await.unwrap_err()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_life_of_a_login_on_postgresql() {
    the_whole_life_of_a_login(&Site::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_life_of_a_login_in_memory() {
    the_whole_life_of_a_login(&Site::start_in_memory().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_a_replayed_code_is_refused_and_revokes_the_grant() {
    let site = Site::start().await;
    let client = discover_and_register(&site).await;
    let login = log_in(&site, &client, &Browser::new()).await;
    let exchange = |verifier: &str| {
        let verifier = openidconnect::PkceCodeVerifier::new(verifier.to_owned());
        client.exchange_code(login.code.clone()).unwrap().set_pkce_verifier(verifier)
    };
    let verifier = login.verifier.secret();
    let first: CoreTokenResponse = exchange(verifier).request_async(&site.http).await.unwrap();

    // With a wrong verifier it is no replay, so nothing is revoked.
    let stolen = exchange(&"x".repeat(43)).request_async(&site.http).await;
    assert!(is_invalid_grant(stolen.unwrap_err()));
    assert!(is_active(&site, &client, first.access_token().secret()).await);

    let replayed = exchange(verifier).request_async(&site.http).await;
    assert!(is_invalid_grant(replayed.unwrap_err()));
    assert!(!is_active(&site, &client, first.access_token().secret()).await);
    assert!(!is_active(&site, &client, first.refresh_token().unwrap().secret()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_reused_refresh_token_is_refused_and_revokes_the_grant() {
    let site = Site::start().await;
    let client = discover_and_register(&site).await;
    let (first, _) = tokens(&site, &client, &Browser::new()).await;
    let refresh = || client.exchange_refresh_token(first.refresh_token().unwrap()).unwrap();
    let second: CoreTokenResponse = refresh().request_async(&site.http).await.unwrap();
    assert!(is_active(&site, &client, second.access_token().secret()).await);
    assert!(is_invalid_grant(refresh().request_async(&site.http).await.unwrap_err()));
    assert!(!is_active(&site, &client, second.access_token().secret()).await);
    assert!(!is_active(&site, &client, second.refresh_token().unwrap().secret()).await);
}

/// Each login has its own client and browser.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_logins_at_once() {
    let site = Arc::new(Site::start().await);
    let mut logins = JoinSet::new();
    for _ in 0..64 {
        let site = Arc::clone(&site);
        logins.spawn(async move {
            let client = discover_and_register(&site).await;
            let (first, claims) = tokens(&site, &client, &Browser::new()).await;
            assert_eq!(claims.subject().as_str(), ALICE);
            let second = client.exchange_refresh_token(first.refresh_token().unwrap()).unwrap();
            let second: CoreTokenResponse = second.request_async(&site.http).await.unwrap();
            assert!(is_active(&site, &client, second.access_token().secret()).await);
            let token = second.refresh_token().unwrap().clone();
            revoke(&site, &client, token.into()).await;
            assert!(!is_active(&site, &client, second.access_token().secret()).await);
        });
    }
    while let Some(login) = logins.join_next().await {
        login.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_by_basic_and_by_post() {
    let site = Site::start().await;
    for (method, auth_type) in [
        ("client_secret_basic", AuthType::BasicAuth),
        ("client_secret_post", AuthType::RequestBody),
    ] {
        let registered = site
            .register(json!({
                "grant_types": ["client_credentials"],
                "response_types": [],
                "redirect_uris": [],
                "token_endpoint_auth_method": method,
            }))
            .await;
        let client =
            BasicClient::new(ClientId::new(registered["client_id"].as_str().unwrap().into()))
                .set_client_secret(ClientSecret::new(
                    registered["client_secret"].as_str().unwrap().into(),
                ))
                .set_auth_type(auth_type)
                .set_token_uri(TokenUrl::new(site.url("token")).unwrap());
        let request = client.exchange_client_credentials();
        let request = request.add_scope(oauth2::Scope::new("api:read".into()));
        let token = request.request_async(&site.http).await.unwrap();
        assert_eq!(*token.token_type(), BasicTokenType::Bearer);
        assert!(token.refresh_token().is_none(), "RFC 6749 4.4.3");
        let wider = client.exchange_client_credentials();
        let wider = wider.add_scope(oauth2::Scope::new("admin".into()));
        match wider.request_async(&site.http).await.unwrap_err() {
            oauth2::RequestTokenError::ServerResponse(refused) => {
                assert_eq!(*refused.error(), BasicErrorResponseType::InvalidScope);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_grant_where_it_is_enabled() {
    let site = Site::start_with(Options { password: true, ..Options::default() }).await;
    let registered = site
        .register(json!({ "grant_types": ["password", "refresh_token"], "response_types": [] }))
        .await;
    let client = BasicClient::new(ClientId::new(registered["client_id"].as_str().unwrap().into()))
        .set_client_secret(ClientSecret::new(registered["client_secret"].as_str().unwrap().into()))
        .set_token_uri(TokenUrl::new(site.url("token")).unwrap());
    let log_in = async |password: &str| {
        let username = oauth2::ResourceOwnerUsername::new("alice".into());
        let password = oauth2::ResourceOwnerPassword::new(password.into());
        client.exchange_password(&username, &password).request_async(&site.http).await
    };
    assert!(log_in("wonderland").await.unwrap().refresh_token().is_some());
    match log_in("looking-glass").await.unwrap_err() {
        oauth2::RequestTokenError::ServerResponse(refused) => {
            assert_eq!(*refused.error(), BasicErrorResponseType::InvalidGrant);
        }
        other => panic!("{other:?}"),
    }
}

/// With the crate `oauth2`.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_proves_itself_with_pkce() {
    let site = Site::start().await;
    let registered = site.register(json!({ "token_endpoint_auth_method": "none" })).await;
    assert!(registered.get("client_secret").is_none());
    let client = BasicClient::new(ClientId::new(registered["client_id"].as_str().unwrap().into()))
        .set_auth_uri(AuthUrl::new(site.url("authorize")).unwrap())
        .set_token_uri(TokenUrl::new(site.url("token")).unwrap())
        .set_redirect_uri(oauth2::RedirectUrl::new(CALLBACK.into()).unwrap());
    let (challenge, verifier) = oauth2::PkceCodeChallenge::new_random_sha256();
    let request = client.authorize_url(oauth2::CsrfToken::new_random);
    let (url, _) = request.set_pkce_challenge(challenge).url();
    let answer = parameters(&Browser::new().allow(url.as_str()).await);
    let code = oauth2::AuthorizationCode::new(answer["code"].clone());
    let bare = client.exchange_code(code.clone()).request_async(&site.http).await;
    assert!(bare.is_err(), "the code alone is not enough");
    let exchange = client.exchange_code(code).set_pkce_verifier(verifier);
    let token = exchange.request_async(&site.http).await.unwrap();
    assert!(token.refresh_token().is_some());

    // A request without a challenge is refused before the sign-in.
    let (url, _) = client.authorize_url(oauth2::CsrfToken::new_random).url();
    let answer = parameters(&Browser::new().open(url.as_str()).await.left());
    assert_eq!(answer["error"], "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_application_uses_any_port_of_a_loopback_address() {
    let site = Site::start().await;
    let client = site.register(json!({})).await;
    let redirect_uri = CALLBACK.replace(":9/", ":49152/");
    let url = site.authorize(&[
        ("client_id", client["client_id"].as_str().unwrap()),
        ("redirect_uri", &redirect_uri),
        ("response_type", "code"),
        ("scope", "openid"),
    ]);
    let callback = Browser::new().allow(&url).await;
    assert!(callback.as_str().starts_with(&redirect_uri), "{callback}");
    let code = parameters(&callback)["code"].clone();
    for (redirect_uri, expected) in [(CALLBACK, 400), (redirect_uri.as_str(), 200)] {
        let form =
            [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", redirect_uri)];
        let (status, _, body) = site.post("token", &client, &form).await;
        assert_eq!(status, expected, "{redirect_uri}: {body}");
    }
}
