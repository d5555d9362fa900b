//! Storage for an OAuth 2.0 / OpenID Connect authorization server, on PostgreSQL.
//!
//! You write the server, in any framework. This crate stores its clients, grants, tokens,
//! authorization codes, users, their sessions and consent, device authorizations and signing keys. [`Storage`] combines its traits; [`MemoryStorage`] is for tests.
#![cfg_attr(feature = "postgres", doc = "[`PgStorage`] is the storage on PostgreSQL.")]
#![cfg_attr(
    all(any(doc, doctest), feature = "jwt"),
    doc = "The [guide](crate::guide) shows the calls of each flow of a server."
)]
//!
//! ```
//! use oauth_storage::{
//!     AuthorizationCodeStorage, ClientMetadata, ClientRegistry, CodeRedemption, GrantStorage,
//!     MemoryStorage, NewAuthorizationCode, NewClient, RedemptionOutcome, RequestContext, Secret,
//!     User,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), oauth_storage::Error> {
//! let storage = MemoryStorage::new(); // or PgStorage::connect("postgres://…").await?
//! let uri = "https://client.example/cb";
//! let new = NewClient::new(ClientMetadata::authorization_code([uri]));
//! let client_id = storage.register_client(new).await?.client.client_id;
//!
//! // At the authorization endpoint, after Alice has consented.
//! let code = Secret::generate()?;
//! let new = NewAuthorizationCode::new(&client_id, "openid".parse()?, uri, code.clone());
//! storage.create_authorization_code(&RequestContext::for_user(User::new("alice")), new).await?;
//!
//! // At the token endpoint: one atomic exchange.
//! let redemption = CodeRedemption::new(&client_id, uri, code).with_refresh_token(true);
//! let outcome = storage.redeem_authorization_code(&RequestContext::default(), redemption).await?;
//! let RedemptionOutcome::Issued(issued) = outcome else { panic!("answer invalid_grant") };
//! assert_eq!(issued.token_response()["expires_in"], 3600);
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! | noun | nine methods | further methods |
//! | --- | --- | --- |
//! | client | [`ClientStorage`] | [`ClientRegistry`]: register, declare, read, list, update, disable, delete, purge, rotate the secret |
//! | token | [`TokenStorage`] | |
//! | authorization code | [`AuthorizationCodeStorage`] | |
//! | user | [`UserStorage`] | |
//! | ID token | [`IdTokenStorage`] | |
//! | grant | | [`GrantStorage`]: redeem, rotate, introspect, revoke, list, erase, purge |
//! | replay identifier | | [`ReplayStorage`]: claim (`jti` of assertions and DPoP proofs) |
//! | pushed request | | [`PushedRequestStorage`]: push, take (RFC 9126) |
//! | pending request | | [`PendingRequestStorage`]: suspend, find, change, resume |
//! | consent | | [`ConsentStorage`]: add, get, list, withdraw |
//! | device authorization | | [`DeviceAuthorizationStorage`]: start, find, approve, deny, poll (RFC 8628) |
//! | signing key | | [`SigningKeyStorage`]: list, add, rotate, revoke, re-encrypt |
//! | session of a user | | [`UserSessionStorage`]: start, find, reauthenticate, list, end |
//!
//! The nine methods are the storage interface of [aioauth](https://github.com/aliev/aioauth), for servers that are
//! ported from it. They do not prevent two concurrent requests from spending one credential twice: use
//! [`GrantStorage`] to exchange codes and refresh tokens.
//!
//! [`endpoint`] has what HTTP endpoints need, without a framework: parameters, client authentication,
//! responses, protected resources. The crate `oauth-storage-axum` has extractors for axum. [`backend`] is for other
//! storage implementations.
//!
//! # Errors
//!
//! The variants of [`Error`] say what to do next; [`Error::advice`] groups them. No error, no
//! `Debug` output and no trace contains a secret.
//!
//! # Features
//!
//! | feature | default | provides |
//! | --- | --- | --- |
//! | `postgres` | yes | `PgStorage` |
//! | `password` | no | `PgUsers` and chosen client secrets, as Argon2id hashes |
//! | `jwt` | no | `jwt::IdTokenSigner` (ES256), its JWK set, and keys that the storage keeps |
//! | `jwt-rs256` | no | RS256 as well, on AWS-LC, which needs a C compiler |
//! | `tls-rustls` | no | encrypted connections, through sqlx |
//!
//! [`MemoryStorage`] is always available, for the tests of applications.
#![cfg_attr(docsrs, feature(doc_cfg))]

// Compiles the examples of the README.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(any(doc, doctest), feature = "jwt"))]
#[doc = include_str!("guide.md")]
pub mod guide {}

#[macro_use]
mod macros;

pub mod authorization_code;
pub mod backend;
mod check;
pub mod client;
pub mod consent;
mod context;
pub mod device_authorization;
pub mod endpoint;
pub mod error;
pub mod grant;
pub mod id_token;
#[cfg(feature = "jwt")]
pub mod jwt;
mod memory;
#[cfg(feature = "password")]
mod password;
pub mod pending_request;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod pushed_request;
mod record;
mod redirect_uri;
pub mod replay;
mod request;
mod response_type;
mod scope;
mod secret;
mod settings;
pub mod signing_key;
mod storage;
pub mod token;
pub mod user;
pub mod user_session;

pub use authorization_code::{AuthorizationCodeStorage, NewAuthorizationCode};
pub use client::{ClientMetadata, ClientRegistry, ClientStorage, NewClient};
pub use consent::{ConsentStorage, ConsentStorageExt};
pub use device_authorization::DeviceAuthorizationStorage;
pub use error::Error;
pub use grant::{
    CodeRedemption, GrantStorage, GrantStorageExt, RedemptionOutcome, RotationOutcome,
    TokenRotation,
};
pub use id_token::IdTokenStorage;
pub use memory::{MemoryStorage, MemoryTransaction};
pub use pending_request::PendingRequestStorage;
#[cfg(feature = "postgres")]
pub use postgres::{PgStorage, PgTransaction};
pub use pushed_request::PushedRequestStorage;
pub use replay::ReplayStorage;
pub use request::RequestContext;
pub use response_type::ResponseType;
pub use scope::Scope;
pub use secret::Secret;
pub use settings::{Settings, UnknownScope};
pub use signing_key::SigningKeyStorage;
pub use storage::Storage;
pub use token::{NewToken, TokenPair, TokenRef, TokenStorage};
pub use user::{User, UserStorage};
pub use user_session::UserSessionStorage;
