//! Device authorization (RFC 8628): its endpoint, and the page at which the user types the code.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Redirect};
use axum_extra::extract::CookieJar;
use oauth_storage::client::Client;
use oauth_storage::device_authorization::{
    DeviceApproval, PendingDeviceAuthorization, UserCodeLookup, UserCodeOutcome,
};
use oauth_storage_axum::{ClientRequest, OAuthQuery};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::error::{PageResult, Result};
use super::form::PageForm;
use super::{Shared, digest, pages};

/// The attempts of a user to type a code (RFC 8628 5.1). A code that is found counts twice: when it is shown
/// and when it is allowed.
const ATTEMPTS: u32 = 20;
const WINDOW: Duration = Duration::from_mins(10);

pub(crate) async fn authorize(
    State(server): Shared,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    asked: ClientRequest,
) -> Result<Json<Map<String, Value>>> {
    server.requests.check(address)?;
    let uri = format!("{}/device", server.config.issuer);
    Ok(Json(asked.start_device(&server.storage, &server.config.settings, &uri).await?))
}

#[derive(Deserialize)]
pub(crate) struct DeviceQuery {
    #[serde(default)]
    user_code: String,
}

/// The address of a page of the device flow, with the code.
pub(crate) fn url(page: &str, user_code: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    format!("{page}?{}", query.append_pair("user_code", user_code).finish())
}

/// Asks for the code, also where the address has it: a link alone must not use up the attempts of a user.
pub(crate) async fn get(
    State(server): Shared,
    jar: CookieJar,
    query: Result<OAuthQuery<DeviceQuery>>,
) -> PageResult {
    let OAuthQuery(DeviceQuery { user_code }) = query?;
    Ok(match server.session(&jar).await? {
        Some(session) => pages::device(&session, &user_code, None),
        None => Redirect::to(&url("sign-in", &user_code)).into_response(),
    })
}

/// The request of a device, as the page shows it.
pub(crate) struct DeviceRequest {
    pub(crate) client: Client,
    pub(crate) pending: PendingDeviceAuthorization,
    pub(crate) user_code: String,
}

impl DeviceRequest {
    /// A digest of what the page shows.
    pub(crate) fn shown(&self) -> String {
        digest(&[&self.pending.client_id, self.pending.scope.as_str(), self.client.display_name()])
    }
}

/// Shows what a code is for, or takes the decision of the user.
pub(crate) async fn post(State(server): Shared, form: PageForm) -> PageResult {
    let session = form.session()?;
    let user_code = form.fields.user_code.clone().unwrap_or_default();
    let lookup =
        UserCodeLookup::new(&user_code).with_limit(&session.record.subject, ATTEMPTS, WINDOW);
    let again = |problem| Ok(pages::device(session, &user_code, Some(problem)));
    let pending = match server.storage.find_device_authorization(lookup).await? {
        UserCodeOutcome::Found(pending) => *pending,
        UserCodeOutcome::Unknown => return again("This code is wrong, used or too old."),
        UserCodeOutcome::Limited => return again("Too many attempts. Please try again later."),
    };
    let client = server.storage.get_client(&server.request(None), &pending.client_id, None).await?;
    let Some(client) = client else { return again("The application is no longer known.") };
    let device = DeviceRequest { client, pending, user_code: user_code.clone() };
    let DeviceRequest { pending, .. } = &device;
    let is_done = match form.fields.decision.as_str() {
        "deny" => server.storage.deny_device_authorization(&user_code, pending.grant_id).await?,
        "allow" if form.fields.shown == device.shown() => {
            let user = session.record.user();
            let (subject, scope) = (&session.record.subject, &pending.scope);
            server.storage.add_consent(subject, &pending.client_id, scope).await?;
            let approval = DeviceApproval::new(&user_code, pending, scope.clone());
            let request = server.request(Some(user));
            server.storage.approve_device_authorization(&request, approval).await?
        }
        _ => return Ok(pages::device_consent(session, &device)),
    };
    if is_done {
        return Ok(pages::device_done(session, form.fields.decision == "allow"));
    }
    again("This code is wrong, used or too old.")
}
