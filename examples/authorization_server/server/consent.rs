//! Asking the user.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::{Secret, Storage};
use serde::Deserialize;

use super::authorize::Step;
use super::error::{OAuthError, PageError};
use super::sign_in::About;
use super::{Shared, pages};

#[derive(Deserialize)]
pub(crate) struct Consent {
    csrf_token: Secret,
    request: String,
    decision: String,
}

pub(crate) async fn get<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    about: Result<Form<About>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(about) = about?;
    let id = about.request.ok_or_else(PageError::stale)?;
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    let pending = session.pending(&id).ok_or_else(PageError::stale)?;
    Ok(match server.next_step(pending, Some(&session)).await? {
        Step::SignIn => Redirect::to(&format!("sign-in?request={id}")).into_response(),
        Step::Consent(_) => pages::consent(&session, &id, &pending.authorization),
        Step::Answer(user) => {
            let pending = server.sessions.resume(&session, &id).ok_or_else(PageError::stale)?;
            server.answer(&pending, user).await
        }
    })
}

pub(crate) async fn post<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    form: Result<Form<Consent>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(form) = form?;
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    session.check(&form.csrf_token)?;
    let pending = server.sessions.resume(&session, &form.request).ok_or_else(PageError::stale)?;
    let user = match server.next_step(&pending, Some(&session)).await? {
        Step::Consent(user) | Step::Answer(user) => user,
        Step::SignIn => return Err(PageError::stale()),
    };
    Ok(if form.decision == "allow" {
        server.answer(&pending, user).await
    } else {
        let error = OAuthError::new("access_denied", "the user said no");
        pending.authorization.callback.refuse(error)
    })
}
