//! The parameters of requests.

use axum::body::Body;
use axum::http::{Request, header};
use axum::routing::{any, get};
use axum::{Json, Router};
use oauth_storage_axum::{MAX_FORM_BYTES, OAuthForm, OAuthQuery};
use serde::Deserialize;

use crate::support::{Answer, FORM, get as fetch, post, send};

#[derive(Deserialize)]
struct Parameters {
    name: String,
}

async fn form(OAuthForm(form): OAuthForm) -> String {
    form.scope.unwrap_or_default()
}

fn router() -> Router {
    Router::new()
        .route("/form", any(form))
        .route("/own", any(async |OAuthForm(form): OAuthForm<Parameters>| form.name))
        .route("/query", get(async |OAuthQuery(query): OAuthQuery| Json(query.scope)))
        .route("/optional", any(async |form: Option<OAuthForm>| format!("{}", form.is_some())))
}

async fn typed(content_type: Option<&str>, body: Body) -> Answer {
    let request = Request::post("/form");
    let request = content_type
        .into_iter()
        .fold(request, |request, value| request.header(header::CONTENT_TYPE, value));
    send(&router(), request.body(body).unwrap()).await
}

#[tokio::test]
async fn a_repeated_parameter_is_refused() {
    for form in ["scope=a&scope=b", "scope=a&scope=a", "scope=&scope="] {
        let answer = post(&router(), "/form", &[], form).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{form}");
        let answer = fetch(&router(), &format!("/query?{form}"), &[]).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{form}");
        assert_eq!(answer.json()["error_description"], "duplicate field `scope`");
    }
    assert_eq!(post(&router(), "/form", &[], "scope=a+b&unknown=x").await.body, "a b");
    assert_eq!(fetch(&router(), "/query?scope=a+b", &[]).await.body, "\"a b\"");
    assert_eq!(fetch(&router(), "/query", &[]).await.body, "null");
}

#[tokio::test]
async fn a_parameter_that_the_type_requires_is_named() {
    let answer = post(&router(), "/own", &[], "").await;
    assert_eq!(answer.error(), (400, "invalid_request".into()));
    assert_eq!(answer.json()["error_description"], "missing field `name`");
    assert_eq!(post(&router(), "/own", &[], "name=alice").await.body, "alice");
}

#[tokio::test]
async fn only_a_form_is_read() {
    let body = || Body::from("scope=a");
    for other in [None, Some("application/json"), Some("text/plain"), Some(""), Some("\u{e9}")] {
        let answer = typed(other, body()).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{other:?}");
    }
    for form in [FORM, "Application/X-WWW-Form-URLencoded ; charset=UTF-8"] {
        assert_eq!(typed(Some(form), body()).await.body, "a", "{form}");
    }
}

#[tokio::test]
async fn a_body_is_bounded() {
    let of = |bytes: usize| Body::from(format!("scope={}", "a".repeat(bytes - "scope=".len())));
    assert_eq!(typed(Some(FORM), of(MAX_FORM_BYTES)).await.status, 200);
    let answer = typed(Some(FORM), of(MAX_FORM_BYTES + 1)).await;
    assert_eq!(answer.error(), (413, "invalid_request".into()));
}

#[tokio::test]
async fn only_post_has_a_form() {
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let request = || {
            let request = Request::builder().method(method).uri("/form?scope=a");
            request.header(header::CONTENT_TYPE, FORM)
        };
        let answer = send(&router(), request().body(Body::from("scope=a")).unwrap()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{method}");
        let optional = request().uri("/optional").body(Body::empty()).unwrap();
        assert!(!send(&router(), optional).await.body.contains("true"), "{method}");
    }
    assert_eq!(post(&router(), "/optional", &[], "scope=a").await.body, "true");
    assert_eq!(post(&router(), "/optional", &[], "scope=a&scope=a").await.status, 400);
}
