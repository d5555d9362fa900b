//! The contract: what an authorization server asks of its storage.
//!
//! Nine methods, grouped by noun, each given the [`Request`](crate::Request) it serves. [`Storage`] is their sum;
//! it is object-safe, so `Arc<dyn Storage>` works, and `Arc`, `Box` and references forward.
//!
//! | method | of trait |
//! | --- | --- |
//! | [`create_token`](TokenStorage::create_token), [`get_token`](TokenStorage::get_token), [`revoke_token`](TokenStorage::revoke_token) | [`TokenStorage`] |
//! | [`create_authorization_code`](AuthorizationCodeStorage::create_authorization_code), [`get_authorization_code`](AuthorizationCodeStorage::get_authorization_code), [`delete_authorization_code`](AuthorizationCodeStorage::delete_authorization_code) | [`AuthorizationCodeStorage`] |
//! | [`get_client`](ClientStorage::get_client) | [`ClientStorage`] |
//! | [`authenticate`](UserStorage::authenticate) | [`UserStorage`] |
//! | [`get_id_token`](IdTokenStorage::get_id_token) | [`IdTokenStorage`] |
//!
//! Beside them: [`ClientRegistry`], how clients come into the storage, and [`GrantStorage`], the
//! operations that cannot be spent twice. Prefer these where both serve.

/// Implements a trait for `Arc<T>`, `Box<T>` and `&T` by forwarding each method.
macro_rules! forward {
    ($trait:ident { $(fn $method:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $output:ty;)+ }) => {
        forward!(@for std::sync::Arc<T>, $trait { $(fn $method(&self $(, $arg: $type)*) -> $output;)+ });
        forward!(@for Box<T>, $trait { $(fn $method(&self $(, $arg: $type)*) -> $output;)+ });
        forward!(@for &T, $trait { $(fn $method(&self $(, $arg: $type)*) -> $output;)+ });
    };
    (@for $for:ty, $trait:ident { $(fn $method:ident(&self $(, $arg:ident: $type:ty)*) -> $output:ty;)+ }) => {
        #[async_trait::async_trait]
        impl<T: $trait + ?Sized> $trait for $for {
            $(async fn $method(&self $(, $arg: $type)*) -> $output {
                (**self).$method($($arg),*).await
            })+
        }
    };
}

mod authorization_code;
mod client;
mod grant;
mod id_token;
mod token;
mod user;

pub use authorization_code::AuthorizationCodeStorage;
pub(crate) use client::check_limit;
pub use client::{ClientRegistry, ClientStorage, RotateClientSecret};
pub(crate) use grant::check_batch;
pub use grant::{GrantStorage, list_all_grants, purge};
pub use id_token::{IdTokenStorage, NewIdToken};
pub use token::TokenStorage;
pub use user::UserStorage;

/// A whole storage: everything that an authorization server asks.
///
/// Implemented by whatever implements the parts.
pub trait Storage:
    ClientStorage
    + ClientRegistry
    + TokenStorage
    + AuthorizationCodeStorage
    + GrantStorage
    + UserStorage
    + IdTokenStorage
{
}

impl<T> Storage for T where
    T: ClientStorage
        + ClientRegistry
        + TokenStorage
        + AuthorizationCodeStorage
        + GrantStorage
        + UserStorage
        + IdTokenStorage
        + ?Sized
{
}
