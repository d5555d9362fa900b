//! The pages between an authorization request and its response: sign-in and consent.

use std::time::Instant;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use serde::Deserialize;

use super::authorize::Step;
use super::error::{OAuthError, PageError, PageResult};
use super::session::{SessionForm, SignIn};
use super::{Shared, pages};

/// The query of a page: the identifier of a pending request of the session.
#[derive(Deserialize)]
pub(crate) struct PageQuery {
    request: Option<String>,
}

pub(crate) async fn sign_in_page(
    State(server): Shared,
    jar: CookieJar,
    Form(PageQuery { request }): Form<PageQuery>,
) -> PageResult<(CookieJar, Response)> {
    let (jar, session) = server.sessions.open(jar)?;
    Ok((jar, pages::sign_in(&session, request.as_deref(), None)))
}

pub(crate) async fn sign_in(
    State(server): Shared,
    jar: CookieJar,
    SessionForm(session, form): SessionForm,
) -> PageResult {
    let Some(user) = server.storage.authenticate(&form.username, &form.password).await? else {
        let page = pages::sign_in(&session, form.request.as_deref(), Some(&form.username));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let request = form.request.filter(|id| session.pending(id).is_some());
    let next = request.as_ref().map(|id| format!("consent?request={id}"));
    let sign_in = SignIn { user, at: Instant::now(), request };
    let jar = server.sessions.sign_in(jar, &session, sign_in)?;
    Ok((jar, Redirect::to(next.as_deref().unwrap_or("account"))).into_response())
}

pub(crate) async fn consent_page(
    State(server): Shared,
    jar: CookieJar,
    Form(PageQuery { request }): Form<PageQuery>,
) -> PageResult {
    let id = request.unwrap_or_default();
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    let pending = session.pending(&id).ok_or_else(PageError::stale)?;
    Ok(match pending.next_step(&server, Some(&session)).await? {
        Step::SignIn => Redirect::to(&format!("sign-in?request={id}")).into_response(),
        Step::Consent(_) => pages::consent(&session, pending),
        Step::Answer(user) => server.sessions.resume(&session, &id)?.answer(&server, user).await,
    })
}

pub(crate) async fn consent(
    State(server): Shared,
    SessionForm(session, form): SessionForm,
) -> PageResult {
    let pending = server.sessions.resume(&session, &form.request.unwrap_or_default())?;
    match pending.next_step(&server, Some(&session)).await? {
        Step::SignIn => Err(PageError::stale()),
        Step::Consent(user) | Step::Answer(user) if form.decision == "allow" => {
            Ok(pending.answer(&server, user).await)
        }
        _ => {
            let error = OAuthError::new("access_denied", "the user refused");
            Ok(pending.callback.answer(Err(error)))
        }
    }
}
