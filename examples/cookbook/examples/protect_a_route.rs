//! A route that needs an access token with the scope `notes:read` (RFC 6750).
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header::AUTHORIZATION};
use axum::{Router, routing::get};
use oauth_storage::MemoryStorage;
use oauth_storage::endpoint::{BearerError, authorize};
use tower::ServiceExt as _;

async fn notes(
    State(storage): State<MemoryStorage>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorize(&storage, header, "notes:read").await;
    // A whole response has error.www_authenticate() as well.
    let status = |error: BearerError| StatusCode::from_u16(error.status()).unwrap_or_default();
    let token = token.map_err(status)?;
    Ok(format!("the notes of {}", token.subject.unwrap_or_default()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().route("/notes", get(notes)).with_state(MemoryStorage::new());
    let request = Request::get("/notes").header(AUTHORIZATION, "Bearer x").body(Body::empty())?;
    println!("{}", app.oneshot(request).await?.status());
    Ok(())
}
