//! Replacing connections to a server that refuses writes.
//!
//! After a failover a new connection may reach the new primary. But where every server refuses
//! writes, each refused write would open a connection. So connections are replaced in rounds, with
//! longer and longer pauses between them; within a pause the old connection answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The first and the longest pause between rounds. Each is twice the one before.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Time without a refused write after which the pauses begin anew.
const CALM: Duration = Duration::from_secs(10);

/// Limits how often connections are replaced because the server refused a write.
#[derive(Debug)]
pub(super) struct Standby {
    /// The number of connections, each of which may be replaced once in a round.
    connections: u32,
    round: Mutex<Option<Round>>,
}

#[derive(Debug)]
struct Round {
    from: Instant,
    pause: Duration,
    replaced: u32,
    refused: Instant,
}

impl Standby {
    pub(super) const fn new(connections: u32) -> Self {
        Self { connections, round: Mutex::new(None) }
    }

    /// Returns true if the connection whose write was refused is to be replaced.
    pub(super) fn replaces(&self) -> bool {
        self.replaces_at(Instant::now())
    }

    fn replaces_at(&self, now: Instant) -> bool {
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match &*round {
            Some(round) if now < round.refused + CALM => {
                (now >= round.from + round.pause).then(|| PAUSE.1.min(round.pause * 2))
            }
            _ => Some(PAUSE.0),
        };
        if let Some(pause) = next {
            *round = Some(Round { from: now, pause, replaced: 0, refused: now });
        }
        round.as_mut().is_some_and(|round| {
            round.refused = now;
            let replaces = round.replaced < self.connections;
            round.replaced += u32::from(replaces);
            replaces
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_replaced_once_in_a_round() {
        let standby = Standby::new(2);
        let mut now = Instant::now();
        let refused = |calls: usize, now| (0..calls).filter(|_| standby.replaces_at(now)).count();
        assert_eq!(refused(100, now), 2);
        now += PAUSE.0;
        assert_eq!(refused(100, now), 2);
        now += PAUSE.0;
        assert_eq!(refused(100, now), 0, "the second pause is longer");
        // 30 seconds of refused writes: rounds of 0.1, 0.2 ... 2 seconds.
        let mut replaced = 0;
        for _ in 0..3_000 {
            now += Duration::from_millis(10);
            replaced += refused(3, now);
        }
        assert!((30..=50).contains(&replaced), "{replaced}");
        now += CALM;
        assert_eq!(refused(100, now), 2);
        now += PAUSE.0;
        assert_eq!(refused(100, now), 2, "the pauses begin anew");
    }
}
