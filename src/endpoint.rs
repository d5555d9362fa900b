//! HTTP endpoints: request parameters, client authentication, responses, protected resources.

mod authorization_response;
mod bearer;
mod client_authentication;
mod error_response;
mod parameters;
mod protected_resource;
mod response;

pub use authorization_response::AuthorizationResponse;
pub use bearer::{BearerError, bearer_token, require_scope};
pub use client_authentication::ClientAuthentication;
pub use error_response::ErrorResponse;
pub use parameters::{FormParameters, QueryParameters};
pub use protected_resource::ProtectedResource;
pub use response::introspection_response;
