//! How much may be sent to one receiver: the sender-side bandwidth estimator.
//!
//! ```text
//! fates ─┬→ arrival (groups) → trend (a queue grows?) ─┐
//!        ├→ meter (what arrives) ──────────────────────┼→ aimd → estimate
//!        ├→ loss (is it ours?) ────────────────────────┤
//! wish ──┴→ probe (is there more?) ─→ clusters ────────┘
//! ```
//!
//! It is told what became of which packet, and does not know how that was said: transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01) today. It has no timers: it thinks when media or feedback passes. Who gives no such
//! feedback is handled in `blind`.
//!
//! Sources, by file: libwebrtc's `modules/congestion_controller/goog_cc`, draft-ietf-rmcat-gcc-02, and str0m's `docs/BWE.md`, which maps the one
//! to the other.

mod aimd;
mod arrival;
mod blind;
mod loss;
mod meter;
mod probe;
mod trend;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use aimd::{Aimd, Seen};
use arrival::{Groups, ms};
use blind::Blind;
use loss::{Loss, Rates, Verdict};
use meter::Meter;
pub use probe::{CLUSTER_PACKETS_MIN, Cluster};
use probe::{Prober, Situation};
use trend::{Trend, Usage};

/// The first guess: two small pictures and a voice, which nearly every link carries. Probes correct it within a second.
pub const ESTIMATE_INITIAL_BPS: u64 = 300_000;
/// Never less: a voice.
pub const ESTIMATE_MIN_BPS: u64 = 30_000;
/// Never more: beyond anything that one receiver shows.
pub const ESTIMATE_MAX_BPS: u64 = 100_000_000;
/// Probes go for this much more than is wanted, so that what is wanted fits with room to spare.
const BEYOND_WANTED: (u64, u64) = (5, 4);
/// Wishes are about pictures; this is for the voices beside them.
const VOICES_BPS: u64 = 150_000;
/// Less than this share of the estimate sent: the delay tells nothing about the estimate.
const LIMITED_BELOW: (u64, u64) = (7, 10);
/// A probe that fills the link takes from others who share it. What it shows is only believed beyond this share of what the link gave us before...
const MORE_THAN_KNOWN: (u64, u64) = (5, 4);
/// ... and otherwise up to this one.
const KNOWN_USE: (u64, u64) = (19, 20);
/// A queue so short is not worth a decrease: a keyframe makes it.
const QUEUE_HARMLESS: Duration = Duration::from_millis(25);
/// Where packets wait so long, loss is overflow, and a queue that only stays is one too many.
const QUEUE_LONG: Duration = Duration::from_millis(80);
/// What came while a queue was there is at least this share of what came in the last half second: a radio that paused is no slower link.
const CARRIED_MIN: (u64, u64) = (2, 5);
/// More than this share of what comes is sent, and a long queue can only grow.
const GROWS_ABOVE: (u64, u64) = (11, 10);
/// It may stay for so long.
const QUEUE_STANDS: Duration = Duration::from_secs(1);
/// A queue that so many decreases did not shorten is none: the way became longer.
const STANDING_DECREASES_MAX: u32 = 4;
/// Without feedback for so long although packets leave, they probably do not arrive.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Then this share of the estimate remains, each time.
const SILENCE_SHARE: (u64, u64) = (3, 4);
/// A receiver that negotiated feedback and gave none until then gives none.
const DEAF_AFTER: Duration = Duration::from_secs(3);
/// The least delay of so much time (and up to twice as much) is that of an empty queue.
const BASE_DELAY_TIME: Duration = Duration::from_secs(10);
/// Taken for the round trip until feedback tells it.
const RTT_UNKNOWN: Duration = Duration::from_millis(100);
/// A change worth telling: 3 % up or crossing the wish, 5 % down.
const TELL_UP: f64 = 1.03;
const TELL_DOWN: f64 = 0.95;
/// What rose only a little is told, too, but seldom.
const TELL_LITTLE: f64 = 1.005;
const TELL_LITTLE_PAUSE: Duration = Duration::from_secs(1);
/// Rising is told at most so often.
const TELL_PAUSE: Duration = Duration::from_millis(100);

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When it was sent.
    pub sent: Instant,
    /// As a datagram.
    pub bytes: u32,
    /// Bytes that were sent just before it and whose fate is never told.
    pub unnumbered: u32,
    /// Its cluster, or 0.
    pub probe: u8,
    /// When it arrived, on the receiver's clock, which begins anywhere. `None`: it did not.
    pub arrived: Option<Duration>,
    /// It had been told missing before.
    pub recovered: bool,
}

