//! Good values that use every field, and bad values with the error that each must give.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::error::Problem;
use crate::model::{GrantContext, User};
use crate::request::{MAX_AUTHORIZATION_CODE_LIFETIME, MAX_LIFETIME, Settings};

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
    User {
        subject: super::context::unique(),
        auth_time: Some(some_time() + TimeDelta::seconds(5)),
        acr: Some("urn:mace:incommon:iap:silver".into()),
        amr: vec!["pwd".into(), "otp".into()],
    }
}

/// A context with every field, each different from that of the user.
pub(super) fn full_context() -> GrantContext {
    GrantContext {
        nonce: Some("n-0S6_WzA2Mj ünï 主体 🦀 ' \" \\ %_ {} , NULL".into()),
        auth_time: Some(some_time()),
        acr: Some("phr".into()),
        amr: ["face", "hwk", "a,b", "{}", "NULL", "\"q\"", "\\", " ", "ü", "face"]
            .map(str::to_owned)
            .into(),
        claims: Some(object(json!({
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
        }))),
        resource: vec![
            "https://api.example/ünï?a=b&c={d}".into(),
            "urn:example:resource,2".into(),
            "https://api.example/3".into(),
        ],
        jkt: Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into()),
        x5t_s256: Some("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2".into()),
        extension: Some(object(json!({ "tenant": 7, "device": { "name": "Zoë's 📱" } }))),
    }
}

/// Text that is one byte too long.
fn long(limit: usize) -> String {
    "x".repeat(limit + 1)
}

/// Invalid contexts, with the field and the problem of the error.
pub(super) fn bad_contexts() -> Vec<(GrantContext, &'static str, Problem)> {
    let context = GrantContext::default;
    let mut cases = Vec::new();
    for (text, problem) in [
        (String::new(), Problem::Empty),
        ("a\0b".into(), Problem::Character),
        ("a\nb".into(), Problem::Character),
        ("\u{1b}[2J".into(), Problem::Character),
        ("a\u{1f}b".into(), Problem::Character),
        ("a\u{85}b".into(), Problem::Character),
        (long(2048), Problem::TooLong(2048)),
    ] {
        let some = || Some(text.clone());
        let list = || vec!["good".to_owned(), text.clone()];
        cases.extend([
            (GrantContext { nonce: some(), ..context() }, "nonce", problem),
            (GrantContext { acr: some(), ..context() }, "acr", problem),
            (GrantContext { jkt: some(), ..context() }, "jkt", problem),
            (GrantContext { x5t_s256: some(), ..context() }, "x5t#S256", problem),
            (GrantContext { amr: list(), ..context() }, "amr", problem),
            (GrantContext { resource: list(), ..context() }, "resource", problem),
        ]);
    }
    let many = vec!["x".to_owned(); 33];
    cases.extend([
        (GrantContext { amr: many.clone(), ..context() }, "amr", Problem::TooMany(32)),
        (GrantContext { resource: many, ..context() }, "resource", Problem::TooMany(32)),
    ]);
    for (value, problem) in [
        (json!({ "a": { "b": ["\0"] } }), Problem::Character),
        (json!({ "a\0": 1 }), Problem::Character),
        (json!({ "a": long(16 * 1024) }), Problem::TooLong(16 * 1024)),
    ] {
        let some = || Some(object(value.clone()));
        cases.extend([
            (GrantContext { claims: some(), ..context() }, "claims", problem),
            (GrantContext { extension: some(), ..context() }, "extension", problem),
        ]);
    }
    for time in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let context = GrantContext { auth_time: Some(time), ..context() };
        cases.push((context, "auth_time", Problem::OutOfRange));
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
            (
                Settings { access_token_expires_in: lifetime, ..settings() },
                "access_token_expires_in",
            ),
            (
                Settings { refresh_token_expires_in: lifetime, ..settings() },
                "refresh_token_expires_in",
            ),
            (
                Settings { refresh_token_idle_expires_in: Some(lifetime), ..settings() },
                "refresh_token_idle_expires_in",
            ),
            (Settings { id_token_expires_in: lifetime, ..settings() }, "id_token_expires_in"),
        ]);
    }
    for lifetime in
        [Duration::ZERO, nano, MAX_AUTHORIZATION_CODE_LIFETIME + nano, MAX_LIFETIME, Duration::MAX]
    {
        let settings = Settings { authorization_code_expires_in: lifetime, ..Settings::default() };
        cases.push((settings, "authorization_code_expires_in"));
    }
    cases
}

/// Invalid credentials, with the problem of the error.
pub(super) fn bad_credentials(limit: usize) -> Vec<(String, Problem)> {
    vec![
        (String::new(), Problem::Empty),
        ("a\0b".into(), Problem::Character),
        ("a\nb".into(), Problem::Character),
        ("\u{1b}[2J".into(), Problem::Character),
        ("a\u{7f}b".into(), Problem::Character),
        ("é".into(), Problem::Character),
        (long(limit), Problem::TooLong(limit)),
    ]
}

/// Invalid subjects, with the problem of the error.
pub(super) fn bad_subjects() -> Vec<(String, Problem)> {
    vec![
        (String::new(), Problem::Empty),
        ("a\0b".into(), Problem::Character),
        ("a\r\nb".into(), Problem::Character),
        (long(255), Problem::TooLong(255)),
    ]
}

/// Invalid redirect URIs, with the problem of the error.
pub(super) fn bad_redirect_uris() -> Vec<(String, Problem)> {
    let mut cases: Vec<_> = [
        ("", Problem::Empty),
        ("https://client.example/cb#fragment", Problem::Fragment),
        ("https://client.example/cb#", Problem::Fragment),
        ("/callback", Problem::NotAbsolute),
        ("client.example/cb", Problem::NotAbsolute),
        ("http://client.example/cb", Problem::Unencrypted),
        ("javascript:alert(1)", Problem::Hostile),
        ("data:text/html,x", Problem::Hostile),
        ("https://client.example@evil.example/", Problem::Hostile),
        ("https://client.example/\0", Problem::Character),
        ("https://client.example/\r\nLocation:x", Problem::Character),
        ("https://client.example\\@evil.example", Problem::Character),
        ("https://bücher.example/", Problem::Character),
    ]
    .map(|(uri, problem)| (uri.to_owned(), problem))
    .into();
    let long = format!("https://client.example/{}", long(2048));
    cases.push((long, Problem::TooLong(2048)));
    cases
}
