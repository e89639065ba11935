//! A network between two ends, one way of it: rate with a bounded queue, delay, jitter, loss, reordering. All of it may change while it runs.
//!
//! ```text
//! send → loss → queue, drained at the rate → delay and jitter → poll
//! ```
//!
//! It is no general emulator: what the scenarios need, and nothing on the way of those that need only delay. A datagram in the queue leaves at
//! the rate of the moment at which it leaves, so a rate that falls makes the queue that is there longer, as in a real bottleneck.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// IPv4 and UDP heads, which a bottleneck carries too.
pub const HEADS: usize = 28;
/// What one entry of [`Traffic`] covers.
pub const BIN: Duration = Duration::from_millis(100);
/// A datagram that is overtaken comes so much later.
const OVERTAKEN: Duration = Duration::from_millis(15);

/// How one way of a network is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Bits per second, heads included; `None`: no bottleneck.
    pub rate: Option<u64>,
    /// So long the bottleneck's queue may be; what would wait longer is dropped.
    pub queue: Duration,
    /// From one end to the other.
    pub delay: Duration,
    /// Up to so much more, evenly spread; it does not reorder.
    pub jitter: Duration,
    /// Share of datagrams that is lost, 0 to 1.
    pub loss: f32,
    /// So many are lost in a row on average; 1: each on its own.
    pub burst: f32,
    /// Share that is overtaken by those behind it, 0 to 1.
    pub reorder: f32,
}

impl Conditions {
    /// Nothing but delay.
    pub const fn delay(delay: Duration) -> Conditions {
        let queue = Duration::from_millis(200);
        Conditions { rate: None, queue, delay, jitter: Duration::ZERO, loss: 0.0, burst: 1.0, reorder: 0.0 }
    }
}

/// A datagram, and the address that the other side sees it come from or that it is sent to.
#[derive(Clone, Debug)]
pub struct Parcel(pub SocketAddr, pub Vec<u8>);

impl Parcel {
    fn bits(&self) -> u64 {
        8 * (self.1.len() + HEADS) as u64
    }
}

/// What went through, in bins of [`BIN`].
#[derive(Clone, Debug)]
pub struct Traffic {
    pub since: Instant,
    /// Bits that left the bottleneck, heads included.
    pub bits: Vec<u64>,
    /// The longest wait in the bottleneck's queue.
    pub queue: Vec<Duration>,
    /// Datagrams that the queue had no room for.
    pub dropped: u64,
}

impl Traffic {
    fn note(&mut self, at: Instant, bits: u64, waited: Duration) {
        let bin = (at.saturating_duration_since(self.since).as_millis() / BIN.as_millis()) as usize;
        if self.bits.len() <= bin {
            self.bits.resize(bin + 1, 0);
            self.queue.resize(bin + 1, Duration::ZERO);
        }
        self.bits[bin] += bits;
        self.queue[bin] = self.queue[bin].max(waited);
    }
}

/// One way.
pub struct Way {
    conditions: Conditions,
    rng: fastrand::Rng,
    /// The last one was lost.
    losing: bool,
    out_until: Option<Instant>,
    waiting: VecDeque<(Instant, Parcel)>,
    waiting_bits: u64,
    /// When the bottleneck has sent what it was sending.
    free_at: Option<Instant>,
    flying: VecDeque<(Instant, Parcel)>,
    /// When the last one arrives that nothing overtakes.
    last_due: Option<Instant>,
    /// `None`: nobody looks.
    pub traffic: Option<Traffic>,
}

impl Way {
    pub fn new(conditions: Conditions, seed: u64) -> Way {
        Way {
            conditions,
            rng: fastrand::Rng::with_seed(seed),
            losing: false,
            out_until: None,
            waiting: VecDeque::new(),
            waiting_bits: 0,
            free_at: None,
            flying: VecDeque::new(),
            last_due: None,
            traffic: None,
        }
    }

    pub fn conditions(&mut self) -> &mut Conditions {
        &mut self.conditions
    }

    /// Loses everything until then.
    pub fn cut(&mut self, until: Instant) {
        self.out_until = Some(until);
    }

