use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::authorization_code::CodeChallenge;
use crate::client::{Client, GrantType};
use crate::device_authorization::DevicePoll;
use crate::error::{Error, InvalidReason, Result};
use crate::grant::{CodeRedemption, TokenRotation};
use crate::response_type::ResponseType;
use crate::secret::Secret;
use crate::settings::Settings;

/// The unparsed parameters of an authorization request (RFC 6749 4.1.1, RFC 7636 4.3, OpenID
/// Connect Core 3.1.2.1 and 6, RFC 9449 10).
///
/// In deserialization a parameter without a value counts as omitted (RFC 6749 3.1), and a repeated
/// one is an error.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub struct QueryParameters {
    #[serde(deserialize_with = "given")]
    pub client_id: Option<String>,
    #[serde(deserialize_with = "given")]
    pub redirect_uri: Option<String>,
    #[serde(deserialize_with = "given")]
    pub response_type: Option<String>,
    #[serde(deserialize_with = "given")]
    pub response_mode: Option<String>,
    #[serde(deserialize_with = "given")]
    pub scope: Option<String>,
    #[serde(deserialize_with = "given")]
    pub state: Option<String>,
    #[serde(deserialize_with = "given")]
    pub nonce: Option<String>,
    #[serde(deserialize_with = "given")]
    pub prompt: Option<String>,
    #[serde(deserialize_with = "given")]
    pub max_age: Option<String>,
    #[serde(deserialize_with = "given")]
    pub login_hint: Option<String>,
    #[serde(deserialize_with = "given")]
    pub id_token_hint: Option<String>,
    #[serde(deserialize_with = "given")]
    pub acr_values: Option<String>,
    #[serde(deserialize_with = "given")]
    pub claims: Option<String>,
    #[serde(deserialize_with = "given")]
    pub code_challenge: Option<String>,
    #[serde(deserialize_with = "given")]
    pub code_challenge_method: Option<String>,
    #[serde(deserialize_with = "given")]
    pub dpop_jkt: Option<String>,
    #[serde(deserialize_with = "given")]
    pub request: Option<String>,
    #[serde(deserialize_with = "given")]
    pub request_uri: Option<String>,
}

impl QueryParameters {
    /// Parses the PKCE challenge, if there is one (RFC 7636 4.3). Call this before the user is
    /// asked for consent; otherwise an invalid challenge fails only when the code is stored.
    ///
    /// ```
    /// use oauth_storage::endpoint::QueryParameters;
    /// use oauth_storage::{ClientMetadata, ClientRegistry, MemoryStorage, NewClient, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), oauth_storage::Error> {
    /// # let storage = MemoryStorage::new();
    /// let metadata = ClientMetadata::authorization_code(["https://client.example/cb"]).public();
    /// let client = storage.register_client(NewClient::new(metadata)).await?.client;
    /// let settings = Settings::default();
    /// let mut query = QueryParameters::default();
    /// // A public client needs a challenge.
    /// assert!(query.parse_code_challenge(&client, &settings).is_err());
    /// query.code_challenge = Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into());
    /// // The default method is `plain`.
    /// assert!(query.parse_code_challenge(&client, &settings).is_err());
    /// query.code_challenge_method = Some("S256".into());
    /// assert!(query.parse_code_challenge(&client, &settings)?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `code_challenge` and
    /// [`InvalidReason::Missing`](crate::error::InvalidReason::Missing) if a public client sends none (RFC 9700
    /// 2.1.1), the errors of [`CodeChallenge::from_parameters`], and
    /// [`Error::Invalid`](crate::Error::Invalid) with `code_challenge_method` and
    /// [`InvalidReason::NotAllowed`](crate::error::InvalidReason::NotAllowed) if the method is
    /// `plain` and the settings do not allow it.
    pub fn parse_code_challenge(
        &self,
        client: &Client,
        settings: &Settings,
    ) -> Result<Option<CodeChallenge>> {
        let challenge = CodeChallenge::from_parameters(
            self.code_challenge.as_deref(),
            self.code_challenge_method.as_deref(),
        )?;
        challenge.as_ref().map_or(Ok(()), |challenge| challenge.check_method(settings))?;
        if challenge.is_none() && client.is_public() {
            return Err(Error::invalid("code_challenge", InvalidReason::Missing));
        }
        Ok(challenge)
    }

    /// Parses the response type, which the client must have registered.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `response_type` if it is missing, unknown, or
    /// not registered. [`Error::oauth_error_code`](crate::Error::oauth_error_code) is the code of each.
    pub fn parse_response_type(&self, client: &Client) -> Result<ResponseType> {
        let text = self.response_type.as_deref();
        let missing = || Error::invalid("response_type", InvalidReason::Missing);
        let response_type = text.ok_or_else(missing)?.parse()?;
        if client.allows_response_type(response_type) {
            Ok(response_type)
        } else {
            Err(Error::invalid("response_type", InvalidReason::NotAllowed))
        }
    }
}

/// Omits `state`, `nonce`, the hints, `claims`, the request object, and `code_challenge`, which for
/// `plain` is the verifier.
impl fmt::Debug for QueryParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryParameters")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("response_type", &self.response_type)
            .field("response_mode", &self.response_mode)
            .field("scope", &self.scope)
            .field("prompt", &self.prompt)
            .field("code_challenge_method", &self.code_challenge_method)
            .finish_non_exhaustive()
    }
}

