//! The rate itself: down at once when a queue grows, up slowly near what the link was seen to carry, faster far from it.
//!
//! draft-ietf-rmcat-gcc-02 5.5 and libwebrtc's `remote_bitrate_estimator/aimd_rate_control.cc` and `goog_cc/link_capacity_estimator.cc`.
//!
//! Ours beside that: a long queue that is ours drains within half a second, and then the rate is at once what the link was seen to carry; and the rate
//! grows by itself only a little beyond what arrives, since layers come in steps and probes find the next one.
//!
//! ```text
//!            a queue grows            a queue grows            a queue grows
//!  Increase ──────────────→ Hold    Hold: stays; when the delay is steady again → Increase
//! ```

use std::time::{Duration, Instant};

use super::trend::Usage;
use super::{ESTIMATE_MAX_BPS, ESTIMATE_MIN_BPS, QUEUE_LONG};

/// Of the rate that arrived, kept when a queue grows: it drains with the rest.
const DECREASE: f64 = 0.85;
/// An estimate that was not used to the full may be right although a queue grows: it falls at most to this share at once.
const DECREASE_UNUSED: f64 = 0.7;
/// What waits in a queue shall be gone after so long...
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// ... but at least this share of what the link carries is used.
const DRAIN_MIN: f64 = 0.5;
/// A queue that is shorter is gone.
const DRAINED: Duration = Duration::from_millis(40);
/// A queue that takes so long is not ours alone.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);
/// Growth a second, far from any capacity that was seen.
const MULTIPLICATIVE: f64 = 1.08;
/// The estimate grows by itself at most so far beyond what is known to arrive; further only by probes. libwebrtc lets it grow to 1.5 times: media that
/// does not fill the link then raises the estimate above what the link carries, layers rise on it, fall again, and so on (nine slots at 1.7 Mbit/s: up to
/// four changes of a slot in 10 s with 1.5, none with 1.1, over 100 seeds).
const BEYOND_ACKED: f64 = 1.1;
/// What is lost beside what arrives came that far, too; more than this is not put down to the way.
const LOSS_MAX: f64 = 0.3;
const BEYOND_ACKED_BPS: f64 = 10_000.0;
/// A packet, of which additive growth adds one in each response time.
const PACKET_BITS: f64 = 9_600.0;
/// Weight of a new sample of the link's capacity.
const CAPACITY_WEIGHT: f64 = 0.05;
/// What was seen so long ago is forgotten.
const CAPACITY_LIFE: Duration = Duration::from_secs(10);
/// Beyond so many deviations from the mean the link is another one.
const CAPACITY_DEVIATIONS: f64 = 3.0;

/// What was seen of the link.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// What arrives, in bits a second.
    pub acked: Option<u64>,
    /// What waits on the way.
    pub queue: Duration,
    /// The round trip.
    pub rtt: Duration,
    /// Enough is sent that a steady delay means something.
    pub used: bool,
    /// Lost of all, 0 to 1.
    pub loss: f64,
}

/// Additive increase, multiplicative decrease.
#[derive(Debug)]
pub struct Aimd {
    bps: f64,
    capacity: Capacity,
    holds: bool,
    changed: Option<Instant>,
    decreased: Option<Instant>,
    /// The rate once the queue is gone.
    drained: Option<f64>,
}

impl Aimd {
    /// Begins with a guess.
    pub fn new(bps: u64) -> Aimd {
        Aimd { bps: bps as f64, capacity: Capacity::default(), holds: false, changed: None, decreased: None, drained: None }
    }

    /// The rate, in bits a second.
    pub fn bps(&self) -> u64 {
        self.bps as u64
    }

    /// What the link was seen to carry for us when it was full, if it was.
    pub fn capacity(&self) -> Option<u64> {
        self.capacity.mean.map(|bps| bps as u64)
    }

    /// A probe filled the link and saw so much of it: a quarter of the way towards that is believed, since others may share the link.
    pub fn learn(&mut self, bps: u64) {
        if let Some(mean) = &mut self.capacity.mean {
            *mean += (bps as f64 - *mean) / 4.0;
        }
    }

    /// When it last went down.
    pub fn decreased(&self) -> Option<Instant> {
        self.decreased
    }

    /// A probe showed it, or a decrease was a mistake.
    pub fn set(&mut self, bps: u64, now: Instant) {
        self.bps = clamp(bps as f64);
        if self.bps > self.capacity.upper() {
            self.capacity = Capacity::default();
        }
        self.drained = None;
        self.changed = Some(now);
        self.holds = false;
    }

