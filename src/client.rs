//! Clients: their registration, metadata and secrets.

mod grant_type;
mod metadata;
pub(crate) mod secret;
mod storage;
mod token_endpoint_auth_method;

pub use grant_type::GrantType;
pub use metadata::{ClientDetails, ClientMetadata};
pub use storage::{ClientRegistry, ClientStorage};
pub use token_endpoint_auth_method::TokenEndpointAuthMethod;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::secret::check_chosen_secret;
use crate::check::check_client_id;
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::matches_redirect_uri;
use crate::response_type::ResponseType;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::settings::MAX_LIFETIME;

/// A registered client.
///
/// Its JSON is for the application's own use. The body of a registration response is
/// [`RegisteredClient::registration_response`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// The client identifier.
    pub client_id: String,
    /// The registered metadata.
    #[serde(flatten)]
    pub metadata: ClientMetadata,
    /// Time of registration.
    pub client_id_issued_at: DateTime<Utc>,
    /// Expiry of its secret; `None` if the secret never expires or the client has none.
    pub client_secret_expires_at: Option<DateTime<Utc>>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
    /// Time at which the client was disabled; `None` if it is enabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Time at which an unfinished deletion began; `None` otherwise. Call
    /// [`delete_client`](crate::ClientRegistry::delete_client) again to finish it.
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Client {
    /// Returns true if the redirect URI is registered. It is compared byte by byte (RFC 9700 4.1.3), but for
    /// the port of a loopback IP address (RFC 8252 7.3). The port of `localhost` is compared (RFC 8252 8.3).
    #[must_use]
    pub fn allows_redirect_uri(&self, redirect_uri: &str) -> bool {
        self.metadata.redirect_uris.iter().any(|own| matches_redirect_uri(own, redirect_uri))
    }

    /// Returns the redirect URI of a request: the given one if it is registered; if none is given,
    /// the only registered one (RFC 6749 3.1.2.3). On `None` show an error page, because there is
    /// nowhere to redirect to (RFC 6749 4.1.2.1).
    #[must_use]
    pub fn redirect_uri<'a>(&'a self, given: Option<&'a str>) -> Option<&'a str> {
        match (given, self.metadata.redirect_uris.as_slice()) {
            (Some(given), _) => self.allows_redirect_uri(given).then_some(given),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// Returns true if the client may use the grant type.
    #[must_use]
    pub fn allows_grant_type(&self, grant_type: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant_type)
    }

    /// Returns true if the client may use the response type.
    #[must_use]
    pub fn allows_response_type(&self, response_type: ResponseType) -> bool {
        self.metadata.response_types.contains(&response_type)
    }

    /// Returns true if every token of the scope is registered.
    #[must_use]
    pub fn allows_scope(&self, scope: &Scope) -> bool {
        scope.is_subset_of(&self.metadata.scope)
    }

    /// Returns the scope of a request: the given one, or the client's whole scope if none is given
    /// (RFC 6749 3.3).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `scope` if the scope breaks the syntax or, with
    /// [`InvalidReason::NotAllowed`], exceeds the client's.
    pub fn requested_scope(&self, given: Option<&str>) -> Result<Scope> {
        let Some(given) = given else { return Ok(self.metadata.scope.clone()) };
        let scope = given.parse()?;
        if self.allows_scope(&scope) {
            Ok(scope)
        } else {
            Err(Error::invalid("scope", InvalidReason::NotAllowed))
        }
    }

    /// The name that a page shows: the registered one, or else the client identifier.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.metadata.details.client_name.as_deref().unwrap_or(&self.client_id)
    }

    /// Returns true for a public client (RFC 6749 2.1), which must use PKCE.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.metadata.token_endpoint_auth_method == TokenEndpointAuthMethod::None
    }
}

/// A client to register with [`register_client`](crate::ClientRegistry::register_client).
///
/// ```
/// use oauth_storage::{ClientMetadata, NewClient};
/// let new = NewClient::new(ClientMetadata::authorization_code(["https://client.example/cb"]));
/// assert!(new.check().is_ok());
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NewClient {
    /// The client identifier; `None` to generate one.
    pub client_id: Option<String>,
    /// The metadata.
    pub metadata: ClientMetadata,
    /// The origin of its secret, if its authentication method uses one.
    pub client_secret: ClientSecret,
    /// The lifetime of its secret; `None` for no expiry.
    pub client_secret_expires_in: Option<Duration>,
}

