//! One way of one path: datagrams in, and the same ones out later, less what was lost. Sans-IO: `now` is an argument, and a seed decides all chance.
//!
//! ```text
//! in ─► blocked? ─► lost? ─► twice? ─► queue ─► rate ─► delay ± jitter ─► out
//!                                        │ full: dropped         reorder: later
//! ```
//!
//! Loss is before the rate, so that what is counted as out is what the rate let through. Nothing overtakes anything unless `reorder` or free jitter says
//! so, also when the conditions change.
//!
//! The model is our own. `str0m-netem`, which the server's simulator uses, has no reordering by jitter, no outage and no counters, counts the bytes
//! under way as bytes in the queue, lets a datagram that waits for the rate skip the delay, and begins its chance anew with each change of the
//! configuration: a relay whose conditions change all the time, and whose rate is the measure of others, needs these.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use super::conditions::{Conditions, Setting};

/// Datagrams inside a link. More: the newest is dropped. It is more than a second of the 10,000 a second that the relay is made for.
pub const INSIDE_MAX: usize = 16_384;
const NANOS: u128 = 1_000_000_000;

/// What passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whose.
    pub client: u32,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// What became of the datagrams of one link. `in + duplicated = out + lost + blocked + dropped + overflowed + inside`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Datagrams that came.
    pub packets_in: u64,
    /// Their payload.
    pub bytes_in: u64,
    /// Datagrams that went on.
    pub packets_out: u64,
    /// Their payload.
    pub bytes_out: u64,
    /// Lost by chance, each for itself or in bursts.
    pub lost: u64,
    /// Came while nothing passed.
    pub blocked: u64,
    /// Did not fit into the queue before the rate.
    pub dropped: u64,
    /// Did not fit into the relay's own memory, which says nothing about the network.
    pub overflowed: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Held back so that others passed them.
    pub reordered: u64,
}

impl Counters {
    /// Both together.
    pub fn add(&mut self, other: &Counters) {
        let Counters { packets_in, bytes_in, packets_out, bytes_out, lost, blocked, dropped, overflowed, duplicated, reordered } = other;
        self.packets_in += packets_in;
        self.bytes_in += bytes_in;
        self.packets_out += packets_out;
        self.bytes_out += bytes_out;
        self.lost += lost;
        self.blocked += blocked;
        self.dropped += dropped;
        self.overflowed += overflowed;
        self.duplicated += duplicated;
        self.reordered += reordered;
    }
}

/// One way of one path.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    counters: Counters,
    rng: Rng,
    in_burst: bool,
    /// The end of an outage.
    out_until: Option<Instant>,
    /// Before the rate; the first is being sent.
    queue: VecDeque<Datagram>,
    queue_bytes: u64,
    /// Of the first one, bits times 10⁹: so nothing is rounded where rate and time are multiplied.
    sent: u128,
    /// Until when the rate has worked.
    worked_until: Instant,
    /// After the rate, the next to go out first.
    flight: BinaryHeap<Reverse<Flying>>,
    flown: u64,
    /// When the last one that keeps order goes out.
    last_out: Instant,
}

/// A datagram on its way, ordered by when it goes out and then by when it came.
#[derive(Debug, PartialEq, Eq)]
struct Flying {
    at: Instant,
    order: u64,
    datagram: Datagram,
}

