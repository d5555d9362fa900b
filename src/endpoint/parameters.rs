use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::authorization_code::CodeChallenge;
use crate::error::Result;
use crate::secret::Secret;
use crate::settings::Settings;

/// The unparsed parameters of an authorization request (RFC 6749 4.1.1, RFC 7636 4.3, OpenID
/// Connect Core 3.1.2.1 and 6).
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
    pub code_challenge: Option<String>,
    #[serde(deserialize_with = "given")]
    pub code_challenge_method: Option<String>,
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
    /// use oauth_storage::Settings;
    /// use oauth_storage::endpoint::QueryParameters;
    ///
    /// let mut query = QueryParameters::default();
    /// query.code_challenge = Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into());
    /// // The default method is `plain`.
    /// assert!(query.parse_code_challenge(&Settings::default()).is_err());
    /// query.code_challenge_method = Some("S256".into());
    /// assert!(query.parse_code_challenge(&Settings::default())?.is_some());
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`CodeChallenge::from_parameters`], and
    /// [`Error::Invalid`](crate::Error::Invalid) with `code_challenge_method` and
    /// [`InvalidReason::NotAllowed`](crate::error::InvalidReason::NotAllowed) if the method is
    /// `plain` and the settings do not allow it.
    pub fn parse_code_challenge(&self, settings: &Settings) -> Result<Option<CodeChallenge>> {
        let challenge = CodeChallenge::from_parameters(
            self.code_challenge.as_deref(),
            self.code_challenge_method.as_deref(),
        )?;
        challenge.as_ref().map_or(Ok(()), |challenge| challenge.check_method(settings))?;
        Ok(challenge)
    }
}

/// Omits `state`, `nonce`, `login_hint`, the request object, and `code_challenge`, which for
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
/// 7636, RFC 7009, RFC 7662).
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
    pub token: Option<Secret>,
    #[serde(deserialize_with = "given")]
    pub token_type_hint: Option<String>,
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
