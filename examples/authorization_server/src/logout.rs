//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0), and the end of sessions by their user.

use axum::extract::{RawForm, RawQuery, State};
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use oauth_storage_axum::LogoutRequest;

use super::authorization::encode_query;
use super::error::{OAuthError, PageResult};
use super::form::PageForm;
use super::{Server, Shared, pages};

/// A checked logout request.
pub(crate) struct Logout {
    pub(crate) request: LogoutRequest,
    /// The request, for the form of its page.
    pub(crate) query: String,
}

impl Logout {
    async fn read(server: &Server, raw: &str) -> PageResult<Self> {
        let query = encode_query(raw.as_bytes())?;
        let request = LogoutRequest::read(&server.storage, &query).await?;
        Ok(Self { request, query })
    }

    fn answer(&self) -> axum::response::Response {
        let uri = self.request.redirect_uri.as_deref();
        uri.map_or_else(pages::signed_out, |uri| Redirect::to(uri).into_response())
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
    server.logout.notify(ended);
    Ok(Redirect::to("account").into_response())
}
