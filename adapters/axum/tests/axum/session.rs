//! The cookie of the sessions of users.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse as _;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use oauth_storage::user_session::NewUserSession;
use oauth_storage::{MemoryStorage, User};
use oauth_storage_axum::{SessionCookie, is_same_origin};

#[tokio::test]
async fn a_sign_in_changes_the_secret_and_ends_the_session_of_another_user() {
    let storage = MemoryStorage::new();
    let cookie = SessionCookie::new("https://issuer.example");
    let sign_in = async |jar: CookieJar, subject: &str| {
        let new = NewUserSession::new(User::new(subject));
        cookie.sign_in(&storage, jar, new).await.unwrap()
    };
    assert!(cookie.find(&storage, &CookieJar::new()).await.unwrap().is_none());
    let (jar, first, ended) = sign_in(CookieJar::new(), "alice").await;
    assert!(ended.sessions.is_empty());
    let set = jar.get("__Host-session").unwrap();
    assert_eq!((set.http_only(), set.secure(), set.path()), (Some(true), Some(true), Some("/")));
    let found = cookie.find(&storage, &jar).await.unwrap().unwrap();
    assert_eq!(found.record.sid, first.record.sid);

    let (again, second, ended) = sign_in(jar.clone(), "alice").await;
    assert!(ended.sessions.is_empty());
    assert_eq!(second.record.sid, first.record.sid, "the same session");
    assert_ne!(second.secret.expose(), first.secret.expose(), "a planted secret is of no use");
    assert!(cookie.find(&storage, &jar).await.unwrap().is_none(), "the old secret has ended");

    let (_, third, ended) = sign_in(again.clone(), "bob").await;
    assert_eq!(ended.sessions[0].sid, first.record.sid);
    assert_eq!(third.record.subject, "bob");
    assert!(cookie.find(&storage, &again).await.unwrap().is_none());
    let planted = CookieJar::new().add(Cookie::new("session", third.secret.expose().to_owned()));
    assert!(cookie.find(&storage, &planted).await.unwrap().is_none(), "another cookie");
    let local = SessionCookie::new("http://127.0.0.1:8080");
    assert!(local.find(&storage, &planted).await.unwrap().is_some());
}

#[tokio::test]
async fn a_sign_out_ends_the_session_and_expires_the_cookie() {
    let (storage, cookie) = (MemoryStorage::new(), SessionCookie::new("https://issuer.example"));
    let (_, nothing) = cookie.sign_out(&storage, CookieJar::new()).await.unwrap();
    assert!(nothing.sessions.is_empty());
    let new = NewUserSession::new(User::new("alice"));
    let (jar, session, _) = cookie.sign_in(&storage, CookieJar::new(), new).await.unwrap();
    // As the next request has it.
    let mut headers = HeaderMap::new();
    let cookie_header = format!("__Host-session={}", jar.get("__Host-session").unwrap().value());
    headers.insert(header::COOKIE, cookie_header.parse().unwrap());
    let jar = CookieJar::from_headers(&headers);
    let (left, ended) = cookie.sign_out(&storage, jar.clone()).await.unwrap();
    assert_eq!(ended.sessions[0].sid, session.record.sid);
    assert!(left.get("__Host-session").is_none());
    assert!(cookie.find(&storage, &jar).await.unwrap().is_none(), "the old cookie is of no use");
    let headers = left.into_response().headers().clone();
    let set = headers[header::SET_COOKIE].to_str().unwrap();
    // A browser refuses a `__Host-` cookie without these, so it would keep the old one.
    for part in ["__Host-session=;", "Max-Age=0", "Path=/", "Secure"] {
        assert!(set.contains(part), "{set}");
    }
}

#[tokio::test]
async fn a_csrf_token_is_of_its_session_and_cannot_be_guessed() {
    let (storage, cookie) = (MemoryStorage::new(), SessionCookie::new("https://issuer.example"));
    let mut tokens = Vec::new();
    for subject in ["alice", "bob"] {
        let new = NewUserSession::new(User::new(subject));
        let (_, session, _) = cookie.sign_in(&storage, CookieJar::new(), new).await.unwrap();
        tokens.extend([session.csrf_token(), session.derive("sign-in", "a")]);
        tokens.push(session.derive("sign-in", "b"));
        assert!(!format!("{session:?}").contains(session.secret.expose()));
    }
    for (n, token) in tokens.iter().enumerate() {
        assert_eq!(token.expose().len(), 43, "256 bits");
        assert!(tokens[n + 1..].iter().all(|other| other.expose() != token.expose()));
    }
}

#[test]
fn a_form_of_another_site_is_told_by_its_headers() {
    let own = "https://issuer.example";
    for (site, origin, is_own) in [
        (None, None, true),
        (Some("same-origin"), Some(own), true),
        (Some("none"), None, true),
        (Some("cross-site"), None, false),
        (Some("same-site"), Some(own), false),
        (None, Some("https://evil.example"), false),
        (Some("same-origin"), Some("null"), false),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        assert_eq!(is_same_origin(&headers, own), is_own, "{site:?} {origin:?}");
    }
}
