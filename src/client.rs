//! Clients: their registration, metadata and secrets.

mod grant_type;
mod logout;
mod metadata;
mod registration;
pub(crate) mod secret;
mod storage;
mod token_endpoint_auth_method;

pub use grant_type::GrantType;
pub use metadata::{ClientDetails, ClientMetadata, MAX_CLIENT_KEYS};
pub use registration::{ClientSecret, ClientSecretRotation, NewClient, RegisteredClient};
pub use storage::{ClientRegistry, ClientStorage};
pub use token_endpoint_auth_method::TokenEndpointAuthMethod;

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Error, InvalidReason, Result};
use crate::id_token::SigningAlgorithm;
use crate::redirect_uri::matches_redirect_uri;
use crate::response_type::ResponseType;
use crate::scope::Scope;
use crate::settings::{OFFLINE_ACCESS, Settings, UnknownScope};

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
        let asked = "openid offline_access";
        let mut client = client(&[]);
        client.metadata.scope = asked.parse().unwrap();
        let scope =
            |client: &Client| client.requested_scope(Some(asked), &Settings::default()).unwrap();
        assert_eq!(scope(&client).as_str(), "openid offline_access");
        client.metadata.grant_types = vec![GrantType::AuthorizationCode];
        assert_eq!(scope(&client).as_str(), "openid");
    }
}
