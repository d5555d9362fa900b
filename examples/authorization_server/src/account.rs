//! The account: connected applications and the end of their access, and the user's sessions.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use oauth_storage::ConsentStorageExt as _;
use oauth_storage::consent::ConnectedApplication;
use oauth_storage_axum::OAuthQuery;
use serde::Deserialize;

use super::error::{PageResult, Result};
use super::form::PageForm;
use super::session::Session;
use super::{Server, Shared, pages};

/// The sessions that the page shows.
const PAGE: usize = 100;

/// An application that the user has allowed something, or that has grants of the user.
pub(crate) struct Application {
    pub(crate) connected: ConnectedApplication,
    pub(crate) name: String,
}

impl Application {
    /// The applications of the signed-in user, their scope in the order of the configured one.
    async fn of_session(server: &Server, session: &Session) -> Result<Vec<Self>> {
        let configured: Vec<_> = server.config.scope.iter().collect();
        let mut applications = Vec::new();
        let subject = &session.record.subject;
        for mut connected in server.storage.list_connected_applications(subject).await? {
            let place = |token: &String| configured.iter().position(|own| own == token);
            connected.scope.sort_by_key(place);
            let client = server.storage.read_client(&connected.client_id).await?;
            let name = client.map(|client| client.display_name().to_owned());
            let name = name.unwrap_or_else(|| connected.client_id.clone());
            applications.push(Self { connected, name });
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
    let application = applications.iter().find(|own| own.connected.client_id == query.client_id);
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
