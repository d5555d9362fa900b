//! User codes: eight letters of the alphabet of RFC 8628 6.1.

use std::fmt;
use std::time::Duration;

use super::PendingDeviceAuthorization;
use crate::check::{MAX_TEXT_BYTES, check_text};
use crate::error::{Error, InvalidReason, Result};
use crate::record::{RecordKind, check_expires_in};
use crate::secret::{TokenHash, random_bytes};

/// No vowels, so that no word arises; no letters that look like digits (RFC 8628 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

const LENGTH: usize = 8;

/// The longest text that is read as a user code, in bytes.
const MAX_TYPED_BYTES: usize = 255;

/// The most attempts of a guesser within a window.
const MAX_ATTEMPTS: u32 = 1_000_000;

/// Generates a code of 34 random bits, with a hyphen in the middle.
pub(super) fn generate() -> Result<String> {
    let random = random_bytes()?;
    let mut letters = [0_u8; LENGTH];
    for (letter, bytes) in letters.iter_mut().zip(random.chunks_exact(4)) {
        let number = bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        // No letter is preferred by more than 2^-27.
        *letter = ALPHABET[number % ALPHABET.len()];
    }
    let (head, tail) = letters.split_at(LENGTH / 2);
    Ok(format!("{}-{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail)))
}

/// Drops what is not in the alphabet, ignoring case and width (RFC 8628 6.1). Returns `None` if the result
/// has not the length of a code.
fn normalize(typed: &str) -> Option<String> {
    if typed.len() > MAX_TYPED_BYTES {
        return None;
    }
    let letters: String = typed
        .chars()
        .map(|c| match c {
            // Full-width letters, as an input method for Chinese or Japanese gives them.
            '\u{ff21}'..='\u{ff5a}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            _ => c,
        })
        .map(|c| c.to_ascii_uppercase())
        .filter(|c| u8::try_from(*c).is_ok_and(|byte| ALPHABET.contains(&byte)))
        .collect();
    (letters.len() == LENGTH).then_some(letters)
}

/// The digest of a user code in any spelling; `None` if it cannot be one. For storage implementations.
#[must_use]
pub fn user_code_digest(typed: &str) -> Option<TokenHash> {
    Some(RecordKind::UserCode.digest(&[&normalize(typed)?]))
}

/// A lookup of a user code, for
/// [`find_device_authorization`](super::DeviceAuthorizationStorage::find_device_authorization).
///
/// ```
/// use std::time::Duration;
///
/// use oauth_storage::device_authorization::UserCodeLookup;
///
/// // At most ten attempts of a session within five minutes.
/// let lookup = UserCodeLookup::new("wdjb mjht").with_limit("session 17", 10, Duration::from_secs(300));
/// assert!(lookup.check().is_ok());
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct UserCodeLookup {
    /// The user code, in any spelling.
    pub user_code: String,
    /// The party whose attempts are counted; `None` if they are not.
    pub guesser: Option<String>,
    /// The number of attempts within a window.
    pub attempts: u32,
    /// The window, which begins with the first attempt.
    pub window: Duration,
}

impl UserCodeLookup {
    /// A lookup without a limit. A code has 34 random bits, so limit the attempts of a user in another way (RFC
    /// 8628 5.1).
    pub fn new(user_code: impl Into<String>) -> Self {
        Self { user_code: user_code.into(), guesser: None, attempts: 0, window: Duration::ZERO }
    }

    /// Limits the attempts of a guesser, such as a signed-in user, on all nodes together. Every attempt counts,
    /// also one that finds an authorization.
    #[must_use]
    pub fn with_limit(
        mut self,
        guesser: impl Into<String>,
        attempts: u32,
        window: Duration,
    ) -> Self {
        self.guesser = Some(guesser.into());
        self.attempts = attempts;
        self.window = window;
        self
    }

    /// Checks the limit. A user code that cannot be one is not found. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the field, if a value is invalid.
    pub fn check(&self) -> Result<()> {
        let Some(guesser) = &self.guesser else { return Ok(()) };
        check_text("guesser", guesser, MAX_TEXT_BYTES)?;
        if !(1..=MAX_ATTEMPTS).contains(&self.attempts) {
            return Err(Error::invalid("attempts", InvalidReason::OutOfRange));
        }
        check_expires_in(self.window)
            .map_err(|_| Error::invalid("window", InvalidReason::OutOfRange))
    }

    /// The digest of the user code; `None` if it cannot be one. For storage implementations.
    #[must_use]
    pub fn user_code_digest(&self) -> Option<TokenHash> {
        user_code_digest(&self.user_code)
    }

    /// The digest under which attempts are counted; `None` if they are not. For storage implementations.
    #[must_use]
    pub fn guesser_digest(&self) -> Option<TokenHash> {
        self.guesser.as_ref().map(|guesser| RecordKind::Guesser.digest(&[guesser]))
    }
}

/// Omits the user code.
impl fmt::Debug for UserCodeLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserCodeLookup")
            .field("guesser", &self.guesser)
            .field("attempts", &self.attempts)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// The outcome of a lookup of a user code.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum UserCodeOutcome {
    /// The authorization that the user may approve or deny.
    Found(Box<PendingDeviceAuthorization>),
    /// No authorization with this code waits for a user: the code is mistyped, expired or used.
    Unknown,
    /// The guesser has used its attempts. Nothing was looked up.
    Limited,
}

#[cfg(test)]
mod tests {
    use super::{user_code_digest as digest, *};

    #[test]
    fn a_code_is_eight_letters_and_found_in_any_spelling() {
        let mut seen = [false; 256];
        for _ in 0..200 {
            let code = generate().unwrap();
            assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'));
            for byte in code.bytes() {
                seen[usize::from(byte)] = true;
            }
            let plain = code.replace('-', "");
            for typed in [
                plain.to_lowercase(),
                format!(" {} {} ", &plain[..3], &plain[3..]),
                code.replace('-', "\u{2013}"),
                plain.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect(),
            ] {
                assert_eq!(digest(&typed), digest(&code), "{typed}");
            }
        }
        let letters: Vec<u8> = (0..=255).filter(|byte| seen[usize::from(*byte)]).collect();
        assert_eq!(letters, b"-BCDFGHJKLMNPQRSTVWXZ", "each letter occurs");
    }

    #[test]
    fn what_cannot_be_a_code_has_no_digest() {
        for typed in ["", "WDJB-MJH", "WDJB-MJHTT", "AEIO-UYAE", "0123-4567", "ЖЖЖЖ-ЖЖЖЖ"] {
            assert_eq!(digest(typed), None, "{typed}");
        }
        assert_eq!(digest(&format!("WDJBMJHT{}", "-".repeat(255))), None);
        assert!(digest("WDJBMJHT\0").is_some(), "what is not in the alphabet is dropped");
    }
}
