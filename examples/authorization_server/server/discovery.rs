//! What the server can do, and the keys that verify its ID tokens (RFC 8414, OpenID Connect
//! Discovery 3).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use oauth_storage::Storage;
use serde_json::json;

use super::Shared;

/// Anyone may read these, from anywhere, and keep them for a while.
const PUBLIC: [(header::HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "public, max-age=300"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];

pub(crate) async fn metadata<S: Storage + 'static>(
    State(server): Shared<S>,
) -> impl IntoResponse + use<S> {
    let issuer = &server.config.issuer;
    let secrets = ["client_secret_basic", "client_secret_post"];
    let methods = ["client_secret_basic", "client_secret_post", "none"];
    let response_types: &[&str] = match server.config.implicit {
        false => &["code", "none"],
        true => &[
            "code",
            "none",
            "token",
            "id_token",
            "id_token token",
            "code id_token",
            "code token",
            "code id_token token",
        ],
    };
    let body = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "registration_endpoint": format!("{issuer}/register"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "scopes_supported": server.config.scope.iter().collect::<Vec<_>>(),
        "response_types_supported": response_types,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": server.grant_types(),
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": secrets,
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": true,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    (PUBLIC, Json(body))
}

pub(crate) async fn jwks<S: Storage + 'static>(
    State(server): Shared<S>,
) -> impl IntoResponse + use<S> {
    let body = Json(&server.jwk_set).into_response().into_body();
    (PUBLIC, [(header::CONTENT_TYPE, "application/jwk-set+json")], body)
}
