//! What people do here: sign in, say yes or no, see "your connected applications", sign out.

use std::time::Instant;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::list_all_grants;
use serde::Deserialize;

use super::authorize::Step;
use super::error::{OAuthError, PageError, PageResult};
use super::session::{Session, SessionForm, SignIn};
use super::{Shared, pages};

/// Which of the session's pending requests a page is about.
#[derive(Deserialize)]
pub(crate) struct About {
    request: Option<String>,
}

pub(crate) async fn sign_in_page(
    State(server): Shared,
    jar: CookieJar,
    Form(About { request }): Form<About>,
) -> PageResult<(CookieJar, Response)> {
    let (jar, session) = server.sessions.open(jar)?;
    Ok((jar, pages::sign_in(&session, request.as_deref(), None)))
}

pub(crate) async fn sign_in(
    State(server): Shared,
    jar: CookieJar,
    SessionForm(session, form): SessionForm,
) -> PageResult {
    let mut request = server.request(None);
    request.form.username = Some(form.username.clone());
    request.form.password = Some(form.password);
    let Some(user) = server.storage.authenticate(&request).await? else {
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
    Form(About { request }): Form<About>,
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
            let error = OAuthError::new("access_denied", "the user said no");
            Ok(pending.callback.answer(Err(error)))
        }
    }
}

pub(crate) async fn account(State(server): Shared, jar: CookieJar) -> PageResult {
    let session = server.sessions.find(&jar);
    let Some(session @ Session { sign_in: Some(SignIn { user, .. }), .. }) = &session else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let mut applications = Vec::new();
    for grant in list_all_grants(&server.storage, &user.subject).await? {
        let client = server.storage.read_client(&grant.client_id).await?;
        let name = client.and_then(|client| client.metadata.details.client_name);
        applications.push((name.unwrap_or_else(|| grant.client_id.clone()), grant));
    }
    Ok(pages::account(session, &applications))
}

pub(crate) async fn disconnect(
    State(server): Shared,
    SessionForm(session, form): SessionForm,
) -> PageResult<Redirect> {
    let SignIn { user, .. } = session.sign_in.ok_or_else(PageError::stale)?;
    // Whose a grant is, the storage does not ask.
    let own = list_all_grants(&server.storage, &user.subject).await?;
    if own.iter().any(|grant| grant.grant_id == form.grant_id) {
        server.storage.revoke_grant(form.grant_id).await?;
    }
    Ok(Redirect::to("account"))
}

pub(crate) async fn sign_out(
    State(server): Shared,
    SessionForm(session, _): SessionForm,
) -> Redirect {
    server.sessions.end(&session);
    Redirect::to("sign-in")
}
