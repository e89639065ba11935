//! Probes: short clusters of packets, faster than the estimate, that show what the link carries before media uses it.
//!
//! libwebrtc's `goog_cc/probe_controller.cc` (when), `pacing/bitrate_prober.cc` (how much) and `goog_cc/probe_bitrate_estimator.cc` (what came of
//! it). One cluster at a time: the next depends on the one before. There are no timers; a probe begins when media or feedback passes, because
//! whoever gets no media gets no probes either.

use std::time::{Duration, Instant};

use super::{ESTIMATE_MAX_BPS, Fate};

/// The first probe goes for so many times the first guess.
const FIRST_FACTOR: u64 = 3;
/// Each further one for so many times what the last one showed.
const FURTHER_FACTOR: u64 = 2;
/// Where a queue was seen to grow, one looks for more with care (in halves).
const CAREFUL_FACTOR: u64 = 3;
/// A probe that showed this share of what it went for shows that there may be more.
const FURTHER_SHARE: f64 = 0.7;
/// How long a cluster lasts, and what it has at least.
const CLUSTER_TIME_MS: u64 = 25;
/// Where the link may be shared, long enough to meet the others' pictures too.
const CAREFUL_CLUSTER_TIME_MS: u64 = 40;
/// See [`CLUSTER_TIME_MS`].
pub const CLUSTER_PACKETS_MIN: u32 = 5;
/// Between probes that look for more; it grows with each that found nothing.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_millis(4_500);
/// After one that was not told of.
const PAUSE_UNTOLD: Duration = Duration::from_millis(500);
/// After a decrease the queue drains first.
const AFTER_DECREASE: Duration = Duration::from_millis(1_200);
/// After so long without media the path may be another one.
const MEDIA_PAUSE: Duration = Duration::from_secs(5);
/// A cluster that has not been sent and told of by then has failed.
const TRIAL_TIME: Duration = Duration::from_secs(1);
/// This share of the packets and bytes must have arrived.
const RECEIVED_MIN: f64 = 0.8;
/// With this share of them, beside what is lost anyway, nothing was lost of it.
const WHOLE: f64 = 0.95;
/// Received so many times faster than sent is no measurement.
const FASTER_MAX: f64 = 2.0;
/// Received slower than this share of the rate sent, the link was full: its rate is seen, and a little less is used.
const FULL_BELOW: f64 = 0.9;
const FULL_USE: f64 = 0.95;

/// What the pacer shall send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Told back with every packet of it; never 0.
    pub id: u8,
    /// How fast.
    pub bps: u64,
    /// How much, at least.
    pub bytes: u32,
}

/// What a probe came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it went for, in bits a second.
    pub target: u64,
    /// What it showed, if anything.
    pub measured: Option<u64>,
    /// It filled the link: that is what the link gave it, perhaps at the cost of others.
    pub full: bool,
    /// Too little was told of it, which says nothing: feedback was lost, or there was nothing to send.
    pub untold: bool,
    /// It asked whether an old estimate still holds, so a lower result counts, too.
    pub verifies: bool,
}

/// What the decision stands on.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Bits a second.
    pub estimate: u64,
    /// No probe goes beyond, in bits a second; at or above what is wanted none is needed. 0: nothing is wanted.
    pub most: u64,
    /// What is wanted, in bits a second.
    pub wanted: u64,
    /// No queue grows, and no loss is on trial.
    pub calm: bool,
    /// The link was seen to be full.
    pub careful: bool,
    /// When the estimate last went down.
    pub decreased: Option<Instant>,
}

#[derive(Debug)]
struct Trial {
    cluster: Cluster,
    verifies: bool,
    expires: Instant,
    sent: Side<Instant>,
    last_sent_bytes: u32,
    told: u32,
    arrived: Side<Duration>,
    first_arrived_bytes: u32,
}

/// Packets, bytes and the times of the first and the last.
#[derive(Debug)]
struct Side<T> {
    packets: u32,
    bytes: u32,
    span: Option<(T, T)>,
}

impl<T: Copy + Ord> Side<T> {
    fn new() -> Side<T> {
        Side { packets: 0, bytes: 0, span: None }
    }

