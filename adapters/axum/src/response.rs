use std::fmt;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oauth_storage::client::RegisteredClient;
use oauth_storage::endpoint::introspection_response;
use oauth_storage::grant::IssuedTokens;
use oauth_storage::token::Token;
use serde_json::{Map, Value};

/// The headers of responses with credentials (RFC 6749 5.1).
pub(crate) const fn no_store() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]
}

/// A token response (RFC 6749 5.1).
///
/// ```
/// use oauth_storage::grant::IssuedTokens;
/// use oauth_storage_axum::TokenResponse;
///
/// fn respond(issued: &IssuedTokens, id_token: String) -> TokenResponse {
///     TokenResponse::new(issued).with_id_token(id_token)
/// }
/// ```
#[derive(Clone)]
pub struct TokenResponse {
    body: Map<String, Value>,
}

impl TokenResponse {
    /// The response with the tokens.
    #[must_use]
    pub fn new(issued: &IssuedTokens) -> Self {
        Self { body: issued.token_response() }
    }

    /// Adds an ID token (OpenID Connect Core 3.1.3.3).
    #[must_use]
    pub fn with_id_token(self, id_token: impl Into<String>) -> Self {
        self.with_parameter("id_token", id_token.into())
    }

    /// Adds another parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.body.insert(name.into(), value.into());
        self
    }
}

impl From<IssuedTokens> for TokenResponse {
    fn from(issued: IssuedTokens) -> Self {
        Self::new(&issued)
    }
}

impl IntoResponse for TokenResponse {
    fn into_response(self) -> Response {
        (no_store(), Json(self.body)).into_response()
    }
}

/// The names of the parameters.
impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.body.keys()).finish()
    }
}

/// An introspection response (RFC 7662 2.2) for the result of
/// [`introspect`](oauth_storage::GrantStorage::introspect). `None` is `{"active": false}`.
///
/// Give the record of a refresh token only to the client that it was issued to, because a resource server could take
/// it for an access token.
#[derive(Debug, Clone)]
pub struct IntrospectionResponse(pub Option<Token>);

impl IntoResponse for IntrospectionResponse {
    fn into_response(self) -> Response {
        (no_store(), Json(introspection_response(self.0.as_ref()))).into_response()
    }
}

/// A registration response with status 201 (RFC 7591 3.2.1).
#[derive(Clone)]
pub struct RegistrationResponse {
    body: Map<String, Value>,
}

impl RegistrationResponse {
    /// The response with the client and its credentials.
    #[must_use]
    pub fn new(registered: &RegisteredClient) -> Self {
        Self { body: registered.registration_response() }
    }

    /// Adds the URL of the client configuration endpoint, which a client with a registration access token needs
    /// (RFC 7592 3).
    #[must_use]
    pub fn with_client_uri(mut self, uri: impl Into<String>) -> Self {
        self.body.insert("registration_client_uri".into(), uri.into().into());
        self
    }
}

impl IntoResponse for RegistrationResponse {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, no_store(), Json(self.body)).into_response()
    }
}

/// The names of the members.
impl fmt::Debug for RegistrationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.body.keys()).finish()
    }
}
