use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client_secret::check_chosen_secret;
use crate::error::{Error, Problem, Result};
use crate::model::grant_context::check_json;
use crate::model::redirect_uri::check_redirect_uri;
use crate::model::{GrantType, ResponseType, Scope, check_client_id, check_text};
use crate::request::MAX_LIFETIME;
use crate::secret::Secret;

/// The most redirect URIs of a client.
const MAX_REDIRECT_URIS: usize = 100;

/// The largest set of descriptive metadata, as JSON, in bytes.
const MAX_DETAILS_BYTES: usize = 64 * 1024;

/// How a client authenticates at the token endpoint (RFC 7591 2, RFC 8705 2).
///
/// `client_secret_jwt` is missing on purpose: it needs the secret in plaintext, and the storage
/// has only its hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenEndpointAuthMethod {
    /// A public client.
    None,
    /// HTTP Basic (RFC 6749 2.3.1).
    #[default]
    ClientSecretBasic,
    /// Form parameters (RFC 6749 2.3.1).
    ClientSecretPost,
    /// A signed assertion (RFC 7523).
    PrivateKeyJwt,
    /// A certificate of a PKI (RFC 8705 2.1).
    TlsClientAuth,
    /// A self-signed certificate (RFC 8705 2.2).
    SelfSignedTlsClientAuth,
}

names!(TokenEndpointAuthMethod, "token_endpoint_auth_method", {
    None => "none",
    ClientSecretBasic => "client_secret_basic",
    ClientSecretPost => "client_secret_post",
    PrivateKeyJwt => "private_key_jwt",
    TlsClientAuth => "tls_client_auth",
    SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
});

