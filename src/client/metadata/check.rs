//! The check of client metadata.

use serde_json::{Map, Value};

use crate::check::{check_display_text, check_json, check_text};
use crate::client::{ClientMetadata, GrantType, TokenEndpointAuthMethod};
use crate::error::{Error, InvalidReason, Result};
use crate::redirect_uri::check_redirect_uri;

/// The most redirect URIs of a client.
const MAX_REDIRECT_URIS: usize = 100;

/// The most keys of a client (`jwks`), because a signature without a `kid` is checked with each.
pub const MAX_CLIENT_KEYS: usize = 16;

/// The largest set of descriptive metadata, as JSON, in bytes.
const MAX_DETAILS_BYTES: usize = 64 * 1024;

impl ClientMetadata {
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
        self.backchannel_logout_uri()?;
        self.check_post_logout_redirect_uris()?;
        check_display_text("client_name", details.client_name.as_deref())?;
        // Names and URIs in other languages (RFC 7591 2.2).
        for (name, value) in &details.other {
            match name.split_once('#').map(|(name, _)| name) {
                Some("client_name") => check_display_text("client_name", value.as_str())?,
                Some("client_uri") => check_web_uri("client_uri", value.as_str())?,
                Some("logo_uri") => check_web_uri("logo_uri", value.as_str())?,
                Some("tos_uri") => check_web_uri("tos_uri", value.as_str())?,
                Some("policy_uri") => check_web_uri("policy_uri", value.as_str())?,
                _ => {}
            }
        }
        // Pages link or embed these URIs, so they must not run code (RFC 7591 5).
        for (field, value) in [
            ("client_uri", &details.client_uri),
            ("logo_uri", &details.logo_uri),
            ("tos_uri", &details.tos_uri),
            ("policy_uri", &details.policy_uri),
        ] {
            check_web_uri(field, value.as_deref())?;
        }
        check_web_uri("jwks_uri", details.jwks_uri.as_deref())?;
        // Keys that prove who the client is must not be replaced on the way.
        if details.jwks_uri.as_ref().is_some_and(|uri| !uri.starts_with("https://")) {
            return Err(Error::invalid("jwks_uri", InvalidReason::Unencrypted));
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
        let keys = details.jwks.as_ref().and_then(|jwks| jwks.get("keys")?.as_array());
        if keys.is_some_and(|keys| keys.len() > MAX_CLIENT_KEYS) {
            return Err(Error::invalid("jwks", InvalidReason::TooMany(MAX_CLIENT_KEYS)));
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

fn check_web_uri(field: &'static str, uri: Option<&str>) -> Result<()> {
    match uri {
        Some(uri) if !uri.starts_with("https://") && !uri.starts_with("http://") => {
            Err(Error::invalid(field, InvalidReason::Hostile))
        }
        _ => Ok(()),
    }
}

/// Members of a registration response that are not metadata.
const RESERVED: [&str; 11] = [
    "client_id",
    "client_secret",
    "client_id_issued_at",
    "client_secret_expires_at",
    "updated_at",
    "disabled_at",
    "deleted_at",
    "expires_at",
    "last_used_at",
    "registration_access_token",
    "registration_client_uri",
];

/// Metadata with its own field, which [`ClientDetails::other`] must not repeat.
pub(super) const FIELDS: [&str; 15] = [
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
    let is_private = |key: &Map<String, Value>| {
        ["d", "k", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| key.contains_key(*name))
    };
    let keys = jwks.get("keys").and_then(Value::as_array);
    // A single key in place of a set is no set, but would be stored.
    is_private(jwks) || keys.into_iter().flatten().filter_map(Value::as_object).any(is_private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientDetails;

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
        for name in ["client_uri", "logo_uri", "tos_uri", "policy_uri"] {
            let mut metadata = base();
            metadata.details.other.insert(format!("{name}#de"), "javascript:alert(1)".into());
            assert_eq!(refused(&metadata), (name, InvalidReason::Hostile));
        }
        let mut metadata = base();
        metadata.details.jwks_uri = Some("http://client.example/jwks".into());
        assert_eq!(refused(&metadata), ("jwks_uri", InvalidReason::Unencrypted));
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
        assert_eq!(refused(&named(" \t")), ("client_name", InvalidReason::Character));
        assert_eq!(refused(&named("\u{3000}")), ("client_name", InvalidReason::Empty));
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
            "\u{34f}",
            "\u{2800}",
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
        let mut single = ClientMetadata::client_credentials();
        single.details.jwks = serde_json::json!({ "kty": "EC", "d": "s" }).as_object().cloned();
        assert_eq!(refused(&single), ("jwks", InvalidReason::NotAllowed));
        assert!(jwks(serde_json::json!({ "kty": "EC", "x": "a", "y": "b" })).check().is_ok());
    }

    #[test]
    fn s12_a_client_has_few_keys() {
        let with = |number| {
            let key = serde_json::json!({ "kty": "EC", "crv": "P-256", "x": "a", "y": "b" });
            let mut metadata = ClientMetadata::client_credentials();
            let jwks = serde_json::json!({ "keys": vec![key; number] });
            metadata.details.jwks = jwks.as_object().cloned();
            metadata
        };
        assert!(with(MAX_CLIENT_KEYS).check().is_ok());
        let reason = InvalidReason::TooMany(MAX_CLIENT_KEYS);
        assert_eq!(refused(&with(MAX_CLIENT_KEYS + 1)), ("jwks", reason));
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
}
