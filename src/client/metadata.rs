use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::check::{check_display_text, check_json, check_text};
use crate::client::{GrantType, TokenEndpointAuthMethod};
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::check_redirect_uri;
use crate::response_type::ResponseType;
use crate::scope::Scope;

/// The maximum number of redirect URIs of a client.
const MAX_REDIRECT_URIS: usize = 100;

/// The maximum size of the descriptive metadata as JSON, in bytes.
const MAX_DETAILS_BYTES: usize = 64 * 1024;

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
    /// Registered redirect URIs; compared byte by byte.
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

impl TryFrom<Value> for ClientMetadata {
    type Error = Error;

    fn try_from(body: Value) -> Result<Self> {
        Self::from_json(body)
    }
}

impl ClientMetadata {
    /// Reads the body of a registration request (RFC 7591 3.1). A member that is `null` or an empty string
    /// counts as absent. Call [`check`](Self::check) on the result.
    ///
    /// ```
    /// use oauth_storage::{ClientMetadata, Error};
    /// use serde_json::json;
    ///
    /// let body = json!({ "redirect_uris": ["https://client.example/cb"], "logo_uri": null });
    /// assert_eq!(ClientMetadata::from_json(body)?.redirect_uris.len(), 1);
    /// let error = ClientMetadata::from_json(json!({ "grant_types": ["card_trick"] })).unwrap_err();
    /// assert!(matches!(error, Error::Invalid { field: "grant_types", .. }));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with the name of the member that has another type, or a value that is not
    /// known; with `metadata` if the body is not an object.
    pub fn from_json(body: Value) -> Result<Self> {
        let Value::Object(mut members) = body else {
            return Err(Error::invalid("metadata", InvalidReason::Unsupported));
        };
        members.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
        let members = &mut members;
        let default = Self::default();
        let details = ClientDetails {
            client_name: member(members, "client_name")?,
            client_uri: member(members, "client_uri")?,
            logo_uri: member(members, "logo_uri")?,
            tos_uri: member(members, "tos_uri")?,
            policy_uri: member(members, "policy_uri")?,
            contacts: member(members, "contacts")?.unwrap_or_default(),
            jwks_uri: member(members, "jwks_uri")?,
            jwks: member(members, "jwks")?,
            software_id: member(members, "software_id")?,
            software_version: member(members, "software_version")?,
            other: Map::new(),
        };
        let method = member(members, "token_endpoint_auth_method")?;
        let response_types = member(members, "response_types")?;
        Ok(Self {
            redirect_uris: member(members, "redirect_uris")?.unwrap_or_default(),
            token_endpoint_auth_method: method.unwrap_or(default.token_endpoint_auth_method),
            grant_types: member(members, "grant_types")?.unwrap_or(default.grant_types),
            response_types: response_types.unwrap_or(default.response_types),
            scope: member(members, "scope")?.unwrap_or_default(),
            details: ClientDetails { other: std::mem::take(members), ..details },
        })
    }

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

