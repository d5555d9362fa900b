//! Strategies for the input of hostile clients and of honest ones.

use oauth_storage::ClientMetadata;
use oauth_storage::grant::GrantContext;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

/// Strings that often break software.
const KNOWN: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    "\u{1f}",
    "\u{7f}",
    "\r\nLocation: https://evil.example",
    "\u{202e}gnp.exe",
    "\u{feff}",
    "\u{fffe}\u{ffff}",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧‍👦",
    "مرحبا بالعالم",
    "'; DROP TABLE oauth_storage.token; --",
    "\\x00",
    "{NULL,\"a\"}",
    "NULL",
    "$1",
    "%s%n",
    "null",
    "openid profile",
    "https://client.example/cb",
    "javascript:alert(1)",
    "https://client.example@evil.example/",
    "https://client.example/#",
    "S256",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "00000000-0000-0000-0000-000000000000",
    // A credential that names the nil grant.
    "oas_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "client_name",
];

/// Any string: the known ones, any characters, any ASCII, and lengths about the limits.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let short = vec(any::<char>(), 0..40).prop_map(String::from_iter);
    let long =
        (any::<char>(), prop::sample::select(&[127_usize, 255, 1024, 2048, 4096, 16_384][..]));
    prop_oneof![
        4 => prop::sample::select(KNOWN).prop_map(str::to_owned),
        4 => short,
        4 => "[ -~]{0,60}",
        1 => (long, 0_usize..3).prop_map(|((c, len), more)| c.to_string().repeat(len + more - 1)),
    ]
}

/// A string that is a credential most of the time.
pub(crate) fn credential() -> impl Strategy<Value = String> {
    prop_oneof![1 => text(), 2 => "[!-~]{1,60}"]
}

/// A name of RFC 7591, or any other.
fn key() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "redirect_uris",
        "token_endpoint_auth_method",
        "grant_types",
        "response_types",
        "scope",
        "client_name",
        "client_name#de",
        "client_uri",
        "logo_uri",
        "contacts",
        "tos_uri",
        "policy_uri",
        "jwks_uri",
        "jwks",
        "software_id",
        "software_version",
        "client_id",
        "client_secret",
        "application_type",
        "keys",
        "d",
    ];
    prop_oneof![3 => prop::sample::select(NAMES).prop_map(str::to_owned), 1 => text()]
}

/// Any JSON number: whole ones of 64 bits, and fractions of every size.
fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("JSON has no such number", Number::from_f64),
        prop::sample::select(&[0.0, -0.0, 1e16, 1e29, 1e-29, 0.1, 1e308, 5e-324][..])
            .prop_filter_map("JSON has no such number", Number::from_f64),
    ]
}

/// Any JSON.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::from),
        text().prop_map(Value::from),
        // Up to more than the storage accepts, and more than the parser reads.
        (0_usize..140).prop_map(|depth| (0..depth).fold(json!(1), |inner, _| json!([inner]))),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            object_of(inner).prop_map(Value::from),
        ]
    })
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    vec((key(), value), 0..6).prop_map(Map::from_iter)
}

/// Any JSON object.
pub(crate) fn object() -> impl Strategy<Value = Map<String, Value>> {
    object_of(value())
}

/// The registration request of an honest client.
fn honest() -> impl Strategy<Value = Map<String, Value>> {
    let object = |value| match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    };
    prop_oneof![
        Just(object(json!({ "redirect_uris": ["https://client.example/cb"] }))),
        Just(object(json!({
            "redirect_uris": ["https://client.example/cb", "com.example:/cb"],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
            "scope": "openid profile",
            "client_name": "Beispiel",
            "contacts": ["a@client.example"],
            "jwks": { "keys": [{ "kty": "EC", "crv": "P-256", "x": "f83O", "y": "x_FE" }] },
        }))),
        Just(object(json!({ "grant_types": ["client_credentials"], "response_types": [] }))),
    ]
}

/// The body of a registration request (RFC 7591 3.1): an honest one with further members, some of them
/// twice, or no JSON at all.
pub(crate) fn registration() -> impl Strategy<Value = String> {
    let members = (honest(), vec((key(), value()), 0..3)).prop_map(|(honest, more)| {
        let members: Vec<String> = honest
            .into_iter()
            .chain(more)
            .map(|(key, value)| format!("{}:{value}", Value::from(key)))
            .collect();
        format!("{{{}}}", members.join(","))
    });
    prop_oneof![
        6 => members,
        1 => object().prop_map(|object| Value::from(object).to_string()),
        1 => value().prop_map(|value| value.to_string()),
        1 => text(),
        1 => prop::sample::select(&["1e400", "123456789012345678901234567890123456789"][..])
            .prop_map(|number| format!(r#"{{"redirect_uris":["https://c.example/"],"n":{number}}}"#)),
    ]
}

/// Metadata that an application builds, with some names in the wrong place.
pub(crate) fn metadata() -> impl Strategy<Value = ClientMetadata> {
    let built = (vec(text(), 0..3), object(), text(), prop::option::of(object()));
    let built = built.prop_map(|(uris, other, name, jwks)| {
        let mut metadata = ClientMetadata::authorization_code(["https://client.example/cb"]);
        metadata.redirect_uris.extend(uris);
        metadata.details.client_name = Some(name).filter(|name| name != "NULL");
        metadata.details.jwks = jwks;
        metadata.details.other = other;
        metadata
    });
    let sent =
        registration().prop_filter_map("no metadata", |body| serde_json::from_str(&body).ok());
    let other = object().prop_map(|other| {
        let mut metadata = ClientMetadata::client_credentials();
        metadata.details.other = other;
        metadata
    });
    prop_oneof![2 => sent, 1 => built, 1 => other]
}

/// The context of a grant.
pub(crate) fn context() -> impl Strategy<Value = GrantContext> {
    let texts = (
        prop::option::of(text()),
        prop::option::of(text()),
        vec(text(), 0..3),
        vec(text(), 0..3),
        prop::option::of(text()),
    );
    let time = prop::option::of(prop_oneof![
        prop::sample::select(&[i64::MIN, -1, 0, 253_402_300_799, 253_402_300_800][..]),
        0..2_000_000_000_i64,
    ]);
    let objects = (prop::option::weighted(0.2, object()), prop::option::weighted(0.2, object()));
    (texts, time, objects).prop_map(|((nonce, acr, amr, resource, jkt), time, objects)| {
        GrantContext::default()
            .with_nonce(nonce)
            .with_auth_time(time.and_then(|time| chrono::DateTime::from_timestamp(time, 999)))
            .with_acr(acr)
            .with_amr(amr)
            .with_claims(objects.0)
            .with_resource(resource)
            .with_x5t_s256(jkt.clone())
            .with_jkt(jkt)
            .with_extension(objects.1)
    })
}
