//! An authorization server on `oauth-storage`: small, whole, to be read and copied from.
//!
//! `cargo run --example authorization_server` needs nothing but Rust and PostgreSQL's programs: it
//! starts a database server of its own, or makes a database on the one that `DATABASE_URL` names.
//! What it stores, and the key that it signs with, is gone when it ends.

mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use oauth_storage::jwt::{IdTokenSigner, SigningKey};
use oauth_storage::{
    NewIdToken, NewUser, PgStorage, Request, ResponseType, Scope, Secret, Settings,
};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::server::{Config, Server};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const USAGE: &str = "\
cargo run --example authorization_server -- [OPTIONS]
  --port PORT    where to listen on 127.0.0.1; 8080
  --issuer URL   where it is reached from outside; http://127.0.0.1:PORT
  --implicit     send tokens through the browser, too
  --password     let clients ask for passwords";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).init();
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("authorization_server: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    port: u16,
    issuer: Option<String>,
    implicit: bool,
    password: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { port: 8080, issuer: None, implicit: false, password: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--port" => {
                    options.port =
                        value()?.parse().map_err(|_| "--port is a number up to 65535")?;
                }
                "--issuer" => options.issuer = Some(value()?.trim_end_matches('/').to_owned()),
                "--implicit" => options.implicit = true,
                "--password" => options.password = true,
                _ => return Err(format!("{argument} is no option")),
            }
        }
        Ok(options)
    }
}

async fn run(options: Options) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port))).await?;
    let address = listener.local_addr()?;
    let issuer = options.issuer.unwrap_or_else(|| format!("http://{address}"));

    let testbed = oauth_storage_testbed::Testbed::start().await?;
    println!("{testbed}");
    let database = testbed.database("authorization_server").await?;
    let signer = IdTokenSigner::new(&issuer, SigningKey::generate()?)?.with_claims(id_token_claims);
    let jwk_set = signer.jwk_set();
    let storage =
        PgStorage::builder().password_users().id_tokens(signer).connect(database.url()).await?;
    storage.migrate().await?;
    let alice = NewUser {
        username: "alice".into(),
        subject: "248289761001".into(),
        password: Secret::new("wonderland"),
    };
    storage.password_users().create(alice).await?;

    let config = Config {
        issuer: issuer.clone(),
        scope: "openid profile email api:read".parse()?,
        implicit: options.implicit,
        password: options.password,
        settings: Settings::default(),
        claims,
    };
    let router = Server::new(storage.clone(), jwk_set, config).router();
    println!("listening on http://{address}; Ctrl-C ends it");
    println!("  your applications   {issuer}/   (alice / wonderland)");
    println!("  discovery           {issuer}/.well-known/openid-configuration");
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            // Without a handler for Ctrl-C the process ends anyway.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;

    println!("\nended");
    storage.pool().close().await;
    database.close().await?;
    Ok(())
}

/// Where no access token is issued, there is no other way to tell (OpenID Connect Core 5.4).
fn id_token_claims(request: &Request, new: &NewIdToken<'_>) -> Map<String, Value> {
    match new.full_subject(request) {
        Some(subject) if new.response_type == ResponseType::ID_TOKEN => claims(subject, new.scope),
        _ => Map::new(),
    }
}

/// What is known of alice (OpenID Connect Core 5.1 and 5.4).
fn claims(_subject: &str, scope: &Scope) -> Map<String, Value> {
    let known = [("profile", "name", "Alice Liddell"), ("email", "email", "alice@example.com")];
    let granted = known.into_iter().filter(|(token, ..)| scope.contains(token));
    granted.map(|(_, name, value)| (name.to_owned(), value.into())).collect()
}