    /// Checks every value, and that grant types and response types are consistent (RFC 7591 2.1).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        if self.redirect_uris.len() > MAX_REDIRECT_URIS {
            return Err(Error::invalid("redirect_uris", InvalidReason::TooMany(MAX_REDIRECT_URIS)));
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
        check_display_text("client_name", details.client_name.as_deref())?;
        for (name, value) in &details.other {
            if name.starts_with("client_name#") {
                check_display_text("client_name", value.as_str())?;
            }
        }
        // Pages link or embed these URIs, so they must not run code (RFC 7591 5).
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
                return Err(Error::invalid(field, InvalidReason::Hostile));
            }
        }
        details.contacts.iter().try_for_each(|contact| check_text("contacts", contact, 2048))?;
        if details.jwks.is_some() && details.jwks_uri.is_some() {
            return Err(Error::invalid("jwks", InvalidReason::NotAllowed));
        }
        // RESERVED belongs to the registration response and includes two secrets (RFC 7591 3.2.1,
        // RFC 7592 3). FIELDS have fields of their own, and duplicate members cannot be
        // deserialized.
        if RESERVED.iter().chain(&FIELDS).any(|name| details.other.contains_key(*name)) {
            return Err(Error::invalid("metadata", InvalidReason::NotAllowed));
        }
        if details.jwks.as_ref().is_some_and(has_private_key) {
            return Err(Error::invalid("jwks", InvalidReason::NotAllowed));
        }
        match serde_json::to_value(details) {
            Ok(Value::Object(object)) => check_json("metadata", &object, MAX_DETAILS_BYTES),
            _ => Err(Error::invalid("metadata", InvalidReason::Unsupported)),
        }
    }

    fn check_grant_types(&self) -> Result<()> {
        let has = |grant_type| self.grant_types.contains(&grant_type);
        if self.grant_types.len() > 16 {
            return Err(Error::invalid("grant_types", InvalidReason::TooMany(16)));
        }
        if self.response_types.len() > 16 {
            return Err(Error::invalid("response_types", InvalidReason::TooMany(16)));
        }
        if self.grant_types.is_empty() {
            return Err(Error::invalid("grant_types", InvalidReason::Empty));
        }
        for response_type in &self.response_types {
            let allowed = (!response_type.has_code() || has(GrantType::AuthorizationCode))
                && (!response_type.is_front_channel() || has(GrantType::Implicit));
            if !allowed {
                return Err(Error::invalid("response_types", InvalidReason::NotAllowed));
            }
        }
        if (has(GrantType::AuthorizationCode) || has(GrantType::Implicit))
            && self.redirect_uris.is_empty()
        {
            return Err(Error::invalid("redirect_uris", InvalidReason::Missing));
        }
        // Only confidential clients may use client credentials (RFC 6749 4.4).
        if has(GrantType::ClientCredentials)
            && self.token_endpoint_auth_method == TokenEndpointAuthMethod::None
        {
            return Err(Error::invalid("grant_types", InvalidReason::NotAllowed));
        }
        Ok(())
    }
}

