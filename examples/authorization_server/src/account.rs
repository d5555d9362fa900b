//! The page of connected applications, and the end of their access.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use oauth_storage::GrantStorageExt as _;
use oauth_storage::grant::Grant;
use oauth_storage_axum::OAuthQuery;
use serde::Deserialize;

use super::error::{PageResult, Result};
use super::form::PageForm;
use super::session::Session;
use super::{Server, Shared, pages};

/// An application with access to the account, through one or more grants.
pub(crate) struct Application {
    pub(crate) client_id: String,
    pub(crate) name: String,
    /// The scope tokens of all its grants, in the order of the configured scope.
    pub(crate) scope: Vec<String>,
    pub(crate) first_granted_at: DateTime<Utc>,
    pub(crate) last_granted_at: DateTime<Utc>,
    /// The number of live grants: usually one a device.
    pub(crate) grants: usize,
}

impl Application {
    /// The applications of the signed-in user, the one with the newest grant first.
    async fn of_session(server: &Server, session: &Session) -> Result<Vec<Self>> {
        let subject = &session.sign_in.user.subject;
        Self::of_grants(server, server.storage.list_all_grants(subject).await?).await
    }

    /// Groups grants by client. The newest grant is first, in the list and among the applications.
    async fn of_grants(server: &Server, grants: Vec<Grant>) -> Result<Vec<Self>> {
        let mut applications: Vec<Self> = Vec::new();
        for grant in grants {
            let known = applications.iter_mut().find(|known| known.client_id == grant.client_id);
            if let Some(known) = known {
                known.scope.extend(grant.scope.iter().map(str::to_owned));
                known.first_granted_at = grant.granted_at;
                known.grants += 1;
                continue;
            }
            let client = server.storage.read_client(&grant.client_id).await?;
            let name = client.and_then(|client| client.metadata.details.client_name);
            applications.push(Self {
                name: name.unwrap_or_else(|| grant.client_id.clone()),
                scope: grant.scope.iter().map(str::to_owned).collect(),
                client_id: grant.client_id,
                first_granted_at: grant.granted_at,
                last_granted_at: grant.granted_at,
                grants: 1,
            });
        }
        let configured: Vec<_> = server.config.scope.iter().collect();
        for Self { scope, .. } in &mut applications {
            let place = |token: &str| configured.iter().position(|own| *own == token);
            scope.sort_by_cached_key(|token| (place(token), token.clone()));
            scope.dedup();
        }
        Ok(applications)
    }
}

pub(crate) async fn account(State(server): Shared, jar: CookieJar) -> PageResult {
    let Some(session) = server.sessions.find(&jar) else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    Ok(pages::account(&session, &Application::of_session(&server, &session).await?))
}

/// The query of the page that confirms the end of an application's access.
#[derive(Deserialize)]
pub(crate) struct DisconnectQuery {
    #[serde(default)]
    client_id: String,
}

pub(crate) async fn disconnect_page(
    State(server): Shared,
    jar: CookieJar,
    query: Result<OAuthQuery<DisconnectQuery>>,
) -> PageResult {
    let OAuthQuery(query) = query?;
    let Some(session) = server.sessions.find(&jar) else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let applications = Application::of_session(&server, &session).await?;
    let application = applications.iter().find(|own| own.client_id == query.client_id);
    Ok(match application {
        Some(application) => pages::disconnect(&session, application),
        None => Redirect::to("account").into_response(),
    })
}

/// Revokes every grant of the signed-in user for one application.
pub(crate) async fn disconnect(State(server): Shared, form: PageForm) -> PageResult<Redirect> {
    let subject = &form.session()?.sign_in.user.subject;
    server.storage.revoke_grants_of(subject, &form.fields.client_id).await?;
    Ok(Redirect::to("account"))
}

pub(crate) async fn sign_out(State(server): Shared, form: PageForm) -> PageResult<Redirect> {
    server.sessions.end(form.session()?);
    Ok(Redirect::to("sign-in"))
}
