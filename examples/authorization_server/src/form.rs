//! The forms of the pages, and their protection against other sites.

use axum::extract::{FromRequest, Request};
use axum_extra::extract::CookieJar;
use oauth_storage::Secret;
use oauth_storage_axum::{OAuthForm, is_same_origin};
use serde::Deserialize;

use super::App;
use super::error::{PageError, PageResult};
use super::session::Session;

/// A form that a page of this server sent, and the session of the browser.
pub(crate) struct PageForm {
    pub(crate) session: Option<Session>,
    pub(crate) fields: Fields,
}

/// The fields of all forms.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    csrf_token: Secret,
    /// The query of the authorization or logout request that the page belongs to.
    #[serde(rename = "continue")]
    pub(crate) query: Option<String>,
    /// The digest of the contents of the consent page.
    pub(crate) shown: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) decision: String,
    pub(crate) client_id: String,
    /// The code of a device; `Some` on the pages of the device flow.
    pub(crate) user_code: Option<String>,
    /// The session to end.
    pub(crate) sid: String,
}

impl PageForm {
    /// Returns true if the form was made for this session.
    pub(crate) fn belongs_to(&self, session: &Session) -> bool {
        session.csrf_token() == self.fields.csrf_token
    }

    /// Returns the session, for which the form must have been made.
    pub(crate) fn session(&self) -> PageResult<&Session> {
        let own = self.session.as_ref().filter(|session| self.belongs_to(session));
        own.ok_or_else(|| PageError::forbidden("This page is out of date. Please try again."))
    }
}

impl FromRequest<App> for PageForm {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &App) -> PageResult<Self> {
        let server = &app.server;
        if !is_same_origin(request.headers(), &server.origin) {
            let message = format!("This form came from another site. Open {}/", server.origin);
            return Err(PageError::forbidden(message));
        }
        let session = server.session(&CookieJar::from_headers(request.headers())).await?;
        let OAuthForm(fields) = OAuthForm::<Fields>::from_request(request, app).await?;
        Ok(Self { session, fields })
    }
}
