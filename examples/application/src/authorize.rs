//! The authorization endpoint (RFC 6749 4.1.1, RFC 7636 4.3): from a request to a code.

use axum::Form;
use axum::extract::{Query, State, rejection::FormRejection};
use axum::http::Method;
use axum::response::{IntoResponse as _, Redirect, Response};
use oauth_storage::endpoint::{AuthorizationResponse, QueryParameters};
use oauth_storage::{NewAuthorizationCode, RequestContext, Secret};

use crate::{App, HEADERS, ISSUER, Result, refuse};

/// The user's answer to the form. The request itself stays in the query.
#[derive(serde::Deserialize)]
pub(crate) struct Answer {
    username: String,
    password: Secret,
    decision: String,
}

pub(crate) async fn authorize(
    State(storage): App,
    method: Method,
    Query(query): Query<QueryParameters>,
    answer: Result<Form<Answer>, FormRejection>,
) -> Result<Response> {
    let context = RequestContext::default();
    // First the client and the redirect URI: no error may go to an address that is not registered.
    let id = query.client_id.as_deref().unwrap_or_default();
    let client = storage.get_client(&context, id, None).await?;
    let client = client.ok_or(refuse("invalid_request"))?;
    let redirect_uri = client.redirect_uri(query.redirect_uri.as_deref());
    let redirect_uri = redirect_uri.ok_or(refuse("invalid_request"))?;

    let outcome = async {
        query.parse_response_type(&client)?; // `code`, which is all that is registered
        let scope = client.requested_scope(query.scope.as_deref(), &context.settings)?;
        let challenge = query.parse_code_challenge(&client, &context.settings)?;
        // On GET an axum form is the query, which must not have credentials.
        let answer = answer.ok().filter(|_| method == Method::POST);
        let Some(Form(answer)) = answer else { return Ok(None) };
        if answer.decision != "allow" {
            return Err(refuse("access_denied"));
        }
        let user = storage.authenticate(&answer.username, &answer.password).await?;
        let Some(user) = user else { return Ok(None) };
        let code = Secret::generate()?;
        let new = NewAuthorizationCode::new(&client.client_id, scope, redirect_uri, code.clone());
        let new = new.with_code_challenge(challenge);
        storage.create_authorization_code(&RequestContext::for_user(user), new).await?;
        Ok(Some(code))
    };
    let response = match outcome.await {
        Ok(Some(code)) => AuthorizationResponse::code(&code),
        Ok(None) => {
            let scope = query.scope.as_deref().unwrap_or(client.metadata.scope.as_str());
            return Ok((HEADERS, page(client.display_name(), scope)).into_response());
        }
        Err(refusal) => AuthorizationResponse::error(refusal.0.code.unwrap_or_default()),
    };
    let response = response.with_state(query.state.as_deref()).with_issuer(ISSUER);
    Ok(Redirect::to(&response.redirect_to(redirect_uri)).into_response())
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
