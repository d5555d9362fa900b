use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::header;
use oauth_storage::client::{Client, ClientStorage, GrantType};
use oauth_storage::device_authorization::NewDeviceAuthorization;
use oauth_storage::endpoint::{ClientAuthentication, FormParameters};
use oauth_storage::grant::IssuedTokens;
use oauth_storage::{DeviceAuthorizationStorage, GrantStorage, RequestContext, Settings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::form::{parse, read};
use crate::{OAuthError, OAuthState};

/// The authenticated client of a token, introspection or revocation request, and the form of the request
/// (RFC 6749 2.3).
///
/// A client authenticates with the method that it has registered: `client_secret_basic`, `client_secret_post`,
/// `none`, or with the feature `proofs` and an [issuer](OAuthState::with_issuer) `private_key_jwt` with ES256, whose
/// request also names the `client_id`. **A public client (`none`) proves nothing**: refuse it with
/// [`require_secret`](Self::require_secret) where a secret is needed, as at an introspection endpoint.
///
/// ```
/// use axum::extract::State;
/// use oauth_storage::{MemoryStorage, RequestContext};
/// use oauth_storage_axum::{ClientRequest, OAuthError, TokenResponse};
///
/// async fn token(
///     State(storage): State<MemoryStorage>,
///     request: ClientRequest,
/// ) -> Result<TokenResponse, OAuthError> {
///     Ok(request.exchange(&storage, &RequestContext::default()).await?.into())
/// }
/// ```
///
/// # Errors
/// Responds with `invalid_client`, status 401 and a challenge if the client is unknown or disabled, its secret is wrong
/// or its method is not the registered one; with `invalid_request` if it authenticates twice; and with the errors of
/// [`OAuthForm`](crate::OAuthForm).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientRequest {
    /// The client.
    pub client: Client,
    /// The parameters.
    pub form: FormParameters,
    body: Body,
}

/// A request whose client is not authenticated yet. Use it in place of [`ClientRequest`] to check something first,
/// such as a rate limit for wrong secrets.
///
/// ```
/// use axum::extract::State;
/// use oauth_storage::MemoryStorage;
/// use oauth_storage_axum::{OAuthError, UnverifiedClientRequest};
///
/// async fn token(
///     State(storage): State<MemoryStorage>,
///     request: UnverifiedClientRequest,
/// ) -> Result<String, OAuthError> {
///     println!("{} tries to authenticate", request.authentication.client_id);
///     Ok(request.verify(&storage).await?.client.client_id)
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UnverifiedClientRequest {
    /// The client authentication.
    pub authentication: ClientAuthentication,
    /// The parameters.
    pub form: FormParameters,
    body: Body,
    #[cfg(feature = "limits")]
    pub(crate) address: Option<std::net::SocketAddr>,
}

/// A form, which has secrets.
#[derive(Clone)]
struct Body(Bytes);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl UnverifiedClientRequest {
    /// Parses the form as another type, for parameters that [`FormParameters`] does not have.
    ///
    /// # Errors
    /// Returns `invalid_request` as [`OAuthForm`](crate::OAuthForm).
    pub fn parse_form<T: DeserializeOwned>(&self) -> Result<T, OAuthError> {
        parse(&self.body.0)
    }

    /// The request of a client that you have authenticated yourself, such as by an assertion (RFC 7523). **This
    /// checks nothing.**
    #[must_use]
    pub fn authenticated(self, client: Client) -> ClientRequest {
        ClientRequest { client, form: self.form, body: self.body }
    }

    /// Authenticates the client as [`ClientRequest`] does: with the limit for wrong secrets, by an assertion or by a
    /// secret.
    ///
    /// # Errors
    /// As [`ClientRequest`].
    pub async fn authenticate(self, state: &OAuthState) -> Result<ClientRequest, OAuthError> {
        #[cfg(feature = "limits")]
        state.check_secret(&self)?;
        #[cfg(feature = "proofs")]
        if let (None, Some(issuer)) = (&self.authentication.client_secret, state.issuer()) {
            let assertion: crate::proofs::Assertion = self.parse_form()?;
            if assertion.is_given() {
                let client_id = &self.authentication.client_id;
                let client = assertion.verify(state.storage(), issuer, client_id).await?;
                return Ok(self.authenticated(client));
            }
        }
        self.verify(state.storage()).await
    }

    /// Authenticates the client by its secret, or a public one by its identifier. If the request uses another method than
    /// the client has registered, which is the usual mistake, the description of the error says so.
    ///
    /// # Errors
    /// Returns `invalid_client` as described at [`ClientRequest`], or the error of the storage.
    pub async fn verify<S: ClientStorage + ?Sized>(
        self,
        storage: &S,
    ) -> Result<ClientRequest, OAuthError> {
        let Self { authentication: own, form, body, .. } = self;
        if let Some(client) = own.verify(storage).await? {
            return Ok(ClientRequest { client, form, body });
        }
        let context = RequestContext::default();
        let client = storage.get_client(&context, &own.client_id, None).await?;
        let expected = client.map(|client| client.metadata.token_endpoint_auth_method);
        Err(match expected.filter(|expected| *expected != own.method) {
            Some(expected) => {
                let description = format!("this client authenticates with {expected}");
                OAuthError::new("invalid_client", description)
            }
            None => OAuthError::invalid_client(),
        })
    }
}

