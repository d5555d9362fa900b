//! How an authorization request is answered: through the browser, at a URI of the client's.

use axum::response::{IntoResponse as _, Redirect, Response};
use oauth_storage::{Client, QueryParameters, ResponseType};
use url::form_urlencoded;

use super::error::OAuthError;
use super::pages;

/// Where the answer goes, and in which form. It is settled before anything else of the request is
/// looked at; without it there is nowhere to redirect to (RFC 6749 4.1.2.1).
#[derive(Clone)]
pub(crate) struct Callback {
    redirect_uri: String,
    mode: ResponseMode,
    state: Option<String>,
    /// Against mix-up, each answer says whose it is (RFC 9207).
    issuer: String,
}

/// OAuth 2.0 Multiple Response Type Encoding Practices 2.1, OAuth 2.0 Form Post Response Mode.
#[derive(Clone, Copy, PartialEq)]
enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

impl Callback {
    /// For a redirect URI that the client has registered, byte by byte; `None` for any other.
    pub(crate) fn find(client: &Client, query: &QueryParameters, issuer: &str) -> Option<Self> {
        let redirect_uri = client.redirect_uri(query.redirect_uri.as_deref())?;
        let in_browser = query.response_type.as_deref().is_some_and(is_front_channel);
        let mode = match query.response_mode.as_deref() {
            Some("form_post") => ResponseMode::FormPost,
            Some("query") if !in_browser => ResponseMode::Query,
            // Where no mode fits, an error has to go somewhere.
            _ if in_browser => ResponseMode::Fragment,
            Some("fragment") => ResponseMode::Fragment,
            _ => ResponseMode::Query,
        };
        Some(Self {
            redirect_uri: redirect_uri.to_owned(),
            mode,
            state: query.state.clone(),
            issuer: issuer.to_owned(),
        })
    }

    /// Whether this is the mode that was asked for: a token in a query would stay in logs and
    /// histories (OAuth 2.0 Multiple Response Type Encoding Practices 3.0).
    pub(crate) fn is_in(&self, response_mode: Option<&str>) -> bool {
        response_mode.is_none_or(|asked| {
            asked
                == match self.mode {
                    ResponseMode::Query => "query",
                    ResponseMode::Fragment => "fragment",
                    ResponseMode::FormPost => "form_post",
                }
        })
    }

    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Sends the user back, with the answer.
    pub(crate) fn answer(&self, mut parameters: Vec<(&'static str, String)>) -> Response {
        parameters.extend(self.state.clone().map(|state| ("state", state)));
        parameters.push(("iss", self.issuer.clone()));
        if self.mode == ResponseMode::FormPost {
            return pages::form_post(&self.redirect_uri, &parameters);
        }
        let encoded =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
        // The URI stays as it was registered: a parser would mend it.
        let separator = match self.mode {
            ResponseMode::Fragment => '#',
            _ if self.redirect_uri.contains('?') => '&',
            _ => '?',
        };
        Redirect::to(&format!("{}{separator}{encoded}", self.redirect_uri)).into_response()
    }

    /// Sends the user back, with an error (RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6).
    pub(crate) fn refuse(&self, error: OAuthError) -> Response {
        self.answer(vec![
            ("error", error.code.to_owned()),
            ("error_description", error.description),
        ])
    }
}

fn is_front_channel(response_type: &str) -> bool {
    response_type.parse().is_ok_and(|asked: ResponseType| asked.has_token() || asked.has_id_token())
}
