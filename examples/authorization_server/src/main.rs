//! An authorization server on `oauth-storage`: small but complete, to read and to copy from.
//!
//! `cargo run -p authorization-server` needs only Rust and the PostgreSQL programs. It starts
//! its own database server, or creates a database on the one that `DATABASE_URL` names. Its data is gone when it
//! ends. With `--database` it uses a database that stays, as do other servers with the same `--issuer`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use authorization_server::Config;
use lexopt::prelude::*;
use oauth_storage::id_token::NewIdToken;
use oauth_storage::id_token::SigningAlgorithm::{ES256, RS256};
use oauth_storage::jwt::{KeyEncryption, KeyEncryptionKey, ManagedKeys};
use oauth_storage::postgres::NewUser;
use oauth_storage::{PgStorage, RequestContext, ResponseType, Scope, Secret, Settings};
use oauth_storage_axum::Purge;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const USAGE: &str = "\
cargo run -p authorization-server -- [OPTIONS]
  --port PORT    port on 127.0.0.1 (default: 8080)
  --issuer URL   URL for browsers and clients (default: http://127.0.0.1:PORT)
  --database URL use this database, and leave it there; the variable
                 KEY_ENCRYPTION_KEY (openssl rand -base64 32)
                 encrypts the signing keys in it
  --implicit     allow tokens in authorization responses
  --password     allow the password grant";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).init();
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    eprintln!("authorization_server: {error}");
    ExitCode::FAILURE
}

async fn run() -> Result<()> {
    let (mut port, mut issuer, mut implicit, mut password) = (8080, None, false, false);
    let mut url = None;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => port = arguments.value()?.parse()?,
            Long("issuer") => issuer = Some(arguments.value()?.string()?),
            Long("database") => url = Some(arguments.value()?.string()?),
            Long("implicit") => implicit = true,
            Long("password") => password = true,
            _ => return Err(format!("{}\n\n{USAGE}", argument.unexpected()).into()),
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    let issuer = issuer.unwrap_or_else(|| format!("http://{address}"));
    let issuer = issuer.trim_end_matches('/').to_owned();

    // ── A database, its schema, the signing keys, a storage ──────────────────────────────────
    let mut temporary = None;
    let url = match url {
        Some(url) => url,
        None => {
            let testbed = oauth_storage_testbed::Testbed::start().await?;
            println!("{testbed}");
            let database = testbed.database("authorization_server").await?;
            temporary.insert((testbed, database)).1.url().to_owned()
        }
    };
    let keys = PgStorage::connect(&url).await?;
    keys.migrate().await?;
    let keys = ManagedKeys::new(keys, &issuer, KeyEncryption::new(encryption_key()?))
        .with_algorithms([ES256, RS256]);
    let signer = Arc::new(keys.signer().await?.with_claims(id_token_claims));
    let storage = PgStorage::builder().password_users().id_tokens(Arc::clone(&signer));
    let storage = storage.connect(&url).await?;
    let alice = NewUser::new("alice", "248289761001", Secret::new("wonderland"));
    if let Err(error) = storage.password_users().create(alice).await {
        // Another server on the same database was first.
        println!("alice is not new: {error}");
    }
    let rotated = Arc::clone(&signer);
    let rotation = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_mins(10)).await;
            if let Err(error) = keys.update(&rotated).await {
                tracing::error!(%error, "the signing keys were not updated");
            }
        }
    });

    // ── The server ───────────────────────────────────────────────────────────────────────────
    let config = Config {
        issuer: issuer.clone(),
        scope: "openid profile email offline_access api:read".parse()?,
        implicit,
        password,
        settings: Settings::default(),
        claims,
        resource_servers: Vec::new(),
        attempts_per_minute: NonZeroU32::MIN.saturating_add(29),
    };
    let router = authorization_server::router(storage.clone(), signer, config)?;
    println!("listening on http://{address}; Ctrl-C ends it");
    println!("  your applications   {issuer}/   (alice / wonderland)");
    println!("  discovery           {issuer}/.well-known/openid-configuration");
    // Deletes expired rows, and clients that nobody has used for a month.
    let purge = Purge::every(Duration::from_mins(5))
        .with_unused_clients(Duration::from_hours(24 * 30))
        .spawn(storage.clone());
    let end = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(end).await?;

    rotation.abort();
    purge.stop().await;
    storage.close().await;
    if let Some((_testbed, database)) = temporary {
        database.close().await?;
    }
    println!("ended");
    Ok(())
}

/// The key that encrypts the signing keys, from the secrets of the deployment. The database of a demonstration ends
/// with it, so there a new one is enough.
fn encryption_key() -> Result<KeyEncryptionKey> {
    Ok(match std::env::var("KEY_ENCRYPTION_KEY") {
        Ok(key) => KeyEncryptionKey::from_base64(&key)?,
        Err(_) => {
            println!("no KEY_ENCRYPTION_KEY: only this process can use its signing keys");
            KeyEncryptionKey::generate()?
        }
    })
}

/// Claims for the ID token, only if no access token is issued: then the client cannot call the
/// userinfo endpoint (OpenID Connect Core 5.4).
fn id_token_claims(request: &RequestContext, new: &NewIdToken<'_>) -> Map<String, Value> {
    match new.full_subject(request) {
        Some(subject) if new.response_type == ResponseType::ID_TOKEN => claims(subject, new.scope),
        _ => Map::new(),
    }
}

/// The claims about alice, the only user (OpenID Connect Core 5.1 and 5.4).
fn claims(_subject: &str, scope: &Scope) -> Map<String, Value> {
    let known = [("profile", "name", "Alice Liddell"), ("email", "email", "alice@example.com")];
    let granted = known.into_iter().filter(|(token, ..)| scope.contains(token));
    granted.map(|(_, name, value)| (name.to_owned(), value.into())).collect()
}