impl ClientRequest {
    /// Checks that the client has authenticated with a secret (RFC 7662 2.1).
    ///
    /// # Errors
    /// Returns `invalid_client` for a public client.
    pub fn require_secret(&self) -> Result<(), OAuthError> {
        if self.client.is_public() {
            return Err(OAuthError::new("invalid_client", "a public client may not do this"));
        }
        Ok(())
    }

    /// Parses the form as another type, for parameters that [`FormParameters`] does not have.
    ///
    /// # Errors
    /// Returns `invalid_request` as [`OAuthForm`](crate::OAuthForm).
    pub fn parse_form<T: DeserializeOwned>(&self) -> Result<T, OAuthError> {
        parse(&self.body.0)
    }

    /// Starts a device authorization and returns the body of the response (RFC 8628 3.1 and 3.2). The user types the code
    /// at the verification URI.
    ///
    /// # Errors
    /// Returns `unauthorized_client` if the client has not registered the grant type, `invalid_scope` for a scope that
    /// it may not have, or the error of the storage.
    pub async fn start_device<S: DeviceAuthorizationStorage + ?Sized>(
        &self,
        storage: &S,
        settings: &Settings,
        verification_uri: &str,
    ) -> Result<Map<String, Value>, OAuthError> {
        if !self.client.allows_grant_type(GrantType::DeviceCode) {
            let description = "register the grant type of devices";
            return Err(OAuthError::new("unauthorized_client", description));
        }
        let scope = self.client.requested_scope(self.form.scope.as_deref(), settings)?;
        let new = NewDeviceAuthorization::new(&self.client.client_id, scope);
        let device = storage.start_device_authorization(new).await?;
        Ok(device.response_body(verification_uri)?)
    }

    /// The parameters of a pushed authorization request (RFC 9126 2.1), without those that authenticate the client.
    /// Check them as those of the authorization endpoint, and store them with
    /// [`push_request`](oauth_storage::PushedRequestStorage::push_request).
    ///
    /// # Errors
    /// Returns `invalid_request` if a parameter is repeated, or if there is a `request_uri`.
    pub fn pushed_parameters(&self) -> Result<Map<String, Value>, OAuthError> {
        let mut pushed = Map::new();
        for (name, value) in self.parse_form::<Vec<(String, String)>>()? {
            if pushed.insert(name, value.into()).is_some() {
                return Err(OAuthError::invalid_request("a parameter is repeated"));
            }
        }
        if pushed.contains_key("request_uri") {
            return Err(OAuthError::invalid_request("a pushed request has no request_uri"));
        }
        for name in ["client_secret", "client_assertion", "client_assertion_type"] {
            pushed.remove(name);
        }
        pushed.insert("client_id".into(), self.client.client_id.as_str().into());
        Ok(pushed)
    }

    /// Exchanges the code, the refresh token or the device code of a token request for tokens (RFC 6749 4.1.3 and 6, RFC
    /// 8628 3.4).
    ///
    /// # Errors
    /// Returns `invalid_grant` if the credential is unknown, expired or used, or another client's;
    /// `authorization_pending`, `slow_down`, `access_denied` or `expired_token` for a device code;
    /// `unauthorized_client` for a grant type that the client has not registered; `unsupported_grant_type` for one
    /// that is not among the three; `invalid_request` if a parameter is missing; or the error of the storage.
    pub async fn exchange<S: GrantStorage + DeviceAuthorizationStorage + ?Sized>(
        self,
        storage: &S,
        context: &RequestContext,
    ) -> Result<IssuedTokens, OAuthError> {
        let Self { client, form, .. } = self;
        let issued = match form.parse_grant_type(&client)? {
            GrantType::AuthorizationCode => {
                let redemption = form.code_redemption(&client)?;
                storage.redeem_authorization_code(context, redemption).await?.issued()
            }
            GrantType::RefreshToken => {
                let rotation = form.token_rotation(&client)?;
                storage.rotate_refresh_token(context, rotation).await?.issued()
            }
            GrantType::DeviceCode => {
                let poll = form.device_poll(&client)?;
                let outcome = storage.poll_device_authorization(context, poll).await?;
                if let Some(code) = outcome.error() {
                    return Err(OAuthError::new(code, "no tokens yet, or none any more"));
                }
                outcome.issued()
            }
            _ => {
                let description = "this is not a grant type of this server";
                return Err(OAuthError::new("unsupported_grant_type", description));
            }
        };
        // The response is the same for a replay, which has revoked the grant.
        issued.ok_or_else(OAuthError::invalid_grant)
    }
}

impl<S: Send + Sync> FromRequest<S> for UnverifiedClientRequest {
    type Rejection = OAuthError;

    async fn from_request(request: Request, _: &S) -> Result<Self, OAuthError> {
        let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
        // A header that cannot be read must not count as absent.
        let authorization =
            headers.next().map(|value| value.to_str().unwrap_or_default().to_owned());
        if headers.next().is_some() {
            return Err(OAuthError::invalid_request("more than one Authorization header"));
        }
        #[cfg(feature = "limits")]
        let address = crate::limits::address(&request);
        let body = read(request).await?;
        let form: FormParameters = parse(&body)?;
        let found = ClientAuthentication::from_request(authorization.as_deref(), &form)?;
        let authentication = found.ok_or_else(OAuthError::invalid_client)?;
        Ok(Self {
            authentication,
            form,
            body: Body(body),
            #[cfg(feature = "limits")]
            address,
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for ClientRequest
where
    OAuthState: FromRef<S>,
{
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthError> {
        let request = UnverifiedClientRequest::from_request(request, state).await?;
        request.authenticate(&OAuthState::from_ref(state)).await
    }
}
