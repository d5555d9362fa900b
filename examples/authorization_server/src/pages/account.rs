//! The pages of the account.

use axum::response::Response;
use maud::{Markup, html};
use url::form_urlencoded;

use super::{Page, hidden, logo, meaning, scopes, signed_in};
use crate::account::Application;
use crate::session::Session;

pub(crate) fn account(session: &Session, applications: &[Application]) -> Response {
    let body = html! {
        @if applications.is_empty() {
            p.empty { "No application has access to your account." }
        } @else {
            p.lead { "These applications have access to your account." }
            ul.applications {
                @for application in applications { li { (row(application)) } }
            }
        }
    };
    let sign_out = html! {
        form method="post" action="sign-out" {
            (hidden("csrf_token", session.csrf_token.expose()))
            span { "Not you? " }
            button.secondary.small { "Sign out" }
        }
    };
    Page {
        is_wide: true,
        footer: Some(signed_in(session, &sign_out)),
        ..Page::new("Your connected applications")
    }
    .render(&body)
}

fn row(application: &Application) -> Markup {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("client_id", &application.client_id).finish();
    html! {
        (logo(&application.name, None))
        div.about {
            h2 { (application.name) }
            p {
                "Can "
                @for (n, token) in application.scope.iter().enumerate() {
                    @if n > 0 { ", " }
                    (meaning(token))
                }
            }
            p.quiet { (since(application)) }
        }
        a.button.secondary.small href={ "disconnect?" (query) }
            aria-label={ "Disconnect " (application.name) } { "Disconnect" }
    }
}

fn since(application: &Application) -> Markup {
    const DAY: &str = "%-d %B %Y";
    html! {
        "Since " (application.first_granted_at.format(DAY))
        @if application.grants > 1 {
            ", " (application.grants) " sign-ins, the last on "
            (application.last_granted_at.format(DAY))
        }
    }
}

/// Asks before an application is disconnected.
pub(crate) fn disconnect(session: &Session, application: &Application) -> Response {
    let body = html! {
        p.lead { "It will no longer be able to:" }
        (scopes(application.scope.iter().map(String::as_str)))
        p.quiet { (since(application)) ". You can allow it again at any time." }
        form method="post" action="disconnect" {
            (hidden("csrf_token", session.csrf_token.expose()))
            (hidden("client_id", &application.client_id))
            div.actions.row {
                button.danger { "Disconnect" }
                a.button.secondary href="account" { "Cancel" }
            }
        }
    };
    let title = format!("Disconnect {}?", application.name);
    let mark = logo(&application.name, None);
    Page { mark: Some(mark), footer: Some(signed_in(session, &html! {})), ..Page::new(&title) }
        .render(&body)
}