fn member<T: DeserializeOwned>(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<T>> {
    let value = members.remove(name).map(serde_json::from_value).transpose();
    value.map_err(|_| Error::invalid(name, InvalidReason::Unsupported))
}

/// Members of a registration response that are not metadata.
const RESERVED: [&str; 9] = [
    "client_id",
    "client_secret",
    "client_id_issued_at",
    "client_secret_expires_at",
    "updated_at",
    "disabled_at",
    "deleted_at",
    "registration_access_token",
    "registration_client_uri",
];

/// Metadata with its own field, which [`ClientDetails::other`] must not repeat.
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

/// Returns true if a JWK set contains a private or symmetric key (RFC 7518 6).
fn has_private_key(jwks: &Map<String, Value>) -> bool {
    let keys = jwks.get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(Value::as_object).any(|key| {
        ["d", "k", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| key.contains_key(*name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(metadata: &ClientMetadata) -> (&'static str, InvalidReason) {
        match metadata.check() {
            Err(Error::Invalid { field, reason }) => (field, reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn grant_and_response_types_must_be_consistent() {
        let code = || ClientMetadata::authorization_code(["https://client.example/cb"]);
        assert!(code().check().is_ok());
        assert!(ClientMetadata::client_credentials().check().is_ok());

        let mut hybrid = code();
        hybrid.response_types.push("code id_token".parse().unwrap());
        assert_eq!(refused(&hybrid), ("response_types", InvalidReason::NotAllowed));
        hybrid.grant_types.push(GrantType::Implicit);
        assert!(hybrid.check().is_ok());

        let mut nowhere = code();
        nowhere.redirect_uris.clear();
        assert_eq!(refused(&nowhere), ("redirect_uris", InvalidReason::Missing));
        let public = ClientMetadata::client_credentials().public();
        assert_eq!(refused(&public), ("grant_types", InvalidReason::NotAllowed));
    }

    #[test]
    fn details_must_not_run_code_or_break_jsonb() {
        let base = ClientMetadata::client_credentials;
        let mut metadata = base();
        metadata.details.logo_uri = Some("javascript:alert(1)".into());
        assert_eq!(refused(&metadata), ("logo_uri", InvalidReason::Hostile));
        let mut metadata = base();
        metadata.details.other.insert("x".into(), Value::String("a\0b".into()));
        assert_eq!(refused(&metadata), ("metadata", InvalidReason::Character));
        let mut metadata = base();
        metadata.details.other.insert("x".into(), Value::String("x".repeat(MAX_DETAILS_BYTES)));
        assert_eq!(refused(&metadata), ("metadata", InvalidReason::TooLong(MAX_DETAILS_BYTES)));
    }

    #[test]
    fn s12_a_name_that_a_person_reads_has_no_invisible_characters() {
        let named = |name: &str| ClientMetadata::client_credentials().with_client_name(name);
        for name in ["Example", "مثال", "می\u{200c}خواهم", "👩\u{200d}💻", "e\u{301}"]
        {
            assert!(named(name).check().is_ok(), "{name}");
        }
        for c in [
            "\u{202e}",
            "\u{2066}",
            "\u{200b}",
            "\u{feff}",
            "\u{ad}",
            "\u{2028}",
            "\u{e0041}",
            "\u{200d}",
        ] {
            let reason = ("client_name", InvalidReason::Character);
            assert_eq!(refused(&named(&format!("a{c}b"))), reason, "{c:?}");
            let mut localized = named("Example");
            localized.details.other.insert("client_name#de".into(), format!("a{c}b").into());
            assert_eq!(refused(&localized), reason, "{c:?}");
        }
    }

    /// A duplicate member would make the row undecodable for every call of its batch.
    #[test]
    fn other_metadata_must_not_repeat_a_field() {
        let written = serde_json::to_value(ClientMetadata::default().with_details(ClientDetails {
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
        }))
        .unwrap();
        for name in written.as_object().unwrap().keys() {
            let mut metadata = ClientMetadata::client_credentials();
            metadata.details.other.insert(name.clone(), 5.into());
            assert_eq!(refused(&metadata), ("metadata", InvalidReason::NotAllowed), "{name}");
        }
    }

    #[test]
    fn s12_secrets_in_the_metadata_are_refused() {
        for name in RESERVED {
            let mut body = serde_json::json!({ "redirect_uris": ["https://client.example/cb"] });
            body[name] = "x".into();
            let metadata: ClientMetadata = serde_json::from_value(body).unwrap();
            assert_eq!(refused(&metadata), ("metadata", InvalidReason::NotAllowed), "{name}");
        }
        let jwks = |key: Value| {
            let mut metadata = ClientMetadata::client_credentials();
            metadata.details.jwks = serde_json::json!({ "keys": [key] }).as_object().cloned();
            metadata
        };
        let private = jwks(serde_json::json!({ "kty": "EC", "x": "a", "y": "b", "d": "secret" }));
        assert_eq!(refused(&private), ("jwks", InvalidReason::NotAllowed));
        assert!(jwks(serde_json::json!({ "kty": "EC", "x": "a", "y": "b" })).check().is_ok());
    }

    #[test]
    fn json_follows_rfc_7591() {
        let metadata = ClientMetadata::authorization_code(["https://client.example/cb"])
            .with_client_name("Example")
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
    }

    #[test]
    fn a_body_may_have_null_and_empty_members() {
        let body = FIELDS.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        assert_eq!(
            ClientMetadata::from_json(Value::Object(body)).unwrap(),
            ClientMetadata::default()
        );
        for name in ["client_name", "client_uri", "scope", "jwks", "sector_identifier_uri"] {
            let body = serde_json::json!({ name: "" });
            assert_eq!(
                ClientMetadata::from_json(body).unwrap(),
                ClientMetadata::default(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_member_that_is_not_known_is_named() {
        for (name, value) in [
            ("grant_types", serde_json::json!(["card_trick"])),
            ("grant_types", serde_json::json!("authorization_code")),
            ("response_types", serde_json::json!(["code code"])),
            ("token_endpoint_auth_method", serde_json::json!("client_secret_jwt")),
            ("redirect_uris", serde_json::json!([5])),
            ("client_name", serde_json::json!(["x"])),
            ("jwks", serde_json::json!("x")),
            ("scope", serde_json::json!("a\"b")),
        ] {
            let body = serde_json::json!({ name: value });
            match ClientMetadata::from_json(body.clone()) {
                Err(Error::Invalid { field, .. }) => assert_eq!(field, name),
                other => panic!("{other:?}"),
            }
            let error = serde_json::from_value::<ClientMetadata>(body).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(ClientMetadata::from_json(Value::Null).is_err());
        let set = serde_json::json!({ "response_types": ["token id_token"] });
        let metadata = ClientMetadata::from_json(set).unwrap();
        assert_eq!(metadata.response_types[0].to_string(), "id_token token");
    }
}
