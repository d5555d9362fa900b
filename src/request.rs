//! The request that a storage call serves: its parameters, its resource owner, its settings.
//!
//! Every method of the contract is given the [`Request`] it serves, as in the interface it comes
//! from. A server fills in what it has; [`Request::default`] is a request without parameters,
//! without a user, with the default settings.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Problem, Result};
use crate::model::{CodeChallenge, User};
use crate::secret::Secret;

/// The HTTP request that a storage call serves, free of any framework's types.
///
/// ```
/// use oauth_storage::{Request, User};
///
/// let request = Request::for_user(User::new("alice"));
/// assert_eq!(request.subject(), Some("alice"));
/// assert_eq!(request.settings.authorization_code_expires_in.as_secs(), 60);
/// ```
#[derive(Clone, Default)]
pub struct Request {
    /// The HTTP method, for implementations that want to know.
    pub method: String,
    /// The URL. Printed without its query, which may hold credentials.
    pub url: String,
    /// The headers. Printed by name only.
    pub headers: Vec<(String, String)>,
    /// The query parameters of an authorization request.
    pub query: QueryParameters,
    /// The form parameters of a token request.
    pub form: FormParameters,
    /// The resource owner, where the server knows one.
    pub user: Option<User>,
    /// Lifetimes and policies for this request.
    pub settings: Settings,
}

impl Request {
    /// A request on behalf of a resource owner, with the default settings.
    #[must_use]
    pub fn for_user(user: User) -> Self {
        Self { user: Some(user), ..Self::default() }
    }

    /// The same request with other settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The resource owner's identifier, where there is a resource owner.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.user.as_ref().map(|user| user.subject.as_str())
    }

    /// The first header of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        // `user:password@` in front of a host is a credential, too.
        let url = match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}{path}")
            }
            None => url.to_owned(),
        };
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &url)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("query", &self.query)
            .field("form", &self.form)
            .field("user", &self.user)
            .field("settings", &self.settings)
            .finish()
    }
}

/// The parameters of an authorization request (RFC 6749 4.1.1, RFC 7636 4.3, OpenID Connect Core
/// 3.1.2.1 and 6), as they came.
///
/// Deserialized, a parameter without a value counts as omitted (RFC 6749 3.1), and one that comes
/// twice is an error.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the RFC's own")]
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
    /// The PKCE challenge, where there is one (RFC 7636 4.3). Ask for it before the user is asked:
    /// what is wrong with it would else come to light when the code is stored.
    ///
    /// ```
    /// use oauth_storage::{QueryParameters, Settings};
    ///
    /// let mut query = QueryParameters {
    ///     code_challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into()),
    ///     ..QueryParameters::default()
    /// };
    /// // Without a method it is `plain`.
    /// assert!(query.parse_code_challenge(&Settings::default()).is_err());
    /// query.code_challenge_method = Some("S256".into());
    /// assert!(query.parse_code_challenge(&Settings::default())?.is_some());
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`CodeChallenge::from_parameters`]; and [`Error::Invalid`] with `code_challenge_method`
    /// and [`Problem::NotAllowed`] for `plain`, unless the settings allow it.
    pub fn parse_code_challenge(&self, settings: &Settings) -> Result<Option<CodeChallenge>> {
        let challenge = CodeChallenge::from_parameters(
            self.code_challenge.as_deref(),
            self.code_challenge_method.as_deref(),
        )?;
        challenge.as_ref().map_or(Ok(()), |challenge| challenge.check_method(settings))?;
        Ok(challenge)
    }
}

/// Without `state`, `nonce`, `login_hint`, the request object, and `code_challenge`, which for `plain`
/// is the verifier.
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

/// The parameters of a token, introspection or revocation request (RFC 6749 4 and 6, RFC 7636,
/// RFC 7009, RFC 7662), as they came.
///
/// Deserialized, a parameter without a value counts as omitted (RFC 6749 3.2), and one that comes
/// twice is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the RFC's own")]
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

/// Lifetimes and policies. The defaults are the careful ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Lifetime of an access token; one hour.
    pub access_token_expires_in: Duration,
    /// Lifetime of a refresh token and of its successors: an absolute end that rotation does not
    /// move; 30 days.
    pub refresh_token_expires_in: Duration,
    /// Lifetime of a refresh token that is not used: each rotation gives the successor this long, but
    /// no longer than the absolute end. `None`, the default, for no such limit.
    pub refresh_token_idle_expires_in: Option<Duration>,
    /// Lifetime of an authorization code; 60 seconds, at most ten minutes (RFC 6749 4.1.2).
    pub authorization_code_expires_in: Duration,
    /// Lifetime of an ID token; one hour.
    pub id_token_expires_in: Duration,
    /// Grace period after a rotation in which the old refresh token can be exchanged again, for a client
    /// that lost the response; ten seconds by default, at most five minutes. Zero is strict: the second
    /// exchange revokes the grant.
    pub refresh_token_grace: Duration,
    /// True if the PKCE method `plain` is accepted; false by default (RFC 9700 2.1.1).
    pub allow_plain_code_challenge: bool,
}

