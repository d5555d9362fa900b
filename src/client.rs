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

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::secret::{check_chosen_secret, check_secret_hash};
use crate::check::check_client_id;
use crate::error::{Error, InvalidReason, Result};
use crate::id_token::SigningAlgorithm;
use crate::redirect_uri::matches_redirect_uri;
use crate::response_type::ResponseType;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::settings::{MAX_LIFETIME, OFFLINE_ACCESS, Settings, UnknownScope};

/// The shortest time without a use after which a client may be purged. The time of the last use is
/// written once a day.
pub(crate) const MIN_UNUSED: Duration = Duration::from_hours(48);

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
    /// Expiry of the registration, after which the client counts as disabled; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Time of the last use, to a day: [`get_client`](ClientStorage::get_client) writes it at most once
    /// a day. `None` if it was never used.
    pub last_used_at: Option<DateTime<Utc>>,
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

    /// Returns the scope of a request (RFC 6749 3.3): the given one without the tokens that the client
    /// has not registered, or the client's whole scope if none is given.
    /// [`Settings::unknown_scope`] can refuse these instead.
    ///
    /// `offline_access` is dropped if the client may not use refresh tokens (OpenID Connect Core 11).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `scope` if the scope breaks the syntax; with
    /// [`InvalidReason::NotAllowed`] if no token of it is registered, or not every one and the settings
    /// refuse unknown tokens.
    pub fn requested_scope(&self, given: Option<&str>, settings: &Settings) -> Result<Scope> {
        let own = &self.metadata.scope;
        let given: Option<Scope> = given.map(str::parse).transpose()?;
        let asked = given.as_ref().unwrap_or(own);
        let may_refresh = self.allows_grant_type(GrantType::RefreshToken);
        let registered: HashSet<&str> =
            own.iter().filter(|token| may_refresh || *token != OFFLINE_ACCESS).collect();
        let is_known = |token: &&str| registered.contains(token);
        let refuses = settings.unknown_scope == UnknownScope::Refuse && !self.allows_scope(asked);
        let scope: Scope = asked.iter().filter(is_known).collect::<Vec<_>>().join(" ").parse()?;
        if refuses || scope.is_empty() && !asked.is_empty() {
            return Err(Error::invalid("scope", InvalidReason::NotAllowed));
        }
        Ok(scope)
    }

    /// The name that a page shows: the registered one, or else the client identifier.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.metadata.details.client_name.as_deref().unwrap_or(&self.client_id)
    }

    /// The algorithm that the client registered for its ID tokens (OpenID Connect Dynamic Client
    /// Registration 2); `None` if it registered none.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `id_token_signed_response_alg` if it is one that this crate does not
    /// sign with. Check it at the registration, with
    #[cfg_attr(
        feature = "jwt",
        doc = "[`SigningKeys::algorithms`](crate::jwt::SigningKeys::algorithms)."
    )]
    #[cfg_attr(not(feature = "jwt"), doc = "`SigningKeys::algorithms` of the feature `jwt`.")]
    pub fn id_token_signing_alg(&self) -> Result<Option<SigningAlgorithm>> {
        let registered = self.metadata.details.other.get("id_token_signed_response_alg");
        registered.map(|name| name.as_str().unwrap_or_default().parse()).transpose()
    }

    /// Returns true if the expiry is that of a declaration with this lifetime, which is renewed once half of
    /// it has passed.
    pub(crate) fn lasts(&self, lifetime: Option<Duration>, now: DateTime<Utc>) -> bool {
        match (self.expires_at, lifetime) {
            (None, None) => true,
            (Some(expires_at), Some(lifetime)) => {
                let rest = (expires_at - now).to_std().unwrap_or_default();
                rest <= lifetime && rest > lifetime / 2
            }
            _ => false,
        }
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
    /// The lifetime of the registration; `None` for no expiry.
    pub expires_in: Option<Duration>,
    /// True for a client that registers itself: it gets a registration access token (RFC 7592), and a
    /// [purge](ClientRegistry::purge_clients) deletes it when it is not used.
    pub registration_access_token: bool,
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
        /// Sets the lifetime of the registration.
        with_expires_in(expires_in: impl Into<Option<Duration>>) => expires_in.into();
        /// Sets whether the client gets a registration access token.
        with_registration_access_token(registration_access_token: bool) => registration_access_token;
    }

    /// Checks every value. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        if let Some(client_id) = &self.client_id {
            check_client_id(client_id)?;
        }
        check_lifetime("client_secret_expires_in", self.client_secret_expires_in)?;
        check_lifetime("expires_in", self.expires_in)?;
        self.client_secret.check()?;
        if !self.client_secret.is_generated()
            && !self.metadata.token_endpoint_auth_method.uses_secret()
        {
            return Err(Error::invalid("client_secret", InvalidReason::NotAllowed));
        }
        self.metadata.check()
    }

    /// Checks a client for [`ensure_client`](ClientRegistry::ensure_client), and returns its identifier.
    /// For storage implementations.
    ///
    /// # Errors
    /// Returns the errors of [`check`](Self::check), and [`Error::Invalid`] with
    /// [`InvalidReason::Missing`] if there is no `client_id`, or no `client_secret` where the
    /// authentication method needs one; with [`InvalidReason::NotAllowed`] if the secret has a lifetime or
    /// the client asks for a registration access token.
    pub fn check_declared(&self) -> Result<&str> {
        self.check()?;
        let client_id = self.client_id.as_deref();
        let client_id = client_id.ok_or(Error::invalid("client_id", InvalidReason::Missing))?;
        for (field, is_given) in [
            ("client_secret_expires_in", self.client_secret_expires_in.is_some()),
            ("registration_access_token", self.registration_access_token),
        ] {
            if is_given {
                return Err(Error::invalid(field, InvalidReason::NotAllowed));
            }
        }
        let uses_secret = self.metadata.token_endpoint_auth_method.uses_secret();
        if uses_secret && self.client_secret.is_generated() {
            return Err(Error::invalid("client_secret", InvalidReason::Missing));
        }
        Ok(client_id)
    }
}

