//! Redirect URIs: the check at registration, and the comparison afterwards.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::{Error, InvalidReason, Result};

/// The longest redirect URI, in bytes.
pub const MAX_REDIRECT_URI_BYTES: usize = 2048;

/// Checks a redirect URI (RFC 6749 3.1.2: absolute, no fragment). Accepts `https`, `http` to a loopback
/// address (RFC 8252 7.3) and a private-use scheme, which has a period (RFC 8252 7.1 and 8.4). Refuses any
/// form that two parsers could read as two different URIs.
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
    // The host and the port are written as a parser writes them. Others read `0177.0.0.1`, `%6c` or an empty
    // port in their own way.
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = split_port(authority);
    if is_web && !authority.contains('@') {
        let is_host = url.host_str().is_some_and(|parsed| host.eq_ignore_ascii_case(parsed));
        let is_port =
            port.is_none_or(|port| port.parse::<u16>().is_ok_and(|n| n.to_string() == port));
        let is_canonical = is_host && is_port;
        if !authority.is_empty() && !is_canonical {
            return invalid(InvalidReason::Hostile);
        }
    }
    // A response must not be sent in plaintext (RFC 9700 2.6), except to an application on the
    // user's own machine (RFC 8252 7.3).
    if url.scheme() == "http" && !is_loopback(&url) {
        return invalid(InvalidReason::Unencrypted);
    }
    // Only a domain name in reverse order keeps the schemes of two applications apart. Every other scheme
    // belongs to somebody else: `javascript`, `intent`, `mailto`, `ftp`.
    if !is_web && !url.scheme().contains('.') {
        return invalid(InvalidReason::Hostile);
    }
    // A browser reads `https:///host` as `https://host/`.
    if is_web && authority.is_empty() {
        return invalid(InvalidReason::NotAbsolute);
    }
    // User information, and an empty one, which a parser drops: `https://@host/`. No pattern is matched.
    if authority.contains(['@', '*']) {
        return invalid(InvalidReason::Hostile);
    }
    // A user agent removes dot segments before it sends the request (RFC 3986 5.2.4).
    let path = uri.split(['?']).next().unwrap_or_default();
    if path.split('/').any(is_dot_segment) {
        return invalid(InvalidReason::Hostile);
    }
    Ok(())
}

/// Returns true for `.` and `..`, encoded or not.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment.replace("%2e", ".").replace("%2E", ".");
    decoded == "." || decoded == ".."
}

/// Returns true if a requested redirect URI is the registered one. They are compared byte by byte, but for
/// the port of a loopback IP address, which a native application learns only when it starts (RFC 8252 7.3).
/// `localhost` is a name that can lead elsewhere (RFC 8252 8.3), so its port is compared.
pub(crate) fn matches_redirect_uri(registered: &str, requested: &str) -> bool {
    if registered == requested {
        return true;
    }
    let Some((registered_host, registered_rest)) = split_loopback(registered) else { return false };
    split_loopback(requested)
        .is_some_and(|(host, rest)| host == registered_host && rest == registered_rest)
}

/// Splits an authority into host and port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    colon.map_or((authority, None), |colon| (&authority[..colon], Some(&authority[colon + 1..])))
}

/// Splits an `http` URI of a loopback IP address into the host and all that follows the port.
fn split_loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (host, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = split_port(host);
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_loopback = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
    };
    (is_loopback && port.is_none_or(is_port)).then_some((host, rest))
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
            "com.example.app://callback",
            "http://127.0.0.1/cb",
            "https://app.example/a.b/..c/cb",
            "https://App.Example:443",
            "http://LOCALHOST:1/cb",
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
            ("intent://x/y", InvalidReason::Hostile),
            ("filesystem:https://app.example/cb", InvalidReason::Hostile),
            ("ftp://app.example/cb", InvalidReason::Hostile),
            ("ws://127.0.0.1/cb", InvalidReason::Hostile),
            ("wss://app.example/cb", InvalidReason::Hostile),
            ("mailto:alice@app.example", InvalidReason::Hostile),
            ("tel:112", InvalidReason::Hostile),
            ("jar:https://app.example/cb", InvalidReason::Hostile),
            ("chrome://settings", InvalidReason::Hostile),
            ("app:/cb", InvalidReason::Hostile),
            ("urn:ietf:wg:oauth:2.0:oob", InvalidReason::Hostile),
            ("https://*.example/cb", InvalidReason::Hostile),
            ("http://0177.0.0.1/cb", InvalidReason::Hostile),
            ("http://2130706433/cb", InvalidReason::Hostile),
            ("http://0x7f.1/cb", InvalidReason::Hostile),
            ("http://127.0.0.1./cb", InvalidReason::Hostile),
            ("http://%6cocalhost/cb", InvalidReason::Hostile),
            ("http://[0:0:0:0:0:0:0:1]/cb", InvalidReason::Hostile),
            ("https://evil%E3%80%82example/", InvalidReason::Hostile),
            ("https://app.example:/cb", InvalidReason::Hostile),
            ("https://app.example:00443/cb", InvalidReason::Hostile),
            ("https://*/cb", InvalidReason::Hostile),
            ("https://app.example/a/../cb", InvalidReason::Hostile),
            ("https://app.example/./cb", InvalidReason::Hostile),
            ("https://app.example/a/%2e%2E/cb", InvalidReason::Hostile),
            ("com.example.app:/a/..", InvalidReason::Hostile),
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

    #[test]
    fn the_port_of_a_loopback_address_is_free() {
        for (registered, requested) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"),
            ("http://127.0.0.1:1234/cb", "http://127.0.0.1:49152/cb"),
            ("http://127.0.0.1:1234/cb", "http://127.0.0.1/cb"),
            ("http://[::1]/cb?a=b", "http://[::1]:1/cb?a=b"),
            ("http://[::1]:80", "http://[::1]:65535"),
            ("https://app.example/cb", "https://app.example/cb"),
        ] {
            assert!(matches_redirect_uri(registered, requested), "{registered} {requested}");
        }
        for (registered, requested) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb?x"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb#x"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:+80/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:80.evil.example/cb"),
            ("http://127.0.0.1/cb", "https://127.0.0.1:80/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.2:80/cb"),
            ("http://127.0.0.1/cb", "http://[::1]:80/cb"),
            ("http://127.0.0.1/cb", "http://localhost:80/cb"),
            ("http://localhost/cb", "http://localhost:80/cb"),
            ("http://localhost:80/cb", "http://localhost:81/cb"),
            ("https://app.example/cb", "https://app.example:8443/cb"),
        ] {
            assert!(!matches_redirect_uri(registered, requested), "{registered} {requested}");
        }
    }
}