/// The unparsed parameters of a token, introspection or revocation request (RFC 6749 4 and 6, RFC
/// 7636, RFC 7009, RFC 7662, RFC 8628).
///
/// In deserialization a parameter without a value counts as omitted (RFC 6749 3.2), and a repeated
/// one is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of the RFC")]
pub struct FormParameters {
    #[serde(deserialize_with = "given")]
    pub grant_type: Option<String>,
    #[serde(deserialize_with = "given")]
    pub client_id: Option<String>,
    #[serde(deserialize_with = "given")]
    pub client_secret: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub redirect_uri: Option<String>,
    #[serde(deserialize_with = "given")]
    pub scope: Option<String>,
    #[serde(deserialize_with = "given")]
    pub username: Option<String>,
    #[serde(deserialize_with = "given")]
    pub password: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub code: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub code_verifier: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub refresh_token: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub device_code: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub token: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub token_type_hint: Option<String>,
}

impl FormParameters {
    /// Parses the grant type, which the client must have registered.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `grant_type` if it is missing, unknown, or not
    /// registered. [`Error::oauth_error_code`](crate::Error::oauth_error_code) is the code of each.
    pub fn parse_grant_type(&self, client: &Client) -> Result<GrantType> {
        let missing = || Error::invalid("grant_type", InvalidReason::Missing);
        let grant_type = self.grant_type.as_deref().ok_or_else(missing)?.parse()?;
        if client.allows_grant_type(grant_type) {
            Ok(grant_type)
        } else {
            Err(Error::invalid("grant_type", InvalidReason::NotAllowed))
        }
    }

    /// Returns the redemption that a token request asks for (RFC 6749 4.1.3). A refresh token is issued if
    /// the client has registered that grant type.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `code` if it is missing.
    pub fn code_redemption(self, client: &Client) -> Result<CodeRedemption> {
        let code = self.code.ok_or(Error::invalid("code", InvalidReason::Missing))?;
        // A URI that is not registered is not that of the code, which the storage finds.
        let redirect_uri = client.redirect_uri(self.redirect_uri.as_deref()).unwrap_or_default();
        let mut redemption = CodeRedemption::new(&client.client_id, redirect_uri, code)
            .with_refresh_token(client.allows_grant_type(GrantType::RefreshToken));
        redemption.code_verifier = self.code_verifier;
        Ok(redemption)
    }

    /// Returns the poll that a token request of a device asks for (RFC 8628 3.4). A refresh token is issued if
    /// the client has registered that grant type.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `device_code` if it is missing.
    pub fn device_poll(self, client: &Client) -> Result<DevicePoll> {
        let missing = Error::invalid("device_code", InvalidReason::Missing);
        let device_code = self.device_code.ok_or(missing)?;
        Ok(DevicePoll::new(&client.client_id, device_code)
            .with_refresh_token(client.allows_grant_type(GrantType::RefreshToken)))
    }

    /// Returns the rotation that a token request asks for (RFC 6749 6).
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid) with `refresh_token` if it is missing, and with
    /// `scope` if that breaks its syntax.
    pub fn token_rotation(self, client: &Client) -> Result<TokenRotation> {
        let missing = Error::invalid("refresh_token", InvalidReason::Missing);
        let refresh_token = self.refresh_token.ok_or(missing)?;
        let mut rotation = TokenRotation::new(&client.client_id, refresh_token);
        rotation.scope = self.scope.map(|scope| scope.parse()).transpose()?;
        Ok(rotation)
    }
}

/// "Parameters sent without a value MUST be treated as if they were omitted" (RFC 6749 3.1, 3.2).
fn given<'de, D, T>(deserializer: D) -> std::result::Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: From<String>,
{
    let value = Option::<String>::deserialize(deserializer)?;
    Ok(value.filter(|value| !value.is_empty()).map(T::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s17_debug_of_parameters_shows_no_credential() {
        let secret = "s3cr3t-value";
        let query = QueryParameters {
            code_challenge: Some(secret.into()),
            state: Some(secret.into()),
            nonce: Some(secret.into()),
            login_hint: Some(secret.into()),
            request: Some(secret.into()),
            ..QueryParameters::default()
        };
        let some = || Some(Secret::new(secret));
        let form = FormParameters {
            client_secret: some(),
            password: some(),
            code: some(),
            code_verifier: some(),
            refresh_token: some(),
            device_code: some(),
            token: some(),
            ..FormParameters::default()
        };
        let text = format!("{query:?} {query:#?} {form:?} {form:#?}");
        assert!(!text.contains(secret), "{text}");
    }

    #[test]
    fn an_empty_parameter_is_omitted_and_a_repeated_one_refused() {
        let form: FormParameters =
            serde_json::from_str(r#"{ "code": "", "scope": "a", "more": "" }"#).unwrap();
        assert_eq!((form.code, form.scope.as_deref()), (None, Some("a")));
        assert!(serde_json::from_str::<FormParameters>(r#"{ "code": "", "code": "x" }"#).is_err());
        let query: QueryParameters = serde_json::from_str(r#"{ "prompt": "" }"#).unwrap();
        assert_eq!(query.prompt, None);
        assert!(
            serde_json::from_str::<QueryParameters>(r#"{ "state": "", "state": "" }"#).is_err()
        );
    }
}
