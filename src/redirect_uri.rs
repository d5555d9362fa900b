//! The check of redirect URIs.

use url::{Host, Url};

use crate::error::{Error, InvalidReason, Result};

/// The longest redirect URI, in bytes.
pub const MAX_REDIRECT_URI_BYTES: usize = 2048;

/// Schemes that make a user agent run code or read data instead of navigating.
const HOSTILE_SCHEMES: [&str; 7] =
    ["javascript", "data", "vbscript", "file", "blob", "about", "view-source"];

/// Checks a redirect URI: absolute, without a fragment (RFC 6749 3.1.2), and `http` only to the
/// user's own machine (RFC 9700 2.6). User information, schemes that run code, and characters that
/// a parser would rewrite are refused.
pub fn check_redirect_uri(uri: &str) -> Result<()> {
    let invalid = |reason| Err(Error::invalid("redirect_uri", reason));
    if uri.is_empty() {
        return invalid(InvalidReason::Empty);
    }
    if uri.len() > MAX_REDIRECT_URI_BYTES {
        return invalid(InvalidReason::TooLong(MAX_REDIRECT_URI_BYTES));
    }
    // RFC 3986 has no white space, controls, non-ASCII, quotes or backslashes. A URL parser
    // strips or rewrites some of them, so two readers could see two different URIs.
    if !uri.bytes().all(|byte| byte.is_ascii_graphic())
        || uri.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}'])
    {
        return invalid(InvalidReason::Character);
    }
    if uri.contains('#') {
        return invalid(InvalidReason::Fragment);
    }
    let Ok(url) = Url::parse(uri) else { return invalid(InvalidReason::NotAbsolute) };
    // A browser parses `https:host` as `https://host/`; RFC 3986 does not.
    let is_web = matches!(url.scheme(), "http" | "https");
    if is_web && (!uri.to_ascii_lowercase().starts_with(&format!("{}://", url.scheme()))) {
        return invalid(InvalidReason::NotAbsolute);
    }
    // A response must not be sent in plaintext (RFC 9700 2.6), except to an application on the
    // user's own machine (RFC 8252 7.3).
    if url.scheme() == "http" && !is_loopback(&url) {
        return invalid(InvalidReason::Unencrypted);
    }
    if HOSTILE_SCHEMES.contains(&url.scheme()) {
        return invalid(InvalidReason::Hostile);
    }
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    // A browser reads `https:///host` as `https://host/`.
    if is_web && authority.is_empty() {
        return invalid(InvalidReason::NotAbsolute);
    }
    // User information, even if empty, which a parser drops: `https://@host/`.
    if authority.contains('@') {
        return invalid(InvalidReason::Hostile);
    }
    Ok(())
}

/// Returns true if the host is the machine that opens the URI.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_native_and_web_clients_are_accepted() {
        for uri in [
            "https://app.example/callback",
            "https://app.example:8443/cb?tenant=1",
            "http://127.0.0.1:49152/cb",
            "http://[::1]/cb",
            "https://app.example/@me?to=a@b.example",
            "http://localhost:3000/cb",
            "com.example.app:/oauth2redirect",
            "https://xn--bcher-kva.example/%C3%A4",
        ] {
            assert!(check_redirect_uri(uri).is_ok(), "{uri}");
        }
    }

    #[test]
    fn hostile_and_ambiguous_uris_are_refused() {
        let long = format!("https://app.example/{}", "a".repeat(MAX_REDIRECT_URI_BYTES));
        for (uri, expected) in [
            ("", InvalidReason::Empty),
            (long.as_str(), InvalidReason::TooLong(MAX_REDIRECT_URI_BYTES)),
            ("https://app.example/cb#frag", InvalidReason::Fragment),
            ("https://app.example/cb#", InvalidReason::Fragment),
            ("/callback", InvalidReason::NotAbsolute),
            ("app.example/callback", InvalidReason::NotAbsolute),
            ("https:app.example", InvalidReason::NotAbsolute),
            ("https://", InvalidReason::NotAbsolute),
            ("https:///evil.example/", InvalidReason::NotAbsolute),
            ("http://app.example/cb", InvalidReason::Unencrypted),
            ("HTTP://app.example/cb", InvalidReason::Unencrypted),
            ("http://localhost.app.example/cb", InvalidReason::Unencrypted),
            ("http://127.0.0.1.app.example/cb", InvalidReason::Unencrypted),
            ("javascript:alert(1)", InvalidReason::Hostile),
            ("JavaScript:alert(1)", InvalidReason::Hostile),
            ("data:text/html,hi", InvalidReason::Hostile),
            ("https://app.example@evil.example/", InvalidReason::Hostile),
            ("https://app.example:pw@evil.example/", InvalidReason::Hostile),
            ("https://@evil.example/", InvalidReason::Hostile),
            ("https://:@evil.example?@", InvalidReason::Hostile),
            ("com.example.app://user@host/cb", InvalidReason::Hostile),
            ("https://app.example/\0", InvalidReason::Character),
            ("https://app.example/\r\nLocation:x", InvalidReason::Character),
            ("https://app.example\\@evil.example", InvalidReason::Character),
            ("https://app.example/ cb", InvalidReason::Character),
            ("https://bücher.example/", InvalidReason::Character),
        ] {
            match check_redirect_uri(uri) {
                Err(Error::Invalid { field: "redirect_uri", reason }) => {
                    assert_eq!(reason, expected, "{uri:?}");
                }
                other => panic!("{uri:?}: {other:?}"),
            }
        }
    }
}
