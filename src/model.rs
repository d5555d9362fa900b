//! The stored records: clients, grants, tokens, authorization codes, and their values.
//!
//! A noun has the same file name here (its record), in `storage` (its trait), and in `postgres` and
//! `memory` (its implementations). The checks that belong to a noun are methods on it.

/// Implements the string forms of a closed set of names: `as_str`, `Display`, `FromStr` (an
/// unknown name is [`Problem::Unsupported`](crate::Problem) of the given field) and serde.
macro_rules! names {
    ($type:ident, $field:literal, { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::error::Error;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(crate::error::Error::invalid(
                        $field,
                        crate::error::Problem::Unsupported,
                    )),
                }
            }
        }

        string_serde!($type);
    };
}

/// Implements serde through `Display` and `FromStr`.
macro_rules! string_serde {
    ($type:ident) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

mod authorization_code;
mod client;
mod client_metadata;
mod exchange;
mod grant;
mod grant_context;
mod grant_type;
pub(crate) mod redirect_uri;
mod response_type;
mod scope;
mod token;
mod token_pair;
pub(crate) mod user;

pub use authorization_code::{
    AuthorizationCode, CodeChallenge, CodeChallengeMethod, NewAuthorizationCode,
};
pub(crate) use client::check_secret_lifetime;
pub use client::{Client, ClientSecret, NewClient, RegisteredClient};
pub use client_metadata::{ClientDetails, ClientMetadata, TokenEndpointAuthMethod};
pub use exchange::{
    CodeRedemption, IssuedTokens, RedemptionOutcome, RotationOutcome, TokenRotation,
};
pub use grant::{Grant, GrantPage, GrantState, Purged};
pub use grant_context::GrantContext;
pub use grant_type::GrantType;
pub use response_type::ResponseType;
pub use scope::Scope;
pub(crate) use token::{Lifetimes, micros};
pub use token::{NewToken, Token, TokenKind, TokenRef, TokenState};
pub use token_pair::TokenPair;

pub use user::User;

use crate::error::{Error, Problem, Result};

/// The longest identifier (client id, subject, username), in bytes.
pub(crate) const MAX_IDENTIFIER_BYTES: usize = 255;

/// The longest free text that travels with a grant (nonce, acr, one amr value), in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 2048;

/// Bounded, non-empty text without control characters: what PostgreSQL can hold (no NUL) and a
/// log can show.
pub(crate) fn check_text(field: &'static str, value: &str, limit: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, Problem::Empty));
    }
    if value.len() > limit {
        return Err(Error::invalid(field, Problem::TooLong(limit)));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(field, Problem::Character));
    }
    Ok(())
}

/// A client identifier is `VSCHAR` (RFC 6749 A.1).
pub(crate) fn check_client_id(client_id: &str) -> Result<()> {
    crate::secret::check_vschar("client_id", client_id, MAX_IDENTIFIER_BYTES)
}