impl Ord for Flying {
    fn cmp(&self, other: &Flying) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Flying) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Link {
    /// An empty one.
    pub fn new(conditions: Conditions, rng: Rng, now: Instant) -> Link {
        Link {
            conditions,
            counters: Counters::default(),
            rng,
            in_burst: false,
            out_until: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            sent: 0,
            worked_until: now,
            flight: BinaryHeap::new(),
            flown: 0,
            last_out: now,
        }
    }

    /// What it does just now.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Datagrams inside.
    pub fn inside(&self) -> usize {
        self.queue.len() + self.flight.len()
    }

    /// How long a datagram that comes now would wait before it is sent.
    pub fn queue_delay(&self) -> Duration {
        let Some(rate_bps) = self.conditions.rate_bps else { return Duration::ZERO };
        nanos(self.backlog().div_ceil(u128::from(rate_bps)))
    }

    /// Something changes. What is under way keeps its time; what waits for the rate is sent at the new one.
    pub fn change(&mut self, setting: Setting, now: Instant) {
        self.work(now);
        if let Setting::Outage(time) = setting {
            self.out_until = Some(now + time);
        }
        self.conditions.set(setting);
        match self.conditions.rate_bps {
            Some(rate_bps) => self.trim(self.conditions.queue_bits_max(rate_bps)),
            None => {
                while let Some(datagram) = self.unqueue() {
                    self.launch(datagram, now);
                }
            }
        }
    }

    /// A datagram comes.
    pub fn handle_datagram(&mut self, datagram: Datagram, now: Instant) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += datagram.bytes.len() as u64;
        self.work(now);
        if self.conditions.blocked || self.out_until.is_some_and(|until| now < until) {
            self.counters.blocked += 1;
            return;
        }
        if self.loses() {
            self.counters.lost += 1;
            return;
        }
        if self.chance(self.conditions.duplicate) {
            self.counters.duplicated += 1;
            self.take(datagram.clone(), now);
        }
        self.take(datagram, now);
    }

    /// The next datagram that has gone out by `now`, and when it did.
    pub fn poll_datagram(&mut self, now: Instant) -> Option<(Instant, Datagram)> {
        self.work(now);
        let Reverse(next) = self.flight.peek()?;
        if next.at > now {
            return None;
        }
        let Reverse(Flying { at, datagram, .. }) = self.flight.pop()?;
        self.counters.packets_out += 1;
        self.counters.bytes_out += datagram.bytes.len() as u64;
        Some((at, datagram))
    }

    /// When there is something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sent = self.first_sent_at();
        let out = self.flight.peek().map(|Reverse(next)| next.at);
        sent.into_iter().chain(out).min()
    }

    fn loses(&mut self) -> bool {
        if let Some(burst) = self.conditions.burst {
            let turn = if self.in_burst { burst.leave() } else { burst.enter() };
            self.in_burst ^= self.chance(turn);
        } else {
            self.in_burst = false;
        }
        self.in_burst || self.chance(self.conditions.loss)
    }

    /// No number is drawn where there is no chance.
    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    fn take(&mut self, datagram: Datagram, now: Instant) {
        if self.inside() >= INSIDE_MAX {
            self.counters.overflowed += 1;
            return;
        }
        let Some(rate_bps) = self.conditions.rate_bps else { return self.launch(datagram, now) };
        let bits = bits(&datagram);
        let fits = self.backlog() + bits <= u128::from(self.conditions.queue_bits_max(rate_bps)) * NANOS;
        if !fits && !self.queue.is_empty() {
            self.counters.dropped += 1;
            return;
        }
        self.queue_bytes += datagram.bytes.len() as u64;
        self.queue.push_back(datagram);
    }

    /// What waits for the rate, bits times 10⁹.
    fn backlog(&self) -> u128 {
        u128::from(self.queue_bytes) * 8 * NANOS - self.sent
    }

    /// The queue has become smaller: who came last goes first. The one that is being sent stays.
    fn trim(&mut self, bits_max: u64) {
        while self.queue.len() > 1 && self.backlog() > u128::from(bits_max) * NANOS {
            let last = self.queue.pop_back().map_or(0, |datagram| datagram.bytes.len());
            self.queue_bytes -= last as u64;
            self.counters.dropped += 1;
        }
    }

    fn unqueue(&mut self) -> Option<Datagram> {
        let datagram = self.queue.pop_front()?;
        self.queue_bytes -= datagram.bytes.len() as u64;
        self.sent = 0;
        Some(datagram)
    }

    /// When the first of the queue is sent.
    fn first_sent_at(&self) -> Option<Instant> {
        let (first, rate_bps) = (self.queue.front()?, self.conditions.rate_bps?);
        Some(self.worked_until + nanos((bits(first) - self.sent).div_ceil(u128::from(rate_bps))))
    }

    /// The rate works until `now`.
    fn work(&mut self, now: Instant) {
        while let Some(at) = self.first_sent_at()
            && at <= now
            && let Some(datagram) = self.unqueue()
        {
            self.worked_until = at;
            self.launch(datagram, at);
        }
        let Some(worked) = now.checked_duration_since(self.worked_until) else { return };
        if let (false, Some(rate_bps)) = (self.queue.is_empty(), self.conditions.rate_bps) {
            self.sent += worked.as_nanos() * u128::from(rate_bps);
        }
        self.worked_until = now;
    }

    /// It was sent and is under way.
    fn launch(&mut self, datagram: Datagram, now: Instant) {
        let Conditions { delay, jitter, jitter_overtakes, reorder, .. } = self.conditions;
        let jittered = if jitter.is_zero() { delay } else { (delay + jitter.mul_f64(2.0 * self.rng.f64())).saturating_sub(jitter) };
        let held = reorder.filter(|reorder| self.chance(reorder.share));
        let at = match held {
            Some(reorder) => {
                self.counters.reordered += 1;
                now + jittered + reorder.by
            }
            None if jitter_overtakes && !jitter.is_zero() => now + jittered,
            None => {
                self.last_out = self.last_out.max(now + jittered);
                self.last_out
            }
        };
        self.flown += 1;
        self.flight.push(Reverse(Flying { at, order: self.flown, datagram }));
    }
}

