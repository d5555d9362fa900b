use crate::endpoint::BearerError;
use crate::grant::GrantStorage;
use crate::scope::Scope;
use crate::secret::Secret;
use crate::token::{Token, TokenKind};

/// A protected resource: the access tokens that it accepts, and its challenges (RFC 6750 3, RFC 9728 5.1).
///
/// ```
/// use oauth_storage::MemoryStorage;
/// use oauth_storage::endpoint::{BearerError, ProtectedResource};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let storage = MemoryStorage::new();
/// let metadata = "https://api.example/.well-known/oauth-protected-resource";
/// let resource = ProtectedResource::new().with_realm("notes").with_metadata_url(metadata);
/// let error = resource.introspect(&storage, &"x".into()).await.unwrap_err();
/// assert!(matches!(error, BearerError::InvalidToken));
/// assert_eq!(
///     resource.www_authenticate(&error).unwrap(),
///     format!(r#"Bearer realm="notes", error="invalid_token", resource_metadata="{metadata}""#)
/// );
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectedResource {
    realm: String,
    identifier: Option<String>,
    metadata_url: Option<String>,
    scope: Option<Scope>,
}

impl Default for ProtectedResource {
    fn default() -> Self {
        Self { realm: "OAuth".to_owned(), identifier: None, metadata_url: None, scope: None }
    }
}

impl ProtectedResource {
    /// A resource with the realm `OAuth` that accepts every active access token.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the realm of the challenges (RFC 9110 11.5).
    #[must_use]
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Sets the resource identifier, a URL. Only access tokens that were requested for it are accepted then
    /// (RFC 8707 2), which the Model Context Protocol requires.
    #[must_use]
    pub fn with_identifier(mut self, identifier: impl Into<String>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Sets the URL of the protected resource metadata, from which a client learns the authorization server
    /// (RFC 9728 5.1).
    #[must_use]
    pub fn with_metadata_url(mut self, url: impl Into<String>) -> Self {
        self.metadata_url = Some(url.into());
        self
    }

    /// Sets the scope that challenges name if the request has no token or an invalid one.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Returns the record of an access token, if the token is active and meant for this resource. Check its
    /// scope with [`Token::require_scope`].
    ///
    /// # Errors
    /// Returns [`BearerError::InvalidToken`] if the token is unknown, expired, revoked, a refresh token, of
    /// another resource, or bound to a key or a certificate (RFC 9449, RFC 8705), because a bearer token
    /// alone does not prove it. Returns [`BearerError::Storage`] if the storage fails.
    pub async fn introspect<S: GrantStorage + ?Sized>(
        &self,
        storage: &S,
        token: &Secret,
    ) -> Result<Token, BearerError> {
        let found = storage.introspect(token).await?;
        let is_bearer = |token: &Token| {
            token.context.jkt.is_none() && token.context.x5t_s256.is_none() && self.accepts(token)
        };
        found.filter(is_bearer).ok_or(BearerError::InvalidToken)
    }

    /// Returns the record of an access token that is bound to a DPoP key (RFC 9449 6.1), if the token is active
    /// and meant for this resource. The thumbprint is that of the proof of the request, which the caller has
    /// checked.
    ///
    /// # Errors
    /// Returns [`BearerError::InvalidToken`] if the token is not active, of another resource, or not bound to
    /// this key; [`BearerError::Storage`] if the storage fails.
    pub async fn introspect_bound<S: GrantStorage + ?Sized>(
        &self,
        storage: &S,
        token: &Secret,
        jkt: &str,
    ) -> Result<Token, BearerError> {
        let found = storage.introspect(token).await?;
        let is_bound =
            |token: &Token| token.context.jkt.as_deref() == Some(jkt) && self.accepts(token);
        found.filter(is_bound).ok_or(BearerError::InvalidToken)
    }

    fn accepts(&self, token: &Token) -> bool {
        let own = self.identifier.as_ref();
        token.kind == TokenKind::Access
            && own.is_none_or(|own| token.context.resource.contains(own))
    }

    /// Returns the value of the header `WWW-Authenticate`; `None` if the storage failed.
    #[must_use]
    pub fn www_authenticate(&self, error: &BearerError) -> Option<String> {
        if matches!(error, BearerError::Storage(_)) {
            return None;
        }
        let mut challenge = format!("Bearer realm={}", quoted(&self.realm));
        let mut push = |name: &str, value: &str| {
            challenge.push_str(&format!(", {name}={}", quoted(value)));
        };
        if let Some(code) = error.code() {
            push("error", code);
        }
        let scope = match error {
            // Text that is no scope has no meaning for a client.
            BearerError::InsufficientScope { scope } => scope.parse::<Scope>().ok(),
            BearerError::InvalidRequest => None,
            _ => self.scope.clone(),
        };
        if let Some(scope) = scope.filter(|scope| !scope.is_empty()) {
            push("scope", scope.as_str());
        }
        if let Some(url) = &self.metadata_url {
            push("resource_metadata", url);
        }
        Some(challenge)
    }
}

/// A quoted string (RFC 9110 5.6.4). Characters that it cannot hold, such as line breaks, are left out.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars().filter(|character| matches!(character, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
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
    async fn a_token_of_another_resource_is_refused() {
        let storage = MemoryStorage::new();
        let new = NewClient::new(ClientMetadata::client_credentials());
        let id = storage.register_client(new).await.unwrap().client.client_id;
        let (own, other) = ("https://a.example", "https://b.example");
        let resource = ProtectedResource::new().with_identifier(own);
        for (resources, is_accepted) in
            [(vec![], false), (vec![other], false), (vec![own], true), (vec![other, own], true)]
        {
            let tokens = TokenPair::generate().unwrap();
            let list = resources.iter().map(|own| (*own).to_owned()).collect();
            let context = GrantContext::default().with_resource(list);
            let new = NewToken::new(&id, "a".parse().unwrap(), tokens.clone());
            let new = new.with_context(context);
            storage.create_token(&RequestContext::default(), new).await.unwrap();
            let found = resource.introspect(&storage, &tokens.access_token).await;
            assert_eq!(found.is_ok(), is_accepted, "{resources:?}");
            let any = ProtectedResource::new().introspect(&storage, &tokens.access_token).await;
            assert!(any.is_ok(), "{resources:?}");
        }
    }

    #[test]
    fn challenges_are_those_of_the_rfcs() {
        let resource = ProtectedResource::new()
            .with_realm("a \"b\\\r\nc\u{e9}")
            .with_metadata_url("https://api.example/m")
            .with_scope("read".parse().unwrap());
        let narrow = |scope: &str| BearerError::InsufficientScope { scope: scope.into() };
        let failed = BearerError::Storage(crate::Error::configuration("x"));
        let metadata = r#", resource_metadata="https://api.example/m""#;
        for (error, expected) in [
            (BearerError::Missing, r#", scope="read""#),
            (BearerError::InvalidToken, r#", error="invalid_token", scope="read""#),
            (BearerError::InvalidRequest, r#", error="invalid_request""#),
            (narrow("write"), r#", error="insufficient_scope", scope="write""#),
            (narrow(""), r#", error="insufficient_scope""#),
            (narrow("a\", error=\"x"), r#", error="insufficient_scope""#),
        ] {
            let expected = format!(r#"Bearer realm="a \"b\\c"{expected}{metadata}"#);
            assert_eq!(resource.www_authenticate(&error), Some(expected));
        }
        assert_eq!(resource.www_authenticate(&failed), None);
    }
}
