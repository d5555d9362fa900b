//! The page of connected applications, and the end of their access.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use oauth_storage::GrantStorageExt as _;
use oauth_storage::grant::Grant;

use super::error::{PageError, PageResult, Result};
use super::session::{Session, SessionForm, SignIn};
use super::{Server, Shared, pages};

/// An application with access to the account, through one or more grants.
pub(crate) struct Application {
    pub(crate) client_id: String,
    pub(crate) name: String,
    /// The scope tokens of all its grants.
    pub(crate) scope: BTreeSet<String>,
    pub(crate) first_granted_at: DateTime<Utc>,
    pub(crate) last_granted_at: DateTime<Utc>,
    /// The number of live grants: usually one a device.
    pub(crate) grants: usize,
}

impl Application {
    /// Groups grants by client. The newest grant is first, in the list and among the applications.
    async fn of_grants(server: &Server, grants: Vec<Grant>) -> Result<Vec<Self>> {
        let mut applications: Vec<Self> = Vec::new();
        for grant in grants {
            let tokens = grant.scope.iter().map(str::to_owned);
            let known = applications.iter_mut().find(|known| known.client_id == grant.client_id);
            if let Some(known) = known {
                known.scope.extend(tokens);
                known.first_granted_at = grant.granted_at;
                known.grants += 1;
                continue;
            }
            let client = server.storage.read_client(&grant.client_id).await?;
            let name = client.and_then(|client| client.metadata.details.client_name);
            applications.push(Self {
                name: name.unwrap_or_else(|| grant.client_id.clone()),
                scope: tokens.collect(),
                client_id: grant.client_id,
                first_granted_at: grant.granted_at,
                last_granted_at: grant.granted_at,
                grants: 1,
            });
        }
        Ok(applications)
    }
}

pub(crate) async fn account(State(server): Shared, jar: CookieJar) -> PageResult {
    let session = server.sessions.find(&jar);
    let Some(session @ Session { sign_in: Some(SignIn { user, .. }), .. }) = &session else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let grants = server.storage.list_all_grants(&user.subject).await?;
    Ok(pages::account(session, &Application::of_grants(&server, grants).await?))
}

/// Revokes every grant of the signed-in user for one application.
pub(crate) async fn disconnect(
    State(server): Shared,
    SessionForm(session, form): SessionForm,
) -> PageResult<Redirect> {
    let SignIn { user, .. } = session.sign_in.ok_or_else(PageError::stale)?;
    server.storage.revoke_grants_of(&user.subject, &form.client_id).await?;
    Ok(Redirect::to("account"))
}

pub(crate) async fn sign_out(
    State(server): Shared,
    SessionForm(session, _): SessionForm,
) -> Redirect {
    server.sessions.end(&session);
    Redirect::to("sign-in")
}