/// Bits of the payload times 10⁹.
fn bits(datagram: &Datagram) -> u128 {
    datagram.bytes.len() as u128 * 8 * NANOS
}

/// No time in a link is as long as the 584 years that fit.
fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conditions::Change;

    /// A link and a clock. Datagrams are numbered.
    struct Bench {
        link: Link,
        start: Instant,
        now: Instant,
        number: u32,
        /// Number, when it went in, when it came out.
        out: Vec<(u32, Duration)>,
    }

    const MS: Duration = Duration::from_millis(1);

    impl Bench {
        fn new(seed: u64, conditions: &str) -> Bench {
            let now = Instant::now();
            let link = Link::new(Conditions::default(), Rng::with_seed(seed), now);
            let mut bench = Bench { link, start: now, now, number: 0, out: vec![] };
            bench.change(conditions);
            bench
        }

        fn change(&mut self, conditions: &str) {
            for word in conditions.split_ascii_whitespace() {
                self.link.change(word.parse::<Change>().expect("a change").setting, self.now);
            }
        }

        fn send(&mut self, bytes: usize) {
            let mut payload = self.number.to_be_bytes().to_vec();
            payload.resize(bytes.max(4), 0);
            self.number += 1;
            self.link.handle_datagram(Datagram { client: 1, bytes: payload }, self.now);
            self.check();
        }

        /// Time passes: with every timeout on its own if `exact`, else only at the end of it.
        fn pass(&mut self, time: Duration, exact: bool) {
            let end = self.now + time;
            while let Some(at) = self.link.poll_timeout().filter(|at| exact && *at <= end) {
                self.now = at;
                self.drain();
            }
            self.now = end;
            self.drain();
        }

        fn drain(&mut self) {
            let mut last = self.start;
            while let Some((at, datagram)) = self.link.poll_datagram(self.now) {
                assert!(at >= last && at <= self.now, "out in the order of time");
                last = at;
                let number = u32::from_be_bytes(*datagram.bytes.first_chunk().expect("a number"));
                self.out.push((number, at - self.start));
            }
            self.check();
        }

        /// Sends so many, so often.
        fn stream(&mut self, count: usize, bytes: usize, every: Duration) -> &mut Bench {
            for _ in 0..count {
                self.send(bytes);
                self.pass(every, false);
            }
            self
        }

        /// Nothing is lost in silence, and no bound is exceeded.
        fn check(&self) {
            let c = self.link.counters();
            let gone = c.packets_out + c.lost + c.blocked + c.dropped + c.overflowed + self.link.inside() as u64;
            assert_eq!(c.packets_in + c.duplicated, gone, "{c:?}");
            assert!(self.link.inside() <= INSIDE_MAX);
            if let Some(rate_bps) = self.link.conditions().rate_bps {
                let most = u128::from(self.link.conditions().queue_bits_max(rate_bps)) * NANOS;
                assert!(self.link.queue.len() == 1 || self.link.backlog() <= most, "the queue is within its bound");
            }
        }

        fn numbers(&self) -> Vec<u32> {
            self.out.iter().map(|(number, _)| *number).collect()
        }

        fn in_order(&self) -> bool {
            self.out.windows(2).all(|pair| pair[0].0 <= pair[1].0)
        }
    }

    #[test]
    fn without_conditions_all_passes_at_once() {
        let mut bench = Bench::new(1, "");
        bench.stream(1_000, 100, MS);
        assert_eq!(bench.out, (0..1_000).map(|i| (i, i * MS)).collect::<Vec<_>>());
        assert_eq!(bench.link.counters().bytes_out, 100_000);
        assert_eq!(bench.link.poll_timeout(), None);
    }

    #[test]
    fn delay_is_exact_and_does_not_depend_on_when_one_looks() {
        for exact in [true, false] {
            let mut bench = Bench::new(1, "delay=40ms rate=800kbit");
            bench.send(1_000); // 10 ms
            bench.send(500); // 5 ms
            bench.pass(100 * MS, exact);
            assert_eq!(bench.out, [(0, 50 * MS), (1, 55 * MS)]);
        }
    }

    #[test]
    fn the_rate_is_what_comes_out() {
        // bytes, how often: all of it more than the rate carries
        for rate_bps in [300_000_u64, 500_000, 3_000_000, 20_000_000] {
            for (bytes, every) in [(1_200, 400_u64), (87, 25), (1_472, 500)] {
                let mut bench = Bench::new(3, &format!("rate={rate_bps}bit queue=50ms"));
                bench.stream(8_000, bytes, Duration::from_micros(every));
                let offered = bytes as f64 * 8.0 * 1e6 / every as f64;
                let expected = offered.min(rate_bps as f64);
                let seconds = (bench.now - bench.start).as_secs_f64();
                let rate = bench.link.counters().bytes_out as f64 * 8.0 / seconds;
                assert!((rate / expected - 1.0).abs() < 0.02, "{rate_bps}: {rate} instead of {expected}");
                assert!(bench.in_order());
            }
        }
    }

    #[test]
    fn nothing_waits_longer_than_the_queue() {
        for (queue, bound) in [("200ms", 200 * MS), ("12500B", 200 * MS), ("20ms", 20 * MS), ("0ms", Duration::ZERO)] {
            let mut bench = Bench::new(4, &format!("rate=500kbit queue={queue}"));
            for _ in 0..2_000 {
                let inside = bench.link.inside();
                bench.send(1_000);
                assert!(bench.link.queue_delay() <= bound.max(16 * MS), "at most the bound, or one alone");
                assert!(inside > 0 || bench.link.inside() == 1, "what comes alone is taken");
                bench.pass(MS, false);
            }
            let dropped = bench.link.counters().dropped;
            assert!(dropped > 1_500 && dropped < 1_900, "{dropped}");
            assert_eq!(bench.link.counters().packets_out, 2_000 / 16, "the rate is always used");
        }
    }

    #[test]
    fn a_new_rate_holds_for_what_waits() {
        let mut bench = Bench::new(5, "rate=800kbit queue=60kB");
        (0..3).for_each(|_| bench.send(1_000));
        bench.pass(5 * MS, true); // half of the first
        bench.change("rate=80kbit");
        assert_eq!(bench.link.queue_delay(), 250 * MS);
        bench.pass(100 * MS, true); // the first has gone after 50, half of the second
        bench.change("rate=off");
        bench.pass(MS, true);
        assert_eq!(bench.out, [(0, 55 * MS), (1, 105 * MS), (2, 105 * MS)]);
    }

    #[test]
    fn a_smaller_queue_drops_who_came_last() {
        let mut bench = Bench::new(5, "rate=800kbit queue=200ms");
        (0..20).for_each(|_| bench.send(1_000));
        bench.change("rate=80kbit");
        assert_eq!((bench.link.inside(), bench.link.counters().dropped), (2, 18));
        bench.pass(Duration::from_secs(1), true);
        assert_eq!(bench.numbers(), [0, 1]);
    }

    #[test]
    fn losses_have_their_share_and_bursts_their_length() {
        // conditions, share, mean length of a run of losses
        let cases = [
            ("loss=5%", 0.05, 1.0 / 0.95),
            ("loss=50%", 0.5, 2.0),
            ("burst=5%/4", 0.05, 4.0),
            ("burst=20%/10", 0.2, 10.0),
            ("burst=10%/1", 0.1, 1.0),
        ];
        for (conditions, share, length) in cases {
            for seed in 1..=5 {
                let mut bench = Bench::new(seed, conditions);
                bench.stream(100_000, 20, MS / 10);
                let came = bench.numbers();
                let runs: Vec<u32> = came.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|run| *run > 0).collect();
                let lost = bench.link.counters().lost as f64;
                let mean = runs.iter().sum::<u32>() as f64 / runs.len() as f64;
                assert!((lost / 1e5 / share - 1.0).abs() < 0.1, "{conditions}, seed {seed}: share {}", lost / 1e5);
                assert!((mean / length - 1.0).abs() < 0.1, "{conditions}, seed {seed}: length {mean}");
                assert!(bench.in_order());
            }
        }
    }

    #[test]
    fn jitter_keeps_order_unless_it_is_free() {
        for (conditions, every, free) in [
            ("delay=40ms jitter=20ms", 50 * MS, false),
            ("delay=40ms jitter=20ms", MS, false),
            ("delay=40ms jitter=20ms/free", MS, true),
            ("delay=10ms jitter=20ms/free", MS, true),
        ] {
            let mut bench = Bench::new(7, conditions);
            bench.stream(5_000, 100, every).pass(100 * MS, false);
            assert_eq!(bench.out.len(), 5_000);
            assert_eq!(bench.in_order(), !free, "{conditions}");
            let jittered = bench.link.conditions().delay;
            let delays: Vec<Duration> = bench.out.iter().map(|(number, at)| *at - *number * every).collect();
            let (least, most) = (delays.iter().min().expect("some"), delays.iter().max().expect("some"));
            assert!(*least >= jittered.saturating_sub(20 * MS) && *most <= jittered + 20 * MS, "{conditions}: {least:?} to {most:?}");
            // Who keeps order behind a late one is late too: early ones are rare there.
            assert!(*most - *least > 20 * MS, "{conditions}: {least:?} to {most:?}");
            if every > 40 * MS {
                let mean = delays.iter().sum::<Duration>() / 5_000;
                assert!(mean.abs_diff(jittered) < MS, "{mean:?}");
            }
        }
    }

    #[test]
    fn a_change_of_delay_reorders_nothing() {
        let mut bench = Bench::new(8, "delay=200ms");
        for delay in ["delay=off", "delay=100ms", "delay=5ms jitter=5ms", "jitter=off"] {
            bench.stream(100, 100, MS).change(delay);
        }
        bench.pass(Duration::from_secs(1), false);
        assert!(bench.in_order());
        assert_eq!(bench.out.len(), 400);
    }

    #[test]
    fn reordering_and_duplicates_have_their_share() {
        let mut bench = Bench::new(9, "delay=10ms reorder=2%/30ms duplicate=3%");
        bench.stream(50_000, 100, MS).pass(100 * MS, false);
        let (mut highest, mut late, mut copies) = (None, 0, 0);
        for (number, at) in &bench.out {
            let delay = *at - *number * MS;
            assert!(delay == 10 * MS || delay == 40 * MS);
            late += u32::from(highest > Some(*number));
            copies += u32::from(highest == Some(*number));
            highest = highest.max(Some(*number));
        }
        assert!((late as f64 / 1_030.0 - 1.0).abs() < 0.1, "{late} late");
        assert!((copies as f64 / 1_500.0 - 1.0).abs() < 0.1, "{copies} copies");
        assert_eq!(bench.link.counters().duplicated as usize, bench.out.len() - 50_000);
    }

    #[test]
    fn a_block_and_an_outage_let_nothing_pass_but_what_is_under_way() {
        let mut bench = Bench::new(10, "delay=20ms");
        bench.stream(10, 100, 10 * MS).change("block=on");
        bench.stream(10, 100, 10 * MS).change("block=off");
        bench.stream(10, 100, 10 * MS).change("outage=100ms");
        bench.stream(20, 100, 10 * MS).pass(100 * MS, false);
        assert_eq!(bench.numbers(), (0..10).chain(20..30).chain(40..50).collect::<Vec<_>>());
        assert_eq!(bench.link.counters().blocked, 20);
    }

    #[test]
    fn memory_has_a_bound() {
        let mut bench = Bench::new(11, "delay=10s");
        (0..INSIDE_MAX + 5).for_each(|_| bench.send(4));
        assert_eq!((bench.link.inside(), bench.link.counters().overflowed), (INSIDE_MAX, 5));
        bench.pass(Duration::from_secs(10), false);
        assert_eq!(bench.link.inside(), 0);
    }

    #[test]
    fn a_seed_decides_all_and_a_change_does_not_begin_anew() {
        let run = |seed| {
            let mut bench = Bench::new(seed, "loss=30% jitter=5ms duplicate=5%");
            bench.stream(500, 100, MS).change("loss=30%");
            bench.stream(500, 100, MS).pass(10 * MS, false);
            bench.out
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let came: Vec<u32> = run(1).iter().map(|(number, _)| *number).collect();
        let halves = [0, 500].map(|from| (0..500).map(|i| came.contains(&(from + i))).collect::<Vec<_>>());
        assert_ne!(halves[0], halves[1]);
    }
}
