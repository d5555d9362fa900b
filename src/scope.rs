use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, InvalidReason, Result};

/// The maximum length of a scope, in bytes.
pub const MAX_SCOPE_BYTES: usize = 4096;

/// The maximum number of tokens in a scope.
pub const MAX_SCOPE_TOKENS: usize = 100;

/// A set of at most 100 scope tokens (RFC 6749 3.3), in the order of the request.
///
/// Parsing drops repeated tokens and extra spaces, and fails on characters that the grammar
/// forbids. The empty scope is valid.
///
/// ```
/// use oauth_storage::Scope;
///
/// let scope: Scope = "openid  profile openid".parse()?;
/// assert_eq!(scope.as_str(), "openid profile");
/// assert!("openid".parse::<Scope>()?.is_subset_of(&scope));
/// assert!("a\"b".parse::<Scope>().is_err());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scope(String);

impl Scope {
    /// Restores a scope written by [`Display`](fmt::Display): checked, but not parsed again.
    #[cfg(feature = "postgres")]
    pub fn from_stored(text: String) -> Result<Self> {
        check(&text).map(|()| Self(text))
    }

    /// The tokens, separated by single spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the scope has no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an iterator over the scope tokens.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|token| !token.is_empty())
    }

    /// Returns true if the scope has this token.
    #[must_use]
    pub fn contains(&self, token: &str) -> bool {
        self.iter().any(|own| own == token)
    }

    /// Returns true if the other scope has every token of this one.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        let other: HashSet<&str> = other.iter().collect();
        self.iter().all(|token| other.contains(token))
    }

    /// Returns the tokens of this scope, then those that only the other one has.
    ///
    /// ```
    /// use oauth_storage::Scope;
    ///
    /// let (allowed, more): (Scope, Scope) = ("openid email".parse()?, "phone openid".parse()?);
    /// assert_eq!(allowed.union(&more)?.as_str(), "openid email phone");
    /// # Ok::<(), oauth_storage::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the result is larger than a scope may be.
    pub fn union(&self, other: &Self) -> Result<Self> {
        let own: HashSet<&str> = self.iter().collect();
        let more = other.iter().filter(|token| !own.contains(token));
        self.iter().chain(more).collect::<Vec<_>>().join(" ").parse()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check(text)?;
        let mut seen: HashSet<&str> = HashSet::new();
        let mut tokens: Vec<&str> = Vec::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if seen.insert(token) {
                tokens.push(token);
            }
        }
        if tokens.len() > MAX_SCOPE_TOKENS {
            return Err(Error::invalid("scope", InvalidReason::TooMany(MAX_SCOPE_TOKENS)));
        }
        Ok(Self(tokens.join(" ")))
    }
}

fn check(text: &str) -> Result<()> {
    if text.len() > MAX_SCOPE_BYTES {
        return Err(Error::invalid("scope", InvalidReason::TooLong(MAX_SCOPE_BYTES)));
    }
    // scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), separated by spaces (RFC 6749 A.4).
    if !text.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(Error::invalid("scope", InvalidReason::Character));
    }
    Ok(())
}

string_serde!(Scope);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_quotes_and_backslashes_are_refused() {
        for text in ["a\nb", "a\tb", "a\0b", "a\"b", "a\\b", "é", "\u{7f}"] {
            let error = text.parse::<Scope>().unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Invalid { field: "scope", reason: InvalidReason::Character }
                ),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn a_token_is_not_its_prefix() {
        let scope: Scope = "read:all".parse().unwrap();
        assert!(!scope.contains("read"));
        assert!(!"read".parse::<Scope>().unwrap().is_subset_of(&scope));
        assert!(Scope::default().is_subset_of(&scope));
    }

    #[test]
    fn length_is_bounded() {
        assert!("x".repeat(MAX_SCOPE_BYTES).parse::<Scope>().is_ok());
        assert!("x".repeat(MAX_SCOPE_BYTES + 1).parse::<Scope>().is_err());
    }

    #[test]
    fn the_number_of_tokens_is_bounded_after_repeated_ones_are_dropped() {
        let numbered = |count: usize| (0..count).map(|n| format!("s{n} s0")).collect::<Vec<_>>();
        assert!(numbered(MAX_SCOPE_TOKENS).join(" ").parse::<Scope>().is_ok());
        let error = numbered(MAX_SCOPE_TOKENS + 1).join(" ").parse::<Scope>().unwrap_err();
        assert!(
            matches!(error, Error::Invalid { field: "scope", reason: InvalidReason::TooMany(100) }),
            "{error}"
        );
    }

    #[test]
    fn serde_goes_through_the_same_check() {
        assert_eq!(serde_json::from_str::<Scope>("\"b a b\"").unwrap().as_str(), "b a");
        assert!(serde_json::from_str::<Scope>("\"a\\u0000\"").is_err());
        assert_eq!(serde_json::to_string(&"a b".parse::<Scope>().unwrap()).unwrap(), "\"a b\"");
    }
}
