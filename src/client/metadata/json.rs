//! The JSON of a registration request.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use crate::client::{ClientDetails, ClientMetadata, TokenEndpointAuthMethod};
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

    /// Reads a body of a client that has an identifier: of an update (RFC 7592 2.2), where the member
    /// `client_id` must be that identifier.
    ///
    /// # Errors
    /// Returns the errors of [`from_json`](Self::from_json), and [`Error::Invalid`] with `client_id` and
    /// [`InvalidReason::NotAllowed`] if that member is another identifier.
    pub fn from_json_of(client_id: &str, mut body: Value) -> Result<Self> {
        let own = body.as_object_mut().and_then(|members| members.remove("client_id"));
        match own {
            Some(Value::String(own)) if own == client_id => {}
            None | Some(Value::Null) => {}
            Some(_) => return Err(Error::invalid("client_id", InvalidReason::NotAllowed)),
        }
        Self::from_json(body)
    }

    /// Checks the URL of a client ID metadata document, before it is fetched: `https`, with a path, in
    /// normal form, and without user information, query and fragment.
    ///
    /// Anybody can name a URL. Let the fetch follow no redirect, refuse private addresses, and limit the
    /// size and the time.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] with `client_id` otherwise.
    pub fn check_document_url(client_id: &str) -> Result<()> {
        let invalid = |reason| Err(Error::invalid("client_id", reason));
        crate::check::check_client_id(client_id)?;
        match Url::parse(client_id) {
            // A parser that changes the URL reads another address than the one that is compared.
            Ok(url) if url.as_str() != client_id => invalid(InvalidReason::NotAbsolute),
            Ok(url) if url.scheme() != "https" => invalid(InvalidReason::Unsupported),
            Ok(url) if url.fragment().is_some() => invalid(InvalidReason::Fragment),
            Ok(url) if url.query().is_some() => invalid(InvalidReason::NotAllowed),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                invalid(InvalidReason::Hostile)
            }
            Ok(url) if url.path() == "/" => invalid(InvalidReason::Missing),
            Ok(_) => Ok(()),
            Err(_) => invalid(InvalidReason::NotAbsolute),
        }
    }

    /// Reads a client ID metadata document (draft-ietf-oauth-client-id-metadata-document): the JSON at
    /// the `https` URL that is the client's identifier, which
    /// [`check_document_url`](Self::check_document_url) accepts. Call [`check`](Self::check) on the
    /// result, and register it with [`ensure_client`](crate::ClientRegistry::ensure_client) and
    /// [`with_expires_in`](crate::NewClient::with_expires_in), so that
    /// [`purge_clients`](crate::ClientRegistry::purge_clients) deletes it when it is not used.
    ///
    /// ```
    /// use oauth_storage::ClientMetadata;
    /// use serde_json::json;
    ///
    /// let url = "https://client.example/oauth.json";
    /// let document = json!({
    ///     "client_id": url, "token_endpoint_auth_method": "none",
    ///     "redirect_uris": ["http://127.0.0.1/cb"],
    /// });
    /// assert!(ClientMetadata::from_document(url, document.clone())?.check().is_ok());
    /// assert!(ClientMetadata::from_document("https://other.example/oauth.json", document).is_err());
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`from_json`](Self::from_json) and
    /// [`check_document_url`](Self::check_document_url), and [`Error::Invalid`] with `client_id` if the
    /// document does not name that URL; with `token_endpoint_auth_method` if the method needs a secret, which a public document cannot have.
    pub fn from_document(client_id: &str, document: Value) -> Result<Self> {
        Self::check_document_url(client_id)?;
        let Some(named) = document.get("client_id").filter(|named| !named.is_null()) else {
            return Err(Error::invalid("client_id", InvalidReason::Missing));
        };
        if named != client_id {
            return Err(Error::invalid("client_id", InvalidReason::NotAllowed));
        }
        let is_named = document.get("token_endpoint_auth_method").is_some_and(|own| !own.is_null());
        let mut metadata = Self::from_json_of(client_id, document)?;
        if !is_named {
            metadata.token_endpoint_auth_method = TokenEndpointAuthMethod::None;
        }
        if metadata.token_endpoint_auth_method.uses_secret() {
            return Err(Error::invalid("token_endpoint_auth_method", InvalidReason::NotAllowed));
        }
        Ok(metadata)
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

    #[test]
    fn a_client_may_name_itself_and_nobody_else() {
        let url = "https://client.example/oauth.json";
        let body = |client_id: &str| serde_json::json!({ "client_id": client_id });
        let field = |result: Result<ClientMetadata>| match result {
            Err(Error::Invalid { field, reason }) => (field, reason),
            other => panic!("{other:?}"),
        };
        assert!(ClientMetadata::from_json_of(url, body(url)).is_ok());
        assert!(ClientMetadata::from_json_of(url, serde_json::json!({})).is_ok());
        let other = ClientMetadata::from_json_of("c", body(url));
        assert_eq!(field(other), ("client_id", InvalidReason::NotAllowed));
        // Not in a registration, where the server chooses the identifier.
        let registered = ClientMetadata::from_json(body(url)).unwrap();
        assert!(registered.check().is_err());

        let document = ClientMetadata::from_document(url, body(url)).unwrap();
        assert_eq!(document.token_endpoint_auth_method, TokenEndpointAuthMethod::None);
        for (id, reason) in [
            ("http://client.example/oauth.json", InvalidReason::Unsupported),
            ("https://client.example/", InvalidReason::Missing),
            ("https://client.example/a?b=1", InvalidReason::NotAllowed),
            ("https://user@client.example/a", InvalidReason::Hostile),
            ("https://client.example/a#b", InvalidReason::Fragment),
            ("https://client.example/../a", InvalidReason::NotAbsolute),
            ("https://CLIENT.example/a", InvalidReason::NotAbsolute),
            ("s6BhdRkqt3", InvalidReason::NotAbsolute),
        ] {
            let result = ClientMetadata::from_document(id, body(id));
            assert_eq!(field(result), ("client_id", reason), "{id}");
        }
        for nameless in [serde_json::json!({}), serde_json::json!({ "client_id": null })] {
            let result = ClientMetadata::from_document(url, nameless);
            assert_eq!(field(result), ("client_id", InvalidReason::Missing));
        }
        for other in [serde_json::json!(""), serde_json::json!(5), serde_json::json!([url])] {
            let result =
                ClientMetadata::from_document(url, serde_json::json!({ "client_id": other }));
            assert_eq!(field(result), ("client_id", InvalidReason::NotAllowed));
        }
        let mut secret = body(url);
        secret["token_endpoint_auth_method"] = "client_secret_basic".into();
        let result = ClientMetadata::from_document(url, secret);
        assert_eq!(field(result), ("token_endpoint_auth_method", InvalidReason::NotAllowed));
    }
}
