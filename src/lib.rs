//! Storage for an OAuth 2.0 / OpenID Connect authorization server, on PostgreSQL.
//!
//! You write the server, in any framework. This crate stores its clients, grants, tokens, authorization
//! codes and users. `PgStorage` is the storage; [`Storage`] is its contract.
//!
//! ```
//! use oauth_storage::{
//!     AuthorizationCodeStorage, ClientMetadata, ClientRegistry, CodeRedemption, GrantStorage,
//!     MemoryStorage, NewAuthorizationCode, NewClient, RedemptionOutcome, Request, Secret, User,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> oauth_storage::Result<()> {
//! let storage = MemoryStorage::new(); // or PgStorage::connect("postgres://…").await?
//! let uri = "https://client.example/cb";
//! let new = NewClient::new(ClientMetadata::authorization_code([uri]));
//! let client_id = storage.register_client(new).await?.client.client_id;
//!
//! // At the authorization endpoint, when alice has said yes.
//! let code = Secret::generate()?;
//! let new = NewAuthorizationCode::new(&client_id, "openid".parse()?, uri, code.clone());
//! storage.create_authorization_code(&Request::for_user(User::new("alice")), new).await?;
//!
//! // At the token endpoint: one atomic act, whose outcome says who won.
//! let redemption = CodeRedemption::new(&client_id, uri, code).with_refresh_token(true);
//! let outcome = storage.redeem_authorization_code(&Request::default(), redemption).await?;
//! let RedemptionOutcome::Issued(issued) = outcome else { panic!("answer invalid_grant") };
//! assert_eq!(issued.token_response()["expires_in"], 3600);
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! | noun | nine methods | beside them |
//! | --- | --- | --- |
//! | client | [`ClientStorage`] | [`ClientRegistry`]: register, read, list, update, disable, delete, rotate the secret |
//! | token | [`TokenStorage`] | |
//! | authorization code | [`AuthorizationCodeStorage`] | |
//! | user | [`UserStorage`] | |
//! | ID token | [`IdTokenStorage`] | |
//! | grant | | [`GrantStorage`]: redeem, rotate, introspect, revoke, list, erase, purge |
//!
//! Use [`GrantStorage`] to exchange codes and refresh tokens. The nine methods are the compatible
//! interface; with them nothing prevents two concurrent requests from spending one credential twice.
//!
//! The guide (`oauth_storage::guide`, built with the feature `jwt`) goes through a server's flows one
//! by one, and says which method is called when.
//!
//! # Errors
//!
//! [`Error`] is sorted by what to do next, and [`Error::advice`] says it in a word. No error, no
//! `Debug` output and no trace carries a secret.
//!
//! # Features
//!
//! | feature | default | gives |
//! | --- | --- | --- |
//! | `postgres` | yes | `PgStorage` |
//! | `password` | no | `PgUsers`, and client secrets that people choose, as Argon2id |
//! | `jwt` | no | `jwt::IdTokenSigner` (ES256) and its JWK set |
//! | `conformance` | no | `conformance`, the suite that any storage can run |
//! | `tls-rustls` | no | encrypted connections, through sqlx |
//! | `metrics` | no | calls, errors, latency, queues and lanes, on the `metrics` facade |
//!
//! [`MemoryStorage`] is always there, for the tests of applications.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The README's example has to compile, too.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(any(doc, doctest), feature = "jwt"))]
#[doc = include_str!("guide.md")]
pub mod guide {}

mod client_authentication;
mod client_secret;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "jwt")]
pub mod jwt;
mod memory;
mod model;
#[cfg(feature = "password")]
mod password;
#[cfg(feature = "postgres")]
mod postgres;
mod request;
mod secret;
mod storage;

pub use client_authentication::ClientAuthentication;
pub use error::{Advice, Error, Problem, Result, SchemaProblem};
pub use memory::MemoryStorage;
pub use model::{
    AuthorizationCode, Client, ClientDetails, ClientMetadata, ClientSecret, CodeChallenge,
    CodeChallengeMethod, CodeRedemption, Grant, GrantContext, GrantPage, GrantState, GrantType,
    IssuedTokens, NewAuthorizationCode, NewClient, NewToken, Purged, RedemptionOutcome,
    RegisteredClient, ResponseType, RotationOutcome, Scope, Token, TokenEndpointAuthMethod,
    TokenKind, TokenPair, TokenRef, TokenRotation, TokenState, User,
};
#[cfg(feature = "metrics")]
pub use postgres::metrics;
#[cfg(feature = "password")]
#[cfg(feature = "postgres")]
pub use postgres::{NewUser, PgUsers};
#[cfg(feature = "postgres")]
pub use postgres::{PendingMigration, PgStorage, PgStorageBuilder, PgTransaction};
pub use request::{
    FormParameters, MAX_AUTHORIZATION_CODE_LIFETIME, MAX_LIFETIME, MAX_REFRESH_TOKEN_GRACE,
    QueryParameters, Request, Settings,
};
pub use secret::{Digest, MAX_CREDENTIAL_BYTES, Secret};
pub use storage::{
    AuthorizationCodeStorage, ClientRegistry, ClientStorage, GrantStorage, IdTokenStorage,
    NewIdToken, RotateClientSecret, Storage, TokenStorage, UserStorage, list_all_grants, purge,
};