    /// Writes down what goes through from now on.
    pub fn watch(&mut self, now: Instant) {
        self.traffic = Some(Traffic { since: now, bits: vec![], queue: vec![], dropped: 0 });
    }

    pub fn send(&mut self, now: Instant, parcel: Parcel) {
        if self.out_until.is_some_and(|until| now < until) || self.loses() {
            return;
        }
        let Some(rate) = self.conditions.rate else { return self.fly(now, now, parcel) };
        self.transmit(now);
        if self.waiting_bits as f64 / rate as f64 > self.conditions.queue.as_secs_f64() {
            self.traffic.iter_mut().for_each(|t| t.dropped += 1);
            return;
        }
        self.waiting_bits += parcel.bits();
        self.waiting.push_back((now, parcel));
    }

    pub fn poll(&mut self, now: Instant) -> Option<Parcel> {
        if !self.waiting.is_empty() {
            self.transmit(now);
        }
        self.flying.pop_front_if(|(due, _)| *due <= now).map(|(_, parcel)| parcel)
    }

    /// When something arrives or leaves the queue.
    pub fn due(&self) -> Option<Instant> {
        let leaves = self.waiting.front().map(|(since, parcel)| self.leaves_at(*since, parcel));
        self.flying.front().map(|(due, _)| *due).into_iter().chain(leaves).min()
    }

    /// What has left the queue by now flies.
    fn transmit(&mut self, now: Instant) {
        while let Some((since, parcel)) = self.waiting.front() {
            let (since, at) = (*since, self.leaves_at(*since, parcel));
            if at > now {
                return;
            }
            let Some((_, parcel)) = self.waiting.pop_front() else { return };
            self.waiting_bits -= parcel.bits();
            self.free_at = Some(at);
            self.fly(since, at, parcel);
        }
    }

    fn leaves_at(&self, since: Instant, parcel: &Parcel) -> Instant {
        let start = self.free_at.map_or(since, |free| free.max(since));
        let takes = self.conditions.rate.map_or(0.0, |rate| parcel.bits() as f64 / rate as f64);
        start + Duration::from_secs_f64(takes)
    }

    fn fly(&mut self, since: Instant, at: Instant, parcel: Parcel) {
        self.traffic.iter_mut().for_each(|t| t.note(at, parcel.bits(), at - since));
        let mut due = at + self.conditions.delay;
        if !self.conditions.jitter.is_zero() {
            due += self.conditions.jitter.mul_f32(self.rng.f32());
            due = self.last_due.map_or(due, |last| due.max(last));
            self.last_due = Some(due);
        }
        if self.conditions.reorder > 0.0 && self.rng.f32() < self.conditions.reorder {
            due += OVERTAKEN;
        }
        // Nearly always the last; behind one that is overtaken it is not, nor after the delay fell.
        let place = self.flying.iter().rposition(|(other, _)| *other <= due).map_or(0, |before| before + 1);
        self.flying.insert(place, (due, parcel));
    }

