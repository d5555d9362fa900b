//! How an authorization request is answered: through the browser, at a URI of the client's.

use axum::response::{IntoResponse as _, Redirect, Response};
use oauth_storage::{Client, QueryParameters, ResponseType};
use url::form_urlencoded;

use super::error::{OAuthError, Result, require};
use super::pages;

/// Where the answer goes, and in which form. It is settled before anything else of the request is
/// looked at; without it there is nowhere to redirect to (RFC 6749 4.1.2.1).
#[derive(Clone)]
pub(crate) struct Callback {
    pub(crate) redirect_uri: String,
    mode: &'static str,
    state: Option<String>,
    /// Each answer says whose it is, against mix-up (RFC 9207).
    issuer: String,
}

pub(crate) type Parameters = Vec<(&'static str, String)>;

// OAuth 2.0 Multiple Response Type Encoding Practices 2.1, OAuth 2.0 Form Post Response Mode.
const QUERY: &str = "query";
const FRAGMENT: &str = "fragment";
const FORM_POST: &str = "form_post";

impl Callback {
    /// For a redirect URI that the client has registered, byte by byte.
    pub(crate) fn new(client: &Client, query: &QueryParameters, issuer: &str) -> Result<Self> {
        // OpenID Connect Core 3.1.2.1. OAuth leaves it to clients that have only one.
        if query.scope.as_ref().is_some_and(|scope| scope.split(' ').any(|own| own == "openid")) {
            require(query.redirect_uri.as_ref(), "redirect_uri")?;
        }
        let unknown = "The address to return to is not registered.";
        let redirect_uri = client.redirect_uri(query.redirect_uri.as_deref());
        let redirect_uri =
            redirect_uri.ok_or_else(|| OAuthError::new("invalid_request", unknown))?;
        let asked = query.response_type.as_deref().map(str::parse::<ResponseType>);
        let mode = match (query.response_mode.as_deref(), asked) {
            (Some(FORM_POST), _) => FORM_POST,
            (Some(FRAGMENT), _) => FRAGMENT,
            (_, Some(Ok(asked))) if asked.is_front_channel() => FRAGMENT,
            _ => QUERY,
        };
        let (redirect_uri, issuer) = (redirect_uri.to_owned(), issuer.to_owned());
        Ok(Self { redirect_uri, mode, state: query.state.clone(), issuer })
    }

    /// Whether it is the mode that was asked for. A token in a query would stay in logs and
    /// histories, so that goes into the fragment, and so does the error that says so.
    pub(crate) fn is_in(&self, response_mode: Option<&str>) -> bool {
        response_mode.is_none_or(|asked| asked == self.mode)
    }

    /// Sends the user back: with what was asked for, or with an error (RFC 6749 4.1.2.1, OpenID
    /// Connect Core 3.1.2.6).
    pub(crate) fn answer(&self, outcome: Result<Parameters>) -> Response {
        let mut parameters = outcome.unwrap_or_else(|error| {
            vec![("error", error.code.to_owned()), ("error_description", error.description)]
        });
        parameters.extend(self.state.clone().map(|state| ("state", state)));
        parameters.push(("iss", self.issuer.clone()));
        if self.mode == FORM_POST {
            return pages::form_post(&self.redirect_uri, &parameters);
        }
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        let encoded = encoded.extend_pairs(&parameters).finish();
        // Appended, for a parser would mend what was registered.
        let uri = &self.redirect_uri;
        let separator = match (self.mode, uri.contains('?')) {
            (FRAGMENT, _) => '#',
            (_, true) => '&',
            (_, false) => '?',
        };
        Redirect::to(&format!("{uri}{separator}{encoded}")).into_response()
    }
}
