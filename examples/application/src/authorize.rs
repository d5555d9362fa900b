//! The authorization endpoint (RFC 6749 4.1.1, RFC 7636 4.3): from a request to a code.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use oauth_storage::endpoint::AuthorizationResponse;
use oauth_storage::{RequestContext, Secret, Settings};
use oauth_storage_axum::{AuthorizationRequest, OAuthError, OAuthForm};

use crate::{App, HEADERS};

/// The user's answer to the form. The request itself stays in the query.
#[derive(serde::Deserialize)]
pub(crate) struct Answer {
    username: String,
    password: Secret,
    decision: String,
}

pub(crate) async fn authorize(
    State(storage): App,
    request: AuthorizationRequest,
    answer: Option<OAuthForm<Answer>>,
) -> Response {
    let outcome = async {
        let new = request.authorization_code(&Settings::default())?;
        let page = page(request.client.display_name(), new.scope.as_str());
        let page = (HEADERS, page).into_response();
        let Some(OAuthForm(answer)) = answer else { return Ok(page) };
        if answer.decision != "allow" {
            return Err(OAuthError::new("access_denied", "the user refused"));
        }
        let user = storage.authenticate(&answer.username, &answer.password).await?;
        let Some(user) = user else { return Ok(page) };
        let response = AuthorizationResponse::code(&new.code);
        storage.create_authorization_code(&RequestContext::for_user(user), new).await?;
        Ok(request.redirect(response).into_response())
    };
    outcome.await.unwrap_or_else(|error| request.redirect_error(&error).into_response())
}

/// The page to sign in and to agree, with every value escaped.
fn page(client: &str, scope: &str) -> maud::Markup {
    maud::html! {
        (maud::DOCTYPE)
        p { "Sign in to give " strong { (client) } " access to " strong { (scope) } "." }
        // Without an action, a browser posts to the URL of the page, query included.
        form method="post" {
            input name="username" placeholder="Username" required;
            input name="password" placeholder="Password" type="password" required;
            button name="decision" value="allow" { "Allow" }
            button name="decision" value="deny" formnovalidate { "Cancel" }
        }
    }
}