impl NewClient {
    /// A client with a generated identifier and secret.
    #[must_use]
    pub fn new(metadata: ClientMetadata) -> Self {
        Self { metadata, ..Self::default() }
    }

    setters! {
        /// Sets the client identifier.
        with_client_id(client_id: impl Into<String>) => Some(client_id.into());
        /// Sets the origin of the secret.
        with_client_secret(client_secret: ClientSecret) => client_secret;
        /// Sets the lifetime of the secret.
        with_client_secret_expires_in(client_secret_expires_in: impl Into<Option<Duration>>) =>
            client_secret_expires_in.into();
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        if let Some(client_id) = &self.client_id {
            check_client_id(client_id)?;
        }
        check_secret_lifetime(self.client_secret_expires_in)?;
        if let ClientSecret::Chosen(secret) = &self.client_secret {
            check_chosen_secret(secret)?;
            if !self.metadata.token_endpoint_auth_method.uses_secret() {
                return Err(Error::invalid("client_secret", InvalidReason::NotAllowed));
            }
        }
        self.metadata.check()
    }
}

pub(crate) fn check_secret_lifetime(lifetime: Option<Duration>) -> Result<()> {
    match lifetime {
        Some(lifetime) if lifetime.is_zero() || lifetime > MAX_LIFETIME => {
            Err(Error::invalid("client_secret_expires_in", InvalidReason::OutOfRange))
        }
        _ => Ok(()),
    }
}

/// The origin of a client secret.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum ClientSecret {
    /// Generated by the storage: 256 bits, shown once, stored as its SHA-256. Recommended.
    #[default]
    Generated,
    /// Chosen by a person, stored as an Argon2id hash. Each authentication costs as much as a
    /// password check. Needs the feature `password`.
    Chosen(Secret),
}

/// The new secret for [`rotate_client_secret`](ClientRegistry::rotate_client_secret), and the
/// overlap during which the old one stays valid.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientSecretRotation {
    /// The new secret.
    pub client_secret: ClientSecret,
    /// The lifetime of the new secret; `None` for no expiry.
    pub client_secret_expires_in: Option<Duration>,
    /// The time for which the old secret stays valid; zero ends every earlier secret at once.
    pub overlap: Duration,
}

/// A generated secret that never expires, and one day of overlap.
impl Default for ClientSecretRotation {
    fn default() -> Self {
        Self {
            client_secret: ClientSecret::Generated,
            client_secret_expires_in: None,
            overlap: Duration::from_hours(24),
        }
    }
}

impl ClientSecretRotation {
    /// A generated secret that never expires, and one day of overlap.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets the origin of the new secret.
        with_client_secret(client_secret: ClientSecret) => client_secret;
        /// Sets the lifetime of the new secret.
        with_client_secret_expires_in(client_secret_expires_in: impl Into<Option<Duration>>) =>
            client_secret_expires_in.into();
        /// Sets the time for which the old secret stays valid; zero ends every earlier secret at once.
        with_overlap(overlap: Duration) => overlap;
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        if let ClientSecret::Chosen(secret) = &self.client_secret {
            check_chosen_secret(secret)?;
        }
        check_secret_lifetime(self.client_secret_expires_in)?;
        if self.overlap > MAX_LIFETIME {
            return Err(Error::invalid("overlap", InvalidReason::OutOfRange));
        }
        Ok(())
    }
}

/// A client and its new secret, which is shown only once.
#[derive(Debug, Clone)]
pub struct RegisteredClient {
    /// The client.
    pub client: Client,
    /// The secret, if the storage generated one.
    pub client_secret: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
            deleted_at: None,
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
        let native = client(&["http://127.0.0.1/cb"]);
        let given = Some("http://127.0.0.1:49152/cb");
        assert_eq!(native.redirect_uri(given), given);
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
}
