//! How many bytes of repetitions one receiver may have: as many as media went to it in a second, and always a little; but never more than a share
//! of what its way carries, and that not all at once.
//!
//! Without the first a receiver that reports its whole window missing, again and again, multiplies what it costs. A share of 15 % would leave 6 % of
//! all packets unrepaired on a network that loses 20 %, no limit leaves 4 % (facts/str0m); with as many as there was media the two are the same.
//! Without the second a queue that overflowed is kept full by repetitions of what was in it.

use std::time::{Duration, Instant};

use crate::limits::REPEATED_BYTES_MIN;
use crate::rate::{Bucket, Rate};

/// Compared with what was sent in the current window or in the one before, whichever is more.
const WINDOW: Duration = Duration::from_secs(1);
/// At 20 % loss a quarter of all that is sent are repetitions, and two fifths where each goes out twice.
const SHARE: f64 = 0.4;
/// Seconds of that share that may go at once: where nothing came for 300 ms, as much is asked for.
const AT_ONCE: f64 = 0.6;
/// While a queue is there they would only make it longer.
const AT_ONCE_IN_QUEUE: f64 = 0.25;
/// Where so much is lost, each repetition goes out twice: a question and its answer both get through in 64 of 100 cases at 20 % loss, with two answers in 77,
/// and receivers stop asking after some time. Over 200 seeds at 20 % loss and 100 ms the longest gap was 4.4 s with one, 2.9 s with two.
const LOSSY: f64 = 0.1;
/// Until it is less than this.
const LOSSY_STILL: f64 = 0.06;
/// What is asked for again does so with less.
const LOSSY_AGAIN: f64 = 0.02;
/// Weight of a window in the share.
const SMOOTHING: f64 = 0.3;
/// Bytes that may always go at once.
const AT_ONCE_MIN: f64 = 6_000.0;

/// Of one connection.
#[derive(Debug, Default)]
pub struct Repeats {
    /// Beginning of the current window.
    since: Option<Instant>,
    sent: u64,
    sent_before: u64,
    repeated: u64,
    /// Of all that went out, smoothed.
    share: f64,
    /// What is lost, 0 to 1.
    loss: f64,
    is_lossy: bool,
    is_queued: bool,
    /// What the way may carry of them, once it is known.
    way: Option<Rate>,
    bucket: Bucket,
}

impl Repeats {
    /// So many bytes of media went out.
    #[inline]
    pub fn on_sent(&mut self, bytes: u64, now: Instant) {
        self.turn(now);
        self.sent += bytes;
    }

    /// The way carries so many bits a second, loses `loss` (0 to 1) of all, and packets wait for it.
    pub fn set_way(&mut self, bps: u64, loss: f64, queued: bool) {
        (self.loss, self.is_queued) = (loss, queued);
        self.is_lossy = loss >= if self.is_lossy { LOSSY_STILL } else { LOSSY };
        let per_second = bps as f64 / 8.0 * SHARE;
        let at_once = if queued { AT_ONCE_IN_QUEUE } else { AT_ONCE };
        self.way = Some(Rate { per_second, burst: (per_second * at_once).max(AT_ONCE_MIN) });
    }

    /// So many bytes are asked for again. `false`: not now.
    pub fn admit(&mut self, bytes: u64, now: Instant) -> bool {
        self.turn(now);
        let most = self.sent.max(self.sent_before).max(REPEATED_BYTES_MIN);
        let fits = self.repeated + bytes <= most && self.way.is_none_or(|way| self.bucket.take(bytes as f64, way, now));
        if fits {
            self.repeated += bytes;
        }
        fits
    }

    /// How often a packet is to be repeated. `again`: not for the first time.
    pub fn copies(&self, again: bool) -> usize {
        let twice = self.is_lossy || again && self.loss >= LOSSY_AGAIN;
        // What is lost in a queue is lost because of too much.
        if twice && !self.is_queued { 2 } else { 1 }
    }

    /// What repetitions take of all that goes out, 0 to 1. Nothing where little is lost: a full queue loses for a moment, too.
    pub fn share(&self) -> f64 {
        if self.is_lossy { self.share } else { 0.0 }
    }

    #[inline]
    fn turn(&mut self, now: Instant) {
        let age = self.since.map_or(WINDOW * 2, |since| now.saturating_duration_since(since));
        if age >= WINDOW {
            if self.sent > 0 {
                let share = self.repeated as f64 / (self.sent + self.repeated) as f64;
                self.share += (share - self.share) * SMOOTHING;
            }
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

    #[test]
    fn no_more_than_a_share_of_the_way() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut r = Repeats::default();
        r.set_way(400_000, 0.0, true);
        let most = |r: &mut Repeats, now| (0..1_000).filter(|_| r.admit(1_000, now)).count();
        assert_eq!(most(&mut r, at(0)), 6);
        let later: usize = (1..=100).map(|step| most(&mut r, at(step * 10))).sum();
        assert_eq!(later, 20, "two fifths of 50 kB in a second");
    }

    #[test]
    fn where_much_is_lost_repetitions_go_out_twice_and_are_counted_off() {
        let table = [
            (0.0, false, 1),
            (0.0, true, 1),
            (0.05, false, 1),
            (0.05, true, 2),
            (0.2, false, 2),
            (0.2, true, 2),
            (0.07, false, 2), // still
            (0.05, false, 1),
            (0.07, false, 1),
        ];
        let mut r = Repeats::default();
        for (loss, again, expected) in table {
            r.set_way(1_000_000, loss, false);
            assert_eq!(r.copies(again), expected, "{loss} {again}");
        }
        r.set_way(1_000_000, 0.2, true);
        assert_eq!(r.copies(true), 1, "not into a queue");
        let now = Instant::now();
        let mut r = Repeats::default();
        for ms in 0..10_000 {
            let at = now + Duration::from_millis(ms);
            r.on_sent(300, at);
            assert!(r.admit(100, at));
        }
        assert_eq!(r.share(), 0.0);
        r.set_way(10_000_000, 0.2, false);
        assert!((0.2..0.26).contains(&r.share()), "a quarter: {}", r.share());
    }
}
