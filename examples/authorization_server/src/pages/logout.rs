//! The pages of a logout.

use axum::response::Response;
use maud::html;

use super::{Page, hidden, mark, site};
use crate::logout::Logout;
use crate::session::Session;

/// Asks whether the user signs out, because any site can send a browser here.
pub(crate) fn logout(session: &Session, logout: &Logout) -> Response {
    let body = html! {
        @if let Some(client) = &logout.request.client {
            p.lead { "You have signed out of " strong { (client.display_name()) } "." }
        }
        p { "Other applications of this sign-in are told." }
        @if let Some(uri) = &logout.request.redirect_uri {
            p.quiet { "You will return to " strong { (site(uri)) } "." }
        }
        form method="post" action="sign-out" {
            (hidden("csrf_token", session.csrf_token().expose()))
            (hidden("continue", &logout.query))
            div.actions.row {
                button.primary { "Sign out" }
                a.button.secondary href="account" { "Stay signed in" }
            }
        }
    };
    Page {
        mark: Some(mark("→")),
        redirect_uri: logout.request.redirect_uri.as_deref(),
        ..Page::of(session, "Sign out here as well?")
    }
    .render(&body)
}

pub(crate) fn signed_out() -> Response {
    let body = html! {
        nav.actions { a.button.secondary href="sign-in" { "Sign in again" } }
    };
    Page { mark: Some(mark("✓")), ..Page::new("You are signed out") }.render(&body)
}
