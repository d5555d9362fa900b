use crate::check::check_client_id;
use crate::error::Result;
use crate::grant::IssuedTokens;
use crate::request::RequestContext;
use crate::secret::Secret;
use crate::token::TokenPair;

/// The token request of a device, for
/// [`poll_device_authorization`](super::DeviceAuthorizationStorage::poll_device_authorization).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DevicePoll {
    /// The client that presents the code, authenticated by the caller.
    pub client_id: String,
    /// The device code.
    pub device_code: Secret,
    /// True if the generated pair has a refresh token.
    pub refresh_token: bool,
    /// The tokens to issue; `None` to generate them.
    pub tokens: Option<TokenPair>,
}

impl DevicePoll {
    /// A poll for a generated access token.
    pub fn new(client_id: impl Into<String>, device_code: impl Into<Secret>) -> Self {
        Self {
            client_id: client_id.into(),
            device_code: device_code.into(),
            refresh_token: false,
            tokens: None,
        }
    }

    setters! {
        /// Sets whether a refresh token is generated.
        with_refresh_token(refresh_token: bool) => refresh_token;
        /// Sets the tokens to issue, such as JWTs, instead of generated ones.
        with_tokens(tokens: impl Into<Option<TokenPair>>) => tokens.into();
    }

    /// Checks the settings and the given tokens. The presented values are not checked, because an invalid
    /// one is an outcome and not an error. For storage implementations.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`](crate::Error::Invalid), which names the field.
    pub fn check(&self, request: &RequestContext) -> Result<()> {
        request.settings.check()?;
        self.tokens.as_ref().map_or(Ok(()), |tokens| tokens.check(self.device_code.grant_id()))
    }

    /// Returns the given tokens after [`check`](Self::check), or generated ones. For storage
    /// implementations.
    ///
    /// # Errors
    /// See [`check`](Self::check).
    pub fn tokens_to_issue(&self, request: &RequestContext) -> Result<TokenPair> {
        self.check(request)?;
        match &self.tokens {
            Some(tokens) => Ok(tokens.clone()),
            None => TokenPair::generate_after(&self.device_code, self.refresh_token),
        }
    }

    /// Returns true if both values can be what they are presented as. For storage implementations.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.device_code.is_well_formed() && check_client_id(&self.client_id).is_ok()
    }
}

/// The outcome of a poll. [`DevicePollOutcome::error`] is the error code of the response.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum DevicePollOutcome {
    /// The user has not decided. Answer `authorization_pending`.
    Pending,
    /// The user has not decided, and the interval between two polls was not kept. From now on it is
    /// five seconds longer. Answer `slow_down`.
    SlowDown,
    /// The user denied the request. Answer `access_denied`.
    Denied,
    /// The device code has expired. Answer `expired_token`.
    Expired,
    /// The user approved, and the tokens are stored. No other poll gets any.
    Issued(Box<IssuedTokens>),
    /// The device code is unknown, used or of another client, its grant was revoked, or the client is
    /// disabled. Answer `invalid_grant`.
    Invalid,
}

impl DevicePollOutcome {
    /// The error code of the response (RFC 8628 3.5); `None` if the tokens were issued.
    #[must_use]
    pub const fn error(&self) -> Option<&'static str> {
        match self {
            Self::Pending => Some("authorization_pending"),
            Self::SlowDown => Some("slow_down"),
            Self::Denied => Some("access_denied"),
            Self::Expired => Some("expired_token"),
            Self::Invalid => Some("invalid_grant"),
            Self::Issued(_) => None,
        }
    }

    /// The tokens; `None` for any other outcome.
    #[must_use]
    pub fn issued(self) -> Option<IssuedTokens> {
        match self {
            Self::Issued(issued) => Some(*issued),
            _ => None,
        }
    }
}
