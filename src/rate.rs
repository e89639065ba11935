//! How often is too often: a token bucket, and one for each of many strangers. Pure; `now` is an argument.

use std::collections::HashMap;
use std::hash::Hash;
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

    /// Takes `cost` units, whether they are there or not; what is missing has to flow in before anything else is given.
    pub fn charge(&mut self, cost: f64, rate: Rate, now: Instant) {
        self.drip(rate, now);
        self.used += cost;
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

/// A bucket for each key. Full: the one that was asked for longest ago is forgotten, which is the one that has refilled most.
#[derive(Debug)]
pub struct Buckets<K> {
    buckets: HashMap<K, (Bucket, Instant)>,
    max: usize,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    /// For at most `max` keys at a time.
    pub fn new(max: usize) -> Buckets<K> {
        Buckets { buckets: HashMap::new(), max }
    }

    /// As [`Bucket::take`], of the bucket of this key.
    pub fn take(&mut self, key: K, cost: f64, rate: Rate, now: Instant) -> bool {
        self.bucket(key, now).take(cost, rate, now)
    }

    /// As [`Bucket::charge`], of the bucket of this key.
    pub fn charge(&mut self, key: K, cost: f64, rate: Rate, now: Instant) {
        self.bucket(key, now).charge(cost, rate, now);
    }

    fn bucket(&mut self, key: K, now: Instant) -> &mut Bucket {
        if self.buckets.len() >= self.max && !self.buckets.contains_key(&key) {
            let oldest = self.buckets.iter().min_by_key(|(_, (_, asked))| *asked).map(|(key, _)| key.clone());
            oldest.map(|key| self.buckets.remove(&key));
        }
        let (bucket, asked) = self.buckets.entry(key).or_insert((Bucket::default(), now));
        *asked = now;
        bucket
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

    #[test]
    fn what_is_charged_beyond_the_burst_is_owed() {
        let rate = Rate { per_second: 10.0, burst: 5.0 };
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert!(bucket.take(5.0, rate, now));
        bucket.charge(9.0, rate, now);
        assert!(!bucket.take(1.0, rate, now + Duration::from_millis(990)));
        assert!(bucket.take(1.0, rate, now + Duration::from_secs(1)));
    }

    #[test]
    fn each_key_has_its_own_and_the_oldest_is_forgotten() {
        let rate = Rate { per_second: 0.01, burst: 1.0 };
        let begin = Instant::now();
        let mut buckets = Buckets::new(2);
        for (second, key, taken) in
            [(0, 'a', true), (1, 'a', false), (2, 'b', true), (3, 'a', false), (4, 'c', true), (5, 'a', false), (6, 'b', true)]
        {
            assert_eq!(buckets.take(key, 1.0, rate, begin + Duration::from_secs(second)), taken, "{second} {key}");
            assert!(buckets.buckets.len() <= 2);
        }
    }
}
