//! An authorization server of oauth-as on PostgreSQL: the protocol is that of oauth-as, and this storage keeps
//! its records. The users and their passwords are those of oauth-storage, in the same database.
//!
//! `cargo run -p oauth-storage-oauth-as --example oauth_as_server` starts it on a throwaway database, or on that of
//! `DATABASE_URL`. A deployment has `SEALING_KEY` (`openssl rand -hex 32`), and TLS in front of it.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Form, Query, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Router, body};
use oauth_as::http::{ApprovalDecision, ApprovalRequest, Body, ServiceBuilder};
use oauth_as::rate_limit::{FixedWindowRateLimiter, RateLimitConfig};
use oauth_as::{
    AuthorizationServer, Client, ClientAuth, ClientId, GrantType, ScopeSet, SecretHash,
    ServerConfig, Storage as _,
};
use oauth_storage::postgres::NewUser;
use oauth_storage::{PgStorage, Secret, UserStorage as _};
use oauth_storage_oauth_as::{OauthAsStorage, SealingKey};
use tokio::net::TcpListener;

type Server = AuthorizationServer<OauthAsStorage>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bed = oauth_storage_testbed::shared().await?;
    let throwaway = match std::env::var("DATABASE_URL") {
        Ok(_) => None,
        Err(_) => Some(bed.database("server").await?),
    };
    let url = throwaway.as_ref().map_or_else(|| bed.url(), |database| database.url());
    let key = match std::env::var("SEALING_KEY") {
        Ok(key) => key.parse()?,
        Err(_) => SealingKey::generate()?,
    };
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(listener, url, key).await
}

/// Serves until the process ends.
pub(crate) async fn serve(
    listener: TcpListener,
    url: &str,
    key: SealingKey,
) -> Result<(), Box<dyn Error>> {
    let issuer = format!("http://{}", listener.local_addr()?);
    let database = PgStorage::builder().password_users().max_connections(16).connect(url).await?;
    database.migrate().await?;
    let storage = OauthAsStorage::new(&database, key);
    storage.migrate().await?;

    let mut config = ServerConfig::new(issuer.clone(), format!("{issuer}/device"));
    config.poll_interval = Duration::from_secs(1);
    let server = Arc::new(AuthorizationServer::new(config, storage).with_rate_limiter(Box::new(
        FixedWindowRateLimiter::with_config(RateLimitConfig::default()),
    )));
    provision(&server, &database).await?;
    tokio::spawn(sweep(Arc::clone(&server)));

    let sessions = Arc::new(Sessions { database, open: Mutex::default() });
    let [subject, approval, issue, consume] = [(); 4].map(|()| Arc::clone(&sessions));
    let service = ServiceBuilder::new(server)
        .with_subject_resolver(move |headers| subject.subject(headers))
        .with_approval_resolver(move |request| approval.decide(request))
        .with_csrf_tokens(
            move |headers| issue.issue_csrf(headers),
            move |headers| consume.take_csrf(headers),
        )
        .build()?;
    let router = Router::new()
        .route("/login", get(login_page).post(login))
        .route("/consent", axum::routing::post(consent))
        .with_state(sessions)
        .merge(Router::from(service));
    axum::serve(listener, router).await?;
    Ok(())
}

/// The clients and the user of the example. Every start declares them again.
async fn provision(server: &Server, database: &PgStorage) -> Result<(), Box<dyn Error>> {
    let client = |client_id: &str, auth, grant_types| Client {
        client_id: ClientId::new(client_id),
        auth,
        grant_types,
        redirect_uris: vec!["http://127.0.0.1:9000/cb".into()],
        allowed_scopes: ScopeSet::parse("read write").unwrap_or_default(),
        default_scopes: ScopeSet::parse("read").unwrap_or_default(),
        name: None,
        registration: None,
    };
    let app = vec![GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];
    server.register_client(client("app", ClientAuth::Public, app)).await?;
    let hash = SecretHash::sha256("a long and random secret");
    let auth = ClientAuth::ConfidentialSecretHash { hash };
    let service = vec![GrantType::ClientCredentials];
    server.register_client(client("service", auth, service)).await?;
    // It exists after the first start.
    let alice = NewUser::new("alice", "user-1", "correct horse battery staple");
    let _ = database.password_users().create(alice).await;
    Ok(())
}

