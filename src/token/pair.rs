use uuid::Uuid;

use crate::error::{Error, InvalidReason, Result};
use crate::secret::Secret;

/// An access token and an optional refresh token.
///
/// ```
/// use oauth_storage::{Secret, TokenPair};
///
/// // Generated: both name the same new grant.
/// let tokens = TokenPair::generate()?;
/// assert_eq!(tokens.access_token.grant_id(), tokens.grant_id());
///
/// // Made elsewhere, such as a JWT.
/// let tokens = TokenPair::new("eyJhbGciOi...").with_refresh_token(Secret::generate()?);
/// assert!(tokens.refresh_token.is_some());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenPair {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
}

impl TokenPair {
    /// Wraps an access token without a refresh token.
    pub fn new(access_token: impl Into<Secret>) -> Self {
        Self { access_token: access_token.into(), refresh_token: None }
    }

    /// Generates an access token and a refresh token of a new grant.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate() -> Result<Self> {
        Self::generate_for(Uuid::now_v7())
    }

    /// Generates an access token and a refresh token of this grant.
    ///
    /// # Errors
    /// Returns [`Error::Configuration`] if the operating system provides no randomness.
    pub fn generate_for(grant_id: Uuid) -> Result<Self> {
        Ok(Self {
            access_token: Secret::generate_for(grant_id)?,
            refresh_token: Some(Secret::generate_for(grant_id)?),
        })
    }

    /// Generates the tokens that follow a credential. They name the same grant, if it names one.
    pub(crate) fn generate_after(credential: &Secret, with_refresh_token: bool) -> Result<Self> {
        let generate = || match credential.grant_id() {
            Some(grant_id) => Secret::generate_for(grant_id),
            None => Secret::generate_unnamed(),
        };
        Ok(Self {
            access_token: generate()?,
            refresh_token: with_refresh_token.then(generate).transpose()?,
        })
    }

    /// Sets the refresh token.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: impl Into<Secret>) -> Self {
        self.refresh_token = Some(refresh_token.into());
        self
    }

    /// Drops the refresh token, for grant types that issue none: client credentials, implicit.
    #[must_use]
    pub fn without_refresh_token(mut self) -> Self {
        self.refresh_token = None;
        self
    }

    /// The grant that the tokens name; `None` if they were made elsewhere.
    #[must_use]
    pub fn grant_id(&self) -> Option<Uuid> {
        let refresh_token = self.refresh_token.as_ref();
        self.access_token.grant_id().or_else(|| refresh_token.and_then(Secret::grant_id))
    }

    /// Checks the syntax of both tokens, that they differ, and that neither names a grant other
    /// than the given one. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a token is invalid.
    pub fn check(&self, grant_id: Option<Uuid>) -> Result<()> {
        let tokens = [
            ("access_token", Some(&self.access_token)),
            ("refresh_token", self.refresh_token.as_ref()),
        ];
        for (field, token) in tokens {
            let Some(token) = token else { continue };
            token.check(field)?;
            check_named_grant(field, token, grant_id)?;
        }
        if self.refresh_token.as_ref() == Some(&self.access_token) {
            return Err(Error::invalid("refresh_token", InvalidReason::Duplicate));
        }
        Ok(())
    }
}

/// Fails if a credential names another grant than the one it is stored for.
pub(crate) fn check_named_grant(
    field: &'static str,
    credential: &Secret,
    grant_id: Option<Uuid>,
) -> Result<()> {
    match credential.grant_id() {
        Some(named) if Some(named) != grant_id => {
            Err(Error::invalid(field, InvalidReason::NotAllowed))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_checked_as_one() {
        let tokens = TokenPair::generate().unwrap();
        let field = |tokens: &TokenPair, grant_id| match tokens.check(grant_id) {
            Ok(()) => "",
            Err(Error::Invalid { field, .. }) => field,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(field(&tokens, tokens.grant_id()), "");
        assert_eq!(field(&tokens, Some(Uuid::now_v7())), "access_token");
        assert_eq!(field(&tokens, None), "access_token");
        let mixed = TokenPair::new("a").with_refresh_token(Secret::generate().unwrap());
        assert_eq!(field(&mixed, mixed.grant_id()), "");
        assert_eq!(field(&mixed, Some(Uuid::now_v7())), "refresh_token");
        let same = TokenPair::new("a").with_refresh_token("a");
        assert_eq!(field(&same, None), "refresh_token");
        assert_eq!(field(&TokenPair::new(""), None), "access_token");
    }

    #[test]
    fn following_tokens_name_the_grant_of_the_spent_credential() {
        let code = Secret::generate().unwrap();
        let tokens = TokenPair::generate_after(&code, true).unwrap();
        tokens.check(code.grant_id()).unwrap();
        assert_eq!(tokens.grant_id(), code.grant_id());
        let tokens = TokenPair::generate_after(&Secret::new("made elsewhere"), false).unwrap();
        assert_eq!((tokens.grant_id(), tokens.refresh_token), (None, None));
    }
}
