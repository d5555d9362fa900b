//! The caller's clock, as the database keeps it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970. A time beyond the range (the years 1677 to 2262) becomes its end.
pub(crate) fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_keep_their_order_and_their_nanoseconds() {
        let century = Duration::from_secs(100 * 366 * 24 * 3600);
        let times = [
            UNIX_EPOCH - 4 * century,
            UNIX_EPOCH - Duration::from_nanos(1),
            UNIX_EPOCH,
            UNIX_EPOCH + Duration::from_nanos(1),
            UNIX_EPOCH + century,
            UNIX_EPOCH + 9 * century,
        ];
        let nanos = times.map(nanoseconds);
        assert!(nanos.is_sorted_by(|a, b| a < b), "{nanos:?}");
        assert_eq!(nanos[1..4], [-1, 0, 1]);
        assert_eq!((nanos[0], nanos[5]), (i64::MIN, i64::MAX));
    }
}
