use crate::endpoint::ProtectedResource;
use crate::error::Error;
use crate::grant::GrantStorage;
use crate::secret::Secret;
use crate::token::Token;

/// Returns the access token of an `Authorization` header (RFC 6750 2.1).
///
/// ```
/// use oauth_storage::endpoint::bearer_token;
///
/// assert_eq!(bearer_token(Some("bearer mF_9.B5f-4.1JqM")), Some("mF_9.B5f-4.1JqM".into()));
/// assert_eq!(bearer_token(Some("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW")), None);
/// ```
#[must_use]
pub fn bearer_token(authorization: Option<&str>) -> Option<Secret> {
    let (scheme, token) = authorization?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim_start()))
}

/// Returns the record of the access token that a request to a protected resource presents, if it is active and
/// its scope contains all of `scope` (RFC 6750).
///
/// ```
/// use oauth_storage::MemoryStorage;
/// use oauth_storage::endpoint::{BearerError, require_scope};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let storage = MemoryStorage::new();
/// let error = require_scope(&storage, Some("Bearer x"), "notes:read").await.unwrap_err();
/// assert!(matches!(error, BearerError::InvalidToken));
/// assert_eq!((error.http_status(), error.www_authenticate().as_deref()),
///     (401, Some(r#"Bearer realm="OAuth", error="invalid_token""#)));
/// # }
/// ```
///
/// The token of a client that acts for itself has no `subject` (RFC 6749 4.4): check it where a user is needed.
/// [`ProtectedResource`] has the settings: a realm, a URL of metadata, and the resource indicator (RFC 8707) that
/// tokens must have.
///
/// # Errors
/// Returns [`BearerError`]. A token that is bound to a key or a certificate (RFC 9449, RFC 8705) is refused as
/// invalid, because the header alone does not prove it: introspect it and check the proof.
pub async fn require_scope<S: GrantStorage + ?Sized>(
    storage: &S,
    authorization: Option<&str>,
    scope: &str,
) -> Result<Token, BearerError> {
    let token = bearer_token(authorization).ok_or(BearerError::Missing)?;
    let token = ProtectedResource::new().introspect(storage, &token).await?;
    token.require_scope(scope)?;
    Ok(token)
}

impl Token {
    /// Checks that the scope of the access token contains all of `scope`, at a protected resource.
    ///
    /// # Errors
    /// Returns [`BearerError::InsufficientScope`] if a part is missing.
    pub fn require_scope(&self, scope: &str) -> Result<(), BearerError> {
        if scope.split_ascii_whitespace().all(|part| self.scope.contains(part)) {
            Ok(())
        } else {
            Err(BearerError::InsufficientScope { scope: scope.to_owned() })
        }
    }
}

/// The reason why a request to a protected resource is refused (RFC 6750 3.1).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BearerError {
    /// The request has no access token. The response has no error code.
    #[error("no access token")]
    Missing,
    /// The request has more than one access token (RFC 6750 2), or is malformed.
    #[error("more than one access token, or a malformed request")]
    InvalidRequest,
    /// The access token is unknown, expired, revoked, a refresh token, of another resource, or bound to a key or a
    /// certificate.
    #[error("the access token is not active")]
    InvalidToken,
    /// The scope of the access token is too narrow.
    #[error("the access token needs the scope {scope}")]
    InsufficientScope {
        /// The scope that the resource needs.
        scope: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] Error),
}

impl BearerError {
    /// Returns the HTTP status: 400, 401 or 403; for the storage that of [`Error::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Missing | Self::InvalidToken => 401,
            Self::InsufficientScope { .. } => 403,
            Self::Storage(error) => error.http_status(),
        }
    }

    /// Returns the error code; `None` for a request without a token.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope { .. } => Some("insufficient_scope"),
            Self::Storage(error) => Some(error.oauth_error_code()),
        }
    }

    /// Returns the value of the header `WWW-Authenticate` (RFC 6750 3); `None` if the storage failed. That of
    /// [`ProtectedResource::www_authenticate`] has a realm of your own and the URL of metadata.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        ProtectedResource::new().www_authenticate(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientMetadata, ClientRegistry as _, NewClient};
    use crate::context::GrantContext;
    use crate::memory::MemoryStorage;
    use crate::request::RequestContext;
    use crate::token::{NewToken, TokenPair, TokenStorage as _};

    #[tokio::test]
    async fn only_an_unbound_access_token_of_the_scope_passes() {
        let storage = MemoryStorage::new();
        let new = NewClient::new(ClientMetadata::client_credentials());
        let id = storage.register_client(new).await.unwrap().client.client_id;
        let issue = async |context: GrantContext| {
            let tokens = TokenPair::generate().unwrap();
            let new = NewToken::new(&id, "a b".parse().unwrap(), tokens.clone());
            let new = new.with_context(context);
            storage.create_token(&RequestContext::default(), new).await.unwrap();
            tokens
        };
        let status = async |secret: &Secret, scope| {
            let header = format!("BEARER {}", secret.expose());
            require_scope(&storage, Some(&header), scope).await.map_err(|error| error.http_status())
        };
        let tokens = issue(GrantContext::default()).await;
        let access = &tokens.access_token;
        for scope in ["", "a", "b a"] {
            assert!(status(access, scope).await.is_ok(), "{scope}");
        }
        assert_eq!(status(access, "a c").await, Err(403));
        assert_eq!(status(tokens.refresh_token.as_ref().unwrap(), "a").await, Err(401));
        let error = BearerError::InsufficientScope { scope: "a\", error=\"x".into() };
        let header = error.www_authenticate().unwrap();
        assert_eq!(header, r#"Bearer realm="OAuth", error="insufficient_scope""#);
        let key = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".to_owned();
        for context in [
            GrantContext::default().with_jkt(key.clone()),
            GrantContext::default().with_x5t_s256(key.clone()),
        ] {
            assert_eq!(status(&issue(context).await.access_token, "a").await, Err(401));
        }
        for header in [None, Some("Bearer"), Some("Basic x")] {
            let error = require_scope(&storage, header, "a").await.unwrap_err();
            assert!(matches!(error, BearerError::Missing), "{header:?}");
        }
    }
}
