//! An authorization server with the code flow, and the API that it protects.

use std::{sync::Arc, time::Duration};

use axum::response::{Html, IntoResponse, Response};
use axum::{Router, extract::State, routing::get, routing::post};
use oauth_storage::{endpoint::AuthorizationResponse, *};
use oauth_storage_axum::*;

const PAGE: &str = "<form method=post><input name=username> <input name=password type=password>
    <button>Sign in, and show my notes to the application</button></form>";

async fn authorize(
    State(storage): State<Arc<dyn Storage>>,
    request: AuthorizationRequest, // its client and its redirect URI are registered
    form: Option<OAuthForm>,       // None for GET
) -> Response {
    let outcome = async {
        let new = request.authorization_code(&Settings::default())?; // checks the rest
        let page = Html(PAGE).into_response();
        let Some(OAuthForm(form)) = form else { return Ok(page) };
        let (name, password) =
            (form.username.unwrap_or_default(), form.password.unwrap_or_default());
        let Some(user) = storage.authenticate(&name, &password).await? else { return Ok(page) };
        let response = AuthorizationResponse::code(&new.code);
        storage.create_authorization_code(&RequestContext::for_user(user), new).await?;
        Ok(request.redirect(response).into_response())
    };
    outcome.await.unwrap_or_else(|error| request.redirect_error(&error).into_response())
}

async fn token(
    State(storage): State<Arc<dyn Storage>>,
    request: ClientRequest, // its client is authenticated
) -> Result<TokenResponse, OAuthError> {
    Ok(request.exchange(&storage, &RequestContext::default()).await?.into())
}

async fn notes(bearer: Bearer) -> Result<String, OAuthError> {
    Ok(format!("the notes of {}\n", bearer.subject()?))
}

pub(crate) fn router(storage: impl Storage + 'static) -> Router {
    let state = OAuthState::new(storage).with_issuer("http://127.0.0.1:8080");
    Router::new()
        .route("/authorize", get(authorize).post(authorize))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/notes", get(notes).route_layer(RequireScope::new(&state, "notes:read")))
        .with_state(state)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Or PgStorage::builder().password_users().connect("postgres://…").await?, then migrate().
    let storage = MemoryStorage::new().with_user("alice", "wonderland", User::new("1"));
    let metadata = ClientMetadata::authorization_code(["http://127.0.0.1:8081/callback"]);
    let metadata = metadata.with_scope("notes:read".parse()?).public();
    storage.ensure_client(NewClient::new(metadata).with_client_id("notes")).await?;

    let purge = Purge::every(Duration::from_mins(5)).spawn(storage.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    let end = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    axum::serve(listener, router(storage)).with_graceful_shutdown(end).await?;
    purge.stop().await;
    Ok(())
}
