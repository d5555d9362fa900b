//! The pages: plain HTML that works without scripts. maud escapes every value.

mod account;
mod device;
mod interact;
mod logout;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use oauth_storage::client::Client;

use super::Shared;
use super::session::{Session, detail};

pub(crate) use account::{account, disconnect};
pub(crate) use device::{device, device_consent, device_done};
pub(crate) use interact::{consent, form_post, sign_in};
pub(crate) use logout::{logout, signed_out};

pub(crate) async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, include_str!("style.css"))
}

/// Submits the `form_post` page without a click.
pub(crate) async fn submit() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], "document.forms[0].submit();")
}

/// An error page, with a link to the client if it is known.
pub(crate) fn error(message: &str, client: Option<&Client>) -> Response {
    let application = client.and_then(|client| {
        let details = &client.metadata.details;
        Some((client.display_name(), details.client_uri.as_deref()?))
    });
    let body = html! {
        p { (message) }
        @if let Some((name, uri)) = application {
            p.quiet { "The website of " (name) " is " strong { (site(uri)) } "." }
        }
        nav.actions {
            @if let Some((name, uri)) = application {
                a.button.primary href=(uri) rel="noopener" { "Back to " (name) }
            }
            a.button.secondary href="account" { "Your account" }
        }
    };
    Page { mark: Some(mark("!")), ..Page::new("This did not work") }.render(&body)
}

pub(crate) async fn not_found(State(server): Shared) -> (StatusCode, Response) {
    // The path may have folders, so the links are absolute.
    let base = format!("{}/", server.config.issuer);
    let body = html! {
        p { "The address may be mistyped, or the page has moved." }
        nav.actions { a.button.secondary href={ (base) "account" } { "Your account" } }
    };
    let page = Page { mark: Some(mark("?")), base: &base, ..Page::new("There is no such page") };
    (StatusCode::NOT_FOUND, page.render(&body))
}

/// The layout of every page, and its Content-Security-Policy.
struct Page<'a> {
    title: &'a str,
    /// The picture above the title.
    mark: Option<Markup>,
    /// The redirect URI that a form of the page ends at. `form-action` also applies to redirects after
    /// a form, so it allows the scheme of this URI.
    redirect_uri: Option<&'a str>,
    has_logo: bool,
    has_script: bool,
    is_wide: bool,
    /// The start of the links of the page.
    base: &'a str,
    /// The line under the page.
    footer: Option<Markup>,
}

impl<'a> Page<'a> {
    fn new(title: &'a str) -> Self {
        Self {
            title,
            mark: None,
            redirect_uri: None,
            has_logo: false,
            has_script: false,
            is_wide: false,
            base: "",
            footer: None,
        }
    }

    /// A page of a signed-in user.
    fn of(session: &Session, title: &'a str) -> Self {
        Self { footer: Some(signed_in(session, &html! {})), ..Self::new(title) }
    }

    fn render(self, body: &Markup) -> Response {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    link rel="stylesheet" href={ (self.base) "style.css" };
                }
                body {
                    main.wide[self.is_wide] {
                        div.card {
                            header { @if let Some(mark) = &self.mark { (mark) } h1 { (self.title) } }
                            (body)
                        }
                        @if let Some(footer) = &self.footer { footer { (footer) } }
                    }
                }
            }
        };
        ([(header::CONTENT_SECURITY_POLICY, self.policy())], markup).into_response()
    }

    fn policy(&self) -> String {
        let mut policy = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; \
            base-uri 'none'; form-action 'self'"
            .to_owned();
        if let Some((scheme, _)) = self.redirect_uri.and_then(|uri| uri.split_once(':')) {
            policy.extend([" ", scheme, ":"]);
        }
        if self.has_script {
            policy.push_str("; script-src 'self'");
        }
        if self.has_logo {
            policy.push_str("; img-src https:");
        }
        policy
    }
}

fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// A character in a circle.
fn mark(text: &str) -> Markup {
    html! { div.mark.plain aria-hidden="true" { (text) } }
}

/// The logo of an application over its initial, which shows if there is no logo or it does not load.
/// The logo is fetched from the site of the application, which must not learn who looks at it.
fn logo(name: &str, uri: Option<&str>) -> Markup {
    let initial = name.chars().find(|c| c.is_alphanumeric()).unwrap_or('?');
    html! {
        div.mark {
            span aria-hidden="true" { (initial.to_uppercase()) }
            @if let Some(uri) = uri { img src=(uri) alt="" referrerpolicy="no-referrer"; }
        }
    }
}

/// The list of what a scope allows.
fn scopes<'a>(tokens: impl Iterator<Item = &'a str>) -> Markup {
    html! { ul.scopes { @for token in tokens { li { (meaning(token)) } } } }
}

/// The permission of a scope token, in words.
fn meaning(token: &str) -> Markup {
    match token {
        "openid" => html! { "know who you are" },
        "profile" => html! { "see your name" },
        "email" => html! { "see your email address" },
        "offline_access" => html! { "keep its access while you are away" },
        other => html! { "use " code { (other) } },
    }
}

/// Says who is signed in.
fn signed_in(session: &Session, other: &Markup) -> Markup {
    html! { p { "Signed in as " strong { (detail(&session.record, "username")) } "." } (other) }
}

/// The origin of a URI where it has one, for people to check.
fn site(uri: &str) -> String {
    match url::Url::parse(uri) {
        Ok(url) if url.origin().is_tuple() => url.origin().ascii_serialization(),
        _ => uri.to_owned(),
    }
}
