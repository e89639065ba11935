//! Is a queue growing on the way? A line is drawn through the delay of the last groups, and its slope compared with a threshold that adapts
//! to how much the path trembles anyway.
//!
//! draft-ietf-rmcat-gcc-02 5.4 and libwebrtc's `goog_cc/trendline_estimator.cc`; the constants are theirs.

use std::collections::VecDeque;

use super::arrival::{Variation, ms};

/// Groups that the line is drawn through.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// The slope counts for more the more groups it stands on, up to so many.
const GROUPS_COUNTED_MAX: u32 = 60;
/// Brings slope × groups to the scale of the threshold.
const GAIN: f64 = 4.0;
const THRESHOLD_INITIAL_MS: f64 = 12.5;
const THRESHOLD_MIN_MS: f64 = 6.0;
const THRESHOLD_MAX_MS: f64 = 600.0;
/// How fast the threshold rises and falls, per ms. It rises slowly, so that a queue is not taken for a habit.
const THRESHOLD_UP: f64 = 0.008_7;
const THRESHOLD_DOWN: f64 = 0.039;
/// A slope so far beyond the threshold is an event and no habit: the threshold does not follow it.
const THRESHOLD_REACH_MS: f64 = 15.0;
/// The slope must have been too steep for so long.
const OVERUSE_MS: f64 = 10.0;

/// What the delay says about the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// The delay stays.
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue drains.
    Under,
}

/// The detector.
#[derive(Debug)]
pub struct Trend {
    /// (arrival, smoothed delay), in ms since the first group.
    points: VecDeque<(f64, f64)>,
    first_ms: Option<f64>,
    groups: u32,
    delay_ms: f64,
    smoothed_ms: f64,
    threshold_ms: f64,
    updated_ms: Option<f64>,
    over_ms: Option<f64>,
    over_groups: u32,
    slope_before: f64,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Trend {
        Trend {
            points: VecDeque::with_capacity(WINDOW + 1),
            first_ms: None,
            groups: 0,
            delay_ms: 0.0,
            smoothed_ms: 0.0,
            threshold_ms: THRESHOLD_INITIAL_MS,
            updated_ms: None,
            over_ms: None,
            over_groups: 0,
            slope_before: 0.0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    /// What the groups so far say.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Another group.
    pub fn on_group(&mut self, v: Variation) {
        self.groups = (self.groups + 1).min(GROUPS_COUNTED_MAX);
        self.delay_ms += v.arrived_ms - v.sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.delay_ms;
        let at = ms(v.at);
        let since = at - *self.first_ms.get_or_insert(at);
        self.points.push_back((since, self.smoothed_ms));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        let slope = if self.points.len() == WINDOW { slope(&self.points).unwrap_or(self.slope_before) } else { self.slope_before };
        self.detect(slope, v.sent_ms, since);
    }

    fn detect(&mut self, slope: f64, sent_ms: f64, now_ms: f64) {
        if self.groups < 2 {
            return;
        }
        let scaled = f64::from(self.groups) * slope * GAIN;
        if scaled > self.threshold_ms {
            let over = self.over_ms.map_or(sent_ms / 2.0, |over| over + sent_ms);
            self.over_ms = Some(over);
            self.over_groups += 1;
            if over > OVERUSE_MS && self.over_groups > 1 && slope >= self.slope_before {
                (self.over_ms, self.over_groups) = (Some(0.0), 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.over_groups) = (None, 0);
            self.usage = if scaled < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.slope_before = slope;
        self.adapt(scaled.abs(), now_ms);
    }

    fn adapt(&mut self, scaled: f64, now_ms: f64) {
        let since = now_ms - self.updated_ms.replace(now_ms).unwrap_or(now_ms);
        if scaled > self.threshold_ms + THRESHOLD_REACH_MS {
            return;
        }
        let k = if scaled < self.threshold_ms { THRESHOLD_DOWN } else { THRESHOLD_UP };
        self.threshold_ms += k * (scaled - self.threshold_ms) * since.min(100.0);
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_MIN_MS, THRESHOLD_MAX_MS);
    }
}

/// Least squares; `None`: all at one moment.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let n = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let over = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>();
    let under = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>();
    (under > 0.0).then(|| over / under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Groups 10 ms apart whose delay grows by what `growth_ms` says; how many of them were in each usage.
    fn run(trend: &mut Trend, from: u64, groups: u64, growth_ms: impl Fn(u64) -> f64) -> [usize; 3] {
        let mut counts = [0; 3];
        let mut at = Duration::from_millis(from);
        for i in 0..groups {
            let arrived_ms = (10.0 + growth_ms(i)).max(0.0);
            at += Duration::from_secs_f64(arrived_ms / 1_000.0);
            trend.on_group(Variation { sent_ms: 10.0, arrived_ms, at });
            counts[trend.usage() as usize] += 1;
        }
        counts
    }

    #[test]
    fn steady_growing_and_draining_queues() {
        let mut t = Trend::default();
        assert_eq!(run(&mut t, 0, 100, |_| 0.0), [100, 0, 0]);
        let [_, over, under] = run(&mut t, 1_000, 30, |_| 2.0);
        assert!(over >= 15 && under == 0, "{over}");
        let [_, over, under] = run(&mut t, 1_400, 60, |_| -2.0);
        assert!(over <= 12 && under >= 20, "{over} {under}");
    }

    #[test]
    fn the_threshold_follows_a_path_that_trembles() {
        let mut t = Trend::default();
        let (mut before, mut thresholds) = (0.0, vec![]);
        for i in 1..=1_500u32 {
            let now_ms = f64::from(i) * 20.0;
            let late = if i <= 1_000 { 25.0 + 25.0 * (now_ms / 300.0).sin() } else { 0.0 };
            let at = Duration::from_secs_f64((now_ms + late) / 1_000.0);
            t.on_group(Variation { sent_ms: 20.0, arrived_ms: 20.0 + late - before, at });
            before = late;
            thresholds.push(t.threshold_ms);
        }
        let [trembling, calm] = [thresholds[999], thresholds[1_499]];
        assert!(trembling > 1.5 * THRESHOLD_MIN_MS && calm < 1.1 * THRESHOLD_MIN_MS, "{trembling} {calm}");
    }
}
