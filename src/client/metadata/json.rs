//! The JSON of a registration request.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::client::{ClientDetails, ClientMetadata};
use crate::error::{Error, InvalidReason, Result};

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
}

fn member<T: DeserializeOwned>(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<T>> {
    let value = members.remove(name).map(serde_json::from_value).transpose();
    value.map_err(|_| Error::invalid(name, InvalidReason::Unsupported))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::metadata::check::FIELDS;

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
