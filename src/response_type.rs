use std::fmt;
use std::str::FromStr;

use crate::error::{Error, InvalidReason, Result};

/// A response type: `none`, or any combination of `code`, `id_token` and `token` (RFC 6749 3.1.1,
/// OAuth 2.0 Multiple Response Type Encoding Practices). The order of the words has no meaning;
/// `Display` prints the registered order.
///
/// ```
/// use oauth_storage::ResponseType;
///
/// let hybrid: ResponseType = "id_token code".parse()?;
/// assert_eq!(hybrid.to_string(), "code id_token");
/// assert!(hybrid.has_code() && !hybrid.has_token());
/// assert!("code none".parse::<ResponseType>().is_err());
/// # Ok::<(), oauth_storage::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseType {
    code: bool,
    id_token: bool,
    token: bool,
}

impl ResponseType {
    /// `none`: no credential.
    pub const NONE: Self = Self { code: false, id_token: false, token: false };
    /// `code`.
    pub const CODE: Self = Self { code: true, ..Self::NONE };
    /// `id_token`.
    pub const ID_TOKEN: Self = Self { id_token: true, ..Self::NONE };
    /// `token`.
    pub const TOKEN: Self = Self { token: true, ..Self::NONE };

    /// The eight registered response types.
    pub const ALL: [Self; 8] = [
        Self::NONE,
        Self::CODE,
        Self::TOKEN,
        Self::ID_TOKEN,
        Self { id_token: true, ..Self::TOKEN },
        Self { id_token: true, ..Self::CODE },
        Self { token: true, ..Self::CODE },
        Self { code: true, id_token: true, token: true },
    ];

    /// Returns true if an authorization code is requested.
    #[must_use]
    pub const fn has_code(self) -> bool {
        self.code
    }

    /// Returns true if an ID token is requested.
    #[must_use]
    pub const fn has_id_token(self) -> bool {
        self.id_token
    }

    /// Returns true if an access token is requested.
    #[must_use]
    pub const fn has_token(self) -> bool {
        self.token
    }

    /// Returns true if tokens are sent through the browser, in the implicit or the hybrid flow.
    /// They must not be in a query (OAuth 2.0 Multiple Response Type Encoding Practices 3 and 5).
    #[must_use]
    pub const fn is_front_channel(self) -> bool {
        self.id_token || self.token
    }
}

impl fmt::Display for ResponseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.code, "code"), (self.id_token, "id_token"), (self.token, "token")];
        let mut given = words.iter().filter(|(given, _)| *given).map(|(_, word)| *word);
        f.write_str(given.next().unwrap_or("none"))?;
        given.try_for_each(|word| write!(f, " {word}"))
    }
}

impl FromStr for ResponseType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unsupported = || Error::invalid("response_type", InvalidReason::Unsupported);
        if text == "none" {
            return Ok(Self::NONE);
        }
        let mut response_type = Self::NONE;
        for word in text.split(' ') {
            let given = match word {
                "code" => &mut response_type.code,
                "id_token" => &mut response_type.id_token,
                "token" => &mut response_type.token,
                _ => return Err(unsupported()),
            };
            if std::mem::replace(given, true) {
                return Err(unsupported());
            }
        }
        Ok(response_type)
    }
}

string_serde!(ResponseType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_registered_types_and_nothing_else() {
        let all = ResponseType::ALL.map(|response_type| response_type.to_string());
        assert_eq!(
            all.each_ref().map(String::as_str),
            [
                "none",
                "code",
                "token",
                "id_token",
                "id_token token",
                "code id_token",
                "code token",
                "code id_token token",
            ]
        );
        for (text, response_type) in all.iter().zip(ResponseType::ALL) {
            assert_eq!(text.parse::<ResponseType>().unwrap(), response_type);
            assert_eq!(response_type.is_front_channel(), text.contains("token"));
        }
        for text in ["", "Code", "code code", "code  token", "code none", "device", "code\0"] {
            assert!(text.parse::<ResponseType>().is_err(), "{text:?}");
        }
    }
}
