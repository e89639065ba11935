//! How often is too often: a token bucket. Pure; `now` is an argument.

use std::time::Instant;

/// What flows into a bucket, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Units a second.
    pub per_second: f64,
    /// Units that may come at once.
    pub burst: f64,
}

/// What is left of a [`Rate`]; full at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    used: f64,
    at: Option<Instant>,
}

impl Bucket {
    /// Takes `cost` units if they are there. `false`: nothing was taken, it is too often.
    pub fn take(&mut self, cost: f64, rate: Rate, now: Instant) -> bool {
        self.drip(rate, now);
        let fits = self.used + cost <= rate.burst;
        if fits {
            self.used += cost;
        }
        fits
    }

    /// Nothing was taken for so long that it is as good as new.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.drip(rate, now);
        self.used == 0.0
    }

    fn drip(&mut self, rate: Rate, now: Instant) {
        if let Some(at) = self.at {
            self.used = (self.used - now.saturating_duration_since(at).as_secs_f64() * rate.per_second).max(0.0);
        }
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate { per_second: 10.0, burst: 5.0 };
        let (mut bucket, mut now) = (Bucket::default(), Instant::now());
        assert_eq!((0..20).filter(|_| bucket.take(1.0, rate, now)).count(), 5);
        let mut taken = 0;
        for _ in 0..1_000 {
            now += Duration::from_millis(10);
            taken += usize::from(bucket.take(1.0, rate, now));
        }
        assert!((99..=101).contains(&taken), "{taken} in ten seconds");
        assert!(!bucket.is_full(rate, now));
        assert!(bucket.is_full(rate, now + Duration::from_secs(1)));
        assert!(!bucket.take(6.0, rate, now + Duration::from_secs(9)), "never more than a burst");
    }
}
