#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authorization;
mod bearer;
mod client;
mod error;
mod form;
mod purge;
mod require_scope;
mod response;
mod revoke;
mod state;

pub use authorization::{AuthorizationRequest, OAuthQuery};
pub use bearer::{Bearer, BearerForm};
pub use client::{ClientRequest, UnverifiedClientRequest};
pub use error::OAuthError;
pub use form::{MAX_FORM_BYTES, OAuthForm};
pub use purge::{Purge, PurgeTask};
pub use require_scope::{RequireScope, RequireScopeService};
pub use response::{IntrospectionResponse, RegistrationResponse, TokenResponse};
pub use revoke::revoke;
pub use state::OAuthState;
