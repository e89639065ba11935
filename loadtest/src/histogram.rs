//! How often which value was seen, in buckets that grow with the value: small, exact to some percent, and two of them can be added.
//!
//! ```text
//! 0.01 ms │ 50 buckets │ 0.1 ms │ 50 buckets │ 1 ms │ … │ 100 s      below and above: the first and the last bucket
//! ```
//!
//! A bucket is 4.7 % wide and a percentile is taken within its bucket, so it is off by less than that. The greatest value is kept as it is.

use serde::{Serialize, Serializer};

/// The beginning of the first bucket.
const LEAST: f64 = 0.01;
/// Buckets for each power of ten.
const PER_DECADE: f64 = 50.0;
/// Seven powers of ten, to 100,000. More: counted in the last one.
const BUCKETS_MAX: usize = 350;

/// Counted values, none of them negative. Written as JSON it is a list of `[from, to, count]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// As many as the greatest value needs.
    counts: Vec<u64>,
    max: f64,
}

/// A bucket that is not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The least value in it.
    pub from: f64,
    /// The least value above it.
    pub to: f64,
    /// How many.
    pub count: u64,
}

impl Histogram {
    /// Of these.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.add(value));
        histogram
    }

    /// Counts a value. What is below zero or no number counts as zero.
    pub fn add(&mut self, value: f64) {
        let decades = (value / LEAST).log10();
        let index = if decades > 0.0 { ((decades * PER_DECADE) as usize).min(BUCKETS_MAX - 1) } else { 0 };
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.max = self.max.max(value);
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.max = self.max.max(other.max);
    }

    /// What has been counted since it was `before`.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let earlier = before.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(earlier).map(|(now, before)| now.saturating_sub(*before)).collect();
        Histogram { counts, max: self.max }
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value that such a share of all (0 to 1) is not above. None: nothing was counted.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        // Nearest rank: the smallest that so many are not above.
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        self.buckets().find_map(|Bucket { from, to, count }| {
            below += count;
            let within = 1.0 - (below.saturating_sub(rank)) as f64 / count as f64;
            (below >= rank).then(|| (from * (to / from).powf(within)).min(self.max))
        })
    }

    /// Buckets that are not empty, the least first.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let edge = |index: usize| LEAST * 10_f64.powf(index as f64 / PER_DECADE);
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(move |(index, count)| Bucket { from: edge(index), to: edge(index + 1), count: *count })
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let short = |value: f64| (value * 1e3).round() / 1e3;
        serializer.collect_seq(self.buckets().map(|Bucket { from, to, count }| (short(from), short(to), count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: Option<f64>, wanted: f64) -> bool {
        value.is_some_and(|value| (value / wanted - 1.0).abs() < 0.05)
    }

    #[test]
    fn percentiles_are_near_the_exact_ones() {
        let even = Histogram::of((1..=1_000).map(f64::from));
        for (share, wanted) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (0.001, 1.0)] {
            assert!(near(even.percentile(share), wanted), "{share}: {:?}", even.percentile(share));
        }
        assert_eq!(even.percentile(1.0), Some(1_000.0));
        assert_eq!(even.count(), 1_000);
        assert_eq!(Histogram::default().percentile(0.5), None);
        assert_eq!(Histogram::of([7.0]).percentile(0.5), Some(7.0));
    }

    #[test]
    fn values_at_the_edges() {
        let edges = Histogram::of([0.0, -1.0, f64::NAN, 1e-9, 1e12, f64::INFINITY]);
        assert_eq!(edges.buckets().map(|bucket| bucket.count).collect::<Vec<_>>(), [4, 2]);
        let zero = Histogram::of([0.0]);
        assert_eq!(zero.percentile(0.5), Some(0.0));
    }

    #[test]
    fn two_add_up_and_one_is_taken_from_the_other() {
        let (low, high) = (Histogram::of([1.0, 2.0]), Histogram::of([400.0, 2.0]));
        let mut both = low.clone();
        both.merge(&high);
        assert_eq!(both, Histogram::of([1.0, 2.0, 400.0, 2.0]));
        assert_eq!(both.since(&low), high);
        let mut other = high.clone();
        other.merge(&low);
        assert_eq!(other, both);
    }

    #[test]
    fn json_is_short() {
        let json = serde_json::to_value(Histogram::of([1.0, 1.0])).expect("JSON");
        assert_eq!(json[0][2], 2);
        assert!(json[0][0].as_f64() <= Some(1.0) && json[0][1].as_f64() > Some(1.0), "{json}");
    }
}
