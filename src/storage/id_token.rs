use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::model::{AuthorizationCode, ResponseType, Scope};
use crate::request::Request;
use crate::secret::Secret;

/// Who signs ID tokens: pluggable, so a storage takes an implementation of this trait and calls
/// it. The feature `jwt` ships one.
#[async_trait]
pub trait IdTokenStorage: Send + Sync {
    /// The signed ID token, a compact JWT (OpenID Connect Core 2) with `iss`, `sub`, `aud`, `exp`,
    /// `iat`, and, as they apply, `auth_time`, `nonce`, `acr`, `amr`, `at_hash`, `c_hash`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for `subject` where the request has no user;
    /// [`Error::Configuration`](crate::Error::Configuration) where no implementation was given.
    async fn get_id_token(&self, request: &Request, id_token: NewIdToken<'_>) -> Result<String>;
}

forward!(IdTokenStorage {
    fn get_id_token(&self, request: &Request, id_token: NewIdToken<'_>) -> Result<String>;
});

/// What an ID token is asked for.
///
/// The subject, and what is known of the authentication, come from the request's user.
#[derive(Debug, Clone)]
pub struct NewIdToken<'a> {
    /// The client: the audience.
    pub client_id: &'a str,
    /// The scope that was granted.
    pub scope: &'a Scope,
    /// The response type of the authorization request.
    pub response_type: ResponseType,
    /// The redirect URI it will be sent to, or the code was sent to.
    pub redirect_uri: &'a str,
    /// The `nonce` of the authentication request.
    pub nonce: Option<&'a str>,
    /// When the end user authenticated, where it is not the request's user's.
    pub auth_time: Option<DateTime<Utc>>,
    /// The access token that is issued with it, for `at_hash`.
    pub access_token: Option<&'a Secret>,
    /// The authorization code that is issued with it, for `c_hash`.
    pub code: Option<&'a Secret>,
}

impl<'a> NewIdToken<'a> {
    /// The ID token of a code exchange: of the code's client, scope, nonce and authentication time.
    #[must_use]
    pub fn for_code(code: &'a AuthorizationCode, access_token: &'a Secret) -> Self {
        Self {
            client_id: &code.client_id,
            scope: &code.scope,
            response_type: code.response_type,
            redirect_uri: &code.redirect_uri,
            nonce: code.context.nonce.as_deref(),
            auth_time: code.context.auth_time,
            access_token: Some(access_token),
            code: None,
        }
    }
}
