//! What was seen second by second: marks of what was counted until then, and the differences between them.

use std::time::Instant;

use serde::Serialize;

use crate::crowd::Totals;
use crate::process::Process;
use crate::server::Usage;

/// Samples that are kept: two hours. More: every other one is forgotten.
const SAMPLES_MAX: usize = 7_200;

/// All that was counted until one moment.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When.
    pub at: Instant,
    /// What the server says.
    pub usage: Usage,
    /// What the bots have.
    pub totals: Totals,
    /// Processor time of this process.
    pub own_cpu_seconds: f64,
}

/// What happened since the sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the run began.
    pub at_s: f64,
    /// Bots that are in.
    pub bots: usize,
    /// Packets that bots received in a second.
    pub packets_per_s: f64,
    /// Bits of payload that bots received in a second.
    pub bits_per_s: f64,
    /// Cores that the server used.
    pub server_cpu_share: f64,
    /// Cores that the bots used.
    pub bots_cpu_share: f64,
    /// Memory of the server.
    pub server_rss_bytes: f64,
    /// Pictures that stood still.
    pub freezes: u64,
    /// Packets that did not come in their turn.
    pub missed: u64,
    /// Bots whose media connected.
    pub joins: usize,
}

/// All samples, and the marks between which it is measured.
#[derive(Clone, Debug)]
pub struct Series {
    /// What was seen.
    pub samples: Vec<Sample>,
    /// Before anybody joined.
    pub began: Mark,
    /// Where measuring began; before that, as `began`.
    pub measured_from: Mark,
    /// Where it ended, if it has.
    pub measured_until: Option<Mark>,
    /// Of the last sample.
    sampled: Mark,
    last: Mark,
}

impl Mark {
    /// Of this moment.
    pub fn now(usage: Usage, totals: Totals) -> Mark {
        Mark { at: Instant::now(), usage, totals, own_cpu_seconds: Process::own().cpu_seconds().unwrap_or(0.0) }
    }
}

impl Series {
    /// Nothing yet.
    pub fn begin(usage: Usage) -> Series {
        let mark = Mark::now(usage, Totals::default());
        Series {
            samples: vec![],
            began: mark.clone(),
            measured_from: mark.clone(),
            measured_until: None,
            sampled: mark.clone(),
            last: mark,
        }
    }

    /// The last mark.
    pub fn last(&self) -> &Mark {
        &self.last
    }

    /// One more mark. Returns what happened since the sample before, if that is not just now.
    pub fn add(&mut self, mark: Mark, bots: usize) -> Option<Sample> {
        let (before, seconds) = (&self.sampled, (mark.at - self.sampled.at).as_secs_f64().max(1e-3));
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let (now, then) = (&mark.totals, &before.totals);
        let sample = Sample {
            at_s: round(mark.at.duration_since(self.began.at).as_secs_f64(), 2),
            bots,
            packets_per_s: rate(now.packets, then.packets).round(),
            bits_per_s: (rate(now.bytes, then.bytes) * 8.0).round(),
            server_cpu_share: round((mark.usage.cpu_seconds - before.usage.cpu_seconds) / seconds, 3),
            bots_cpu_share: round((mark.own_cpu_seconds - before.own_cpu_seconds) / seconds, 3),
            server_rss_bytes: mark.usage.rss_bytes,
            freezes: now.freezes.saturating_sub(then.freezes),
            missed: now.missed.saturating_sub(then.missed),
            joins: now.join.len().saturating_sub(then.join.len()),
        };
        // Two looks at nearly the same moment have no rates; what was counted stays with the next sample.
        let is_apart = seconds >= 0.2;
        if is_apart {
            self.samples.push(sample);
            self.sampled = mark.clone();
        }
        self.last = mark;
        if self.samples.len() > SAMPLES_MAX {
            let mut number = 0;
            self.samples.retain(|_| (number += 1, number % 2 == 0).1);
        }
        is_apart.then_some(sample)
    }
}

/// To so many places behind the point.
pub fn round(value: f64, places: i32) -> f64 {
    let factor = 10_f64.powi(places);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sample_is_the_difference_of_two_marks() {
        let mut series = Series::begin(Usage { cpu_seconds: 1.0, ..Usage::default() });
        let totals = Totals { packets: 3_000, bytes: 10_000, freezes: 2, ..Totals::default() };
        let mark = |ms, cpu_seconds, totals: &Totals| Mark {
            at: series.began.at + Duration::from_millis(ms),
            usage: Usage { cpu_seconds, rss_bytes: 7.0, ..Usage::default() },
            totals: totals.clone(),
            own_cpu_seconds: series.began.own_cpu_seconds + 0.5,
        };
        let (first, near) = (mark(2_000, 2.0, &totals), mark(2_100, 2.0, &totals));
        let sample = series.add(first, 4).expect("a sample");
        assert_eq!((sample.at_s, sample.bots, sample.freezes), (2.0, 4, 2));
        assert_eq!((sample.packets_per_s, sample.bits_per_s), (1_500.0, 40_000.0));
        assert_eq!((sample.server_cpu_share, sample.bots_cpu_share), (0.5, 0.25));
        assert_eq!(series.add(near, 4), None);
        assert_eq!(series.samples.len(), 1, "too near");
    }
}
