//! A route that needs an access token with the scope `notes:read` (RFC 6750).
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::{Router, routing::get};
use oauth_storage::MemoryStorage;
use oauth_storage_axum::{Bearer, OAuthError, RequireScope};
use tower::ServiceExt as _;

async fn notes(bearer: Bearer) -> Result<String, OAuthError> {
    Ok(format!("the notes of {}", bearer.subject()?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let storage = MemoryStorage::new();
    let notes = get(notes).route_layer(RequireScope::new(&storage, "notes:read"));
    let app = Router::new().route("/notes", notes).with_state(storage);
    let request = Request::get("/notes").header(AUTHORIZATION, "Bearer x").body(Body::empty())?;
    let response = app.oneshot(request).await?;
    println!("{}, {:?}", response.status(), response.headers()[WWW_AUTHENTICATE]);
    Ok(())
}
