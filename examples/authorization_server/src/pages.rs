//! The pages: plain HTML that works without scripts. maud escapes every value.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::account::Application;
use super::authorize::Authorization;
use super::session::Session;

pub(crate) async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("style.css"))
}

/// Submits the `form_post` page without a click.
pub(crate) async fn submit() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], "document.forms[0].submit();")
}

/// The sign-in page. `refused` is the username of a failed sign-in.
pub(crate) fn sign_in(session: &Session, request: Option<&str>, refused: Option<&str>) -> Response {
    let authorization = request.and_then(|id| session.pending(id));
    let hint = authorization.and_then(|authorization| authorization.query.login_hint.as_deref());
    let username = refused.or(hint);
    let body = html! {
        @if let Some(authorization) = authorization {
            p { "to continue to " strong { (name(authorization)) } }
        }
        @if refused.is_some() {
            p.reason role="alert" { "The username or the password is wrong." }
        }
        form method="post" action="sign-in" {
            (hidden("csrf_token", session.csrf_token.expose()))
            @if let Some(request) = request { (hidden("request", request)) }
            label for="username" { "Username" }
            input #username name="username" value=[username] autocomplete="username"
                autocapitalize="none" spellcheck="false" required autofocus[username.is_none()];
            label for="password" { "Password" }
            input #password name="password" type="password" autocomplete="current-password"
                required autofocus[username.is_some()];
            button { "Sign in" }
        }
    };
    page("Sign in", authorization.map(|asked| &*asked.callback.redirect_uri), &body)
}

pub(crate) fn consent(session: &Session, authorization: &Authorization) -> Response {
    let redirect_uri = &authorization.callback.redirect_uri;
    let body = html! {
        p { "The application would like to act for you, and to:" }
        (scopes(authorization.scope.iter()))
        p.quiet { "You will be sent to " code { (site(redirect_uri)) } "." }
        form method="post" action="consent" {
            (hidden("csrf_token", session.csrf_token.expose()))
            (hidden("request", &authorization.id))
            button name="decision" value="allow" { "Allow" }
            button name="decision" value="deny" { "Cancel" }
        }
    };
    page(&format!("Allow {}?", name(authorization)), Some(redirect_uri), &body)
}

pub(crate) fn account(session: &Session, applications: &[Application]) -> Response {
    const DAY: &str = "%-d %B %Y";
    let csrf_token = hidden("csrf_token", session.csrf_token.expose());
    let body = html! {
        @if applications.is_empty() { p { "No application has access to your account." } }
        @for application in applications {
            section {
                h2 { (application.name) }
                (scopes(application.scope.iter().map(String::as_str)))
                p.quiet {
                    "Since " (application.first_granted_at.format(DAY))
                    @if application.grants > 1 {
                        ", " (application.grants) " sign-ins, the last on "
                        (application.last_granted_at.format(DAY))
                    }
                }
                form method="post" action="disconnect" {
                    (csrf_token)
                    (hidden("client_id", &application.client_id))
                    button aria-label={ "Disconnect " (application.name) } { "Disconnect" }
                }
            }
        }
        form method="post" action="sign-out" { (csrf_token) button { "Sign out" } }
    };
    page("Your connected applications", None, &body)
}

/// The authorization response as a form that the browser posts to the client.
pub(crate) fn form_post(redirect_uri: &str, parameters: &[(&str, String)]) -> Response {
    let body = html! {
        form method="post" action=(redirect_uri) {
            @for (name, value) in parameters { (hidden(name, value)) }
            button { "Continue to " (site(redirect_uri)) }
        }
        script src="submit.js" {}
    };
    page("Almost there", Some(redirect_uri), &body)
}

pub(crate) fn error(message: &str) -> Response {
    page("This did not work", None, &html! { p { (message) } })
}

/// The layout of every page, and its Content-Security-Policy. `form-action` also applies to
/// redirects after a form, so it allows the scheme of the client's redirect URI.
fn page(title: &str, redirect_uri: Option<&str>, body: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="style.css";
            }
            body { main { h1 { (title) } (body) } }
        }
    };
    let scheme = redirect_uri.and_then(|uri| uri.split_once(':'));
    let scheme = scheme.map(|(scheme, _)| format!(" {scheme}:")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'{scheme}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    ([(header::CONTENT_SECURITY_POLICY, policy)], markup).into_response()
}

fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

fn name(authorization: &Authorization) -> &str {
    let client = &authorization.client;
    client.metadata.details.client_name.as_deref().unwrap_or(&client.client_id)
}

fn scopes<'a>(tokens: impl Iterator<Item = &'a str>) -> Markup {
    let meaning = |token| match token {
        "openid" => html! { "know who you are" },
        "profile" => html! { "see your name" },
        "email" => html! { "see your email address" },
        other => html! { "use " code { (other) } },
    };
    html! { ul { @for token in tokens { li { (meaning(token)) } } } }
}

/// The origin of a URI where it has one, for people to check.
fn site(uri: &str) -> String {
    match url::Url::parse(uri) {
        Ok(url) if url.origin().is_tuple() => url.origin().ascii_serialization(),
        _ => uri.to_owned(),
    }
}
