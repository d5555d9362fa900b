mod check;

pub use check::MAX_CLIENT_KEYS;
mod json;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::{GrantType, TokenEndpointAuthMethod};
use crate::response_type::ResponseType;
use crate::scope::Scope;

/// Client metadata (RFC 7591 2). Its JSON is that of a registration request.
///
/// ```
/// use oauth_storage::ClientMetadata;
///
/// let metadata: ClientMetadata = serde_json::from_str(
///     r#"{ "redirect_uris": ["https://client.example/cb"], "client_name": "Example",
///          "client_name#de": "Beispiel" }"#,
/// )?;
/// metadata.check()?;
/// assert_eq!(metadata.details.client_name.as_deref(), Some("Example"));
/// assert_eq!(metadata.details.other["client_name#de"], "Beispiel");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
#[non_exhaustive]
pub struct ClientMetadata {
    /// The registered redirect URIs, see [`Client::allows_redirect_uri`](crate::client::Client::allows_redirect_uri).
    pub redirect_uris: Vec<String>,
    /// The authentication method.
    pub token_endpoint_auth_method: TokenEndpointAuthMethod,
    /// The allowed grant types.
    pub grant_types: Vec<GrantType>,
    /// The allowed response types.
    pub response_types: Vec<ResponseType>,
    /// The widest scope that the client may request.
    pub scope: Scope,
    /// Descriptive metadata, stored and returned but not acted on.
    #[serde(flatten)]
    pub details: ClientDetails,
}

/// The defaults of RFC 7591 2.
impl Default for ClientMetadata {
    fn default() -> Self {
        Self {
            redirect_uris: Vec::new(),
            token_endpoint_auth_method: TokenEndpointAuthMethod::default(),
            grant_types: vec![GrantType::AuthorizationCode],
            response_types: vec![ResponseType::CODE],
            scope: Scope::default(),
            details: ClientDetails::default(),
        }
    }
}

/// The descriptive part of the client metadata (RFC 7591 2), stored as one JSON object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub struct ClientDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// All other members: localized names, OpenID Connect metadata, extensions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ClientMetadata {
    /// Metadata for the authorization code flow with refresh tokens.
    pub fn authorization_code<U: Into<String>>(redirect_uris: impl IntoIterator<Item = U>) -> Self {
        Self {
            redirect_uris: redirect_uris.into_iter().map(Into::into).collect(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            ..Self::default()
        }
    }

    /// Metadata for the client credentials grant (RFC 6749 4.4).
    #[must_use]
    pub fn client_credentials() -> Self {
        Self {
            grant_types: vec![GrantType::ClientCredentials],
            response_types: Vec::new(),
            ..Self::default()
        }
    }

    /// Metadata for the device authorization grant (RFC 8628), with refresh tokens.
    #[must_use]
    pub fn device_code() -> Self {
        Self {
            grant_types: vec![GrantType::DeviceCode, GrantType::RefreshToken],
            response_types: Vec::new(),
            ..Self::default()
        }
    }

    /// Makes the client public, without a secret (RFC 6749 2.1).
    #[must_use]
    pub fn public(self) -> Self {
        self.with_token_endpoint_auth_method(TokenEndpointAuthMethod::None)
    }

    /// Sets the human-readable name.
    #[must_use]
    pub fn with_client_name(mut self, client_name: impl Into<String>) -> Self {
        self.details.client_name = Some(client_name.into());
        self
    }

    setters! {
        /// Sets the redirect URIs.
        with_redirect_uris(redirect_uris: Vec<String>) => redirect_uris;
        /// Sets the authentication method.
        with_token_endpoint_auth_method(token_endpoint_auth_method: TokenEndpointAuthMethod) =>
            token_endpoint_auth_method;
        /// Sets the grant types that the client may use.
        with_grant_types(grant_types: Vec<GrantType>) => grant_types;
        /// Sets the response types that the client may use.
        with_response_types(response_types: Vec<ResponseType>) => response_types;
        /// Sets the widest scope that the client may request.
        with_scope(scope: Scope) => scope;
        /// Sets the descriptive metadata.
        with_details(details: ClientDetails) => details;
    }
}
