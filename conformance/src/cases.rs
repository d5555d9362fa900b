//! Good values that use every field, and bad values with the error that each must give.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use oauth_storage::backend::{MAX_AUTHORIZATION_CODE_LIFETIME, MAX_LIFETIME};
use oauth_storage::error::InvalidReason;
use oauth_storage::grant::GrantContext;
use oauth_storage::{Settings, User};

/// 2023, to the microsecond.
fn some_time() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time")
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// A new user with every field.
pub(super) fn full_user() -> User {
    User::new(super::context::unique())
        .with_auth_time(some_time() + TimeDelta::seconds(5))
        .with_acr("urn:mace:incommon:iap:silver".to_owned())
        .with_amr(vec!["pwd".into(), "otp".into()])
}

/// A context with every field, each different from that of the user.
pub(super) fn full_context() -> GrantContext {
    GrantContext::default()
        .with_nonce("n-0S6_WzA2Mj ünï 主体 🦀 ' \" \\ %_ {} , NULL".to_owned())
        .with_auth_time(some_time())
        .with_acr("phr".to_owned())
        .with_sid("08a5019c-17e1-4977-8f42-65a12843ea02".to_owned())
        .with_amr(
            ["face", "hwk", "a,b", "{}", "NULL", "\"q\"", "\\", " ", "ü", "face"]
                .map(str::to_owned)
                .into(),
        )
        .with_claims(object(json!({
            "userinfo": {
                "given_name": { "essential": true },
                "nickname": null,
                "http://example.info/claims/groups": null,
            },
            "id_token": {
                "auth_time": { "essential": true, "value": 1_700_000_000_u64 },
                "acr": { "values": ["urn:mace:incommon:iap:silver", "0", "ünï 🦀"] },
            },
            "": [[], {}, "", 0, -1, 0.5, true, false, null, i64::MAX, i64::MIN, u64::MAX],
            "text": "' \" \\ \n \t \u{1} \u{7f} \u{2028} $1 %s",
        })))
        .with_resource(vec![
            "https://api.example/ünï?a=b&c={d}".into(),
            "urn:example:resource,2".into(),
            "https://api.example/3".into(),
        ])
        .with_jkt("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".to_owned())
        .with_x5t_s256("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2".to_owned())
        .with_extension(object(json!({ "tenant": 7, "device": { "name": "Zoë's 📱" } })))
}

/// Text that is one byte too long.
fn long(limit: usize) -> String {
    "x".repeat(limit + 1)
}

/// Invalid contexts, with the field and the reason of the error.
pub(super) fn bad_contexts() -> Vec<(GrantContext, &'static str, InvalidReason)> {
    let context = GrantContext::default;
    let mut cases = Vec::new();
    for (text, reason) in [
        (String::new(), InvalidReason::Empty),
        ("a\0b".into(), InvalidReason::Character),
        ("a\nb".into(), InvalidReason::Character),
        ("\u{1b}[2J".into(), InvalidReason::Character),
        ("a\u{1f}b".into(), InvalidReason::Character),
        ("a\u{85}b".into(), InvalidReason::Character),
        (long(2048), InvalidReason::TooLong(2048)),
    ] {
        let some = || Some(text.clone());
        let list = || vec!["good".to_owned(), text.clone()];
        cases.extend([
            (context().with_nonce(some()), "nonce", reason),
            (context().with_acr(some()), "acr", reason),
            (context().with_jkt(some()), "jkt", reason),
            (context().with_x5t_s256(some()), "x5t#S256", reason),
            (context().with_amr(list()), "amr", reason),
            (context().with_resource(list()), "resource", reason),
        ]);
    }
    let many = vec!["x".to_owned(); 33];
    cases.extend([
        (context().with_amr(many.clone()), "amr", InvalidReason::TooMany(32)),
        (context().with_resource(many), "resource", InvalidReason::TooMany(32)),
    ]);
    for (value, reason) in [
        (json!({ "a": { "b": ["\0"] } }), InvalidReason::Character),
        (json!({ "a\0": 1 }), InvalidReason::Character),
        (json!({ "a": long(16 * 1024) }), InvalidReason::TooLong(16 * 1024)),
    ] {
        let some = || Some(object(value.clone()));
        cases.extend([
            (context().with_claims(some()), "claims", reason),
            (context().with_extension(some()), "extension", reason),
        ]);
    }
    for time in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let context = context().with_auth_time(time);
        cases.push((context, "auth_time", InvalidReason::OutOfRange));
    }
    cases
}

