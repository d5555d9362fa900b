//! The pages between an authorization request and its response: sign-in and consent.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use oauth_storage_axum::OAuthQuery;
use serde::Deserialize;
use uuid::Uuid;

use super::authorization::Authorization;
use super::authorize::Step;
use super::error::{OAuthError, PageResult, Result};
use super::form::PageForm;
use super::session::SignIn;
use super::{Server, Shared, pages};

/// The query of the sign-in page.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    #[serde(rename = "continue")]
    query: Option<String>,
}

/// Reads the authorization request that a page belongs to. Its value is only ever the query of the
/// authorization endpoint, so that nobody is redirected elsewhere.
async fn read(server: &Server, query: Option<String>) -> PageResult<Option<Authorization>> {
    match query.filter(|query| !query.is_empty()) {
        Some(query) => Authorization::read(server, &query).await.map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn sign_in_page(
    State(server): Shared,
    query: Result<OAuthQuery<PageQuery>>,
) -> PageResult {
    let OAuthQuery(PageQuery { query }) = query?;
    Ok(pages::sign_in(read(&server, query).await?.as_ref(), None))
}

pub(crate) async fn sign_in(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    jar: CookieJar,
    PageForm { fields, .. }: PageForm,
) -> PageResult {
    server.sign_ins.check(address)?;
    let authorization = read(&server, fields.query).await?;
    let Some(user) = server.storage.authenticate(&fields.username, &fields.password).await? else {
        let page = pages::sign_in(authorization.as_ref(), Some(&fields.username));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    // Logout and hints name the session by this, which is no secret.
    let user = user.with_sid(Uuid::now_v7().to_string());
    let made_for = authorization.as_ref().map(Authorization::digest);
    let sign_in = SignIn { user, username: fields.username, at: Instant::now(), made_for };
    let jar = server.sessions.start(jar, sign_in)?;
    let next = authorization.map_or_else(|| "account".to_owned(), |own| own.url());
    Ok((jar, Redirect::to(&next)).into_response())
}

pub(crate) async fn consent(State(server): Shared, form: PageForm) -> PageResult {
    let query = form.fields.query.as_deref().unwrap_or_default();
    let authorization = Authorization::read(&server, query).await?;
    let session = match authorization.next_step(&server, form.session.as_ref()).await {
        Ok(Step::SignIn) => return Ok(Redirect::to(&authorization.sign_in_url()).into_response()),
        Ok(Step::Consent(session) | Step::Answer(session)) => session,
        Err(error) => return Ok(authorization.refuse(&server, form.session.as_ref(), error)),
    };
    // The user signed in again in another tab, perhaps as somebody else.
    if !form.belongs_to(session) {
        let changed = "You signed in again since this page was shown. Please check it once more.";
        return Ok(pages::consent(session, &authorization, Some(changed)));
    }
    // Allow what was shown, not what the client has made of it since.
    if form.fields.shown != authorization.shown() {
        let changed = "The application has changed its request. Please check it once more.";
        return Ok(pages::consent(session, &authorization, Some(changed)));
    }
    if form.fields.decision == "allow" {
        return Ok(authorization.answer(&server, session).await);
    }
    let error = OAuthError::new("access_denied", "the user refused");
    Ok(authorization.refuse(&server, Some(session), error))
}
