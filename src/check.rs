//! Input checks, made before anything is sent to a database.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::error::{Error, InvalidReason, Result};

/// The maximum length of an identifier (client id, subject, username), in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 255;

/// The maximum length of a text in a grant's context (nonce, acr, one amr value), in bytes.
pub const MAX_TEXT_BYTES: usize = 2048;

/// Checks for non-empty, bounded text without control characters. PostgreSQL cannot store NUL.
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_text(field: &'static str, value: &str, limit: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, InvalidReason::Empty));
    }
    if value.len() > limit {
        return Err(Error::invalid(field, InvalidReason::TooLong(limit)));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(field, InvalidReason::Character));
    }
    Ok(())
}

/// Checks text that a page shows to a person: refuses blank text, and characters that are invisible or change the
/// direction of the text (Unicode TR36 2.10).
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the text is refused.
pub fn check_display_text(field: &'static str, value: Option<&str>) -> Result<()> {
    let mut before = ' ';
    let text = value.unwrap_or_default();
    if !text.is_empty() && text.trim().is_empty() {
        return Err(Error::invalid(field, InvalidReason::Empty));
    }
    for c in text.chars() {
        // Joiners belong to the spelling of Persian and Indic words, and of emoji (RFC 5892 A.1 and A.2).
        let is_joiner = matches!(c, '\u{200c}' | '\u{200d}') && !before.is_ascii();
        if is_invisible(c) && !is_joiner {
            return Err(Error::invalid(field, InvalidReason::Character));
        }
        before = c;
    }
    Ok(())
}

/// The characters of the general categories Cf, Zl and Zp that text does not need.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Checks a client identifier: `VSCHAR`s (RFC 6749 A.1).
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_client_id(client_id: &str) -> Result<()> {
    crate::secret::check_vschar("client_id", client_id, MAX_IDENTIFIER_BYTES)
}

/// Checks a subject: bounded text (OpenID Connect Core 2).
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_subject(subject: &str) -> Result<()> {
    check_text("subject", subject, MAX_IDENTIFIER_BYTES)
}

/// The maximum depth of a stored JSON object. Parsers have their own limit, and an object that they
/// cannot read must not be stored.
const MAX_JSON_DEPTH: usize = 64;

/// Checks that `jsonb` can store the object and that parsers can read it back: bounded in size and
/// depth, without NUL and without extreme numbers.
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_json(field: &'static str, object: &Map<String, Value>, limit: usize) -> Result<()> {
    // The depth first, because serialization recurses without a limit.
    object
        .iter()
        .try_for_each(|(key, value)| check_key(key).and_then(|()| check_value(value, 1)))
        .map_err(|reason| Error::invalid(field, reason))?;
    let text = serde_json::to_string(object)
        .map_err(|_| Error::invalid(field, InvalidReason::Unsupported))?;
    if text.len() > limit {
        return Err(Error::invalid(field, InvalidReason::TooLong(limit)));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), InvalidReason> {
    if key.contains('\0') { Err(InvalidReason::Character) } else { Ok(()) }
}

fn check_value(value: &Value, depth: usize) -> Result<(), InvalidReason> {
    if depth > MAX_JSON_DEPTH {
        return Err(InvalidReason::TooDeep(MAX_JSON_DEPTH));
    }
    match value {
        Value::String(text) => check_key(text),
        Value::Array(values) => values.iter().try_for_each(|value| check_value(value, depth + 1)),
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            check_key(key).and_then(|()| check_value(value, depth + 1))
        }),
        // `jsonb` expands exponents: 1e308 is returned as 309 digits.
        Value::Number(number) => match number.as_f64().map(f64::abs) {
            Some(size) if size == 0.0 || (1e-30..1e30).contains(&size) => Ok(()),
            _ => Err(InvalidReason::OutOfRange),
        },
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// Checks that a time is between 1970 and 9999, which PostgreSQL can store.
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_timestamp(field: &'static str, time: DateTime<Utc>) -> Result<()> {
    const YEAR_10000: i64 = 253_402_300_800;
    if (0..YEAR_10000).contains(&time.timestamp()) {
        Ok(())
    } else {
        Err(Error::invalid(field, InvalidReason::OutOfRange))
    }
}

/// Checks the size of a page: 1 to 1000.
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_limit(limit: usize) -> Result<i64> {
    match limit {
        1..=1000 => Ok(i64::try_from(limit).unwrap_or(1000)),
        _ => Err(Error::invalid("limit", InvalidReason::OutOfRange)),
    }
}

/// Checks the size of a purge batch: 1 to 100,000.
///
/// # Errors
/// Returns [`Error::Invalid`] with the field if the value is refused.
pub fn check_batch(limit: usize) -> Result<i64> {
    match limit {
        1..=100_000 => Ok(i64::try_from(limit).unwrap_or(100_000)),
        _ => Err(Error::invalid("limit", InvalidReason::OutOfRange)),
    }
}
