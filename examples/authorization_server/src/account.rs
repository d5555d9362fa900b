//! The account: connected applications and the end of their access, and the user's sessions.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use oauth_storage::{GrantStorageExt as _, Scope};
use oauth_storage_axum::OAuthQuery;
use serde::Deserialize;

use super::error::{PageResult, Result};
use super::form::PageForm;
use super::session::Session;
use super::{Server, Shared, pages};

/// The sessions that the page shows, and the consents of one call.
const PAGE: usize = 100;

/// An application that the user has allowed something, or that has grants of the user.
pub(crate) struct Application {
    pub(crate) client_id: String,
    pub(crate) name: String,
    /// The scope tokens of the consent and of the grants, in the order of the configured scope.
    pub(crate) scope: Vec<String>,
    pub(crate) since: DateTime<Utc>,
    pub(crate) last: DateTime<Utc>,
    /// The number of live grants: usually one a device.
    pub(crate) grants: usize,
}

impl Application {
    /// The applications of the signed-in user, the one with the newest consent or grant first.
    async fn of_session(server: &Server, session: &Session) -> Result<Vec<Self>> {
        let (subject, mut found) = (&session.record.subject, BTreeMap::new());
        let mut add = |client_id: &str, scope: &Scope, times: [DateTime<Utc>; 2], grants: usize| {
            let own = found.entry(client_id.to_owned()).or_insert_with(|| Self {
                client_id: client_id.to_owned(),
                name: client_id.to_owned(),
                scope: Vec::new(),
                since: times[0],
                last: times[1],
                grants: 0,
            });
            own.scope.extend(scope.iter().map(str::to_owned));
            own.since = own.since.min(times[0]);
            own.last = own.last.max(times[1]);
            own.grants += grants;
        };
        let mut after: Option<String> = None;
        loop {
            let page = server.storage.list_consents(subject, after.as_deref(), PAGE).await?;
            for own in &page {
                add(&own.client_id, &own.scope, [own.granted_at, own.updated_at], 0);
            }
            after = page.last().map(|consent| consent.client_id.clone());
            if page.len() < PAGE {
                break;
            }
        }
        for own in server.storage.list_all_grants(subject).await? {
            add(&own.client_id, &own.scope, [own.granted_at, own.granted_at], 1);
        }
        let mut applications: Vec<_> = found.into_values().collect();
        applications.sort_by_key(|own| Reverse(own.last));
        let configured: Vec<_> = server.config.scope.iter().collect();
        for own in &mut applications {
            if let Some(client) = server.storage.read_client(&own.client_id).await? {
                own.name = client.display_name().to_owned();
            }
            let place = |token: &str| configured.iter().position(|own| *own == token);
            own.scope.sort_by_cached_key(|token| (place(token), token.clone()));
            own.scope.dedup();
        }
        Ok(applications)
    }
}

pub(crate) async fn account(State(server): Shared, jar: CookieJar) -> PageResult {
    let Some(session) = server.session(&jar).await? else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let applications = Application::of_session(&server, &session).await?;
    let mut sessions = server.storage.list_sessions(&session.record.subject, None, PAGE).await?;
    // This one first.
    sessions.sessions.sort_by_key(|own| own.sid != session.record.sid);
    Ok(pages::account(&session, &applications, &sessions.sessions))
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
    let Some(session) = server.session(&jar).await? else {
        return Ok(Redirect::to("sign-in").into_response());
    };
    let applications = Application::of_session(&server, &session).await?;
    let application = applications.iter().find(|own| own.client_id == query.client_id);
    Ok(match application {
        Some(application) => pages::disconnect(&session, application),
        None => Redirect::to("account").into_response(),
    })
}

/// Withdraws the consent of the signed-in user for one application, and revokes every grant.
pub(crate) async fn disconnect(State(server): Shared, form: PageForm) -> PageResult<Redirect> {
    let (subject, client_id) = (&form.session()?.record.subject, &form.fields.client_id);
    let withdrawn = server.storage.withdraw_consent(subject, client_id).await?;
    tracing::info!(client_id, withdrawn.revoked_grants, "a user disconnected an application");
    Ok(Redirect::to("account"))
}
