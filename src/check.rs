//! Checks of values that come from outside, before anything is sent to a database.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::error::{Error, InvalidReason, Result};

/// The longest identifier (client id, subject, username), in bytes.
pub const MAX_IDENTIFIER_BYTES: usize = 255;

/// The longest free text that travels with a grant (nonce, acr, one amr value), in bytes.
pub const MAX_TEXT_BYTES: usize = 2048;

/// Bounded, non-empty text without control characters: what PostgreSQL can hold (no NUL) and a
/// log can show.
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

/// A client identifier is `VSCHAR` (RFC 6749 A.1).
pub fn check_client_id(client_id: &str) -> Result<()> {
    crate::secret::check_vschar("client_id", client_id, MAX_IDENTIFIER_BYTES)
}

/// A subject is bounded text (OpenID Connect Core 2).
pub fn check_subject(subject: &str) -> Result<()> {
    check_text("subject", subject, MAX_IDENTIFIER_BYTES)
}

/// The deepest nesting of a JSON object that is kept. A reader of JSON has a limit of its own, and
/// what one cannot read again must not be stored.
const MAX_JSON_DEPTH: usize = 64;

/// A JSON object that `jsonb` can hold and a reader can read: bounded, not too deep, and without
/// the NUL that `jsonb` refuses.
pub fn check_json(field: &'static str, object: &Map<String, Value>, limit: usize) -> Result<()> {
    // Depth first, for what follows descends without a limit.
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
        // `jsonb` writes numbers out: 1e308 comes back as 309 digits.
        Value::Number(number) => match number.as_f64().map(f64::abs) {
            Some(size) if size == 0.0 || (1e-30..1e30).contains(&size) => Ok(()),
            _ => Err(InvalidReason::OutOfRange),
        },
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// A point in time that PostgreSQL can hold and a client can have meant: 1970 to 9999.
pub fn check_timestamp(field: &'static str, time: DateTime<Utc>) -> Result<()> {
    const YEAR_10000: i64 = 253_402_300_800;
    if (0..YEAR_10000).contains(&time.timestamp()) {
        Ok(())
    } else {
        Err(Error::invalid(field, InvalidReason::OutOfRange))
    }
}

/// The bounds of a page.
pub fn check_limit(limit: usize) -> Result<i64> {
    match limit {
        1..=1000 => Ok(i64::try_from(limit).unwrap_or(1000)),
        _ => Err(Error::invalid("limit", InvalidReason::OutOfRange)),
    }
}

/// The bounds of a purge's batch.
pub fn check_batch(limit: usize) -> Result<i64> {
    match limit {
        1..=100_000 => Ok(i64::try_from(limit).unwrap_or(100_000)),
        _ => Err(crate::error::Error::invalid("limit", crate::error::InvalidReason::OutOfRange)),
    }
}