impl TokenEndpointAuthMethod {
    /// Whether the client proves itself with a client secret.
    #[must_use]
    pub const fn uses_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// Client metadata in the terms of RFC 7591 2. Its JSON is that of a registration request.
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
#[serde(default)]
pub struct ClientMetadata {
    /// Where a user agent may be sent; compared exactly, byte by byte.
    pub redirect_uris: Vec<String>,
    /// How the client authenticates.
    pub token_endpoint_auth_method: TokenEndpointAuthMethod,
    /// The grant types that it may use.
    pub grant_types: Vec<GrantType>,
    /// The response types that it may use.
    pub response_types: Vec<ResponseType>,
    /// The widest scope that it may ask for.
    pub scope: Scope,
    /// What the storage keeps and gives back without acting on it.
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
#[allow(missing_docs, reason = "the names are the RFC's own")]
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
    /// Everything else: localized names, OpenID Connect's own metadata, extensions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ClientMetadata {
    /// A client of the authorization code flow that also refreshes.
    pub fn authorization_code<U: Into<String>>(redirect_uris: impl IntoIterator<Item = U>) -> Self {
        Self {
            redirect_uris: redirect_uris.into_iter().map(Into::into).collect(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            ..Self::default()
        }
    }

    /// A client that acts for itself (RFC 6749 4.4).
    #[must_use]
    pub fn client_credentials() -> Self {
        Self {
            grant_types: vec![GrantType::ClientCredentials],
            response_types: Vec::new(),
            ..Self::default()
        }
    }

    /// The same for a public client, which has no secret (RFC 6749 2.1).
    #[must_use]
    pub fn public(mut self) -> Self {
        self.token_endpoint_auth_method = TokenEndpointAuthMethod::None;
        self
    }

    /// The same with that scope.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The same with that name.
    #[must_use]
    pub fn with_name(mut self, client_name: impl Into<String>) -> Self {
        self.details.client_name = Some(client_name.into());
        self
    }

    /// Checks every value, and that grant types and response types go together (RFC 7591 2.1).
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<()> {
        if self.redirect_uris.len() > MAX_REDIRECT_URIS {
            return Err(Error::invalid("redirect_uris", Problem::TooMany(MAX_REDIRECT_URIS)));
        }
        self.redirect_uris.iter().try_for_each(|uri| check_redirect_uri(uri))?;
        self.check_grant_types()?;

        let details = &self.details;
        for (field, value) in [
            ("client_name", &details.client_name),
            ("client_uri", &details.client_uri),
            ("logo_uri", &details.logo_uri),
            ("tos_uri", &details.tos_uri),
            ("policy_uri", &details.policy_uri),
            ("jwks_uri", &details.jwks_uri),
            ("software_id", &details.software_id),
            ("software_version", &details.software_version),
        ] {
            if let Some(value) = value {
                check_text(field, value, 2048)?;
            }
        }
        // A page links or embeds these, so they must not run anything (RFC 7591 5).
        for (field, value) in [
            ("client_uri", &details.client_uri),
            ("logo_uri", &details.logo_uri),
            ("tos_uri", &details.tos_uri),
            ("policy_uri", &details.policy_uri),
            ("jwks_uri", &details.jwks_uri),
        ] {
            if let Some(value) = value
                && !(value.starts_with("https://") || value.starts_with("http://"))
            {
                return Err(Error::invalid(field, Problem::Hostile));
            }
        }
        details.contacts.iter().try_for_each(|contact| check_text("contacts", contact, 2048))?;
        if details.jwks.is_some() && details.jwks_uri.is_some() {
            return Err(Error::invalid("jwks", Problem::NotAllowed));
        }
        // Those are the registration's own, two of them secrets (RFC 7591 3.2.1, RFC 7592 3), and
        // a client that sends them must not have them kept. These have a field, and a second one
        // of the name could not be read again.
        if RESERVED.iter().chain(&FIELDS).any(|name| details.other.contains_key(*name)) {
            return Err(Error::invalid("metadata", Problem::NotAllowed));
        }
        if details.jwks.as_ref().is_some_and(has_private_key) {
            return Err(Error::invalid("jwks", Problem::NotAllowed));
        }
        match serde_json::to_value(details) {
            Ok(Value::Object(object)) => check_json("metadata", &object, MAX_DETAILS_BYTES),
            _ => Err(Error::invalid("metadata", Problem::Unsupported)),
        }
    }

    fn check_grant_types(&self) -> Result<()> {
        let has = |grant_type| self.grant_types.contains(&grant_type);
        if self.grant_types.len() > 16 {
            return Err(Error::invalid("grant_types", Problem::TooMany(16)));
        }
        if self.response_types.len() > 16 {
            return Err(Error::invalid("response_types", Problem::TooMany(16)));
        }
        if self.grant_types.is_empty() {
            return Err(Error::invalid("grant_types", Problem::Empty));
        }
        for response_type in &self.response_types {
            let allowed = (!response_type.has_code() || has(GrantType::AuthorizationCode))
                && (!response_type.is_front_channel() || has(GrantType::Implicit));
            if !allowed {
                return Err(Error::invalid("response_types", Problem::NotAllowed));
            }
        }
        if (has(GrantType::AuthorizationCode) || has(GrantType::Implicit))
            && self.redirect_uris.is_empty()
        {
            return Err(Error::invalid("redirect_uris", Problem::Missing));
        }
        // RFC 6749 4.4: only confidential clients act for themselves.
        if has(GrantType::ClientCredentials)
            && self.token_endpoint_auth_method == TokenEndpointAuthMethod::None
        {
            return Err(Error::invalid("grant_types", Problem::NotAllowed));
        }
        Ok(())
    }
}

/// What registration answers with; it is no metadata.
const RESERVED: [&str; 8] = [
    "client_id",
    "client_secret",
    "client_id_issued_at",
    "client_secret_expires_at",
    "updated_at",
    "disabled_at",
    "registration_access_token",
    "registration_client_uri",
];

/// What has a field of its own, and so no place among the rest.
const FIELDS: [&str; 15] = [
    "redirect_uris",
    "token_endpoint_auth_method",
    "grant_types",
    "response_types",
    "scope",
    "client_name",
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
    "contacts",
    "jwks_uri",
    "jwks",
    "software_id",
    "software_version",
];

/// Whether a JWK set has a private or symmetric key in it (RFC 7518 6).
fn has_private_key(jwks: &Map<String, Value>) -> bool {
    let keys = jwks.get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(Value::as_object).any(|key| {
        ["d", "k", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| key.contains_key(*name))
    })
}

/// A registered client.
///
/// Its JSON is for the application's own use. What answers a registration is
/// [`RegisteredClient::registration_response`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// The client identifier.
    pub client_id: String,
    /// What it registered.
    #[serde(flatten)]
    pub metadata: ClientMetadata,
    /// When it was registered.
    pub client_id_issued_at: DateTime<Utc>,
    /// When its secret ends; none for a secret without end, and for a client without a secret.
    pub client_secret_expires_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Since when it is disabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl Client {
    /// Whether the redirect URI is one of its own: exactly, byte by byte (RFC 9700 4.1.3).
    #[must_use]
    pub fn allows_redirect_uri(&self, redirect_uri: &str) -> bool {
        self.metadata.redirect_uris.iter().any(|own| own == redirect_uri)
    }

    /// The redirect URI of a request: the given one if it is the client's own; where none is given,
    /// the only one that it has (RFC 6749 3.1.2.3). `None` is for a page that tells the user, for
    /// there is nowhere to redirect to (RFC 6749 4.1.2.1).
    #[must_use]
    pub fn redirect_uri<'a>(&'a self, given: Option<&str>) -> Option<&'a str> {
        let own = self.metadata.redirect_uris.as_slice();
        match (given, own) {
            (Some(given), _) => own.iter().find(|own| *own == given).map(String::as_str),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// Whether it may use the grant type.
    #[must_use]
    pub fn allows_grant_type(&self, grant_type: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant_type)
    }