/// For the statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Bits a second that whole datagrams of media may use.
    pub bps: u64,
    /// The round trip, as far as known.
    pub rtt: Option<Duration>,
    /// Lost of all, 0 to 1.
    pub loss: f64,
    /// What packets wait in queues of the network, as far as known.
    pub queue: Option<Duration>,
    /// The receiver tells when packets arrived; otherwise the estimate is an assumption, or its own.
    pub measured: bool,
}

/// The estimator of one receiver.
#[derive(Debug)]
pub struct Estimator {
    epoch: Instant,
    groups: Groups,
    trend: Trend,
    sent: Meter,
    acked: Meter,
    aimd: Aimd,
    loss: Loss,
    prober: Prober,
    blind: Blind,
    is_blind: bool,
    delay: Delay,
    rtt: Option<Duration>,
    wanted: Option<u64>,
    /// Since when the queue is long, and how many decreases did not help.
    standing: Option<(Instant, u32)>,
    /// It is for such a queue that the usage is too much.
    stands: bool,
    /// A probe filled the queue; its packets are not compared with those before.
    after_probe: bool,
    /// When it is time to worry about feedback that does not come.
    silent_at: Option<Instant>,
    heard: bool,
    told: Option<(u64, Instant)>,
    media: Option<Instant>,
}

impl Estimator {
    /// Knows nothing yet.
    pub fn new(now: Instant) -> Estimator {
        Estimator {
            epoch: now,
            groups: Groups::default(),
            trend: Trend::default(),
            sent: Meter::default(),
            acked: Meter::default(),
            aimd: Aimd::new(ESTIMATE_INITIAL_BPS),
            loss: Loss::default(),
            prober: Prober::default(),
            blind: Blind::default(),
            is_blind: false,
            delay: Delay::default(),
            rtt: None,
            wanted: None,
            standing: None,
            stands: false,
            after_probe: false,
            silent_at: None,
            heard: false,
            told: None,
            media: None,
        }
    }

    /// Bits a second that may be sent.
    pub fn bps(&self) -> u64 {
        if self.is_blind { self.blind.bps() } else { self.aimd.bps() }
    }

    /// All that is known.
    pub fn estimate(&self) -> Estimate {
        let loss = if self.is_blind { self.blind.loss() } else { self.loss.share() };
        Estimate { bps: self.bps(), rtt: self.rtt, loss, queue: self.delay.queue(), measured: !self.is_blind }
    }

    /// Packets wait long on the way.
    pub fn is_queued(&self) -> bool {
        self.delay.queue().is_some_and(|queue| queue >= QUEUE_LONG)
    }

    /// What one would like to send, once somebody has said it.
    pub fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// What one would like to send, in bits a second. 0: nothing, and no probes either.
    pub fn want(&mut self, bps: u64, now: Instant) {
        let before = self.wanted.replace(bps);
        if before.is_none_or(|before| bps > before) {
            self.prober.on_wish();
            self.plan(now);
        }
    }

    /// The cluster that shall be sent now; ask after every other call.
    #[inline]
    pub fn poll_cluster(&mut self) -> Option<Cluster> {
        self.prober.poll()
    }

    /// No packet of this connection carries a number that feedback could name.
    pub fn set_blind(&mut self, blind: bool) {
        self.is_blind = blind;
    }

    /// A packet was sent, of media, a repetition or a probe (0: none).
    #[inline]
    pub fn on_sent(&mut self, bytes: u32, probe: u8, now: Instant) {
        self.sent.add(now.saturating_duration_since(self.epoch), bytes);
        if probe != 0 {
            self.prober.on_sent(probe, bytes, now);
        }
    }

    /// A packet of media was sent.
    #[inline]
    pub fn on_media(&mut self, now: Instant) {
        if self.prober.on_media(now) {
            self.plan(now);
        }
        let paused = self.media.replace(now).is_none_or(|at| now.saturating_duration_since(at) >= SILENCE);
        if paused || self.silent_at.is_none_or(|at| at <= now) {
            self.on_silence(paused, now);
        }
    }

    /// Who was sent nothing had nothing to tell.
    fn on_silence(&mut self, paused: bool, now: Instant) {
        self.silent_at = Some(now + if self.heard { SILENCE } else { DEAF_AFTER });
        match (paused, self.heard) {
            (true, _) => {}
            (false, true) => self.aimd.limit(self.aimd.bps() * SILENCE_SHARE.0 / SILENCE_SHARE.1, now),
            (false, false) => self.is_blind = true,
        }
    }