    /// Too much is lost: at most so much. What came through says nothing of the link: it may lose as much of any rate.
    pub fn limit(&mut self, bps: u64, now: Instant) {
        self.bps = clamp(self.bps.min(bps as f64));
        self.drained = None;
        (self.decreased, self.changed, self.holds) = (Some(now), Some(now), true);
    }

    /// What the delay says, with what was seen.
    pub fn update(&mut self, usage: Usage, seen: Seen, now: Instant) {
        let since = self.changed.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if self.decreased.is_some_and(|at| now.saturating_duration_since(at) >= CAPACITY_LIFE) {
            self.capacity = Capacity::default();
        }
        if usage == Usage::Over {
            return self.decrease(seen, now);
        }
        if seen.queue < DRAINED
            && let Some(drained) = self.drained.take()
            && self.decreased.is_some_and(|at| now.saturating_duration_since(at) < DRAIN_TIME_MAX)
        {
            self.bps = clamp(self.bps.max(drained));
        }
        self.changed = Some(now);
        if usage == Usage::Under {
            self.holds = true;
        } else if self.holds {
            self.holds = false;
        } else if seen.used {
            self.increase(seen, since.min(Duration::from_secs(1)).as_secs_f64());
        }
    }

    fn decrease(&mut self, seen: Seen, now: Instant) {
        let Seen { acked, queue, rtt, used, .. } = seen;
        self.changed = Some(now);
        self.holds = true;
        // What was decreased is not seen before a round trip; a rate that is far from it needs no further proof.
        let pause = rtt.clamp(Duration::from_millis(10), Duration::from_millis(200));
        let too_soon = self.decreased.is_some_and(|at| now.saturating_duration_since(at) < pause);
        let acked = acked.map(|bps| bps as f64);
        if too_soon && (!used || acked.is_none_or(|acked| acked > self.bps / 2.0)) {
            return;
        }
        self.decreased = Some(now);
        let Some(acked) = acked else {
            self.bps = clamp(self.bps * DECREASE);
            return;
        };
        let drain = if used { (1.0 - queue.as_secs_f64() / DRAIN_TIME.as_secs_f64()).clamp(DRAIN_MIN, DECREASE) } else { DECREASE };
        let mut link = acked;
        if link * DECREASE > self.bps
            && let Some(capacity) = self.capacity.mean
        {
            link = capacity;
        }
        if let Some(capacity) = self.capacity.mean.filter(|capacity| queue < QUEUE_LONG && acked < *capacity) {
            // What arrives may be what was sent before the queue began. If the link carries less than it did, the queue goes on to grow; where it
            // cannot, each time is a step towards what arrives.
            link = link.max(capacity);
            self.capacity.add(acked);
        } else if used {
            if acked < self.capacity.lower() {
                self.capacity = Capacity::default();
            }
            self.capacity.add(acked);
        } else {
            link = link.max(self.bps * DECREASE_UNUSED / DECREASE);
        }
        self.drained = Some((link * DECREASE).min(self.bps.max(self.drained.unwrap_or(0.0))));
        self.bps = clamp(self.bps.min(link * drain));
    }

    fn increase(&mut self, seen: Seen, seconds: f64) {
        let acked = seen.acked.map(|bps| bps as f64);
        if acked.is_some_and(|acked| acked > self.capacity.upper()) {
            self.capacity = Capacity::default();
        }
        let more = if self.capacity.mean.is_some() {
            let response = seen.rtt.as_secs_f64() + 0.1;
            PACKET_BITS / response * seconds
        } else {
            (self.bps * (MULTIPLICATIVE.powf(seconds) - 1.0)).max(1_000.0 * seconds)
        };
        let most = acked.map_or(f64::MAX, |acked| acked / (1.0 - seen.loss.min(LOSS_MAX)) * BEYOND_ACKED + BEYOND_ACKED_BPS);
        if self.bps < most {
            self.bps = clamp((self.bps + more).min(most));
        }
    }
}

fn clamp(bps: f64) -> f64 {
    bps.clamp(ESTIMATE_MIN_BPS as f64, ESTIMATE_MAX_BPS as f64)
}

/// What the link carried when it was full.
#[derive(Debug, Default)]
struct Capacity {
    mean: Option<f64>,
    /// Relative to the mean.
    variance: f64,
}

