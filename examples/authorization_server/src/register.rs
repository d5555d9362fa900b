//! The policy of dynamic client registration (RFC 7591, OpenID Connect Dynamic Client Registration).
//!
//! It is open to everyone, at a limited rate. A registered client can make this server redirect people
//! to the registered URIs, because a refused request redirects at once (RFC 9700 4.11.2). A public
//! server requires an initial access token (RFC 7591 3) or checks the URIs.

use oauth_storage::ClientMetadata;
use oauth_storage::client::TokenEndpointAuthMethod;
use oauth_storage::id_token::SigningAlgorithm;

use super::Config;
use super::error::{Result, ensure};

const INVALID: &str = "invalid_client_metadata";

/// The members beyond those of the storage that this server acts on.
const KEPT: [&str; 5] = [
    "id_token_signed_response_alg",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
    "require_pushed_authorization_requests",
];

/// Checks that the server offers what the metadata asks for, and returns the metadata to register.
pub(crate) fn admit(
    config: &Config,
    offered_algs: &[SigningAlgorithm],
    mut metadata: ClientMetadata,
) -> Result<ClientMetadata> {
    let offered = config.grant_types();
    let is_offered = metadata.grant_types.iter().all(|own| offered.contains(own));
    ensure(is_offered, INVALID, "one of the grant types is not offered here")?;
    let method = metadata.token_endpoint_auth_method;
    let is_offered = match method {
        TokenEndpointAuthMethod::PrivateKeyJwt => metadata.details.jwks.is_some(),
        method => method == TokenEndpointAuthMethod::None || method.uses_secret(),
    };
    ensure(is_offered, INVALID, "this authentication is not offered here")?;
    if metadata.scope.is_empty() {
        metadata.scope = config.scope.clone();
    }
    let is_offered = metadata.scope.is_subset_of(&config.scope);
    ensure(is_offered, INVALID, &format!("the scope here is: {}", config.scope))?;
    // The default of OpenID Connect is RS256, which needs an RSA key.
    let rs256 = offered_algs.iter().find(|own| **own == SigningAlgorithm::RS256);
    let default = rs256.or(offered_algs.first());
    let other = &mut metadata.details.other;
    let default = default.map_or("", |own| own.as_str());
    let algorithm = other.entry("id_token_signed_response_alg").or_insert(default.into());
    let is_offered = offered_algs.iter().any(|own| *algorithm == own.as_str());
    ensure(is_offered, INVALID, "no such id_token_signed_response_alg here")?;
    // Unknown members are ignored (RFC 7591 2). To register them would promise what the server does
    // not do, such as encrypted tokens. Names in other languages stay.
    other.retain(|name, _| name.contains('#') || KEPT.contains(&name.as_str()));
    Ok(metadata)
}