    /// The receiver's own estimate (REMB).
    pub fn on_remb(&mut self, bps: u64) {
        self.blind.on_remb(bps);
    }

    /// A report about one stream: lost of 256.
    pub fn on_report(&mut self, fraction_lost: u8, now: Instant) {
        self.blind.on_report(fraction_lost, now);
    }

    /// What became of packets, in the order of their sending.
    pub fn on_feedback(&mut self, fates: &[Fate], now: Instant) {
        if fates.is_empty() {
            return;
        }
        (self.heard, self.is_blind, self.silent_at) = (true, false, Some(now + SILENCE));
        let mut usage = Usage::Normal;
        let mut newest = None;
        for fate in fates {
            self.loss.on_fate(fate);
            if fate.probe != 0 {
                self.prober.on_fate(fate);
            }
            let Some(arrived) = fate.arrived else { continue };
            newest = newest.max(Some(fate.sent));
            self.acked.add(arrived, fate.bytes + fate.unnumbered);
            self.delay.add(arrived, fate.sent.saturating_duration_since(self.epoch));
            self.on_arrival(fate, arrived);
            usage = if usage == Usage::Over { usage } else { self.trend.usage() };
        }
        usage = self.weigh(usage, now);
        if let Some(sent) = newest {
            let rtt = now.saturating_duration_since(sent);
            self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
        }
        self.control(usage, now);
        self.plan(now);
    }

    /// The trend sees a queue grow, but not how long it is.
    fn weigh(&mut self, usage: Usage, now: Instant) -> Usage {
        let Some(queue) = self.delay.queue() else { return usage };
        if queue < QUEUE_LONG {
            self.standing = None;
            return if usage == Usage::Over && queue < QUEUE_HARMLESS { Usage::Normal } else { usage };
        }
        let (since, decreases) = *self.standing.get_or_insert((now, 0));
        if usage != Usage::Normal {
            return usage;
        }
        if now.saturating_duration_since(since) < QUEUE_STANDS {
            let (sent, acked) = (self.sent_bps(now), self.acked.bps(Duration::ZERO));
            let grows = acked.is_some_and(|acked| sent > acked * GROWS_ABOVE.0 / GROWS_ABOVE.1);
            return if grows { Usage::Over } else { usage };
        }
        if decreases == STANDING_DECREASES_MAX {
            self.delay.rebase();
            self.standing = None;
            return usage;
        }
        self.standing = Some((now, decreases + 1));
        self.stands = true;
        Usage::Over
    }

    fn on_arrival(&mut self, fate: &Fate, arrived: Duration) {
        if fate.probe != 0 {
            self.after_probe = true;
            return;
        }
        if std::mem::take(&mut self.after_probe) {
            self.groups = Groups::default();
        }
        if let Some(variation) = self.groups.on_packet(fate.sent, arrived) {
            self.trend.on_group(variation);
        }
    }

    fn control(&mut self, usage: Usage, now: Instant) {
        let queue = self.delay.queue().unwrap_or_default();
        let queued = self.is_queued();
        let mut acked = self.acked.bps(Duration::ZERO);
        let sent = self.sent_bps(now);
        let used = sent >= self.aimd.bps() * LIMITED_BELOW.0 / LIMITED_BELOW.1;
        if usage == Usage::Over {
            self.loss.on_overuse(queued, now);
            acked = self.carried(acked, queue);
        }
        if usage != Usage::Normal || !(queued || self.loss.is_suspected()) {
            let rtt = self.rtt.unwrap_or(RTT_UNKNOWN);
            // A long queue shows what the link carries, if it is ours. A voice beside somebody's download shows nothing.
            let used = used || queued && sent > self.aimd.bps() / 2;
            let loss = self.loss.share();
            // A queue that only stays may be a way that became longer, or somebody else's: no reason to make room for it.
            let queue = if std::mem::take(&mut self.stands) { Duration::ZERO } else { queue };
            self.aimd.update(usage, Seen { acked, queue, rtt, used, loss }, now);
        }
        if let Some(outcome) = self.prober.outcome(self.loss.share(), now) {
            let before = self.aimd.bps();
            let rises = |bps: u64| bps > before || outcome.verifies;
            if let Some(bps) = outcome.measured.filter(|_| outcome.full && usage != Usage::Over) {
                self.aimd.learn(bps);
            }
            let fair = outcome.measured.map(|bps| match self.aimd.capacity().filter(|_| outcome.full) {
                Some(known) if bps < known * MORE_THAN_KNOWN.0 / MORE_THAN_KNOWN.1 => bps.min(known * KNOWN_USE.0 / KNOWN_USE.1),
                Some(_) | None => bps,
            });
            if let Some(bps) = fair.filter(|bps| usage != Usage::Over && rises(*bps)) {
                self.aimd.set(bps.max(acked.unwrap_or(0).min(before)), now);
            }
            let raised = self.aimd.bps() > before + before / 50;
            self.prober.on_outcome(outcome, raised, self.aimd.bps(), now);
        }
        let rates = Rates { estimate: self.aimd.bps(), sent, queued };
        match self.loss.judge(rates, now) {
            Verdict::Keep => {}
            Verdict::Lower(bps) => self.aimd.limit(bps, now),
            Verdict::Restore(bps) => self.aimd.set(bps.max(rates.estimate), now),
        }
    }

