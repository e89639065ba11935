//! Bytes a second over the last half second, by times that need not come in order.

use std::time::Duration;

/// Long enough that a frame more or less makes little difference, short enough to follow a network that changed.
const WINDOW: Duration = Duration::from_millis(500);
/// As [`bucket`] counts.
const BUCKET: Duration = Duration::from_millis(10);
const BUCKETS: usize = (WINDOW.as_millis() / BUCKET.as_millis()) as usize;
/// Some packets, even of a slow link.
const SHORT: Duration = Duration::from_millis(150);
/// Nothing came for so long, and then so much.
const HOLE_BUCKETS: u64 = 8;
const HOLE_BYTES: u64 = 5_000;
/// Before so much time nothing is said.
const WARM: Duration = Duration::from_millis(200);

/// A rate meter of fixed size.
#[derive(Debug)]
pub struct Meter {
    buckets: [u32; BUCKETS],
    sum: u64,
    /// Number of the newest bucket since the clock's beginning.
    newest: u64,
    first: Option<u64>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { buckets: [0; BUCKETS], sum: 0, newest: 0, first: None }
    }
}

impl Meter {
    /// So many bytes at this time, on any clock.
    pub fn add(&mut self, at: Duration, bytes: u32) {
        let number = bucket(at);
        if self.first.is_none() || number + 10 * (BUCKETS as u64) < self.newest || number > self.newest + 100 * BUCKETS as u64 {
            // The first one, or a clock that was set anew, or nothing for long: what was before says nothing.
            *self = Meter { newest: number, first: Some(number), ..Meter::default() };
        }
        self.turn(number);
        if number + BUCKETS as u64 > self.newest {
            self.buckets[number as usize % BUCKETS] += bytes;
            self.sum += u64::from(bytes);
        }
    }

    /// Bits a second up to this time, or to the newest that was added. `None`: too early to say.
    pub fn bps(&mut self, at: Duration) -> Option<u64> {
        self.turn(bucket(at));
        let buckets = (self.newest + 1 - self.first?).min(BUCKETS as u64);
        let time = BUCKET * buckets as u32;
        (time >= WARM).then(|| self.sum * 8_000 / time.as_millis() as u64)
    }

    /// Bits a second over so much time before the newest that was added, at least over [`SHORT`]. A time in which nothing came
    /// counts as none where packets follow each other closely otherwise: the radio paused, or the way became longer.
    pub fn last_bps(&self, time: Duration) -> Option<u64> {
        let buckets = (time.clamp(SHORT, WINDOW).as_millis() / BUCKET.as_millis()) as u64;
        if self.newest + 1 - self.first? < buckets {
            return None;
        }
        let (mut sum, mut empty, mut hole) = (0, 0, 0);
        for i in 0..buckets {
            let bytes = self.buckets[(self.newest - i) as usize % BUCKETS];
            sum += u64::from(bytes);
            empty = if bytes == 0 { empty + 1 } else { 0 };
            hole = empty.max(hole);
        }
        let held = hole >= HOLE_BUCKETS && sum >= HOLE_BYTES;
        Some(sum * 800 / if held { (buckets - hole).max(1) } else { buckets })
    }

    fn turn(&mut self, number: u64) {
        for n in (self.newest + 1..=number).take(BUCKETS) {
            let old = std::mem::take(&mut self.buckets[n as usize % BUCKETS]);
            self.sum -= u64::from(old);
        }
        // After a long pause all of them were emptied above, whatever their numbers.
        self.newest = self.newest.max(number);
    }
}

#[inline]
fn bucket(at: Duration) -> u64 {
    at.as_secs() * 100 + u64::from(at.subsec_millis() / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_over_time() {
        let at = Duration::from_millis;
        let mut m = Meter::default();
        assert_eq!(m.bps(at(0)), None);
        for i in 0..100 {
            m.add(at(7_000 + i * 10), 1_250);
        }
        assert_eq!(m.bps(at(7_990)), Some(1_000_000));
        m.add(at(7_985), 1_250);
        assert_eq!(m.bps(at(7_990)), Some(1_020_000), "late ones count where they belong");
        assert_eq!(m.bps(at(8_240)), Some(520_000));
        assert_eq!(m.bps(at(20_000)), Some(0));
        m.add(at(1_000), 100);
        assert_eq!((m.bps(at(1_100)), m.bps(at(1_200))), (None, Some(3_809)), "a clock that was set anew");
    }

    #[test]
    fn a_hole_is_no_slower_link() {
        let at = Duration::from_millis;
        let mut m = Meter::default();
        (0..30).for_each(|i| m.add(at(1_000 + i * 10), 1_250));
        (0..10).for_each(|i| m.add(at(1_500 + i * 10), 1_250));
        assert_eq!(m.last_bps(at(250)), Some(1_000_000));
        assert_eq!(m.last_bps(at(100)), Some(666_666), "part of it only");
        let mut slow = Meter::default();
        (0..10).for_each(|i| slow.add(at(1_000 + i * 100), 1_250));
        assert_eq!(slow.last_bps(at(300)), Some(100_000), "few packets are no holes");
    }
}
