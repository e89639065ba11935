//! How many bytes of repetitions one receiver may have: as many as media went to it in a second, and always a little; but never more than a share
//! of what its way carries, since repetitions of what is lost for good would keep a full queue full.
//!
//! Without it a receiver that reports its whole window missing, again and again, multiplies what it costs. A share of 15 % would leave 6 % of all
//! packets unrepaired on a network that loses 20 %, no limit leaves 4 % (facts/str0m); with as many as there was media the two are the same.

use std::time::{Duration, Instant};

use crate::limits::REPEATED_BYTES_MIN;

/// Compared with what was sent in the current window or in the one before, whichever is more.
const WINDOW: Duration = Duration::from_secs(1);

/// At 20 % loss, a quarter of all that is sent are repetitions; half of the way leaves room for bursts.
const SHARE_PERCENT: u64 = 50;

/// Of one connection.
#[derive(Debug, Default)]
pub struct Repeats {
    /// Beginning of the current window.
    since: Option<Instant>,
    sent: u64,
    sent_before: u64,
    repeated: u64,
    /// Bytes that the way carries in a window, once it is known.
    way: Option<u64>,
}

impl Repeats {
    /// So many bytes of media went out.
    #[inline]
    pub fn on_sent(&mut self, bytes: u64, now: Instant) {
        self.turn(now);
        self.sent += bytes;
    }

    /// The way carries so many bits a second.
    pub fn set_way(&mut self, bps: u64) {
        self.way = Some(bps / 8 * WINDOW.as_secs());
    }

    /// So many bytes are asked for again. `false`: not now.
    pub fn admit(&mut self, bytes: u64, now: Instant) -> bool {
        self.turn(now);
        let most = self.sent.max(self.sent_before).max(REPEATED_BYTES_MIN);
        let most = self.way.map_or(most, |way| most.min(way * SHARE_PERCENT / 100));
        let fits = self.repeated + bytes <= most;
        if fits {
            self.repeated += bytes;
        }
        fits
    }

    #[inline]
    fn turn(&mut self, now: Instant) {
        let age = self.since.map_or(WINDOW * 2, |since| now.saturating_duration_since(since));
        if age >= WINDOW {
            self.sent_before = if age < WINDOW * 2 { self.sent } else { 0 };
            (self.since, self.sent, self.repeated) = (Some(now), 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_media_and_a_little_always() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut r = Repeats::default();
        let most = |r: &mut Repeats, now| (0..10_000).filter(|_| r.admit(1_000, now)).count();
        assert_eq!(most(&mut r, at(0)), 65);
        assert_eq!(most(&mut r, at(999)), 0);
        for ms in 1_000..3_000 {
            r.on_sent(200, at(ms));
        }
        assert_eq!(most(&mut r, at(3_000)), 200, "as many as in the second before");
        assert_eq!(most(&mut r, at(9_000)), 65, "nothing was sent for long");
    }
}
