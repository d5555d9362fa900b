#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authorization;
#[cfg(feature = "backchannel-logout")]
mod backchannel_logout;
mod bearer;
mod client;
mod csrf;
mod error;
mod form;
mod introspect;
#[cfg(feature = "limits")]
mod limits;
mod logout;
#[cfg(feature = "proofs")]
mod proofs;
mod purge;
mod registration;
mod require_scope;
mod response;
mod revoke;
#[cfg(feature = "sessions")]
mod session;
mod state;

pub use authorization::{AuthorizationRequest, OAuthQuery};
#[cfg(feature = "backchannel-logout")]
pub use backchannel_logout::BackchannelLogout;
pub use bearer::{Bearer, BearerForm};
pub use client::{ClientRequest, UnverifiedClientRequest};
pub use csrf::is_same_origin;
pub use error::OAuthError;
pub use form::{MAX_FORM_BYTES, OAuthForm};
pub use introspect::{ResourceServer, introspect};
#[cfg(feature = "limits")]
pub use limits::AttemptLimit;
pub use logout::LogoutRequest;
#[cfg(feature = "proofs")]
pub use proofs::Dpop;
pub use purge::{Purge, PurgeTask};
pub use registration::Registration;
pub use require_scope::{RequireScope, RequireScopeService};
pub use response::{IntrospectionResponse, RegistrationResponse, TokenResponse};
pub use revoke::revoke;
#[cfg(feature = "sessions")]
pub use session::{BrowserSession, SessionCookie};
pub use state::OAuthState;
