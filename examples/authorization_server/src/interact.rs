//! The pages between an authorization request and its response: sign-in and consent.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use oauth_storage_axum::OAuthQuery;
use serde::Deserialize;

use super::authorization::Authorization;
use super::authorize::Step;
use super::error::{OAuthError, PageResult, Result};
use super::form::PageForm;
use super::session::details;
use super::{Server, Shared, device, pages};

/// The query of the sign-in page.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    #[serde(rename = "continue")]
    query: Option<String>,
    /// The code of a device, whose page comes after the sign-in.
    user_code: Option<String>,
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
    let OAuthQuery(PageQuery { query, user_code }) = query?;
    Ok(pages::sign_in(read(&server, query).await?.as_ref(), user_code.as_deref(), None))
}

pub(crate) async fn sign_in(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    jar: CookieJar,
    PageForm { fields, .. }: PageForm,
) -> PageResult {
    server.sign_ins.check(address)?;
    let authorization = read(&server, fields.query).await?;
    let user_code = fields.user_code.as_deref();
    let Some(user) = server.storage.authenticate(&fields.username, &fields.password).await? else {
        let page = pages::sign_in(authorization.as_ref(), user_code, Some(&fields.username));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let user_agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let details = details(&fields.username, user_agent);
    let (jar, session) = server.sign_in(jar, user, details).await?;
    let next = match (&authorization, user_code) {
        (Some(authorization), _) => {
            if authorization.may_ask_to_sign_in() {
                server.note_sign_in(&session, authorization.query()).await?;
            }
            authorization.url()
        }
        (None, Some(user_code)) => device::url("device", user_code),
        (None, None) => "account".to_owned(),
    };
    Ok((jar, Redirect::to(&next)).into_response())
}

pub(crate) async fn consent(State(server): Shared, form: PageForm) -> PageResult {
    let query = form.fields.query.as_deref().unwrap_or_default();
    let authorization = Authorization::read(&server, query).await?;
    let session = match authorization.next_step(&server, form.session.as_ref()).await {
        Ok(Step::SignIn) => return Ok(Redirect::to(&authorization.sign_in_url()).into_response()),
        Ok(Step::Consent(session) | Step::Answer(session)) => session,
        Err(error) => {
            return Ok(authorization.refuse(&server, form.session.as_ref(), error).await);
        }
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
        let (subject, client_id) = (&session.record.subject, &authorization.client.client_id);
        server.storage.add_consent(subject, client_id, &authorization.scope).await?;
        return Ok(authorization.answer(&server, session).await);
    }
    let error = OAuthError::new("access_denied", "the user refused");
    Ok(authorization.refuse(&server, Some(session), error).await)
}
