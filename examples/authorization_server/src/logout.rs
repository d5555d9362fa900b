//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0), and the end of sessions by their user.

use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use oauth_storage::RequestContext;
use oauth_storage::client::Client;
use serde::Deserialize;
use url::Url;

use super::authorization::encode_query;
use super::error::{OAuthError, PageResult, ensure};
use super::form::PageForm;
use super::{Server, Shared, pages};

/// A checked logout request.
pub(crate) struct Logout {
    /// The client of the `id_token_hint`.
    pub(crate) client: Option<Client>,
    /// The address to return to, which the client has registered, with the `state`.
    pub(crate) uri: Option<String>,
    /// The request, for the form of its page.
    pub(crate) query: String,
}

#[derive(Deserialize)]
struct LogoutQuery {
    id_token_hint: Option<String>,
    client_id: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

impl Logout {
    async fn read(server: &Server, raw: &str) -> PageResult<Self> {
        let query = encode_query(raw.as_bytes())?;
        let asked: LogoutQuery = serde_urlencoded::from_str(&query)
            .map_err(|error| OAuthError::new("invalid_request", error.to_string()))?;
        let mut client = None;
        if let Some(hint) = &asked.id_token_hint {
            let hint = server.storage.verify_id_token_hint(hint).await?;
            let client_id = hint.as_ref().and_then(|hint| hint.audience.first());
            let is_for = |own: &String| asked.client_id.as_ref().is_none_or(|id| id == own);
            let client_id = client_id.filter(|own| is_for(own)).ok_or_else(|| {
                OAuthError::new("invalid_request", "The id_token_hint is not of this application.")
            })?;
            client = server.storage.get_client(&RequestContext::default(), client_id, None).await?;
        }
        // Without a hint anybody could send the user to the address of the application.
        let mut uri = None;
        if let Some(asked_uri) = asked.post_logout_redirect_uri {
            let registered = client.as_ref().map(|own| &own.metadata.details.other);
            let registered = registered.and_then(|own| own.get("post_logout_redirect_uris"));
            let is_registered = registered.and_then(|own| own.as_array()).is_some_and(|uris| {
                uris.iter().any(|own| own.as_str() == Some(asked_uri.as_str()))
            });
            let unknown = "The address to return to is not registered.";
            ensure(is_registered, "invalid_request", unknown)?;
            let invalid = |_| OAuthError::new("invalid_request", unknown);
            let mut url = Url::parse(&asked_uri).map_err(invalid)?;
            if let Some(state) = &asked.state {
                url.query_pairs_mut().append_pair("state", state);
            }
            uri = Some(url.into());
        }
        Ok(Self { client, uri, query })
    }

    fn answer(&self) -> axum::response::Response {
        match &self.uri {
            Some(uri) => Redirect::to(uri).into_response(),
            None => pages::signed_out(),
        }
    }
}

/// Asks the user, because any site can send a browser here.
pub(crate) async fn get(
    State(server): Shared,
    jar: CookieJar,
    RawQuery(raw): RawQuery,
) -> PageResult {
    let logout = Logout::read(&server, &raw.unwrap_or_default()).await?;
    Ok(match server.session(&jar).await? {
        Some(session) => pages::logout(&session, &logout),
        None => logout.answer(),
    })
}

/// The session cookie comes with the GET that follows, see [`authorize`](super::authorize::post).
pub(crate) async fn post(RawForm(form): RawForm) -> PageResult<Redirect> {
    Ok(Redirect::to(&format!("logout?{}", encode_query(&form)?)))
}

/// Ends the session of the browser, another one of the user, or all others.
pub(crate) async fn sign_out(State(server): Shared, form: PageForm) -> PageResult {
    let session = form.session()?;
    let own = &session.record;
    let ended = match form.fields.sid.as_str() {
        "" => {
            let logout = match &form.fields.query {
                Some(query) => Some(Logout::read(&server, query).await?),
                None => None,
            };
            server.sign_out(session).await?;
            let sign_in = || Redirect::to("sign-in").into_response();
            return Ok(logout.map_or_else(sign_in, |logout| logout.answer()));
        }
        "others" => server.storage.end_sessions_of(&own.subject, Some(own.sid)).await?,
        sid => {
            let unknown = |_| OAuthError::new("invalid_request", "There is no such session.");
            server.storage.end_session_of(&own.subject, sid.parse().map_err(unknown)?).await?
        }
    };
    server.tell_clients(ended);
    Ok(Redirect::to("account").into_response())
}
