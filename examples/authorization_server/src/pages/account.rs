//! The pages of the account.

use axum::response::Response;
use maud::{Markup, html};
use oauth_storage::user_session::UserSession;
use url::form_urlencoded;

use super::{Page, hidden, logo, meaning, scopes};
use crate::account::Application;
use crate::session::{Session, detail};

const DAY: &str = "%-d %B %Y";

pub(crate) fn account(
    session: &Session,
    applications: &[Application],
    sessions: &[UserSession],
) -> Response {
    let csrf_token = session.csrf_token();
    let end = |sid: &str, text: &str| {
        html! {
            form method="post" action="sign-out" {
                (hidden("csrf_token", csrf_token.expose()))
                (hidden("sid", sid))
                button.secondary.small { (text) }
            }
        }
    };
    let body = html! {
        @if applications.is_empty() {
            p.empty { "No application has access to your account." }
        } @else {
            p.lead { "These applications have access to your account." }
            ul.applications {
                @for application in applications { li { (row(application)) } }
            }
        }
        h2.section { "Where you are signed in" }
        ul.applications {
            @for own in sessions {
                @let is_this = own.sid == session.record.sid;
                li {
                    div.about {
                        p { (detail(own, "user_agent")) }
                        p.quiet {
                            @if is_this { "This browser, since " } @else { "Since " }
                            (own.created_at.format(DAY))
                        }
                    }
                    @if is_this { (end("", "Sign out")) } @else { (end(&own.sid.to_string(), "End")) }
                }
            }
            @if sessions.len() > 1 { li { (end("others", "Sign out everywhere else")) } }
        }
    };
    Page { is_wide: true, ..Page::of(session, "Your connected applications") }.render(&body)
}

fn row(application: &Application) -> Markup {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("client_id", &application.connected.client_id).finish();
    html! {
        (logo(&application.name, None))
        div.about {
            h2 { (application.name) }
            p {
                "Can "
                @for (n, token) in application.connected.scope.iter().enumerate() {
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
    html! {
        "Since " (application.connected.since.format(DAY))
        @if application.connected.grants > 1 {
            ", " (application.connected.grants) " sign-ins, the last on "
            (application.connected.last.format(DAY))
        }
    }
}

/// Asks before an application is disconnected.
pub(crate) fn disconnect(session: &Session, application: &Application) -> Response {
    let body = html! {
        p.lead { "It will no longer be able to:" }
        (scopes(application.connected.scope.iter().map(String::as_str)))
        p.quiet { (since(application)) ". You can allow it again at any time." }
        form method="post" action="disconnect" {
            (hidden("csrf_token", session.csrf_token().expose()))
            (hidden("client_id", &application.connected.client_id))
            div.actions.row {
                button.danger { "Disconnect" }
                a.button.secondary href="account" { "Cancel" }
            }
        }
    };
    let title = format!("Disconnect {}?", application.name);
    let mark = Some(logo(&application.name, None));
    Page { mark, ..Page::of(session, &title) }.render(&body)
}