    fn add(&mut self, at: T, bytes: u32) {
        self.packets += 1;
        self.bytes += bytes;
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }
}

/// Decides when to probe, and reads the results.
#[derive(Debug)]
pub struct Prober {
    last_id: u8,
    trial: Option<Trial>,
    offered: Option<Cluster>,
    /// What a further probe goes for.
    further: Option<u64>,
    begun: bool,
    media: Option<Instant>,
    /// Media came after a long pause.
    resumed: bool,
    next: Option<Instant>,
    pause: Duration,
}

impl Default for Prober {
    fn default() -> Prober {
        Prober {
            last_id: 0,
            trial: None,
            offered: None,
            further: None,
            begun: false,
            media: None,
            resumed: false,
            next: None,
            pause: PAUSE_MIN,
        }
    }
}

impl Prober {
    /// The cluster that shall be sent now.
    pub fn poll(&mut self) -> Option<Cluster> {
        self.offered.take()
    }

    /// A packet of media was sent. `true`: it is one to think about probes at.
    #[inline]
    pub fn on_media(&mut self, now: Instant) -> bool {
        let before = self.media.replace(now);
        let resumed = before.is_some_and(|at| now.saturating_duration_since(at) >= MEDIA_PAUSE);
        self.resumed |= resumed;
        before.is_none() || resumed
    }

    /// The wish changed: what found nothing for the old one may find something for this one.
    pub fn on_wish(&mut self) {
        (self.next, self.pause) = (None, PAUSE_MIN);
    }

    /// A packet of a cluster was sent.
    pub fn on_sent(&mut self, id: u8, bytes: u32, at: Instant) {
        if let Some(trial) = self.trial.as_mut().filter(|t| t.cluster.id == id) {
            trial.sent.add(at, bytes);
            trial.last_sent_bytes = bytes;
        }
    }

    /// A packet of a cluster arrived or was lost.
    pub fn on_fate(&mut self, fate: &Fate) {
        let Some(trial) = self.trial.as_mut().filter(|t| t.cluster.id == fate.probe) else { return };
        trial.told += u32::from(!fate.recovered);
        if let Some(arrived) = fate.arrived {
            if trial.arrived.span.is_none_or(|(first, _)| arrived < first) {
                trial.first_arrived_bytes = fate.bytes;
            }
            trial.arrived.add(arrived, fate.bytes);
        }
    }

    /// The result of the cluster, once all of it was told of.
    /// Where `loss` of all packets is lost anyway, 0 to 1, as much less is enough.
    pub fn outcome(&mut self, loss: f64, now: Instant) -> Option<Outcome> {
        let trial = self.trial.as_ref()?;
        let complete =
            trial.sent.packets >= CLUSTER_PACKETS_MIN && trial.sent.bytes >= trial.cluster.bytes && trial.told >= trial.sent.packets;
        if !complete && now < trial.expires {
            return None;
        }
        let (measured, full) = trial.measure(1.0 - loss).map_or((None, false), |(bps, full)| (Some(bps), full));
        let untold = measured.is_none() && trial.told < trial.sent.packets.max(CLUSTER_PACKETS_MIN);
        let outcome = Outcome { target: trial.cluster.bps, measured, full, untold, verifies: trial.verifies };
        (self.trial, self.offered) = (None, None);
        Some(outcome)
    }

    /// What the outcome did: looked for more in vain, or raised the estimate to what it is now.
    pub fn on_outcome(&mut self, outcome: Outcome, raised: bool, estimate: u64, now: Instant) {
        let may_be_more = outcome.measured.is_some_and(|bps| bps as f64 >= outcome.target as f64 * FURTHER_SHARE);
        self.further = (may_be_more && raised).then_some(estimate * FURTHER_FACTOR);
        self.pause = if raised || outcome.untold { PAUSE_MIN } else { (self.pause * 3 / 2).min(PAUSE_MAX) };
        self.next = Some(now + if outcome.untold { PAUSE_UNTOLD } else { self.pause });
    }