impl Capacity {
    fn add(&mut self, bps: f64) {
        let Some(mean) = self.mean else {
            (self.mean, self.variance) = (Some(bps), 0.4);
            return;
        };
        let error = mean - bps;
        let mean = mean - CAPACITY_WEIGHT * error;
        let variance = (1.0 - CAPACITY_WEIGHT) * self.variance + CAPACITY_WEIGHT * error * error / mean.max(1.0) / 1_000.0;
        (self.mean, self.variance) = (Some(mean), variance.clamp(0.4, 2.5));
    }

    fn deviation(&self, mean: f64) -> f64 {
        (self.variance * mean / 1_000.0).sqrt() * 1_000.0
    }

    fn upper(&self) -> f64 {
        self.mean.map_or(f64::MAX, |mean| mean + CAPACITY_DEVIATIONS * self.deviation(mean))
    }

    fn lower(&self) -> f64 {
        self.mean.map_or(0.0, |mean| (mean - CAPACITY_DEVIATIONS * self.deviation(mean)).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn seen(acked: u64, used: bool) -> Seen {
        Seen { acked: Some(acked), queue: Duration::ZERO, rtt: RTT, used, loss: 0.0 }
    }

    /// A second of updates every 50 ms.
    fn second(aimd: &mut Aimd, from: &mut Instant, usage: Usage, acked: u64, may_rise: bool) -> u64 {
        for _ in 0..20 {
            *from += Duration::from_millis(50);
            aimd.update(usage, seen(acked, may_rise), *from);
        }
        aimd.bps()
    }

    #[test]
    fn up_down_and_up_again() {
        let mut now = Instant::now();
        let mut a = Aimd::new(1_000_000);
        let far = second(&mut a, &mut now, Usage::Normal, 1_000_000, true);
        assert!((1_070_000..1_085_000).contains(&far), "8 % a second: {far}");
        a.update(Usage::Over, seen(1_000_000, true), now);
        assert_eq!(a.bps(), 850_000);
        a.update(Usage::Over, seen(1_000_000, true), now + RTT / 2);
        assert_eq!(a.bps(), 850_000, "not before it can be seen");
        assert_eq!(second(&mut a, &mut now, Usage::Under, 850_000, true), 850_000, "a queue drains: stay");
        let near = second(&mut a, &mut now, Usage::Normal, 850_000, true);
        assert!((900_000..920_000).contains(&near), "a packet in each response time: {near}");
    }

    #[test]
    fn a_long_queue_drains_and_then_the_rate_is_what_the_link_carried() {
        let (mut now, mut a) = (Instant::now(), Aimd::new(3_000_000));
        let queue = Duration::from_millis(200);
        a.update(Usage::Over, Seen { queue, ..seen(500_000, true) }, now);
        assert_eq!(a.bps(), 300_000, "in half a second");
        now += RTT * 5;
        a.update(Usage::Over, Seen { queue, ..seen(500_000, true) }, now);
        a.update(Usage::Under, Seen { queue: queue / 2, ..seen(500_000, true) }, now);
        assert_eq!(a.bps(), 300_000);
        a.update(Usage::Under, seen(500_000, true), now);
        assert_eq!(a.bps(), 425_000);
        a.update(Usage::Over, Seen { queue: queue * 2, ..seen(500_000, true) }, now + RTT * 5);
        assert_eq!(a.bps(), 250_000, "a voice has to go on");
        a.update(Usage::Normal, seen(250_000, false), now + RTT * 5 + DRAIN_TIME_MAX);
        assert_eq!(a.bps(), 250_000, "that was long ago");
    }

    #[test]
    fn no_rise_without_evidence() {
        let mut now = Instant::now();
        let mut a = Aimd::new(1_000_000);
        assert_eq!(second(&mut a, &mut now, Usage::Normal, 100_000, false), 1_000_000);
        assert_eq!(second(&mut a, &mut now, Usage::Normal, 500_000, true), 1_000_000, "what arrives is much less");
        let capped = second(&mut a, &mut now, Usage::Normal, 950_000, true);
        assert_eq!(capped, 1_055_000, "a tenth and a little more than what arrives");
        a.set(2_000_000, now);
        assert_eq!(a.bps(), 2_000_000);
        a.update(Usage::Over, Seen { queue: Duration::from_millis(200), ..seen(100_000, false) }, now);
        assert_eq!(a.bps(), 1_400_000, "nor a fall to what was sent");
        a.set(0, now);
        assert_eq!(a.bps(), ESTIMATE_MIN_BPS);
    }
}
