//! Signing in, with a username and a password.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::{FormParameters, Secret, Storage};
use serde::Deserialize;

use super::error::PageError;
use super::{Shared, pages};

/// Which of the session's pending requests a page is about.
#[derive(Deserialize)]
pub(crate) struct About {
    pub(crate) request: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct SignIn {
    csrf_token: Secret,
    request: Option<String>,
    username: String,
    password: Secret,
}

pub(crate) async fn get<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    about: Result<Form<About>, FormRejection>,
) -> Result<(CookieJar, Response), PageError> {
    let Form(about) = about?;
    let (jar, session) = server.open_session(jar)?;
    let page = pages::sign_in(&session, about.request.as_deref(), None, None);
    Ok((jar, page))
}

pub(crate) async fn post<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    form: Result<Form<SignIn>, FormRejection>,
) -> Result<(CookieJar, Response), PageError> {
    let Form(form) = form?;
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    session.check(&form.csrf_token)?;
    let mut request = server.request();
    request.form = FormParameters {
        username: Some(form.username.clone()),
        password: Some(form.password),
        ..FormParameters::default()
    };
    let id = form.request.as_deref();
    let Some(user) = server.storage.authenticate(&request).await? else {
        let problem = Some("The username or the password is wrong.");
        let page = pages::sign_in(&session, id, Some(&form.username), problem);
        return Ok((jar, (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()));
    };
    let jar = server.sign_in(jar, &session, user, id)?;
    let next = id.map_or("account".into(), |id| format!("consent?request={id}"));
    Ok((jar, Redirect::to(&next).into_response()))
}
