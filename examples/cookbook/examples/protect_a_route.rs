//! A route that needs an access token with the scope `notes:read` (RFC 6750).
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Router, routing::get};
use oauth_storage::MemoryStorage;
use oauth_storage::endpoint::{BearerError, require_scope};
use tower::ServiceExt as _;

type Refusal = (StatusCode, Option<[(HeaderName, String); 1]>, ());

async fn notes(State(own): State<MemoryStorage>, headers: HeaderMap) -> Result<String, Refusal> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = require_scope(&own, header, "notes:read").await.map_err(|error: BearerError| {
        let challenge = error.www_authenticate().map(|value| [(WWW_AUTHENTICATE, value)]);
        (StatusCode::from_u16(error.http_status()).unwrap_or_default(), challenge, ())
    })?;
    Ok(format!("the notes of {:?}", token.subject)) // none for a client that acts for itself
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/notes", get(notes)).with_state(MemoryStorage::new());
    let request = Request::get("/notes").header(AUTHORIZATION, "Bearer x").body(Body::empty())?;
    let response = app.oneshot(request).await?;
    println!("{}, {:?}", response.status(), response.headers()[WWW_AUTHENTICATE]);
    Ok(())
}