/// Invalid lifetimes, with the setting that the error names.
pub(super) fn bad_settings() -> Vec<(Settings, &'static str)> {
    let mut cases = Vec::new();
    let nano = Duration::from_nanos(1);
    for lifetime in [Duration::ZERO, nano, MAX_LIFETIME + nano, Duration::MAX] {
        let settings = Settings::default;
        cases.extend([
            (settings().with_access_token_expires_in(lifetime), "access_token_expires_in"),
            (settings().with_refresh_token_expires_in(lifetime), "refresh_token_expires_in"),
            (
                settings().with_refresh_token_idle_expires_in(lifetime),
                "refresh_token_idle_expires_in",
            ),
            (settings().with_id_token_expires_in(lifetime), "id_token_expires_in"),
        ]);
    }
    for lifetime in
        [Duration::ZERO, nano, MAX_AUTHORIZATION_CODE_LIFETIME + nano, MAX_LIFETIME, Duration::MAX]
    {
        let settings = Settings::default().with_authorization_code_expires_in(lifetime);
        cases.push((settings, "authorization_code_expires_in"));
    }
    cases
}

/// Invalid credentials, with the reason of the error.
pub(super) fn bad_credentials(limit: usize) -> Vec<(String, InvalidReason)> {
    vec![
        (String::new(), InvalidReason::Empty),
        ("a\0b".into(), InvalidReason::Character),
        ("a\nb".into(), InvalidReason::Character),
        ("\u{1b}[2J".into(), InvalidReason::Character),
        ("a\u{7f}b".into(), InvalidReason::Character),
        ("é".into(), InvalidReason::Character),
        (long(limit), InvalidReason::TooLong(limit)),
    ]
}

/// Invalid subjects, with the reason of the error.
pub(super) fn bad_subjects() -> Vec<(String, InvalidReason)> {
    vec![
        (String::new(), InvalidReason::Empty),
        ("a\0b".into(), InvalidReason::Character),
        ("a\r\nb".into(), InvalidReason::Character),
        (long(255), InvalidReason::TooLong(255)),
    ]
}

/// Invalid redirect URIs, with the reason of the error.
pub(super) fn bad_redirect_uris() -> Vec<(String, InvalidReason)> {
    let mut cases: Vec<_> = [
        ("", InvalidReason::Empty),
        ("https://client.example/cb#fragment", InvalidReason::Fragment),
        ("https://client.example/cb#", InvalidReason::Fragment),
        ("/callback", InvalidReason::NotAbsolute),
        ("client.example/cb", InvalidReason::NotAbsolute),
        ("http://client.example/cb", InvalidReason::Unencrypted),
        ("javascript:alert(1)", InvalidReason::Hostile),
        ("data:text/html,x", InvalidReason::Hostile),
        ("app:/cb", InvalidReason::Hostile),
        ("intent://client.example/cb", InvalidReason::Hostile),
        ("https://*.client.example/", InvalidReason::Hostile),
        ("https://client.example/a/../cb", InvalidReason::Hostile),
        ("http://0177.0.0.1/cb", InvalidReason::Hostile),
        ("https://client.example@evil.example/", InvalidReason::Hostile),
        ("https://client.example/\0", InvalidReason::Character),
        ("https://client.example/\r\nLocation:x", InvalidReason::Character),
        ("https://client.example\\@evil.example", InvalidReason::Character),
        ("https://bücher.example/", InvalidReason::Character),
    ]
    .map(|(uri, reason)| (uri.to_owned(), reason))
    .into();
    let long = format!("https://client.example/{}", long(2048));
    cases.push((long, InvalidReason::TooLong(2048)));
    cases
}
