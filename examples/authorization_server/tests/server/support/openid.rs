//! A client of the crate `openidconnect`.

use openidconnect::core::{
    CoreClient, CoreClientRegistrationRequest, CoreGrantType, CoreIdTokenClaims,
    CoreProviderMetadata, CoreRevocableToken, CoreTokenResponse,
};
use openidconnect::registration::EmptyAdditionalClientMetadata;
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, IntrospectionUrl, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RevocationUrl, TokenResponse as _,
};

use super::browser::{Browser, parameters};
use super::{CALLBACK, Site};

/// An `openidconnect` client with all endpoints.
pub(crate) type OpenIdClient = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointSet,
    EndpointSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Discovers the server and registers a client.
pub(crate) async fn discover_and_register(site: &Site) -> OpenIdClient {
    let issuer = IssuerUrl::new(site.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &site.http).await.unwrap();
    let redirect_uri = RedirectUrl::new(CALLBACK.into()).unwrap();
    let registered = CoreClientRegistrationRequest::new(
        vec![redirect_uri.clone()],
        EmptyAdditionalClientMetadata {},
    )
    .set_grant_types(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken]))
    .register_async(metadata.registration_endpoint().unwrap(), &site.http)
    .await
    .unwrap();
    client_of(site, metadata, registered.client_id(), registered.client_secret().cloned())
}

pub(crate) fn client_of(
    site: &Site,
    metadata: CoreProviderMetadata,
    client_id: &ClientId,
    secret: Option<ClientSecret>,
) -> OpenIdClient {
    CoreClient::from_provider_metadata(metadata, client_id.clone(), secret)
        .set_redirect_uri(RedirectUrl::new(CALLBACK.into()).unwrap())
        .set_introspection_url(IntrospectionUrl::new(site.url("introspect")).unwrap())
        .set_revocation_url(
            RevocationUrl::new(site.url("revoke").replacen("http", "https", 1)).unwrap(),
        )
}

pub(crate) async fn revoke(site: &Site, client: &OpenIdClient, token: CoreRevocableToken) {
    let http = WithoutTls(site.http.clone());
    client.revoke_token(token).unwrap().request_async(&http).await.unwrap();
}

/// `openidconnect` revokes over https only. This client sends the request over http, in place of a
/// TLS proxy in front of the server.
struct WithoutTls(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for WithoutTls {
    type Error = <reqwest::Client as AsyncHttpClient<'c>>::Error;
    type Future = <reqwest::Client as AsyncHttpClient<'c>>::Future;

    fn call(&'c self, mut request: HttpRequest) -> Self::Future {
        let uri = request.uri().to_string().replacen("https", "http", 1);
        *request.uri_mut() = uri.parse().unwrap();
        self.0.call(request)
    }
}

/// A code flow up to the code.
pub(crate) struct Login {
    pub(crate) code: AuthorizationCode,
    pub(crate) verifier: PkceCodeVerifier,
    pub(crate) nonce: Nonce,
}

pub(crate) async fn log_in(site: &Site, client: &OpenIdClient, browser: &Browser) -> Login {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            openidconnect::core::CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(openidconnect::Scope::new("email".into()))
        .set_pkce_challenge(challenge)
        .url();
    let callback = browser.allow(url.as_str()).await;
    assert!(callback.as_str().starts_with(CALLBACK), "{callback}");
    let answer = parameters(&callback);
    assert_eq!(answer.get("state"), Some(state.secret()), "{callback}");
    assert_eq!(answer["iss"], site.issuer, "RFC 9207");
    Login { code: AuthorizationCode::new(answer["code"].clone()), verifier, nonce }
}

/// A whole code flow: the tokens, and the claims of the verified ID token.
pub(crate) async fn tokens(
    site: &Site,
    client: &OpenIdClient,
    browser: &Browser,
) -> (CoreTokenResponse, CoreIdTokenClaims) {
    let login = log_in(site, client, browser).await;
    let response = client.exchange_code(login.code).unwrap().set_pkce_verifier(login.verifier);
    let response: CoreTokenResponse = response.request_async(&site.http).await.unwrap();
    let id_token = response.id_token().unwrap();
    let claims = id_token.claims(&client.id_token_verifier(), &login.nonce).unwrap().clone();
    (response, claims)
}
