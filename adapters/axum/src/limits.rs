use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use oauth_storage::backend::is_generated_client_secret;

use crate::{OAuthError, OAuthState, UnverifiedClientRequest};

const MINUTE: Duration = Duration::from_secs(60);

/// A limit of attempts per minute and client address: to sign in, to register, to guess a secret. An address regains its
/// attempts one at a time. A /64 network, which a single IPv6 customer has, counts as one address.
///
/// Each server counts for itself. Behind a proxy every request has the address of the proxy: limit the rates there.
///
/// ```
/// use std::num::NonZeroU32;
/// use oauth_storage_axum::AttemptLimit;
///
/// let limit = AttemptLimit::per_minute(NonZeroU32::MIN);
/// let address = "192.0.2.1:50000".parse()?;
/// assert!(limit.check(address).is_ok());
/// assert_eq!(limit.check(address).unwrap_err().status(), 429);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub struct AttemptLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    cleaned_at: Mutex<Option<Instant>>,
}

impl AttemptLimit {
    /// A limit of attempts for each address.
    #[must_use]
    pub fn per_minute(attempts: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_minute(attempts));
        Self { limiter, cleaned_at: Mutex::default() }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// Returns `temporarily_unavailable` with status 429 and `Retry-After` if the address has none left.
    pub fn check(&self, address: SocketAddr) -> Result<(), OAuthError> {
        self.clean();
        self.limiter.check_key(&network(address.ip())).map_err(|until| {
            let seconds = until.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
            let description = format!("Too many attempts. Please try again in {seconds} s.");
            OAuthError::new("temporarily_unavailable", description)
                .with_status(StatusCode::TOO_MANY_REQUESTS)
                .with_retry_after(seconds)
        })
    }

    /// Drops the addresses that have all their attempts again.
    fn clean(&self) {
        let mut cleaned_at = self.cleaned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if cleaned_at.is_some_and(|time| time.elapsed() < MINUTE) {
            return;
        }
        *cleaned_at = Some(Instant::now());
        drop(cleaned_at);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

impl fmt::Debug for AttemptLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptLimit").field("addresses", &self.limiter.len()).finish()
    }
}

/// The address of a request, if the server was made with `into_make_service_with_connect_info`.
pub(crate) fn address(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

/// Counts an attempt, if there is a limit. Without the address nothing is limited, so the operator is told.
pub(crate) fn check(
    limit: Option<&AttemptLimit>,
    address: Option<SocketAddr>,
) -> Result<(), OAuthError> {
    static IS_TOLD: Once = Once::new();
    match (limit, address) {
        (Some(limit), Some(address)) => limit.check(address),
        (Some(_), None) => {
            IS_TOLD.call_once(|| {
                tracing::error!(
                    "attempts are not limited: serve the router with into_make_service_with_connect_info"
                );
            });
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

impl OAuthState {
    /// Counts a secret that was not generated here: it costs as much as a password.
    pub(crate) fn check_secret(&self, request: &UnverifiedClientRequest) -> Result<(), OAuthError> {
        let secret = request.authentication.client_secret.as_ref();
        let is_guess = secret.is_some_and(|secret| !is_generated_client_secret(secret));
        if is_guess { check(self.secret_limit(), request.address) } else { Ok(()) }
    }
}

/// The address, or the /64 network that a single IPv6 customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_own_attempts() {
        let limiter = AttemptLimit::per_minute(NonZeroU32::new(2).unwrap());
        let check = |address: &str| limiter.check(address.parse().unwrap()).is_ok();
        assert!(check("192.0.2.1:1") && check("192.0.2.1:2"));
        assert!(!check("192.0.2.1:3") && !check("[::ffff:192.0.2.1]:4"));
        assert!(check("192.0.2.2:1"));
        assert!(check("[2001:db8::1]:1") && check("[2001:db8::2]:1") && !check("[2001:db8::3]:1"));
        assert!(check("[2001:db8:0:1::1]:1"));
    }

    #[tokio::test]
    async fn addresses_are_forgotten() {
        // An attempt comes back within 10 ms.
        let limiter = AttemptLimit::per_minute(NonZeroU32::new(6_000).unwrap());
        for host in 0..100_u8 {
            limiter.check(SocketAddr::from(([192, 0, 2, host], 1))).unwrap();
        }
        assert_eq!(limiter.limiter.len(), 100);
        tokio::time::sleep(Duration::from_millis(30)).await;
        *limiter.cleaned_at.lock().unwrap() = None;
        limiter.check(SocketAddr::from(([192, 0, 2, 200], 1))).unwrap();
        assert_eq!(limiter.limiter.len(), 1);
    }
}
