//! Requests a second at the token endpoint of oauth-as, on this storage and on its `MemoryStorage`:
//!
//! `cargo run --release -p oauth-storage-oauth-as --example bench [-- SECONDS]`
//!
//! It starts its own PostgreSQL, or uses that of `DATABASE_URL`. A code includes the authorization request.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oauth_as::server::UserApproval;
use oauth_as::{
    AuthorizationRequest, AuthorizationServer, Client, ClientAuth, ClientId, GrantType,
    MemoryStorage, ScopeSet, SecretHash, ServerConfig, Storage, StorageError, TokenRequest,
    TokenResponse,
};
use oauth_storage::PgStorage;
use oauth_storage_oauth_as::{OauthAsStorage, SealingKey};
use tokio::task::JoinSet;

const CALLERS: [usize; 2] = [1, 64];

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

#[derive(Clone, Copy)]
enum Flow {
    ClientCredentials,
    Code,
    Refresh,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(2.0), |seconds| seconds.parse())?;
    let time = Duration::from_secs_f64(seconds);
    let bed = oauth_storage_testbed::shared().await?;
    let throwaway = bed.database("bench").await?;
    let database = PgStorage::builder().max_connections(16).connect(throwaway.url()).await?;
    let storage = OauthAsStorage::new(&database, SealingKey::generate()?);
    storage.migrate().await?;

    let (memory, postgres) = (server(MemoryStorage::new()).await?, server(storage).await?);
    println!("{bed}, {seconds} s each; requests a second");
    println!("{:<20}{:>8}{:>12}{:>12}{:>8}", "", "callers", "memory", "postgres", "ratio");
    for (name, flow) in [
        ("client credentials", Flow::ClientCredentials),
        ("code", Flow::Code),
        ("refresh", Flow::Refresh),
    ] {
        for callers in CALLERS {
            let in_memory = run(&memory, flow, callers, time).await?;
            let on_postgres = run(&postgres, flow, callers, time).await?;
            let ratio = on_postgres / in_memory;
            println!("{name:<20}{callers:>8}{in_memory:>12.0}{on_postgres:>12.0}{ratio:>8.3}");
        }
    }
    Ok(())
}

async fn server<S: Storage>(storage: S) -> Result<Arc<AuthorizationServer<S>>, Box<dyn Error>> {
    let config = ServerConfig::new("https://issuer.example", "https://issuer.example/device");
    let server = AuthorizationServer::new(config, storage);
    let client = |client_id: &str, auth, grant_types| -> Result<Client, Box<dyn Error>> {
        Ok(Client {
            client_id: ClientId::new(client_id),
            auth,
            grant_types,
            redirect_uris: vec!["https://client.example/cb".into()],
            allowed_scopes: ScopeSet::parse("read")?,
            default_scopes: ScopeSet::parse("read")?,
            name: None,
            registration: None,
        })
    };
    let app = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
    server.register_client(client("app", ClientAuth::Public, app)?).await?;
    let auth = ClientAuth::ConfidentialSecretHash { hash: SecretHash::sha256("secret") };
    let service = vec![GrantType::ClientCredentials];
    server.register_client(client("service", auth, service)?).await?;
    Ok(Arc::new(server))
}

/// Runs a flow in concurrent callers for a time. Returns requests a second.
async fn run<S: Storage + 'static>(
    server: &Arc<AuthorizationServer<S>>,
    flow: Flow,
    callers: usize,
    time: Duration,
) -> Result<f64, Box<dyn Error>> {
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..callers {
        let (server, count) = (Arc::clone(server), Arc::clone(&count));
        tasks.spawn(async move {
            let mut refresh_token = match flow {
                Flow::Refresh => code(&server).await?.refresh_token.unwrap_or_default(),
                _ => String::new(),
            };
            while begin.elapsed() < time {
                match flow {
                    Flow::ClientCredentials => drop(client_credentials(&server).await?),
                    Flow::Code => drop(code(&server).await?),
                    Flow::Refresh => {
                        let tokens = refresh(&server, refresh_token).await?;
                        refresh_token = tokens.refresh_token.unwrap_or_default();
                    }
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), StorageError>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    #[allow(clippy::cast_precision_loss)]
    let count = count.load(Ordering::Relaxed) as f64;
    Ok(count / begin.elapsed().as_secs_f64())
}

fn failed(error: impl std::fmt::Debug) -> StorageError {
    StorageError::new(format!("{error:?}"))
}

async fn client_credentials<S: Storage>(
    server: &AuthorizationServer<S>,
) -> Result<TokenResponse, StorageError> {
    let request = TokenRequest::ClientCredentials {
        client_id: ClientId::new("service"),
        client_secret: Some("secret".into()),
        scope: None,
    };
    server.token(request).await.map_err(failed)
}

async fn code<S: Storage>(server: &AuthorizationServer<S>) -> Result<TokenResponse, StorageError> {
    let request = AuthorizationRequest::from_pairs([
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", "https://client.example/cb"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let validated = server.validate_authorization_request(&request).await.map_err(failed)?;
    let approval = UserApproval::granted(&validated, "alice");
    let code = server.issue_authorization_code(approval).await.map_err(failed)?.code;
    let request = TokenRequest::AuthorizationCode {
        client_id: ClientId::new("app"),
        client_secret: None,
        code,
        redirect_uri: Some("https://client.example/cb".into()),
        code_verifier: Some(VERIFIER.into()),
    };
    server.token(request).await.map_err(failed)
}

async fn refresh<S: Storage>(
    server: &AuthorizationServer<S>,
    refresh_token: String,
) -> Result<TokenResponse, StorageError> {
    let request = TokenRequest::RefreshToken {
        client_id: ClientId::new("app"),
        client_secret: None,
        refresh_token,
        scope: None,
    };
    server.token(request).await.map_err(failed)
}
