//! "Your connected applications", and signing out.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use oauth_storage::Grant;

use super::error::{PageError, Result};
use super::session::SessionForm;
use super::{Server, Shared, pages};

pub(crate) async fn page(State(server): Shared, jar: CookieJar) -> Result<Response, PageError> {
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