    /// Whether it may use the response type.
    #[must_use]
    pub fn allows_response_type(&self, response_type: ResponseType) -> bool {
        self.metadata.response_types.contains(&response_type)
    }

    /// Whether each token of the scope is one of its own.
    #[must_use]
    pub fn allows_scope(&self, scope: &Scope) -> bool {
        scope.is_subset_of(&self.metadata.scope)
    }

    /// The scope of a request: the given one, or where none is given all that the client has
    /// (RFC 6749 3.3).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `scope` that breaks the syntax, or with [`Problem::NotAllowed`] one
    /// that is not the client's.
    pub fn requested_scope(&self, given: Option<&str>) -> Result<Scope> {
        let Some(given) = given else { return Ok(self.metadata.scope.clone()) };
        let scope = given.parse()?;
        if self.allows_scope(&scope) {
            Ok(scope)
        } else {
            Err(Error::invalid("scope", Problem::NotAllowed))
        }
    }

    /// Whether it is a public client (RFC 6749 2.1), which must use PKCE.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.metadata.token_endpoint_auth_method == TokenEndpointAuthMethod::None
    }
}

/// The client to register with [`register_client`](crate::ClientRegistry::register_client).
///
/// ```
/// use oauth_storage::{ClientMetadata, NewClient};
/// let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/cb"]));
/// assert!(new.check().is_ok());
/// ```
#[derive(Debug, Clone, Default)]
pub struct NewClient {
    /// The client identifier; one is made where none is given.
    pub client_id: Option<String>,
    /// The metadata.
    pub metadata: ClientMetadata,
    /// How its secret comes about, if its authentication method has one.
    pub client_secret: ClientSecret,
    /// How long its secret is good; none for ever.
    pub client_secret_expires_in: Option<Duration>,
}

impl NewClient {
    /// A client whose identifier and secret are generated.
    #[must_use]
    pub fn new(metadata: ClientMetadata) -> Self {
        Self { metadata, ..Self::default() }
    }

    /// The same with that identifier.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Checks everything that came from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<()> {
        if let Some(client_id) = &self.client_id {
            check_client_id(client_id)?;
        }
        check_secret_lifetime(self.client_secret_expires_in)?;
        if let ClientSecret::Chosen(secret) = &self.client_secret {
            check_chosen_secret(secret)?;
            if !self.metadata.token_endpoint_auth_method.uses_secret() {
                return Err(Error::invalid("client_secret", Problem::NotAllowed));
            }
        }
        self.metadata.check()
    }
}

pub(crate) fn check_secret_lifetime(lifetime: Option<Duration>) -> Result<()> {
    match lifetime {
        Some(lifetime) if lifetime.is_zero() || lifetime > MAX_LIFETIME => {
            Err(Error::invalid("client_secret_expires_in", Problem::OutOfRange))
        }
        _ => Ok(()),
    }
}

/// How a client secret comes about.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum ClientSecret {
    /// Generated by the storage: 256 bits, shown once, kept as its SHA-256. The one to prefer.
    #[default]
    Generated,
    /// Chosen by a person: kept as an Argon2id hash, so that every use costs what a password
    /// check costs. Needs the feature `password`.
    Chosen(Secret),
}

