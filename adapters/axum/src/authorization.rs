use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::response::Redirect;
use oauth_storage::client::Client;
use oauth_storage::endpoint::{AuthorizationResponse, QueryParameters};
use oauth_storage::{NewAuthorizationCode, RequestContext, ResponseType, Secret, Settings};
use serde::de::DeserializeOwned;

use crate::form::parse;
use crate::{OAuthError, OAuthState};

const PLAIN: &str = "send plain parameters";

/// The parameters of a query (RFC 6749 3.1).
///
/// # Errors
/// Responds with `invalid_request` if a parameter that the type knows is repeated, or one that it requires is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct OAuthQuery<T = QueryParameters>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for OAuthQuery<T> {
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OAuthError> {
        parse(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

/// An authorization request whose client and redirect URI are known (RFC 6749 4.1.1). Every later error redirects to
/// the client.
///
/// ```
/// use axum::extract::State;
/// use axum::response::Redirect;
/// use oauth_storage::endpoint::AuthorizationResponse;
/// use oauth_storage::{AuthorizationCodeStorage, MemoryStorage, RequestContext, Settings, User};
/// use oauth_storage_axum::{AuthorizationRequest, OAuthError};
///
/// /// Alice has signed in and has agreed. A real server asks first.
/// async fn authorize(
///     State(storage): State<MemoryStorage>,
///     request: AuthorizationRequest,
/// ) -> Redirect {
///     let outcome = async {
///         let new = request.authorization_code(&Settings::default())?;
///         let response = AuthorizationResponse::code(&new.code);
///         let alice = RequestContext::for_user(User::new("alice"));
///         storage.create_authorization_code(&alice, new).await?;
///         Ok(request.redirect(response))
///     };
///     outcome.await.unwrap_or_else(|error: OAuthError| request.redirect_error(&error))
/// }
/// ```
///
/// # Errors
/// Responds with `invalid_request` if the client or the redirect URI is unknown, because no error may be sent to an
/// address that is not registered (RFC 6749 4.1.2.1). To show a page, take `Result<AuthorizationRequest, OAuthError>`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuthorizationRequest {
    /// The client.
    pub client: Client,
    /// The redirect URI, which the client has registered.
    pub redirect_uri: String,
    /// The parameters, of which only the client and the redirect URI are checked.
    pub query: QueryParameters,
    issuer: Option<String>,
}

impl AuthorizationRequest {
    /// Checks the request and returns the code to store when the user has agreed, with the scope, the PKCE challenge
    /// and the nonce of the request. Call it before the user is asked.
    ///
    /// # Errors
    /// Returns the error to redirect with if the response type is not `code`, the scope is not registered, the
    /// challenge is missing or invalid, or the request is in a form that this crate does not read: a `response_mode`
    /// other than `query`, `request` or `request_uri`.
    pub fn authorization_code(
        &self,
        settings: &Settings,
    ) -> Result<NewAuthorizationCode, OAuthError> {
        let Self { client, query, .. } = self;
        if query.request.is_some() {
            return Err(OAuthError::new("request_not_supported", PLAIN));
        }
        if query.request_uri.is_some() {
            return Err(OAuthError::new("request_uri_not_supported", PLAIN));
        }
        if query.parse_response_type(client)? != ResponseType::CODE {
            let description = "the response type is code";
            return Err(OAuthError::new("unsupported_response_type", description));
        }
        if query.response_mode.as_ref().is_some_and(|mode| mode != "query") {
            return Err(OAuthError::invalid_request("the response_mode is query"));
        }
        let scope = client.requested_scope(query.scope.as_deref(), settings)?;
        let challenge = query.parse_code_challenge(client, settings)?;
        let (client_id, code) = (client.client_id.as_str(), Secret::generate()?);
        let new = NewAuthorizationCode::new(client_id, scope, self.redirect_uri.as_str(), code);
        Ok(new.with_code_challenge(challenge).with_nonce(query.nonce.clone()))
    }

    /// Redirects to the client with the response, the `state` of the request and, if it is set, the
    /// [issuer](OAuthState::with_issuer).
    pub fn redirect(&self, response: AuthorizationResponse) -> Redirect {
        let response = response.with_state(self.query.state.as_deref());
        let response = match &self.issuer {
            Some(issuer) => response.with_issuer(issuer),
            None => response,
        };
        Redirect::to(&response.redirect_to(&self.redirect_uri))
    }

    /// Redirects to the client with the error, as [`redirect`](Self::redirect) (RFC 6749 4.1.2.1).
    pub fn redirect_error(&self, error: &OAuthError) -> Redirect {
        let response = AuthorizationResponse::error(error.code().unwrap_or("server_error"));
        self.redirect(response.with_description(error.description()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AuthorizationRequest
where
    OAuthState: FromRef<S>,
{
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, OAuthError> {
        let OAuthQuery(query) =
            OAuthQuery::<QueryParameters>::from_request_parts(parts, state).await?;
        let state = OAuthState::from_ref(state);
        let client_id =
            query.client_id.as_deref().ok_or_else(|| OAuthError::missing("client_id"))?;
        let client =
            state.storage().get_client(&RequestContext::default(), client_id, None).await?;
        let client = client.ok_or_else(|| OAuthError::invalid_request("unknown client"))?;
        let redirect_uri = client.redirect_uri(query.redirect_uri.as_deref()).map(str::to_owned);
        let unknown = || OAuthError::invalid_request("the redirect_uri is not registered");
        let redirect_uri = redirect_uri.ok_or_else(unknown)?;
        Ok(Self { client, redirect_uri, query, issuer: state.issuer().map(str::to_owned) })
    }
}