/// The longest lifetime of an authorization code (RFC 6749 4.1.2).
pub const MAX_AUTHORIZATION_CODE_LIFETIME: Duration = Duration::from_mins(10);

/// The longest grace period of a rotated refresh token: what is stolen works as long.
pub const MAX_REFRESH_TOKEN_GRACE: Duration = Duration::from_mins(5);

/// The longest lifetime of anything: 100 years. A timestamp of PostgreSQL holds far more, but no
/// deployment means more.
pub const MAX_LIFETIME: Duration = Duration::from_hours(24 * 36_525);

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_token_expires_in: Duration::from_hours(1),
            refresh_token_expires_in: Duration::from_hours(24 * 30),
            refresh_token_idle_expires_in: None,
            authorization_code_expires_in: Duration::from_mins(1),
            id_token_expires_in: Duration::from_hours(1),
            refresh_token_grace: Duration::from_secs(10),
            allow_plain_code_challenge: false,
        }
    }
}

impl Settings {
    /// Checks every lifetime: more than zero, at most [`MAX_LIFETIME`], and for a code at most
    /// [`MAX_AUTHORIZATION_CODE_LIFETIME`]; and the grace period: at most
    /// [`MAX_REFRESH_TOKEN_GRACE`].
    ///
    /// # Errors
    /// [`Error::Invalid`] with the name of the setting and [`Problem::OutOfRange`].
    pub fn check(&self) -> Result<()> {
        for (field, lifetime, limit) in [
            ("access_token_expires_in", self.access_token_expires_in, MAX_LIFETIME),
            ("refresh_token_expires_in", self.refresh_token_expires_in, MAX_LIFETIME),
            (
                "refresh_token_idle_expires_in",
                self.refresh_token_idle_expires_in.unwrap_or(self.refresh_token_expires_in),
                MAX_LIFETIME,
            ),
            (
                "authorization_code_expires_in",
                self.authorization_code_expires_in,
                MAX_AUTHORIZATION_CODE_LIFETIME,
            ),
            ("id_token_expires_in", self.id_token_expires_in, MAX_LIFETIME),
        ] {
            // PostgreSQL counts microseconds; less than one would be no lifetime at all.
            if lifetime < Duration::from_micros(1) || lifetime > limit {
                return Err(Error::invalid(field, Problem::OutOfRange));
            }
        }
        if self.refresh_token_grace > MAX_REFRESH_TOKEN_GRACE {
            return Err(Error::invalid("refresh_token_grace", Problem::OutOfRange));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s17_debug_of_a_request_shows_no_credential() {
        let secret = "s3cr3t-value";
        let some = || Some(Secret::new(secret));
        let request = Request {
            method: "POST".into(),
            url: format!("https://u:{secret}@{secret}@issuer.example/@me/token?t={secret}"),
            query: QueryParameters {
                code_challenge: Some(secret.into()),
                state: Some(secret.into()),
                ..QueryParameters::default()
            },
            headers: vec![("Authorization".into(), format!("Basic {secret}"))],
            form: FormParameters {
                client_secret: some(),
                password: some(),
                code: some(),
                code_verifier: some(),
                refresh_token: some(),
                token: some(),
                ..FormParameters::default()
            },
            ..Request::default()
        };
        let text = format!("{request:?} {request:#?}");
        assert!(!text.contains(secret), "{text}");
        assert!(text.contains("https://issuer.example/@me/token"), "{text}");
        assert_eq!(request.header("authorization"), Some("Basic s3cr3t-value"));
    }

    #[test]
    fn an_empty_parameter_is_omitted_and_a_double_one_refused() {
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

    #[test]
    fn settings_out_of_range_are_named() {
        let broken = [
            Settings { access_token_expires_in: Duration::ZERO, ..Settings::default() },
            Settings { refresh_token_expires_in: Duration::MAX, ..Settings::default() },
            Settings {
                authorization_code_expires_in: Duration::from_secs(601),
                ..Settings::default()
            },
            Settings { id_token_expires_in: Duration::from_nanos(1), ..Settings::default() },
            Settings { refresh_token_idle_expires_in: Some(Duration::ZERO), ..Settings::default() },
        ];
        let fields = broken.map(|settings| match settings.check() {
            Err(Error::Invalid { field, problem: Problem::OutOfRange }) => field,
            other => panic!("{other:?}"),
        });
        assert_eq!(
            fields,
            [
                "access_token_expires_in",
                "refresh_token_expires_in",
                "authorization_code_expires_in",
                "id_token_expires_in",
                "refresh_token_idle_expires_in"
            ]
        );
        assert!(Settings::default().check().is_ok());
    }
}
