//! Server metadata (RFC 8414, OpenID Connect Discovery 3), and the public keys for ID tokens.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use oauth_storage::ResponseType;
use serde_json::json;

use super::Shared;

const CACHEABLE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=300")];

pub(crate) async fn metadata(State(server): Shared) -> impl IntoResponse {
    let issuer = &server.config.issuer;
    let implicit = server.config.implicit;
    let response_types =
        ResponseType::ALL.into_iter().filter(|t| implicit || !t.is_front_channel());
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
    let metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "registration_endpoint": format!("{issuer}/register"),
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "scopes_supported": server.config.scope.iter().collect::<Vec<_>>(),
        "response_types_supported": response_types.collect::<Vec<_>>(),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": server.config.grant_types(),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "introspection_endpoint_auth_methods_supported": methods[..3],
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": server.signer.keys().algorithms(),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": true,
        "request_uri_parameter_supported": false,
        "dpop_signing_alg_values_supported": ["ES256"],
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    });
    (CACHEABLE, Json(metadata))
}

pub(crate) async fn jwks(State(server): Shared) -> impl IntoResponse {
    (CACHEABLE, Json(server.signer.jwk_set()))
}
