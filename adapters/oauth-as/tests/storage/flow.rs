//! Flows through the authorization server of oauth-as.

use oauth_as::server::UserApproval;
use oauth_as::{
    AuthorizationRequest, AuthorizationServer, Client, ClientAuth, ClientId, GrantType,
    ServerConfig, TokenRequest, TokenResponse,
};
use oauth_storage_oauth_as::OauthAsStorage;

use crate::records::{client, scope};

/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) const SECRET: &str = "the secret of the confidential client";

pub(crate) type Server = AuthorizationServer<OauthAsStorage>;

/// A server whose clients are `public` and `confidential`.
pub(crate) async fn server(
    storage: OauthAsStorage,
    adjust: impl FnOnce(&mut ServerConfig),
) -> Server {
    let mut config = ServerConfig::new("https://issuer.example", "https://issuer.example/device");
    adjust(&mut config);
    let server = AuthorizationServer::new(config, storage);
    let grants = vec![GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
    let public = Client { grant_types: grants, ..client("public", ClientAuth::Public) };
    let secret = ClientAuth::ConfidentialSecret { secret: SECRET.into() };
    let grants = vec![GrantType::ClientCredentials];
    let confidential = Client { grant_types: grants, ..client("confidential", secret) };
    for client in [public, confidential] {
        server.register_client(client).await.unwrap();
    }
    server
}

/// Returns a new code of the public client.
pub(crate) async fn authorize(server: &Server) -> String {
    let request = AuthorizationRequest::from_pairs([
        ("response_type", "code"),
        ("client_id", "public"),
        ("redirect_uri", "https://client.example/cb"),
        ("scope", "read"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let validated = server.validate_authorization_request(&request).await.unwrap();
    let approval = UserApproval::granted(&validated, "alice");
    server.issue_authorization_code(approval).await.unwrap().code
}

pub(crate) fn redemption(code: &str) -> TokenRequest {
    TokenRequest::AuthorizationCode {
        client_id: ClientId::new("public"),
        client_secret: None,
        code: code.into(),
        redirect_uri: Some("https://client.example/cb".into()),
        code_verifier: Some(VERIFIER.into()),
    }
}

pub(crate) fn refreshment(refresh_token: &str) -> TokenRequest {
    TokenRequest::RefreshToken {
        client_id: ClientId::new("public"),
        client_secret: None,
        refresh_token: refresh_token.into(),
        scope: None,
    }
}

pub(crate) async fn client_credentials(server: &Server) -> TokenResponse {
    let request = TokenRequest::ClientCredentials {
        client_id: ClientId::new("confidential"),
        client_secret: Some(SECRET.into()),
        scope: Some(scope()),
    };
    server.token(request).await.unwrap()
}