/// Expired records stay until they are swept.
async fn sweep(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        if let Err(error) = server.store().sweep_expired(SystemTime::now()).await {
            eprintln!("the sweep failed and is retried in a minute: {error}");
        }
    }
}

/// Browser sessions. They are in memory, which suits one process.
struct Sessions {
    database: PgStorage,
    open: Mutex<HashMap<String, Session>>,
}

#[derive(Default)]
struct Session {
    subject: String,
    csrf: Option<String>,
    /// Authorization requests that the user has approved, by their path and query.
    approved: Vec<String>,
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, headers: &HeaderMap, act: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let cookies = headers.get(COOKIE)?.to_str().ok()?;
        let session = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="))?;
        self.open().get_mut(session).map(act)
    }

    fn subject(&self, headers: &HeaderMap) -> Option<String> {
        self.with(headers, |session| session.subject.clone())
    }

    fn issue_csrf(&self, headers: &HeaderMap) -> Option<String> {
        let token = random()?;
        self.with(headers, |session| session.csrf.insert(token).clone())
    }

    fn take_csrf(&self, headers: &HeaderMap) -> Option<String> {
        self.with(headers, |session| session.csrf.take()).flatten()
    }

    /// Approves the request if the user has, once. Otherwise asks.
    fn decide(&self, request: &ApprovalRequest<'_>) -> ApprovalDecision {
        let uri = request.uri.to_string();
        let approved = self.with(request.headers, |session| {
            let found = session.approved.iter().position(|approved| *approved == uri);
            found.map(|index| session.approved.swap_remove(index)).is_some()
        });
        match (approved, self.issue_csrf(request.headers)) {
            (Some(true), _) => ApprovalDecision::Approve,
            (Some(false), Some(csrf)) => {
                let client = escape(request.client_id.as_str());
                let (scope, uri) = (escape(&request.scope.to_string()), escape(&uri));
                let page = format!(
                    "<!doctype html><title>Consent</title><p>{client} asks for: {scope}</p>\
                     <form method=post action=/consent><input type=hidden name=csrf value={csrf}>\
                     <input type=hidden name=request value=\"{uri}\">\
                     <button name=answer value=allow>Allow</button>\
                     <button name=answer value=deny>Deny</button></form>"
                );
                let mut response = oauth_as::http::Response::new(Body::from(page));
                let html = axum::http::HeaderValue::from_static("text/html; charset=utf-8");
                response.headers_mut().insert("content-type", html);
                ApprovalDecision::Respond(Box::new(response))
            }
            _ => ApprovalDecision::Deny,
        }
    }
}

async fn login_page(Query(query): Query<HashMap<String, String>>) -> Html<String> {
    let next = escape(query.get("next").map_or("/", String::as_str));
    Html(format!(
        "<!doctype html><title>Sign in</title><form method=post><input name=username>\
         <input name=password type=password><input type=hidden name=next value=\"{next}\">\
         <button>Sign in</button></form>"
    ))
}

async fn login(
    State(sessions): State<Arc<Sessions>>,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let password = Secret::new(field("password"));
    let user = match sessions.database.authenticate(&field("username"), &password).await {
        Ok(Some(user)) => user,
        Ok(None) => return (StatusCode::UNAUTHORIZED, "wrong name or password").into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let Some(id) = random() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let cookie = format!("session={id}; HttpOnly; SameSite=Lax; Path=/");
    let session = Session { subject: user.subject, ..Session::default() };
    sessions.open().insert(id, session);
    ([(SET_COOKIE, cookie)], Redirect::to(local(&field("next")))).into_response()
}

async fn consent(
    State(sessions): State<Arc<Sessions>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response<body::Body> {
    let presented = form.get("csrf").map(|csrf| Secret::new(csrf.as_str()));
    let expected = sessions.take_csrf(&headers).map(Secret::new);
    if expected.is_none() || presented != expected {
        return (StatusCode::FORBIDDEN, "the form has expired").into_response();
    }
    let request = form.get("request").map_or("/", String::as_str);
    if form.get("answer").is_none_or(|answer| answer != "allow") {
        return "You have denied the request.".into_response();
    }
    sessions.with(&headers, |session| session.approved.push(request.into()));
    Redirect::to(local(request)).into_response()
}

/// The path, if it is one of this server.
fn local(path: &str) -> &str {
    let is_local = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    if is_local { path } else { "/" }
}

fn random() -> Option<String> {
    Secret::generate().ok().map(|secret| secret.expose().to_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\'', "&#39;")
}
