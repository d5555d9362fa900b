//! The pages of an authorization request.

use axum::response::Response;
use maud::{Markup, html};

use super::{Page, hidden, logo, mark, scopes, signed_in, site};
use crate::authorization::Authorization;
use crate::session::Session;

/// The sign-in page. `refused` is the username of a failed sign-in.
pub(crate) fn sign_in(
    authorization: Option<&Authorization>,
    user_code: Option<&str>,
    refused: Option<&str>,
) -> Response {
    let hint = authorization.and_then(|asked| asked.parameters.login_hint.as_deref());
    let username = refused.or(hint);
    let body = html! {
        @if let Some(authorization) = authorization {
            p.lead { "to continue to " strong { (authorization.name()) } }
        }
        @if refused.is_some() {
            p #problem .problem role="alert" { "The username or the password is wrong." }
        }
        form method="post" action="sign-in" {
            @if let Some(authorization) = authorization {
                (hidden("continue", authorization.query()))
            }
            @if let Some(user_code) = user_code { (hidden("user_code", user_code)) }
            label for="username" { "Username" }
            input #username name="username" value=[username] autocomplete="username"
                autocapitalize="none" spellcheck="false" required autofocus[username.is_none()]
                aria-describedby=[refused.map(|_| "problem")];
            label for="password" { "Password" }
            input #password name="password" type="password" autocomplete="current-password"
                required autofocus[username.is_some()];
            div.actions { button.primary { "Sign in" } }
        }
    };
    let mark = authorization.map_or_else(|| mark("→"), |own| logo(own.name(), None));
    let redirect_uri = authorization.map(|own| own.callback.redirect_uri.as_str());
    Page { mark: Some(mark), redirect_uri, ..Page::new("Sign in") }.render(&body)
}

/// The consent page. The notice says why it is shown again.
pub(crate) fn consent(
    session: &Session,
    authorization: &Authorization,
    notice: Option<&str>,
) -> Response {
    let (name, redirect_uri) = (authorization.name(), &authorization.callback.redirect_uri);
    let details = &authorization.client.metadata.details;
    // Without encryption anybody on the way could see who looks at it.
    let logo_uri = details.logo_uri.as_deref().filter(|uri| uri.starts_with("https://"));
    let links: Vec<_> = [
        ("Website", &details.client_uri),
        ("Privacy policy", &details.policy_uri),
        ("Terms", &details.tos_uri),
    ]
    .into_iter()
    .filter_map(|(text, uri)| Some((text, uri.as_deref()?)))
    .collect();
    let body = html! {
        @if let Some(notice) = notice { p.problem role="alert" { (notice) } }
        p.lead { "The application would like to:" }
        (scopes(authorization.scope.iter()))
        p.quiet { "You will return to " strong { (site(redirect_uri)) } "." }
        form method="post" action="consent" {
            (hidden("csrf_token", session.csrf_token().expose()))
            (hidden("continue", authorization.query()))
            (hidden("shown", &authorization.shown()))
            div.actions.row {
                button.primary name="decision" value="allow" { "Allow" }
                button.secondary name="decision" value="deny" { "Cancel" }
            }
        }
        @if !links.is_empty() {
            nav.links aria-label={ "About " (name) } {
                @for (text, uri) in links { (external(text, uri)) }
            }
        }
    };
    let other = html! {
        p { "Not you? " a href=(authorization.sign_in_url()) { "Use another account" } }
    };
    Page {
        mark: Some(logo(name, logo_uri)),
        redirect_uri: Some(redirect_uri),
        has_logo: logo_uri.is_some(),
        footer: Some(signed_in(session, &other)),
        ..Page::new(&format!("Allow {name}?"))
    }
    .render(&body)
}

/// A link that leaves the page open, because the user has still to decide.
fn external(text: &str, uri: &str) -> Markup {
    html! {
        a href=(uri) target="_blank" rel="noopener" {
            (text) span.unseen { " (opens in a new tab)" }
        }
    }
}

/// The authorization response as a form that the browser posts to the client.
pub(crate) fn form_post(redirect_uri: &str, parameters: &[(&str, String)]) -> Response {
    let body = html! {
        p { "You are on your way back to " strong { (site(redirect_uri)) } "." }
        form method="post" action=(redirect_uri) {
            @for (name, value) in parameters { (hidden(name, value)) }
            div.actions { button.primary { "Continue" } }
        }
        script src="submit.js" {}
    };
    Page {
        mark: Some(mark("→")),
        redirect_uri: Some(redirect_uri),
        has_script: true,
        ..Page::new("Almost there")
    }
    .render(&body)
}
