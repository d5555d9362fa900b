//! Usernames and passwords in one form, however they were typed (PRECIS, RFC 8265).

use precis_core::profile::PrecisFastInvocation as _;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use crate::check::{MAX_IDENTIFIER_BYTES, check_text};
use crate::error::{Error, InvalidReason, Result};
use crate::secret::Secret;

/// The length of a password in bytes. ASVS 6.2.1 requires at least 8 characters; the maximum bounds
/// the cost of a hostile request.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Returns the username as it is stored: lower case, composed (NFC), without wide variants, and without
/// spaces and invisible characters, which are refused (RFC 8265 3.3, UsernameCaseMapped).
pub(super) fn username(given: &str) -> Result<String> {
    check_text("username", given, MAX_IDENTIFIER_BYTES)?;
    let refused = |_| Error::invalid("username", InvalidReason::Character);
    let username = UsernameCaseMapped::enforce(given).map_err(refused)?.into_owned();
    check_text("username", &username, MAX_IDENTIFIER_BYTES)?;
    Ok(username)
}

/// Returns a new password as it is hashed (RFC 8265 4.2, OpaqueString).
pub(super) fn new_password(given: &Secret) -> Result<Secret> {
    let password = password(given)?;
    if password.expose().len() < *PASSWORD_BYTES.start() {
        return Err(Error::invalid("password", InvalidReason::TooShort(*PASSWORD_BYTES.start())));
    }
    Ok(password)
}

/// Returns a presented password as it was hashed: composed (NFC), with every kind of space as the ASCII
/// space.
pub(super) fn password(given: &Secret) -> Result<Secret> {
    let too_long = Error::invalid("password", InvalidReason::TooLong(*PASSWORD_BYTES.end()));
    if given.expose().len() > *PASSWORD_BYTES.end() {
        return Err(too_long);
    }
    if given.expose().is_empty() {
        return Err(Error::invalid("password", InvalidReason::TooShort(*PASSWORD_BYTES.start())));
    }
    let refused = |_| Error::invalid("password", InvalidReason::Character);
    let password = zeroize::Zeroizing::new(
        OpaqueString::enforce(given.expose()).map_err(refused)?.into_owned(),
    );
    if password.len() > *PASSWORD_BYTES.end() {
        return Err(too_long);
    }
    Ok(Secret::new(password.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_one_form() {
        for given in
            ["j\u{fc}rgen", "ju\u{308}rgen", "J\u{dc}RGEN", "JU\u{308}RGEN", "\u{ff4a}\u{fc}rgen"]
        {
            assert_eq!(username(given).unwrap(), "j\u{fc}rgen", "{given}");
        }
        assert_eq!(username("alice@example.com").unwrap(), "alice@example.com");
        for given in [
            "",
            "j\u{fc}rgen\u{a0}",
            "j\u{fc}rgen\u{200b}",
            "j\u{fc}r gen",
            "\u{feff}alice",
            "a\u{202e}b",
            "alice\n",
            "\u{ad}alice",
        ] {
            assert!(
                matches!(username(given), Err(Error::Invalid { field: "username", .. })),
                "{given:?}"
            );
        }
    }

    #[test]
    fn a_password_has_one_form_and_keeps_its_case() {
        let given =
            |text: &str| new_password(&Secret::new(text)).map(|made| made.expose().to_owned());
        let composed = "Z\u{fc}rich 2026";
        for text in
            [composed, "Zu\u{308}rich 2026", "Z\u{fc}rich\u{a0}2026", "Z\u{fc}rich\u{2003}2026"]
        {
            assert_eq!(given(text).unwrap(), composed, "{text:?}");
        }
        assert_ne!(given("z\u{fc}rich 2026").unwrap(), composed);
        assert!(matches!(
            given("a\u{7}bcdefgh"),
            Err(Error::Invalid { reason: InvalidReason::Character, .. })
        ));
        assert!(matches!(
            given("seven77"),
            Err(Error::Invalid { reason: InvalidReason::TooShort(8), .. })
        ));
        let long = "x".repeat(1025);
        assert!(matches!(
            given(&long),
            Err(Error::Invalid { reason: InvalidReason::TooLong(1024), .. })
        ));
    }
}
