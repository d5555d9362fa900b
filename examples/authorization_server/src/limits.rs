//! Rate limits of what strangers may do, for each client address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::{Result, too_many_requests};

const MINUTE: Duration = Duration::from_secs(60);

/// A number of attempts a minute, which refill one by one.
pub(crate) struct Limiter {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    cleaned_at: Mutex<Instant>,
}

impl Limiter {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_minute(per_minute));
        Self { limiter, cleaned_at: Mutex::new(Instant::now()) }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// Status 429 if the address has none left.
    pub(crate) fn check(&self, address: SocketAddr) -> Result<()> {
        self.clean();
        self.limiter
            .check_key(&network(address.ip()))
            .map_err(|until| too_many_requests(until.wait_time_from(DefaultClock::default().now())))
    }

    /// Drops the addresses that have all their attempts again.
    fn clean(&self) {
        let mut cleaned_at = self.cleaned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if cleaned_at.elapsed() < MINUTE {
            return;
        }
        *cleaned_at = Instant::now();
        drop(cleaned_at);
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
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
        let limiter = Limiter::new(NonZeroU32::new(2).unwrap());
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
        let limiter = Limiter::new(NonZeroU32::new(6_000).unwrap());
        for host in 0..100_u8 {
            limiter.check(SocketAddr::from(([192, 0, 2, host], 1))).unwrap();
        }
        assert_eq!(limiter.limiter.len(), 100);
        tokio::time::sleep(Duration::from_millis(30)).await;
        *limiter.cleaned_at.lock().unwrap() = Instant::now().checked_sub(MINUTE).unwrap();
        limiter.check(SocketAddr::from(([192, 0, 2, 200], 1))).unwrap();
        assert_eq!(limiter.limiter.len(), 1);
    }
}
