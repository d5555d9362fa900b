//! Authorization responses, sent through the browser to a redirect URI of the client.

use axum::response::{IntoResponse as _, Redirect, Response};
use oauth_storage::ResponseType;
use oauth_storage::client::Client;
use oauth_storage::endpoint::{AuthorizationResponse, QueryParameters};

use super::error::{OAuthError, Result, require};
use super::pages;

/// The redirect URI and the response mode. They are checked before the rest of the request, because
/// without them there is nowhere to redirect to (RFC 6749 4.1.2.1).
#[derive(Clone)]
pub(crate) struct Callback {
    pub(crate) redirect_uri: String,
    mode: &'static str,
    state: Option<String>,
    /// Each response names its issuer, against mix-up attacks (RFC 9207).
    issuer: String,
}

// OAuth 2.0 Multiple Response Type Encoding Practices 2.1, OAuth 2.0 Form Post Response Mode.
const QUERY: &str = "query";
const FRAGMENT: &str = "fragment";
const FORM_POST: &str = "form_post";

impl Callback {
    /// Checks that the redirect URI is registered, compared byte by byte.
    pub(crate) fn new(client: &Client, query: &QueryParameters, issuer: &str) -> Result<Self> {
        // Required by OpenID Connect Core 3.1.2.1. In OAuth a client with a single registered URI
        // may omit it.
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

    /// Returns true if the mode is the requested one. A token in a query would stay in logs and
    /// histories, so tokens go into the fragment whatever was requested, and errors as well.
    pub(crate) fn is_in(&self, response_mode: Option<&str>) -> bool {
        response_mode.is_none_or(|asked| asked == self.mode)
    }

    /// Redirects to the client with the response or with an error (RFC 6749 4.1.2.1, OpenID Connect
    /// Core 3.1.2.6).
    pub(crate) fn answer(&self, outcome: Result<AuthorizationResponse>) -> Response {
        let response = outcome.unwrap_or_else(|error| {
            let response = AuthorizationResponse::error(error.code().unwrap_or_default());
            response.with_description(error.description())
        });
        let response = response.with_state(self.state.as_deref()).with_issuer(&self.issuer);
        Redirect::to(&match self.mode {
            FORM_POST => return pages::form_post(&self.redirect_uri, response.parameters()),
            FRAGMENT => response.redirect_to_fragment(&self.redirect_uri),
            _ => response.redirect_to(&self.redirect_uri),
        })
        .into_response()
    }
}
