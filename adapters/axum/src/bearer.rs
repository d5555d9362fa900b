use axum::extract::{FromRef, FromRequest, FromRequestParts, OptionalFromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use oauth_storage::Secret;
use oauth_storage::endpoint::{BearerError, ProtectedResource, bearer_token};
use oauth_storage::token::Token;
use serde::Deserialize;

use crate::form::{is_form, parse, read};
use crate::{OAuthError, OAuthState};

/// The access token of a request to a protected resource, in the header `Authorization` (RFC 6750 2.1). It is active.
///
/// With the feature `proofs`, and an [issuer](OAuthState::with_issuer), also a token that is bound to a key, with the
/// scheme `DPoP` and a proof (RFC 9449 7.1).
///
/// **This accepts an access token of any scope.** Require a scope with the layer
/// [`RequireScope`](crate::RequireScope) or with [`require_scope`](Self::require_scope).
///
/// `Option<Bearer>` is `None` for a request without a token. An invalid token is refused there as well.
///
/// ```
/// use oauth_storage_axum::{Bearer, OAuthError};
///
/// async fn notes(bearer: Bearer) -> Result<String, OAuthError> {
///     let user = bearer.require_scope("notes:read")?.subject()?;
///     Ok(format!("the notes of {user}"))
/// }
/// ```
///
/// # Errors
/// Responds with the challenges of RFC 6750 3: status 401 without an error code if there is no token, 401 and
/// `invalid_token` if it is not active, of another resource or bound to a key (see [`ProtectedResource::introspect`]),
/// 400 and `invalid_request` if the request has two tokens, and 503 with `Retry-After` if the storage is unavailable.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bearer {
    /// The record of the token.
    pub token: Token,
    state: OAuthState,
}

impl Bearer {
    /// Checks that the scope of the token contains all of `scope`.
    ///
    /// # Errors
    /// Returns `insufficient_scope` with status 403.
    pub fn require_scope(&self, scope: &str) -> Result<&Self, OAuthError> {
        match self.token.require_scope(scope) {
            Ok(()) => Ok(self),
            Err(error) => Err(refusal(self.state.resource(), error)),
        }
    }

    /// The resource owner.
    ///
    /// # Errors
    /// Returns `insufficient_scope` with status 403 for the token of a client that acts for itself, which has no
    /// resource owner (RFC 6749 4.4).
    pub fn subject(&self) -> Result<&str, OAuthError> {
        self.token.subject.as_deref().ok_or_else(|| {
            let error = BearerError::InsufficientScope { scope: String::new() };
            let challenge = self.state.resource().www_authenticate(&error);
            OAuthError::new("insufficient_scope", "the access token has no resource owner")
                .with_status(StatusCode::FORBIDDEN)
                .with_challenge(challenge)
        })
    }

    pub(crate) fn belongs_to(&self, state: &OAuthState) -> bool {
        self.state.is_same(state)
    }
}

/// The access token of a request that may have it in its form instead of the header (RFC 6750 2.2), such as that to
/// the userinfo endpoint (OpenID Connect Core 5.3.1). The body is read only if it is a form.
///
/// Accept it only at a `POST` route. A handler takes it as its last argument.
///
/// ```
/// use oauth_storage_axum::{BearerForm, OAuthError};
///
/// async fn userinfo(BearerForm(bearer): BearerForm) -> Result<String, OAuthError> {
///     Ok(bearer.require_scope("openid")?.subject()?.to_owned())
/// }
/// ```
///
/// # Errors
/// As [`Bearer`]; a form that is malformed is `invalid_request`.
#[derive(Debug, Clone)]
pub struct BearerForm(pub Bearer);

/// The parameters of [`BearerForm`], and of a query.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenParameter {
    access_token: Option<Secret>,
}

impl TokenParameter {
    fn given(self) -> Option<Secret> {
        self.access_token.filter(|token| !token.expose().is_empty())
    }
}

/// Finds the token of a request; `None` if it has none.
pub(crate) async fn authenticate(
    parts: &Parts,
    in_form: Option<Secret>,
    state: &OAuthState,
    resource: &ProtectedResource,
) -> Result<Option<Bearer>, OAuthError> {
    #[cfg(feature = "proofs")]
    if in_form.is_none()
        && let Some(token) = crate::proofs::bound_token(parts, state, resource).await?
    {
        return Ok(Some(Bearer { token, state: state.clone() }));
    }
    match bearer(parts, in_form, state, resource).await {
        Ok(found) => Ok(Some(found)),
        Err(BearerError::Missing) => Ok(None),
        Err(error) => Err(refusal(resource, error)),
    }
}

async fn bearer(
    parts: &Parts,
    in_form: Option<Secret>,
    state: &OAuthState,
    resource: &ProtectedResource,
) -> Result<Bearer, BearerError> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let header = headers.next().and_then(|header| header.to_str().ok());
    let in_header = bearer_token(header);
    // A token in a query would stay in logs (RFC 6750 5.3): it counts, and is not accepted.
    let query = parts.uri.query().unwrap_or_default();
    let in_query = parse::<TokenParameter>(query.as_bytes());
    let in_query = in_query.map_err(|_| BearerError::InvalidRequest)?.given();
    let tokens = [in_header.is_some(), in_form.is_some(), in_query.is_some()];
    // One method in each request (RFC 6750 2).
    if headers.next().is_some() || tokens.iter().filter(|given| **given).count() > 1 {
        return Err(BearerError::InvalidRequest);
    }
    let token = in_header.or(in_form).ok_or(BearerError::Missing)?;
    let token = resource.introspect(state.storage(), &token).await?;
    Ok(Bearer { token, state: state.clone() })
}

/// The response with the challenge of the resource.
pub(crate) fn refusal(resource: &ProtectedResource, error: BearerError) -> OAuthError {
    let challenge = resource.www_authenticate(&error);
    OAuthError::from(error).with_challenge(challenge)
}

impl<S: Send + Sync> FromRequestParts<S> for Bearer
where
    OAuthState: FromRef<S>,
{
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, OAuthError> {
        let bearer = <Self as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
        let missing = || refusal(OAuthState::from_ref(state).resource(), BearerError::Missing);
        bearer.await?.ok_or_else(missing)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Bearer
where
    OAuthState: FromRef<S>,
{
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, OAuthError> {
        let state = OAuthState::from_ref(state);
        // A layer may have found it already.
        if let Some(found) = parts.extensions.get::<Self>()
            && found.belongs_to(&state)
        {
            return Ok(Some(found.clone()));
        }
        authenticate(parts, None, &state, state.resource()).await
    }
}

impl<S: Send + Sync> FromRequest<S> for BearerForm
where
    OAuthState: FromRef<S>,
{
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, OAuthError> {
        let state = OAuthState::from_ref(state);
        let resource = state.resource();
        let (parts, body) = request.into_parts();
        let mut in_form = None;
        if is_form(&parts.headers) {
            let body = read(Request::from_parts(parts.clone(), body)).await;
            let form = body.and_then(|body| parse::<TokenParameter>(&body));
            let challenge = resource.www_authenticate(&BearerError::InvalidRequest);
            in_form = form.map_err(|error| error.with_challenge(challenge))?.given();
        }
        let found = authenticate(&parts, in_form, &state, resource).await?;
        found.map(Self).ok_or_else(|| refusal(resource, BearerError::Missing))
    }
}
