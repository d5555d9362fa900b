//! S14: wrong and unknown credentials take the same time.
//!
//! The absence of a difference proves something only if a difference would have been found. So each
//! round times three calls in turn: a known one, an unknown one, and an unknown one with a planted
//! delay. The planted delay must be found under the same noise; the real difference must not.

use std::time::{Duration, Instant};

use oauth_storage::client::ClientSecret;
use oauth_storage::postgres::NewUser;
use oauth_storage::{
    ClientMetadata, ClientRegistry as _, ClientStorage as _, NewClient, RequestContext, Secret,
    UserStorage as _,
};

use crate::support::{TestStorage, secret};

/// The largest allowed difference and the planted one, as shares of the whole call.
#[derive(Clone, Copy)]
struct Bounds {
    limit: f64,
    planted: f64,
}

/// Bounds for calls that consist mostly of Argon2.
const HASHED: Bounds = Bounds { limit: 0.05, planted: 0.2 };
/// Bounds for calls that are little more than a round trip, where a debug build decodes the row of a
/// known client. The time reveals that the client exists, which is no secret (RFC 6749 2.2).
const LOOKUP: Bounds = Bounds { limit: 0.5, planted: 0.8 };

/// Rounds before the first comparison.
const ROUNDS: usize = 40;
/// The time limit of the comparisons.
const PATIENCE: Duration = Duration::from_mins(2);

/// The difference of the durations of two calls: bounds of the median of the differences, as shares of
/// a whole call.
#[derive(Debug, Clone, Copy)]
struct Difference {
    low: f64,
    high: f64,
}

impl Difference {
    /// Computes the bounds by the sign test, which assumes nothing about the distribution: of `n` sorted
    /// differences the median is within `1.96 * sqrt(n)` ranks of the middle, in 9999 of 10000 cases.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn of(left: &[f64], right: &[f64]) -> Self {
        let mut differences: Vec<f64> = left.iter().zip(right).map(|(l, r)| l - r).collect();
        differences.sort_by(f64::total_cmp);
        let (count, whole) = (differences.len() as f64, median(right));
        let reach = 1.96 * count.sqrt();
        let rank = |rank: f64| differences[rank.clamp(0.0, count - 1.0) as usize] / whole;
        Self { low: rank(count / 2.0 - reach), high: rank(count / 2.0 + reach) }
    }

    /// Returns true if the difference certainly exceeds the limit.
    fn exceeds(self, limit: f64) -> bool {
        self.low > limit || self.high < -limit
    }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn timed(call: &mut impl AsyncFnMut(), delay: f64) -> f64 {
    let started = Instant::now();
    call().await;
    let delay = Instant::now() + Duration::from_secs_f64(delay);
    while Instant::now() < delay {
        std::hint::spin_loop();
    }
    started.elapsed().as_secs_f64()
}

/// Compares until the planted delay is found, or [`PATIENCE`] ends.
async fn assert_alike(
    what: &str,
    bounds: Bounds,
    mut known: impl AsyncFnMut(),
    mut unknown: impl AsyncFnMut(),
) {
    for _ in 0..3 {
        known().await;
        unknown().await;
    }
    let began = Instant::now();
    let (mut knowns, mut unknowns, mut delayed) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        for _ in 0..ROUNDS {
            let delay = if unknowns.is_empty() { 0.0 } else { bounds.planted * median(&unknowns) };
            // Each call follows each of the others equally often.
            match knowns.len() % 3 {
                0 => {
                    knowns.push(timed(&mut known, 0.0).await);
                    unknowns.push(timed(&mut unknown, 0.0).await);
                    delayed.push(timed(&mut unknown, delay).await);
                }
                1 => {
                    delayed.push(timed(&mut unknown, delay).await);
                    knowns.push(timed(&mut known, 0.0).await);
                    unknowns.push(timed(&mut unknown, 0.0).await);
                }
                _ => {
                    unknowns.push(timed(&mut unknown, 0.0).await);
                    delayed.push(timed(&mut unknown, delay).await);
                    knowns.push(timed(&mut known, 0.0).await);
                }
            }
        }
        let planted = Difference::of(&delayed, &unknowns);
        let found = Difference::of(&knowns, &unknowns);
        println!("{what}: {} rounds, {found:.3?}, planted {planted:.3?}", knowns.len());
        assert!(
            !found.exceeds(bounds.limit),
            "{what}: the known takes a different time: {found:?}"
        );
        if planted.exceeds(bounds.limit) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: too noisy: {planted:?}");
    }
}

#[tokio::test]
async fn s14_unknown_takes_as_long_as_wrong() {
    let test = TestStorage::new("s14").await;
    let (generated_id, generated) = test.client().await;
    let chosen = NewClient::new(ClientMetadata::client_credentials())
        .with_client_id("chosen")
        .with_client_secret(ClientSecret::Chosen(Secret::new("correct horse battery")));
    test.storage.register_client(chosen).await.unwrap();
    let user = NewUser::new("alice", "alice", Secret::new("wonderland"));
    test.storage.password_users().create(user).await.unwrap();

    let request = RequestContext::default();
    let refused = async |client_id: &str, secret: &Secret| {
        let found = test.storage.get_client(&request, client_id, Some(secret)).await.unwrap();
        assert!(found.is_none());
    };
    // A generated secret has a known length and prefix.
    let looks_generated = Secret::new(format!("{}{}", &generated.expose()[..4], secret().expose()));
    let looks_chosen = Secret::new("correct horse staple");
    for (what, bounds, presented, known) in [
        ("generated form, generated client", LOOKUP, &looks_generated, generated_id.as_str()),
        ("generated form, chosen client", LOOKUP, &looks_generated, "chosen"),
        ("chosen form, chosen client", HASHED, &looks_chosen, "chosen"),
        ("chosen form, generated client", HASHED, &looks_chosen, generated_id.as_str()),
    ] {
        let known = async || refused(known, presented).await;
        assert_alike(what, bounds, known, async || refused("unknown", presented).await).await;
    }

    let login = async |username: &str| {
        let password = Secret::new("looking-glass");
        assert!(test.storage.authenticate(username, &password).await.unwrap().is_none());
    };
    let (known, unknown) = (async || login("alice").await, async || login("nobody").await);
    assert_alike("users", HASHED, known, unknown).await;
}

/// The comparison finds a difference if there is one, and none otherwise.
#[test]
fn a_difference_is_found_if_there_is_one() {
    // Noise of half the duration, with outliers.
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let share = f64::from(state >> 8) / f64::from(1 << 24);
        if share > 0.98 { 20.0 } else { share / 2.0 }
    };
    let mut times = |whole: f64| (0..2000).map(|_| whole + noise()).collect::<Vec<_>>();
    let (left, right, longer) = (times(1.0), times(1.0), times(1.2));
    assert!(!Difference::of(&left, &right).exceeds(0.05));
    assert!(Difference::of(&longer, &right).exceeds(0.05));
    assert!(Difference::of(&right, &longer).exceeds(0.05));
}
