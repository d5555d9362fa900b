//! What people do here: sign in, say yes or no, see "your connected applications", sign out.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::{FormParameters, Grant};
use serde::Deserialize;

use super::authorize::{Step, answer, next_step};
use super::error::{OAuthError, PageError, Result};
use super::session::SessionForm;
use super::{Server, Shared, pages};

/// Which of the session's pending requests a page is about.
#[derive(Deserialize)]
pub(crate) struct About {
    request: Option<String>,
}

pub(crate) async fn sign_in_page(
    State(server): Shared,
    jar: CookieJar,
    about: Result<Form<About>, FormRejection>,
) -> Result<(CookieJar, Response), PageError> {
    let Form(About { request }) = about?;
    let (jar, session) = server.open_session(jar)?;
    Ok((jar, pages::sign_in(&session, request.as_deref(), None)))
}

pub(crate) async fn sign_in(
    State(server): Shared,
    jar: CookieJar,
    SessionForm(session, form): SessionForm,
) -> Result<Response, PageError> {
    let id = form.request.as_deref();
    let mut request = server.request(None);
    request.form = FormParameters {
        username: Some(form.username.clone()),
        password: Some(form.password),
        ..FormParameters::default()
    };
    let Some(user) = server.storage.authenticate(&request).await? else {
        let page = pages::sign_in(&session, id, Some(&form.username));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let jar = server.sign_in(jar, &session, user, id)?;
    let next = id.filter(|id| session.pending(id).is_some());
    let next = next.map_or("account".into(), |id| format!("consent?request={id}"));
    Ok((jar, Redirect::to(&next)).into_response())
}

pub(crate) async fn consent_page(
    State(server): Shared,
    jar: CookieJar,
    about: Result<Form<About>, FormRejection>,
) -> Result<Response, PageError> {
    let id = about?.0.request.ok_or_else(PageError::stale)?;
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    let pending = session.pending(&id).ok_or_else(PageError::stale)?;
    Ok(match next_step(&server, pending, Some(&session)).await? {
        Step::SignIn => Redirect::to(&format!("sign-in?request={id}")).into_response(),
        Step::Consent(_) => pages::consent(&session, &id, &pending.authorization),
        Step::Answer(user) => answer(&server, &server.sessions.resume(&session, &id)?, user).await,
    })
}

pub(crate) async fn consent(
    State(server): Shared,
    SessionForm(session, form): SessionForm,
) -> Result<Response, PageError> {
    let pending = server.sessions.resume(&session, &form.request.unwrap_or_default())?;
    Ok(match next_step(&server, &pending, Some(&session)).await? {
        Step::SignIn => return Err(PageError::stale()),
        Step::Consent(user) | Step::Answer(user) if form.decision == "allow" => {
            answer(&server, &pending, user).await
        }
        _ => {
            let error = OAuthError::new("access_denied", "the user said no");
            pending.authorization.callback.refuse(error)
        }
    })
}

pub(crate) async fn account(State(server): Shared, jar: CookieJar) -> Result<Response, PageError> {
    let session = server.sessions.find(&jar);
    let Some((session, (user, _))) = session.and_then(|own| own.user.clone().map(|u| (own, u)))
    else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let mut applications = Vec::new();
    for grant in server.grants(&user.subject).await? {
        let client = server.storage.read_client(&grant.client_id).await?;
        let name = client.and_then(|client| client.metadata.details.client_name);
        applications.push((name.unwrap_or_else(|| grant.client_id.clone()), grant));
    }
    Ok(pages::account(&session, &applications))
}

pub(crate) async fn disconnect(
    State(server): Shared,
    SessionForm(session, form): SessionForm,
) -> Result<Redirect, PageError> {
    let (user, _) = session.user.ok_or_else(PageError::stale)?;
    // Whose a grant is, the storage does not ask.
    let own = server.grants(&user.subject).await?;
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

impl Server {
    /// The user's live grants, page by page to the last.
    pub(crate) async fn grants(&self, subject: &str) -> Result<Vec<Grant>> {
        const PAGE: usize = 100;
        let mut grants: Vec<Grant> = Vec::new();
        loop {
            let after = grants.last().map(|grant| grant.grant_id);
            let page = self.storage.list_grants(subject, after, PAGE).await?;
            let is_last = page.len() < PAGE;
            grants.extend(page);
            if is_last {
                return Ok(grants);
            }
        }
    }
}