    /// Begins a probe if it is time for one.
    pub fn plan(&mut self, s: Situation, now: Instant) {
        let flows = self.media.is_some_and(|at| now.saturating_duration_since(at) < TRIAL_TIME);
        if self.trial.is_some() || !flows || s.most == 0 {
            return;
        }
        let further = self.further.take();
        if s.estimate >= s.wanted {
            self.resumed &= s.wanted > 0 && self.begun;
            return self.verify(s, now);
        }
        if !self.begun {
            self.begun = true;
            return self.begin(s.estimate * FIRST_FACTOR, s, false, now);
        }
        if let Some(target) = further.filter(|_| s.calm) {
            return self.begin(target, s, false, now);
        }
        let rested = s.decreased.is_none_or(|at| now.saturating_duration_since(at) >= AFTER_DECREASE);
        if s.calm && rested && self.next.is_none_or(|at| at <= now) {
            let verifies = std::mem::take(&mut self.resumed);
            let target = if s.careful { s.estimate * CAREFUL_FACTOR / 2 } else { s.estimate * FURTHER_FACTOR };
            self.begin(target, s, verifies, now);
        }
    }

    /// After a pause even an estimate that suffices is looked at anew.
    fn verify(&mut self, s: Situation, now: Instant) {
        if std::mem::take(&mut self.resumed) {
            self.begin(s.wanted, s, true, now);
        }
    }

    fn begin(&mut self, target: u64, s: Situation, verifies: bool, now: Instant) {
        let bps = target.min(s.most).min(ESTIMATE_MAX_BPS);
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let time_ms = if s.careful { CAREFUL_CLUSTER_TIME_MS } else { CLUSTER_TIME_MS };
        let cluster = Cluster { id: self.last_id, bps, bytes: (bps * time_ms / 8_000) as u32 };
        self.trial = Some(Trial {
            cluster,
            verifies,
            expires: now + TRIAL_TIME,
            sent: Side::new(),
            last_sent_bytes: 0,
            told: 0,
            arrived: Side::new(),
            first_arrived_bytes: 0,
        });
        self.offered = Some(cluster);
        self.next = Some(now + self.pause);
    }
}

