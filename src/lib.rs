//! Storage for an OAuth 2.0 / OpenID Connect authorization server, on PostgreSQL.

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

pub use error::{Advice, Error, Problem, Result, SchemaProblem};
pub use memory::MemoryStorage;
pub use model::{
    AuthorizationCode, Client, ClientDetails, ClientMetadata, ClientSecret, CodeChallenge,
    CodeChallengeMethod, Grant, GrantContext, GrantType, NewAuthorizationCode, NewClient, NewToken,
    Purged, Redeem, Redeemed, RegisteredClient, ResponseType, Rotate, Rotated, Scope, Token,
    TokenEndpointAuthMethod, TokenKind, TokenRef, TokenState, User,
};
#[cfg(feature = "password")]
#[cfg(feature = "postgres")]
pub use postgres::{NewUser, PgUsers};
#[cfg(feature = "postgres")]
pub use postgres::{PendingMigration, PgStorage, PgStorageBuilder, PgTransaction};
pub use request::{
    Form, MAX_AUTHORIZATION_CODE_LIFETIME, MAX_LIFETIME, MAX_REFRESH_TOKEN_GRACE, Query, Request,
    Settings,
};
pub use secret::{Digest, MAX_CREDENTIAL_BYTES, Secret};
pub use storage::{
    AuthorizationCodeStorage, ClientRegistry, ClientStorage, GrantStorage, IdTokenStorage,
    NewIdToken, RotateClientSecret, Storage, TokenStorage, UserStorage, purge,
};
