use std::fmt;

use url::form_urlencoded::Serializer;

use crate::secret::Secret;

/// An authorization response: the URL that the browser is redirected to (RFC 6749 4.1.2 and 4.1.2.1).
///
/// Redirect only to a redirect URI that is registered, see [`Client::redirect_uri`](crate::client::Client).
///
/// ```
/// use oauth_storage::endpoint::AuthorizationResponse;
///
/// // RFC 6749 4.1.2.
/// let url = AuthorizationResponse::code(&"SplxlOBeZQQYbYS6WxSbIA".into())
///     .with_state("xyz")
///     .redirect_to("https://client.example.com/cb");
/// assert_eq!(url, "https://client.example.com/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz");
/// ```
#[derive(Clone, Default)]
pub struct AuthorizationResponse {
    parameters: Vec<(&'static str, String)>,
}

impl AuthorizationResponse {
    /// The response with a code.
    #[must_use]
    pub fn code(code: &Secret) -> Self {
        Self { parameters: vec![("code", code.expose().to_owned())] }
    }

    /// The response with an error code, such as `access_denied`, or that of
    /// [`Error::oauth_error_code`](crate::Error::oauth_error_code).
    #[must_use]
    pub fn error(code: &str) -> Self {
        Self { parameters: vec![("error", code.to_owned())] }
    }

    /// Adds `error_description`, a text for the developer of the client (RFC 6749 4.1.2.1).
    #[must_use]
    pub fn with_description<'a>(mut self, description: impl Into<Option<&'a str>>) -> Self {
        let description = description.into().map(str::to_owned);
        self.parameters.extend(description.map(|text| ("error_description", text)));
        self
    }

    /// Adds the `state` of the request, if it had one.
    #[must_use]
    pub fn with_state<'a>(mut self, state: impl Into<Option<&'a str>>) -> Self {
        self.parameters.extend(state.into().map(|state| ("state", state.to_owned())));
        self
    }

    /// Adds `iss`, by which a client of several servers knows which one responds (RFC 9207).
    #[must_use]
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        self.parameters.push(("iss", issuer.to_owned()));
        self
    }

    /// Adds another parameter, such as `id_token`.
    #[must_use]
    pub fn with_parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    /// The parameters, for the form of the response mode `form_post`.
    #[must_use]
    pub fn parameters(&self) -> &[(&'static str, String)] {
        &self.parameters
    }

    /// Returns the URL: the redirect URI with the parameters in its query. The URI is not parsed, because a parser
    /// would normalize what is registered.
    #[must_use]
    pub fn redirect_to(&self, redirect_uri: &str) -> String {
        self.append(redirect_uri, if redirect_uri.contains('?') { '&' } else { '?' })
    }

    /// Returns the URL: the redirect URI with the parameters in its fragment, the response mode for tokens (OAuth 2.0
    /// Multiple Response Type Encoding Practices 2.1).
    #[must_use]
    pub fn redirect_to_fragment(&self, redirect_uri: &str) -> String {
        self.append(redirect_uri, '#')
    }

    fn append(&self, redirect_uri: &str, separator: char) -> String {
        let mut parameters = Serializer::new(String::new());
        parameters.extend_pairs(&self.parameters);
        format!("{redirect_uri}{separator}{}", parameters.finish())
    }
}

/// The names of the parameters.
impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parameters.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_join_a_query() {
        let error = AuthorizationResponse::error("access_denied").with_state(Some("a&b=c#d é"));
        assert_eq!(
            error.with_issuer("https://issuer.example").redirect_to("com.example.app:/cb?tenant=1"),
            "com.example.app:/cb?tenant=1&error=access_denied&state=a%26b%3Dc%23d+%C3%A9\
             &iss=https%3A%2F%2Fissuer.example"
        );
    }

    #[test]
    fn a_fragment_follows_a_query() {
        let response = AuthorizationResponse::default().with_parameter("id_token", "a.b#c");
        let url = response.redirect_to_fragment("https://client.example/cb?tenant=1");
        assert_eq!(url, "https://client.example/cb?tenant=1#id_token=a.b%23c");
        assert_eq!(response.parameters(), [("id_token", "a.b#c".to_owned())]);
    }

    #[test]
    fn s17_debug_of_a_response_shows_no_code() {
        let response = AuthorizationResponse::code(&"s3cr3t".into()).with_state(Some("s3cr3t"));
        assert_eq!(format!("{response:?}"), r#"["code", "state"]"#);
    }
}