impl Trial {
    /// Bits a second, the slower of sending and arriving; and whether the link was full.
    fn measure(&self, usual: f64) -> Option<(u64, bool)> {
        let enough = |got: u32, of: u32| f64::from(got) >= f64::from(of) * RECEIVED_MIN * usual;
        if !enough(self.arrived.packets, self.sent.packets.max(CLUSTER_PACKETS_MIN)) || !enough(self.arrived.bytes, self.cluster.bytes) {
            return None;
        }
        let (sent, arrived) = (self.sent.span?, self.arrived.span?);
        let (sending, arriving) = (sent.1.saturating_duration_since(sent.0), arrived.1.saturating_sub(arrived.0));
        if sending.is_zero() || arriving.is_zero() || sending > TRIAL_TIME || arriving > TRIAL_TIME {
            return None;
        }
        // Between the first and the last time lie all packets but one: when sending the last, when arriving the first.
        let sent = f64::from(self.sent.bytes - self.last_sent_bytes) * 8.0 / sending.as_secs_f64();
        let arrived = f64::from(self.arrived.bytes - self.first_arrived_bytes) * 8.0 / arriving.as_secs_f64();
        if arrived > sent * FASTER_MAX {
            return None;
        }
        // The times are compared, since rates of few packets depend on which of them is large.
        let full = sending.as_secs_f64() < arriving.as_secs_f64() * FULL_BELOW;
        // What a full queue or a policer lost of it is no rate that the link carries.
        let whole = f64::from(self.arrived.packets) >= f64::from(self.sent.packets) * usual * WHOLE;
        let least = if whole { sent * FULL_BELOW } else { 0.0 };
        let measured = if full { arrived * FULL_USE } else { sent.min(arrived.max(least)) };
        Some((measured as u64, full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn situation(estimate: u64, wanted: u64) -> Situation {
        Situation { estimate, most: wanted * 5 / 4, wanted, calm: true, careful: false, decreased: None }
    }

    /// Sends a cluster, a packet of 1,000 bytes every `apart`, and tells that they came `arrived_apart` from each other; of ten one is lost for each of `lost`.
    fn run(prober: &mut Prober, now: Instant, apart: Duration, arrived_apart: Duration, lost: u32) -> Option<Outcome> {
        let cluster = prober.poll()?;
        let count = (cluster.bytes / 1_000 + 1).max(10);
        (0..count).for_each(|i| prober.on_sent(cluster.id, 1_000, now + apart * i));
        for i in 0..count {
            let arrived = (i % 10 >= lost).then_some(MS * 500 + arrived_apart * i);
            prober.on_fate(&Fate { sent: now + apart * i, bytes: 1_000, unnumbered: 0, probe: cluster.id, arrived, recovered: false });
        }
        prober.outcome(0.0, now + MS * 100)
    }

    #[test]
    fn what_a_cluster_shows() {
        let ms = |us| Duration::from_micros(us);
        // A packet of 1,000 bytes every 4 ms is 2 Mbit/s.
        let table = [
            (ms(4_000), ms(4_000), 0, Some(2_000_000)),
            (ms(4_000), ms(4_200), 0, Some(1_904_761)),
            (ms(4_000), ms(8_000), 0, Some(950_000)),
            (ms(4_000), ms(3_000), 0, Some(2_000_000)),
            (ms(4_000), ms(1_000), 0, None),
            (ms(4_000), ms(4_000), 3, None),
        ];
        for (apart, arrived_apart, lost, expected) in table {
            let now = Instant::now();
            let mut p = Prober::default();
            p.on_media(now);
            p.plan(situation(300_000, 5_000_000), now);
            let outcome = run(&mut p, now, apart, arrived_apart, lost).unwrap();
            assert_eq!((outcome.target, outcome.measured), (900_000, expected), "{arrived_apart:?} {lost}");
        }
    }

    #[test]
    fn probes_go_on_while_they_find_more_and_rest_when_they_do_not() {
        let now = Instant::now();
        let mut p = Prober::default();
        p.plan(situation(300_000, 2_000_000), now);
        assert_eq!(p.poll(), None, "no media, no probe");
        assert!(p.on_media(now));
        p.plan(situation(300_000, 0), now);
        assert_eq!(p.poll(), None, "nothing is wanted");
        p.plan(situation(300_000, 2_000_000), now);
        let outcome = run(&mut p, now, MS * 4, MS * 4, 0).unwrap();
        p.on_outcome(outcome, true, 1_800_000, now);
        p.plan(situation(1_800_000, 2_000_000), now);
        assert_eq!(p.poll().map(|c| c.bps), Some(2_500_000), "at most a quarter more than is wanted");
        let outcome = p.outcome(0.0, now + TRIAL_TIME).unwrap();
        assert_eq!(outcome.measured, None);
        p.on_outcome(outcome, false, 1_800_000, now);
        for (ms, probes) in [(400, false), (500, true)] {
            let at = now + MS * ms;
            p.on_media(at);
            p.plan(situation(1_800_000, 2_000_000), at);
            assert_eq!(p.poll().is_some(), probes, "{ms}");
        }
        p.outcome(0.0, now + MS * 9_000).unwrap();
        let later = now + MS * 60_000;
        p.on_media(later - MS * 10);
        (p.resumed, p.next) = (false, None);
        p.plan(situation(2_000_000, 2_000_000), later);
        assert_eq!(p.poll(), None, "what is wanted is there");
        p.plan(Situation { calm: false, ..situation(1_000_000, 2_000_000) }, later);
        assert_eq!(p.poll(), None, "a queue grows");
        p.plan(situation(1_000_000, 2_000_000), later);
        assert_eq!(p.poll().map(|c| c.bps), Some(2_000_000));
    }

    #[test]
    fn after_a_pause_an_estimate_is_verified() {
        let now = Instant::now();
        let mut p = Prober::default();
        p.on_media(now);
        p.plan(situation(300_000, 1_000_000), now);
        p.outcome(0.0, now + TRIAL_TIME).unwrap();
        let later = now + MEDIA_PAUSE;
        assert!(p.on_media(later));
        p.plan(situation(3_000_000, 1_000_000), later);
        assert_eq!(p.poll().map(|c| c.bps), Some(1_000_000));
        assert!(p.outcome(0.0, later + TRIAL_TIME).unwrap().verifies);
    }
}