/// A client together with its new secret, which is shown this once.
#[derive(Debug, Clone)]
pub struct RegisteredClient {
    /// The client.
    pub client: Client,
    /// The secret, where the storage generated one.
    pub client_secret: Option<Secret>,
}

impl RegisteredClient {
    /// The body of a registration response (RFC 7591 3.2.1), **with the secret**: times in seconds,
    /// zero for a secret without end. It is sent with status 201 and `Cache-Control: no-store`.
    ///
    /// ```
    /// use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oauth_storage::Result<()> {
    /// let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/cb"]));
    /// let registered = MemoryStorage::new().register_client(new).await?;
    /// let body = registered.registration_response();
    /// assert_eq!(body["client_id"], registered.client.client_id);
    /// assert_eq!(body["client_secret_expires_at"], 0);
    /// assert_eq!(body["redirect_uris"][0], "https://client.example/cb");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn registration_response(&self) -> Map<String, Value> {
        let client = &self.client;
        let mut body = match serde_json::to_value(&client.metadata) {
            Ok(Value::Object(metadata)) => metadata,
            // Metadata is an object of strings and JSON; it has no way to fail.
            _ => Map::new(),
        };
        body.insert("client_id".into(), client.client_id.as_str().into());
        body.insert("client_id_issued_at".into(), client.client_id_issued_at.timestamp().into());
        if let Some(secret) = &self.client_secret {
            let expires_at = client.client_secret_expires_at.map_or(0, |time| time.timestamp());
            body.insert("client_secret".into(), secret.expose().into());
            body.insert("client_secret_expires_at".into(), expires_at.into());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(metadata: &ClientMetadata) -> (&'static str, Problem) {
        match metadata.check() {
            Err(Error::Invalid { field, problem }) => (field, problem),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn grant_and_response_types_go_together() {
        let code = || ClientMetadata::authorization_code(["https://client.example/cb"]);
        assert!(code().check().is_ok());
        assert!(ClientMetadata::client_credentials().check().is_ok());

        let mut hybrid = code();
        hybrid.response_types.push("code id_token".parse().unwrap());
        assert_eq!(refused(&hybrid), ("response_types", Problem::NotAllowed));
        hybrid.grant_types.push(GrantType::Implicit);
        assert!(hybrid.check().is_ok());

        let mut nowhere = code();
        nowhere.redirect_uris.clear();
        assert_eq!(refused(&nowhere), ("redirect_uris", Problem::Missing));
        let public = ClientMetadata::client_credentials().public();
        assert_eq!(refused(&public), ("grant_types", Problem::NotAllowed));
    }

    fn client(redirect_uris: &[&str]) -> Client {
        let mut metadata = ClientMetadata::authorization_code(redirect_uris.iter().copied());
        metadata.scope = "openid email".parse().unwrap();
        Client {
            client_id: "c".into(),
            metadata,
            client_id_issued_at: DateTime::UNIX_EPOCH,
            client_secret_expires_at: None,
            updated_at: DateTime::UNIX_EPOCH,
            disabled_at: None,
        }
    }

    #[test]
    fn a_request_gets_a_registered_redirect_uri_or_the_only_one() {
        let (a, b) = ("https://client.example/a", "https://client.example/b");
        let (one, two) = (client(&[a]), client(&[a, b]));
        assert_eq!(one.redirect_uri(None), Some(a));
        assert_eq!(two.redirect_uri(None), None);
        assert_eq!(two.redirect_uri(Some(b)), Some(b));
        for other in
            ["", "https://client.example/", "https://client.example/a?", "HTTPS://client.example/a"]
        {
            assert_eq!(one.redirect_uri(Some(other)), None, "{other}");
        }
    }

    #[test]
    fn a_request_gets_the_scope_it_asks_for_or_all() {
        let scope = |given| client(&[]).requested_scope(given).map(|scope| scope.to_string());
        assert_eq!(scope(None).unwrap(), "openid email");
        assert_eq!(scope(Some("email")).unwrap(), "email");
        for wider in ["email admin", "a\"b"] {
            assert!(matches!(scope(Some(wider)), Err(Error::Invalid { field: "scope", .. })));
        }
    }

    #[test]
    fn the_registration_response_has_seconds_and_the_secret_once() {
        let mut registered =
            RegisteredClient { client: client(&[]), client_secret: Some(Secret::new("s")) };
        registered.client.client_secret_expires_at = DateTime::from_timestamp(60, 0);
        let body = registered.registration_response();
        assert_eq!(body["client_secret"], "s");
        assert_eq!(
            (&body["client_id_issued_at"], &body["client_secret_expires_at"]),
            (&0.into(), &60.into())
        );
        registered.client_secret = None;
        let body = registered.registration_response();
        assert!(
            !body.contains_key("client_secret") && !body.contains_key("client_secret_expires_at")
        );
    }

    #[test]
    fn details_must_not_run_anything_nor_break_jsonb() {
        let base = ClientMetadata::client_credentials;
        let mut metadata = base();
        metadata.details.logo_uri = Some("javascript:alert(1)".into());
        assert_eq!(refused(&metadata), ("logo_uri", Problem::Hostile));
        let mut metadata = base();
        metadata.details.other.insert("x".into(), Value::String("a\0b".into()));
        assert_eq!(refused(&metadata), ("metadata", Problem::Character));
        let mut metadata = base();
        metadata.details.other.insert("x".into(), Value::String("x".repeat(MAX_DETAILS_BYTES)));
        assert_eq!(refused(&metadata), ("metadata", Problem::TooLong(MAX_DETAILS_BYTES)));
    }

    /// It would be stored, and no reader could take the row apart again: not this client's, nor
    /// those of whoever shares its statement.
    #[test]
    fn what_has_a_field_has_no_place_among_the_rest() {
        let written = serde_json::to_value(ClientMetadata {
            details: ClientDetails {
                client_name: Some("x".into()),
                client_uri: Some("x".into()),
                logo_uri: Some("x".into()),
                tos_uri: Some("x".into()),
                policy_uri: Some("x".into()),
                contacts: vec!["x".into()],
                jwks_uri: Some("x".into()),
                jwks: Some(Map::new()),
                software_id: Some("x".into()),
                software_version: Some("x".into()),
                other: Map::new(),
            },
            ..ClientMetadata::default()
        })
        .unwrap();
        for name in written.as_object().unwrap().keys() {
            let mut metadata = ClientMetadata::client_credentials();
            metadata.details.other.insert(name.clone(), 5.into());
            assert_eq!(refused(&metadata), ("metadata", Problem::NotAllowed), "{name}");
        }
    }

    #[test]
    fn s12_secrets_in_the_metadata_are_refused() {
        for name in RESERVED {
            let mut body = serde_json::json!({ "redirect_uris": ["https://client.example/cb"] });
            body[name] = "x".into();
            let metadata: ClientMetadata = serde_json::from_value(body).unwrap();
            assert_eq!(refused(&metadata), ("metadata", Problem::NotAllowed), "{name}");
        }
        let jwks = |key: Value| {
            let mut metadata = ClientMetadata::client_credentials();
            metadata.details.jwks = serde_json::json!({ "keys": [key] }).as_object().cloned();
            metadata
        };
        let private = jwks(serde_json::json!({ "kty": "EC", "x": "a", "y": "b", "d": "secret" }));
        assert_eq!(refused(&private), ("jwks", Problem::NotAllowed));
        assert!(jwks(serde_json::json!({ "kty": "EC", "x": "a", "y": "b" })).check().is_ok());
    }

    #[test]
    fn json_is_that_of_rfc_7591() {
        let metadata = ClientMetadata::authorization_code(["https://client.example/cb"])
            .with_name("Example")
            .with_scope("openid".parse().unwrap());
        assert_eq!(
            serde_json::to_value(&metadata).unwrap(),
            serde_json::json!({
                "redirect_uris": ["https://client.example/cb"],
                "token_endpoint_auth_method": "client_secret_basic",
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "scope": "openid",
                "client_name": "Example",
            })
        );
        let unknown = serde_json::json!({ "grant_types": ["card_trick"] });
        assert!(serde_json::from_value::<ClientMetadata>(unknown).is_err());
        let jwt = serde_json::json!({ "token_endpoint_auth_method": "client_secret_jwt" });
        assert!(serde_json::from_value::<ClientMetadata>(jwt).is_err());
    }
}
