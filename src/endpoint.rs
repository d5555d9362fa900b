//! HTTP endpoints: request parameters, client authentication, response bodies.

mod client_authentication;
mod parameters;
mod response;

pub use client_authentication::ClientAuthentication;
pub use parameters::{FormParameters, QueryParameters};