fn check_lifetime(field: &'static str, lifetime: Option<Duration>) -> Result<()> {
    match lifetime {
        Some(lifetime) if lifetime.is_zero() || lifetime > MAX_LIFETIME => {
            Err(Error::invalid(field, InvalidReason::OutOfRange))
        }
        _ => Ok(()),
    }
}

/// The origin of a client secret. `Debug` shows neither a secret nor a hash.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ClientSecret {
    /// Generated by the storage: 256 bits, shown once, stored as its SHA-256. Recommended.
    #[default]
    Generated,
    /// Given by the caller. One of the form that a storage generates (`ocs_` and 43 characters) is
    /// stored as its SHA-256: never make up such a secret. Any other was chosen by a person and is
    /// stored as an Argon2id hash, which needs the feature `password`; each authentication costs as much
    /// as a password check.
    Chosen(Secret),
    /// The hash of a secret, as this crate stores it: `sha256:` and the SHA-256 in base64url, only for
    /// a secret that a storage generated, or an Argon2id hash as a PHC string, with at most 256 MiB, ten
    /// passes and 16 lanes.
    Hashed(String),
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generated => "Generated",
            Self::Chosen(_) => "Chosen(..)",
            Self::Hashed(_) => "Hashed(..)",
        })
    }
}

impl ClientSecret {
    const fn is_generated(&self) -> bool {
        matches!(self, Self::Generated)
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::Generated => Ok(()),
            Self::Chosen(secret) => check_chosen_secret(secret),
            Self::Hashed(hash) => check_secret_hash(hash),
        }
    }
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
        self.client_secret.check()?;
        check_lifetime("client_secret_expires_in", self.client_secret_expires_in)?;
        if self.overlap > MAX_LIFETIME {
            return Err(Error::invalid("overlap", InvalidReason::OutOfRange));
        }
        Ok(())
    }
}

/// A client and its new secrets, which are shown only once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegisteredClient {
    /// The client.
    pub client: Client,
    /// The secret, if the storage generated one.
    pub client_secret: Option<Secret>,
    /// The registration access token (RFC 7592 3), if one was asked for.
    pub registration_access_token: Option<Secret>,
}

impl RegisteredClient {
    /// A client without a new secret.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client, client_secret: None, registration_access_token: None }
    }

    setters! {
        /// Sets the new secret.
        with_client_secret(client_secret: impl Into<Option<Secret>>) => client_secret.into();
        /// Sets the new registration access token.
        with_registration_access_token(registration_access_token: impl Into<Option<Secret>>) =>
            registration_access_token.into();
    }
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
            expires_at: None,
            last_used_at: None,
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
        let scope = |given| {
            let scope = client(&[]).requested_scope(given, &Settings::default());
            scope.map(|scope| scope.to_string())
        };
        assert_eq!(scope(None).unwrap(), "openid email");
        assert_eq!(scope(Some("email")).unwrap(), "email");
        assert_eq!(scope(Some("")).unwrap(), "");
        for wider in ["admin", "a\"b"] {
            assert!(matches!(scope(Some(wider)), Err(Error::Invalid { field: "scope", .. })));
        }
    }

    #[test]
    fn an_unknown_scope_is_ignored_unless_the_settings_refuse_it() {
        let refuse = Settings::default().with_unknown_scope(UnknownScope::Refuse);
        let scope = |settings: &Settings| {
            let scope = client(&[]).requested_scope(Some("email admin"), settings);
            scope.map(|scope| scope.to_string())
        };
        assert_eq!(scope(&Settings::default()).unwrap(), "email");
        assert!(matches!(scope(&refuse), Err(Error::Invalid { field: "scope", .. })));
    }

    #[test]
    fn offline_access_is_for_clients_with_refresh_tokens() {
        let asked = Some("openid offline_access");
        let mut client = client(&[]);
        client.metadata.scope = asked.unwrap().parse().unwrap();
        let scope = |client: &Client| client.requested_scope(asked, &Settings::default()).unwrap();
        assert_eq!(scope(&client).as_str(), "openid offline_access");
        client.metadata.grant_types = vec![GrantType::AuthorizationCode];
        assert_eq!(scope(&client).as_str(), "openid");
    }
}
