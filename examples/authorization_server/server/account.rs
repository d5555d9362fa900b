//! "Your connected applications", and signing out.

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::{Grant, Secret, Storage};
use serde::Deserialize;
use uuid::Uuid;

use super::error::{OAuthError, PageError};
use super::{Server, Shared, pages};

#[derive(Deserialize)]
pub(crate) struct SignOut {
    csrf_token: Secret,
}

#[derive(Deserialize)]
pub(crate) struct Disconnect {
    csrf_token: Secret,
    grant_id: Uuid,
}

pub(crate) async fn get<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
) -> Result<Response, PageError> {
    let session = server.sessions.find(&jar);
    let signed_in = session.as_ref().and_then(|session| session.signed_in.as_ref());
    let (Some(session), Some(signed_in)) = (&session, signed_in) else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let mut applications = Vec::new();
    for grant in server.grants(&signed_in.user.subject).await? {
        let client = server.storage.read_client(&grant.client_id).await?;
        let name = client.and_then(|client| client.metadata.details.client_name);
        applications.push((name.unwrap_or_else(|| grant.client_id.clone()), grant));
    }
    Ok(pages::account(session, &applications).into_response())
}

pub(crate) async fn disconnect<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    form: Result<Form<Disconnect>, FormRejection>,
) -> Result<Redirect, PageError> {
    let Form(form) = form?;
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    session.check(&form.csrf_token)?;
    let user = session.signed_in.ok_or_else(PageError::stale)?.user;
    // Whose the grant is, the storage does not ask.
    let own = server.grants(&user.subject).await?;
    if own.iter().any(|grant| grant.grant_id == form.grant_id) {
        server.storage.revoke_grant(form.grant_id).await?;
    }
    Ok(Redirect::to("account"))
}

pub(crate) async fn sign_out<S: Storage + 'static>(
    State(server): Shared<S>,
    jar: CookieJar,
    form: Result<Form<SignOut>, FormRejection>,
) -> Result<Redirect, PageError> {
    let Form(form) = form?;
    let session = server.sessions.find(&jar).ok_or_else(PageError::stale)?;
    session.check(&form.csrf_token)?;
    server.sessions.end(&session);
    Ok(Redirect::to("sign-in"))
}

impl<S: Storage + 'static> Server<S> {
    /// The user's live grants, page by page to the last.
    pub(crate) async fn grants(&self, subject: &str) -> Result<Vec<Grant>, OAuthError> {
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
