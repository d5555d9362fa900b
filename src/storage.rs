//! [`Storage`]: all traits in one.

use crate::authorization_code::AuthorizationCodeStorage;
use crate::client::{ClientRegistry, ClientStorage};
use crate::consent::ConsentStorage;
use crate::device_authorization::DeviceAuthorizationStorage;
use crate::grant::GrantStorage;
use crate::id_token::IdTokenStorage;
use crate::pending_request::PendingRequestStorage;
use crate::pushed_request::PushedRequestStorage;
use crate::replay::ReplayStorage;
use crate::signing_key::SigningKeyStorage;
use crate::token::TokenStorage;
use crate::user::UserStorage;
use crate::user_session::UserSessionStorage;

/// A complete storage: all traits together.
///
/// It is implemented for every type that implements the parts. It is object-safe, so `Arc<dyn Storage>`
/// works, and `Arc`, `Box` and references forward.
///
/// The nine methods:
///
/// | method | of trait |
/// | --- | --- |
/// | [`create_token`](TokenStorage::create_token), [`get_token`](TokenStorage::get_token), [`revoke_token`](TokenStorage::revoke_token) | [`TokenStorage`] |
/// | [`create_authorization_code`](AuthorizationCodeStorage::create_authorization_code), [`get_authorization_code`](AuthorizationCodeStorage::get_authorization_code), [`delete_authorization_code`](AuthorizationCodeStorage::delete_authorization_code) | [`AuthorizationCodeStorage`] |
/// | [`get_client`](ClientStorage::get_client) | [`ClientStorage`] |
/// | [`authenticate`](UserStorage::authenticate) | [`UserStorage`] |
/// | [`get_id_token`](IdTokenStorage::get_id_token) | [`IdTokenStorage`] |
///
/// In addition, [`ClientRegistry`] registers and manages clients, and [`GrantStorage`] has the
/// operations that spend a credential once. Prefer those to the nine methods where both apply. The
/// other traits are for what else a server stores; each is independent of the rest.
pub trait Storage:
    ClientStorage
    + ClientRegistry
    + TokenStorage
    + AuthorizationCodeStorage
    + GrantStorage
    + UserStorage
    + IdTokenStorage
    + ReplayStorage
    + PushedRequestStorage
    + PendingRequestStorage
    + DeviceAuthorizationStorage
    + ConsentStorage
    + SigningKeyStorage
    + UserSessionStorage
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
        + ReplayStorage
        + PushedRequestStorage
        + PendingRequestStorage
        + DeviceAuthorizationStorage
        + ConsentStorage
        + SigningKeyStorage
        + UserSessionStorage
        + ?Sized
{
}