    /// What the link carried while a queue was there, which is as long ago as the newest packet waited in it.
    fn carried(&self, acked: Option<u64>, queue: Duration) -> Option<u64> {
        let last = self.acked.last_bps(queue);
        if queue < QUEUE_LONG {
            return acked.max(last);
        }
        let least = acked.map(|acked| acked * CARRIED_MIN.0 / CARRIED_MIN.1);
        last.max(least)
    }

    fn sent_bps(&mut self, now: Instant) -> u64 {
        self.sent.bps(now.saturating_duration_since(self.epoch)).unwrap_or(0)
    }

    fn plan(&mut self, now: Instant) {
        // What is repeated is not added: where so much is lost, fewer packets are easier to mend than more.
        let wanted = self.wanted.unwrap_or(0);
        if self.is_blind || wanted == 0 {
            return;
        }
        let situation = Situation {
            estimate: self.aimd.bps(),
            most: wanted * BEYOND_WANTED.0 / BEYOND_WANTED.1 + VOICES_BPS,
            wanted: wanted + VOICES_BPS,
            calm: self.trend.usage() != Usage::Over && !self.loss.is_suspected(),
            careful: self.aimd.capacity().is_some(),
            decreased: self.aimd.decreased(),
        };
        self.prober.plan(situation, now);
    }

    /// The estimate, when there is something to tell: the first one, one that fell, one that rose a little while ago.
    /// Less `repeated`, a share of it that goes to repetitions.
    pub fn poll_estimate(&mut self, repeated: f64, now: Instant) -> Option<u64> {
        let bps = (self.bps() as f64 * (1.0 - repeated)) as u64;
        if let Some((told, at)) = self.told {
            let ratio = bps as f64 / told as f64;
            let crossed = self.wanted.is_some_and(|wanted| told < wanted && bps >= wanted);
            let little = ratio >= TELL_LITTLE && now.saturating_duration_since(at) >= TELL_LITTLE_PAUSE;
            let rose = little || (ratio >= TELL_UP || crossed) && now.saturating_duration_since(at) >= TELL_PAUSE;
            let sank = ratio <= 2.0 - TELL_UP && now.saturating_duration_since(at) >= TELL_PAUSE;
            if !rose && !sank && ratio > TELL_DOWN {
                return None;
            }
        }
        self.told = Some((bps, now));
        Some(bps)
    }
}

/// How long packets are on the way, compared with the shortest of the last seconds.
#[derive(Debug, Default)]
struct Delay {
    /// In ms; only differences mean something, since the clocks are two.
    now_ms: Option<f64>,
    least_ms: [f64; 2],
    turned: Option<Duration>,
}

impl Delay {
    fn add(&mut self, arrived: Duration, sent: Duration) {
        let delay = ms(arrived) - ms(sent);
        self.now_ms = Some(self.now_ms.map_or(delay, |old| old + (delay - old) * 0.1));
        match self.turned {
            None => (self.turned, self.least_ms) = (Some(sent), [delay; 2]),
            Some(at) if sent.saturating_sub(at) >= BASE_DELAY_TIME => {
                (self.turned, self.least_ms) = (Some(sent), [delay, self.least_ms[0]]);
            }
            Some(_) => self.least_ms[0] = self.least_ms[0].min(delay),
        }
    }

    /// What it is now is what it is without a queue.
    fn rebase(&mut self) {
        if let Some(now) = self.now_ms {
            self.least_ms = [now; 2];
        }
    }

    fn queue(&self) -> Option<Duration> {
        let least = self.least_ms[0].min(self.least_ms[1]);
        self.now_ms.map(|now| Duration::from_secs_f64((now - least).clamp(0.0, 60_000.0) / 1_000.0))
    }
}