    /// Two states (Gilbert): from a lost one to the next lost one with such a chance that `burst` are lost in a row and `loss` of all.
    fn loses(&mut self) -> bool {
        let Conditions { loss, burst, .. } = self.conditions;
        if loss <= 0.0 {
            return false;
        }
        let chance = match (burst > 1.0, self.losing) {
            (false, _) => loss,
            (true, true) => 1.0 - 1.0 / burst,
            (true, false) => loss / (burst * (1.0 - loss)),
        };
        self.losing = self.rng.f32() < chance;
        self.losing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PLAIN: Conditions = Conditions::delay(Duration::from_millis(20));

    fn parcel(number: u32, len: usize) -> Parcel {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(len - HEADS, 0);
        Parcel(SocketAddr::from(([10, 0, 0, 1], 1)), bytes)
    }

    /// Sends one datagram of 1,000 bytes every `gap` for `count` times; returns when which arrived, in milliseconds.
    fn run(way: &mut Way, count: u32, gap: u32) -> Vec<(u32, u32)> {
        let start = Instant::now();
        let mut arrived = vec![];
        for ms in 0..count * gap + 2_000 {
            let now = start + MS * ms;
            if ms % gap == 0 && ms / gap < count {
                way.send(now, parcel(ms / gap, 1_000));
            }
            while let Some(Parcel(_, bytes)) = way.poll(now) {
                arrived.push((ms, u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
            }
        }
        arrived
    }

    #[test]
    fn delay_alone_keeps_all_and_their_order() {
        let arrived = run(&mut Way::new(PLAIN, 1), 100, 3);
        assert_eq!(arrived, (0..100).map(|n| (n * 3 + 20, n)).collect::<Vec<_>>());
    }

    #[test]
    fn a_bottleneck_carries_its_rate_and_bounds_its_queue() {
        // 8 Mbit/s come, 2 leave: the queue fills to 200 ms and three of four are dropped.
        let mut way = Way::new(Conditions { rate: Some(2_000_000), ..PLAIN }, 1);
        way.watch(Instant::now());
        let arrived = run(&mut way, 2_000, 1);
        assert!((540..=560).contains(&arrived.len()), "{}", arrived.len());
        let worst = arrived.iter().map(|(at, n)| at - n).max().unwrap();
        assert!((220..=226).contains(&worst), "{worst} ms");
        let traffic = way.traffic.unwrap();
        assert!(traffic.bits[5..15].iter().all(|bits| (192_000..=208_000).contains(bits)), "{:?}", traffic.bits);
        assert_eq!(traffic.dropped as usize + arrived.len(), 2_000);
        assert!(traffic.queue.iter().max().unwrap().as_millis() <= 205);
    }

    #[test]
    fn a_rate_that_falls_slows_what_waits() {
        let start = Instant::now();
        let mut way = Way::new(Conditions { rate: Some(8_000_000), ..PLAIN }, 1);
        (0..100).for_each(|n| way.send(start, parcel(n, 1_000)));
        way.poll(start + MS * 50);
        way.conditions().rate = Some(800_000);
        // The first came with the poll above. 50 leave within 1 ms each and 50 within 10 ms each, and all fly for 20 ms.
        for (ms, count) in [(69, 48), (71, 1), (565, 49), (571, 1)] {
            let arrived = std::iter::from_fn(|| way.poll(start + MS * ms)).count();
            assert_eq!(arrived, count, "by {ms} ms");
        }
    }

    #[test]
    fn losses_come_as_often_and_as_long_as_said() {
        for burst in [1.0, 5.0] {
            let mut way = Way::new(Conditions { loss: 0.1, burst, ..PLAIN }, 3);
            let lost: Vec<bool> = (0..100_000).map(|_| way.loses()).collect();
            let total = lost.iter().filter(|l| **l).count() as f32;
            let runs = lost.windows(2).filter(|w| !w[0] && w[1]).count() as f32;
            assert!((9_000.0..11_000.0).contains(&total), "{total}");
            let expected = if burst > 1.0 { burst } else { 1.0 / 0.9 };
            assert!((total / runs / expected - 1.0).abs() < 0.1, "{} in a row", total / runs);
        }
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = run(&mut Way::new(Conditions { jitter: MS * 30, ..PLAIN }, 1), 500, 5);
        assert!(jitter.is_sorted_by_key(|(_, n)| *n) && jitter.len() == 500);
        let late = jitter.iter().map(|(at, n)| at - n * 5).collect::<Vec<_>>();
        assert!(late.iter().all(|ms| (20..=51).contains(ms)) && late.iter().any(|ms| *ms > 40), "{late:?}");
        let overtaken = run(&mut Way::new(Conditions { reorder: 0.1, ..PLAIN }, 1), 500, 5);
        assert!(!overtaken.is_sorted_by_key(|(_, n)| *n) && overtaken.len() == 500);
    }

    #[test]
    fn a_cut_loses_everything_while_it_lasts() {
        let mut way = Way::new(PLAIN, 1);
        let now = Instant::now();
        way.cut(now + MS * 300);
        for (ms, arrives) in [(0, false), (299, false), (300, true)] {
            way.send(now + MS * ms, parcel(ms, 1_000));
            assert_eq!(way.due().is_some(), arrives, "{ms}");
        }
    }
}
