//! The pages of a device without a browser.

use axum::response::Response;
use maud::html;

use super::{Page, hidden, logo, mark, scopes};
use crate::device::DeviceRequest;
use crate::session::Session;

/// Asks for the code that the device shows.
pub(crate) fn device(session: &Session, user_code: &str, problem: Option<&str>) -> Response {
    let body = html! {
        p.lead { "Enter the code that your device shows." }
        @if let Some(problem) = problem { p #problem .problem role="alert" { (problem) } }
        form method="post" action="device" {
            (hidden("csrf_token", session.csrf_token().expose()))
            label for="user_code" { "Code" }
            input #user_code name="user_code" value=(user_code) autocomplete="off"
                autocapitalize="characters" spellcheck="false" required autofocus
                aria-describedby=[problem.map(|_| "problem")];
            div.actions { button.primary { "Continue" } }
        }
    };
    Page { mark: Some(mark("→")), ..Page::of(session, "Connect a device") }.render(&body)
}

/// Asks whether the device may have access. Somebody else may have sent the code (RFC 8628 5.4).
pub(crate) fn device_consent(session: &Session, device: &DeviceRequest) -> Response {
    let name = device.client.display_name();
    let body = html! {
        p.lead { "The application on your device would like to:" }
        (scopes(device.pending.scope.iter()))
        p.problem {
            "Allow it only if the device is in front of you and shows the code "
            strong { (device.user_code) }
            ". If somebody sent you this code or this address, cancel."
        }
        form method="post" action="device" {
            (hidden("csrf_token", session.csrf_token().expose()))
            (hidden("user_code", &device.user_code))
            (hidden("shown", &device.shown()))
            div.actions.row {
                button.primary name="decision" value="allow" { "Allow" }
                button.secondary name="decision" value="deny" { "Cancel" }
            }
        }
    };
    let mark = Some(logo(name, None));
    Page { mark, ..Page::of(session, &format!("Allow {name} on your device?")) }.render(&body)
}

pub(crate) fn device_done(session: &Session, is_allowed: bool) -> Response {
    let body = html! {
        p { @if is_allowed { "Continue on your device." } @else { "Your device has no access." } }
        nav.actions { a.button.secondary href="account" { "Your account" } }
    };
    let title = if is_allowed { "Your device is connected" } else { "You refused the device" };
    Page { mark: Some(mark("✓")), ..Page::of(session, title) }.render(&body)
}
