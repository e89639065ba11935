//! Estimator and pacer over a made network: a bottleneck with a queue, delay, loss, jitter and feedback that may get lost. Deterministic by seed.
//!
//! A table of what came out is printed; the bars are asserted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::rtp::Codec;
use crate::webrtc::egress::{forward_to, packet_of};
use crate::webrtc::ledger::Ledger;
use crate::webrtc::pacer::{Admission, Pacer, Release, Waiting};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;
const LAYERS: [u64; 4] = [0, 150_000, 500_000, 1_700_000];
const VOICE_BPS: u64 = 40_000;
/// Headers and tag of a datagram.
const OVERHEAD: usize = 40;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[derive(Clone)]
struct Network {
    /// From when, how many bits a second.
    capacity: Vec<(Duration, u64)>,
    queue: Duration,
    /// One way.
    delay: Duration,
    loss: f64,
    /// From when to when everything is lost.
    gap: Option<(Duration, Duration)>,
    /// Up to so much more or less delay, in order.
    jitter: Duration,
    /// Share of packets that are overtaken by 10 ms.
    reordered: f64,
    feedback_loss: f64,
}

impl Network {
    fn new(bps: u64) -> Network {
        Network {
            capacity: vec![(at(0), bps)],
            queue: at(200),
            delay: at(20),
            loss: 0.0,
            gap: None,
            jitter: at(0),
            reordered: 0.0,
            feedback_loss: 0.0,
        }
    }

    fn capacity(&self, time: Duration) -> u64 {
        self.capacity.iter().rev().find(|(from, _)| *from <= time).expect("a capacity").1
    }
}

#[derive(Clone, Copy)]
struct InFlight {
    flow: usize,
    number: u16,
    bytes: usize,
    media: bool,
    entered: Duration,
}

/// Feedback on its way: when it comes, to whom, and which numbers arrived when.
struct Report {
    due: Duration,
    flow: usize,
    told: Vec<(u64, Option<Duration>)>,
}

#[derive(Clone, Copy)]
enum Media {
    /// Always as much as is allowed.
    Unlimited,
    /// Slots with three layers each: the set with the highest sum that fits.
    Slots(usize),
    /// A fixed rate.
    Fixed(u64),
}

struct Slot {
    bps: u64,
    next_frame: Duration,
    owed: f64,
    keyframe: bool,
}

struct Flow {
    estimator: Estimator,
    pacer: Pacer,
    ledger: Ledger,
    media: Media,
    allowed: u64,
    changed: Duration,
    next_voice: Duration,
    slots: Vec<Slot>,
    seq: u64,
    /// The receiver's side: numbers with their arrival, and what feedback begins with.
    arrived: VecDeque<(u64, Duration)>,
    next_told: u64,
    feedback_at: Duration,
    slices: Vec<Slice>,
    padding: u64,
    sent: u64,
    dropped: u64,
}

/// What one tenth of a second was like.
#[derive(Clone, Copy, Default)]
struct Slice {
    estimate: u64,
    media_bytes: u64,
    queue: Duration,
}

const SLICE_MS: u64 = 100;

struct World {
    start: Instant,
    now: Duration,
    rng: fastrand::Rng,
    network: Network,
    queue: VecDeque<InFlight>,
    queued_bytes: usize,
    free_at: Duration,
    last_delivery: Duration,
    reports: Vec<Report>,
    flows: Vec<Flow>,
}

impl World {
    fn new(seed: u64, network: Network, media: &[Media]) -> World {
        let start = Instant::now();
        let mut rng = fastrand::Rng::with_seed(seed);
        let flows = media.iter().map(|media| Flow::new(*media, start, &mut rng)).collect();
        World {
            start,
            now: Duration::ZERO,
            rng,
            network,
            queue: VecDeque::new(),
            queued_bytes: 0,
            free_at: Duration::ZERO,
            last_delivery: Duration::ZERO,
            reports: vec![],
            flows,
        }
    }

    fn run(&mut self, until: Duration) {
        while self.now < until {
            self.now += at(1);
            for flow in 0..self.flows.len() {
                self.send(flow);
            }
            self.serve();
            self.tell();
            if (self.now.as_millis() as u64).is_multiple_of(SLICE_MS) {
                let queue = Duration::from_secs_f64(self.queued_bytes as f64 * 8.0 / self.network.capacity(self.now) as f64);
                for flow in &mut self.flows {
                    let last = flow.slices.last_mut().expect("one is open");
                    (last.estimate, last.queue) = (flow.estimator.bps(), queue);
                    flow.slices.push(Slice::default());
                }
            }
        }
    }

    fn send(&mut self, index: usize) {
        let (now, time) = (self.start + self.now, self.now);
        let flow = &mut self.flows[index];
        if let Some(bps) = flow.estimator.poll_estimate(0.0, now) {
            flow.allowed = bps;
            flow.pacer.set_estimate(bps, now);
        }
        let mut out = vec![];
        if flow.estimator.wanted() != Some(0) {
            if time >= flow.next_voice {
                flow.next_voice = time + at(20);
                out.push((VOICE_BPS as usize / 8 / 50, true));
                flow.note(out[0].0, true, now);
            }
            flow.frames(time, now, &mut self.rng, &mut out);
        }
        flow.start_cluster(now);
        flow.release(now, &mut out);
        flow.dropped += flow.pacer.take_dropped().0;
        let first = flow.ledger.next().wrapping_sub(out.len() as u16);
        flow.sent += out.len() as u64;
        for (i, (bytes, media)) in out.into_iter().enumerate() {
            self.flows[index].padding += if media { 0 } else { bytes as u64 };
            let number = first.wrapping_add(i as u16);
            self.enter(InFlight { flow: index, number, bytes, media, entered: time });
        }
    }

    fn enter(&mut self, packet: InFlight) {
        let lost = self.rng.f64() < self.network.loss || self.network.gap.is_some_and(|(from, to)| (from..to).contains(&self.now));
        let most = self.network.capacity(self.now) as f64 / 8.0 * self.network.queue.as_secs_f64();
        if !lost && self.queued_bytes as f64 + packet.bytes as f64 <= most.max(3_000.0) {
            self.queued_bytes += packet.bytes;
            self.queue.push_back(packet);
        }
    }

    /// The bottleneck takes packets out of its queue and delivers them.
    fn serve(&mut self) {
        while self.free_at <= self.now
            && let Some(packet) = self.queue.pop_front()
        {
            self.queued_bytes -= packet.bytes;
            let from = self.free_at.max(packet.entered);
            let capacity = self.network.capacity(from);
            self.free_at = from + Duration::from_secs_f64(packet.bytes as f64 * 8.0 / capacity as f64);
            let jitter = self.network.jitter.mul_f64(2.0 * self.rng.f64());
            let mut delivery = (self.free_at + self.network.delay + jitter).max(self.last_delivery);
            self.last_delivery = delivery;
            if self.rng.f64() < self.network.reordered {
                delivery += at(10);
            }
            let flow = &mut self.flows[packet.flow];
            if packet.media {
                flow.slices.last_mut().expect("one is open").media_bytes += packet.bytes as u64;
            }
            let number = flow.next_told.saturating_sub(30_000) / 65_536 * 65_536 + u64::from(packet.number);
            let number = if number + 32_768 < flow.next_told { number + 65_536 } else { number };
            // Feedback counts in quarters of a millisecond.
            let quarters = delivery.as_micros() as u64 / 250;
            flow.arrived.push_back((number, Duration::from_micros(quarters * 250)));
        }
    }

    fn tell(&mut self) {
        for (index, flow) in self.flows.iter_mut().enumerate() {
            if self.now < flow.feedback_at {
                continue;
            }
            flow.feedback_at = self.now + at(self.rng.u64(50..=100));
            let mut here: Vec<(u64, Duration)> = flow.arrived.iter().copied().filter(|(_, when)| *when <= self.now).collect();
            flow.arrived.retain(|(_, when)| *when > self.now);
            here.sort_unstable();
            let (Some(first), Some(last)) = (here.first(), here.last()) else { continue };
            let told = (first.0.min(flow.next_told)..=last.0)
                .map(|number| (number, here.iter().find(|(n, _)| *n == number).map(|(_, when)| *when)))
                .filter(|(number, when)| *number >= flow.next_told || when.is_some())
                .collect();
            flow.next_told = flow.next_told.max(last.0 + 1);
            if self.rng.f64() >= self.network.feedback_loss {
                self.reports.push(Report { due: self.now + self.network.delay, flow: index, told });
            }
        }
        let (due, later): (Vec<Report>, Vec<Report>) = std::mem::take(&mut self.reports).into_iter().partition(|r| r.due <= self.now);
        self.reports = later;
        for Report { flow, told, .. } in due {
            let flow = &mut self.flows[flow];
            told.into_iter().for_each(|(number, when)| {
                let quarters = when.map(|when| (when.as_micros() / 250) as i32);
                flow.ledger.on_told(number as u16, 1_000, quarters);
            });
            let (estimator, now) = (&mut flow.estimator, self.start + self.now);
            flow.ledger.settle(|fates| estimator.on_feedback(fates, now));
        }
    }
}

impl Flow {
    fn new(media: Media, start: Instant, rng: &mut fastrand::Rng) -> Flow {
        let count = if let Media::Slots(count) = media { count } else { 1 };
        let mut flow = Flow {
            estimator: Estimator::new(start),
            pacer: Pacer::default(),
            ledger: Ledger::default(),
            media,
            allowed: 0,
            changed: Duration::ZERO,
            next_voice: at(rng.u64(..20)),
            slots: (0..count).map(|_| Slot { bps: 0, next_frame: at(rng.u64(..33)), owed: 0.0, keyframe: true }).collect(),
            seq: 0,
            arrived: VecDeque::new(),
            next_told: 0,
            feedback_at: at(rng.u64(..100)),
            slices: vec![Slice::default()],
            padding: 0,
            sent: 0,
            dropped: 0,
        };
        let wanted = match media {
            Media::Unlimited => 30_000_000,
            Media::Slots(count) => 1_700_000 * count as u64,
            Media::Fixed(bps) => bps,
        };
        flow.estimator.want(wanted, start);
        flow
    }

    /// The rates of the slots; a lower sum at once, a higher one after a while.
    fn choose(&mut self, time: Duration) {
        let pictures = self.allowed.saturating_sub(VOICE_BPS);
        let wished: Vec<u64> = match self.media {
            Media::Unlimited => vec![pictures],
            Media::Fixed(bps) => vec![bps.saturating_sub(VOICE_BPS)],
            Media::Slots(count) => best_set(count, pictures),
        };
        let (old, new) = (self.slots.iter().map(|s| s.bps).sum::<u64>(), wished.iter().sum::<u64>());
        let layered = matches!(self.media, Media::Slots(_));
        let worth = new * 10 >= old * 11 && time >= self.changed + at(500) || time >= self.changed + at(5_000);
        if old == new || layered && new > old && !worth {
            return;
        }
        self.changed = time;
        for (slot, bps) in self.slots.iter_mut().zip(wished) {
            slot.keyframe |= layered && slot.bps != bps;
            slot.bps = bps;
        }
    }

    /// Thirty frames a second; a keyframe is four times a frame, and what it took is spared afterwards.
    fn frames(&mut self, time: Duration, now: Instant, rng: &mut fastrand::Rng, out: &mut Vec<(usize, bool)>) {
        self.choose(time);
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if time < slot.next_frame {
                continue;
            }
            slot.next_frame += Duration::from_micros(33_333);
            let usual = slot.bps as f64 / 240.0;
            let key = std::mem::take(&mut slot.keyframe) && slot.bps > 0;
            let size = if key { usual * 4.0 } else { (usual * (0.85 + 0.3 * rng.f64()) - slot.owed.min(usual / 4.0)).max(0.0) };
            slot.owed = (slot.owed + size - usual).max(0.0);
            let mut left = size as usize;
            while left > 50 {
                let packets = left.div_ceil(1_200);
                let payload = left / packets;
                left -= payload;
                self.video(index, payload.saturating_sub(OVERHEAD).max(10), now, out);
            }
        }
    }

    fn video(&mut self, slot: usize, payload: usize, now: Instant, out: &mut Vec<(usize, bool)>) {
        self.seq += 1;
        // The start of a keyframe, as VP8 says it.
        let packet = packet_of(Codec::Vp8, vec![0x10; payload], now);
        let forward = forward_to(slot as u16, self.seq, 0);
        match self.pacer.admit(forward.slot, &packet, now) {
            Admission::Pass => {
                self.note(payload + OVERHEAD, true, now);
                out.push((payload + OVERHEAD, true));
            }
            Admission::Wait => self.pacer.push(Waiting { forward, packet: Arc::new(packet), since: now }),
            Admission::Drop => self.dropped += 1,
        }
    }

    fn note(&mut self, bytes: usize, media: bool, now: Instant) {
        let probe = self.pacer.cluster();
        self.ledger.note(bytes as u32, probe, now);
        self.estimator.on_sent(bytes as u32, probe, now);
        self.pacer.charge(bytes as u32, true, now);
        if media {
            self.estimator.on_media(now);
        }
    }

    fn start_cluster(&mut self, now: Instant) {
        if let Some(cluster) = self.estimator.poll_cluster() {
            self.pacer.start(cluster, true, now);
        }
    }

    fn release(&mut self, now: Instant, out: &mut Vec<(usize, bool)>) {
        while let Some(release) = self.pacer.pop(now) {
            let (bytes, media) = match release {
                Release::Video(waiting) => (waiting.packet.payload.len() + OVERHEAD, true),
                Release::Repeat(..) => unreachable!("nothing is asked for again here"),
                Release::Padding(wish) => (if wish >= 1_000 { 1_100 } else { wish.min(255) + OVERHEAD }, false),
            };
            self.note(bytes, media, now);
            out.push((bytes, media));
        }
    }

    fn over(&self, from: u64, to: u64) -> &[Slice] {
        &self.slices[(from * 1_000 / SLICE_MS) as usize..(to * 1_000 / SLICE_MS) as usize]
    }

    /// Means over a time, in seconds: estimate and media, in bits a second.
    fn means(&self, from: u64, to: u64) -> (f64, f64) {
        let slices = self.over(from, to);
        let n = slices.len() as f64;
        let estimate = slices.iter().map(|s| s.estimate as f64).sum::<f64>() / n;
        (estimate, slices.iter().map(|s| s.media_bytes as f64 * 8.0).sum::<f64>() / n * 1_000.0 / SLICE_MS as f64)
    }

    /// When the estimate reached so much after a time, in seconds since then.
    fn reached(&self, from: u64, bps: u64) -> f64 {
        let slices = &self.slices[(from * 1_000 / SLICE_MS) as usize..];
        slices.iter().position(|s| s.estimate >= bps).unwrap_or(slices.len()) as f64 * SLICE_MS as f64 / 1_000.0
    }
}

/// The rates with the highest sum that fits, by trying all counts of each layer.
fn best_set(count: usize, bps: u64) -> Vec<u64> {
    let mut best = (0, [0; 4]);
    for high in 0..=count {
        for middle in 0..=count - high {
            for low in 0..=count - high - middle {
                let counts = [count - high - middle - low, low, middle, high];
                let sum = (0..4).map(|i| LAYERS[i] * counts[i] as u64).sum::<u64>();
                if sum <= bps && sum > best.0 {
                    best = (sum, counts);
                }
            }
        }
    }
    (0..4).rev().flat_map(|i| vec![LAYERS[i]; best.1[i]]).chain(std::iter::repeat(0)).take(count).collect()
}

/// Runs all seeds; prints median and worst of each figure and fails where the worst misses its bar.
fn check(name: &str, figures: &[(&str, Bar)], run: impl Fn(u64) -> Vec<f64>) {
    let results: Vec<Vec<f64>> = SEEDS.map(&run).collect();
    let mut failed = vec![];
    for (i, (figure, bar)) in figures.iter().enumerate() {
        let mut values: Vec<f64> = results.iter().map(|r| r[i]).collect();
        values.sort_by(f64::total_cmp);
        let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        let (worst, good) = match bar {
            Bar::Least(bar) => (least, least >= *bar),
            Bar::Most(bar) => (most, most <= *bar),
            Bar::Between(low, high) => (if 1.0 - least > most - 1.0 { least } else { most }, least >= *low && most <= *high),
        };
        println!("{name:34} {figure:22} median {median:8.2}  worst {worst:8.2}  {bar:?}{}", if good { "" } else { "  MISSED" });
        if !good {
            failed.push(*figure);
        }
    }
    assert!(failed.is_empty(), "{name}: {failed:?}");
}

#[derive(Debug)]
enum Bar {
    Least(f64),
    Most(f64),
    Between(f64, f64),
}

fn constant(name: &str, network: impl Fn() -> Network, media: Media, least: f64) {
    let bars = [
        ("reached after s", Bar::Most(10.0)),
        ("estimate / capacity", Bar::Between(least, 1.15)),
        ("media / best", Bar::Least(least)),
        ("queue ms p95", Bar::Most(140.0)),
        ("dropped in pacer", Bar::Most(0.0)),
    ];
    check(name, &bars, |seed| {
        let network = network();
        let capacity = network.capacity(at(0));
        let mut w = World::new(seed, network, &[media]);
        w.run(at(40_000));
        let flow = &w.flows[0];
        let (estimate, sent) = flow.means(10, 40);
        let best = match media {
            // A tenth of a link is what the next larger set may lack.
            Media::Slots(count) => best_set(count, capacity * 9 / 10 - VOICE_BPS).iter().sum::<u64>() + VOICE_BPS,
            Media::Unlimited | Media::Fixed(_) => capacity,
        };
        let mut queues: Vec<Duration> = flow.over(10, 40).iter().map(|s| s.queue).collect();
        queues.sort_unstable();
        let reached = flow.reached(0, (capacity as f64 * least) as u64);
        vec![reached, estimate / capacity as f64, sent / best as f64, arrival::ms(queues[queues.len() * 95 / 100]), flow.dropped as f64]
    });
}

#[test]
fn constant_links_are_found_and_used() {
    for (name, bps) in [("500 kbit/s", 500_000), ("1 Mbit/s", 1_000_000), ("3 Mbit/s", 3_000_000), ("10 Mbit/s", 10_000_000)] {
        constant(&format!("{name}, unlimited"), || Network::new(bps), Media::Unlimited, 0.85);
        constant(&format!("{name}, nine slots"), || Network::new(bps), Media::Slots(9), 0.85);
    }
}

#[test]
fn lost_feedback_and_packets_out_of_order_change_little() {
    let network = || Network { feedback_loss: 0.1, reordered: 0.02, ..Network::new(2_000_000) };
    constant("2 Mbit/s, feedback lost, reordered", network, Media::Unlimited, 0.8);
}

#[test]
fn random_loss_does_not_lower_the_rate() {
    for (percent, least) in [(5, 0.85), (15, 0.6)] {
        let network = || Network { loss: f64::from(percent) / 100.0, delay: at(25), ..Network::new(2_000_000) };
        let bars = [("estimate / capacity", Bar::Least(least)), ("told / true loss", Bar::Between(0.3, 1.7))];
        check(&format!("{percent} % random loss"), &bars, |seed| {
            let mut w = World::new(seed, network(), &[Media::Unlimited]);
            w.run(at(40_000));
            vec![w.flows[0].means(10, 40).0 / 2_000_000.0, w.flows[0].estimator.estimate().loss * 100.0 / f64::from(percent)]
        });
    }
}

#[test]
fn a_burst_of_loss_is_forgotten_soon() {
    let network = || Network { gap: Some((at(20_000), at(20_300))), ..Network::new(3_000_000) };
    check("300 ms lost", &[("at 85 % again after s", Bar::Most(5.0))], |seed| {
        let mut w = World::new(seed, network(), &[Media::Slots(9)]);
        w.run(at(40_000));
        vec![w.flows[0].reached(21, 2_550_000)]
    });
}

#[test]
fn jitter_is_not_taken_for_a_queue() {
    let network = || Network { jitter: at(20), ..Network::new(3_000_000) };
    let bars = [("estimate / capacity", Bar::Between(0.7, 1.3)), ("media / capacity", Bar::Least(0.7))];
    check("jitter of ±20 ms", &bars, |seed| {
        let mut w = World::new(seed, network(), &[Media::Unlimited]);
        w.run(at(60_000));
        let (estimate, media) = w.flows[0].means(10, 60);
        vec![estimate / 3e6, media / 3e6]
    });
}

#[test]
fn a_drop_drains_its_queue_and_is_recovered_from() {
    for media in [Media::Slots(9), Media::Unlimited] {
        let name = if matches!(media, Media::Unlimited) { "3 M → 500 k → 3 M, unlimited" } else { "3 M → 500 k → 3 M, nine slots" };
        let bars = [
            ("queue < 100 ms after s", Bar::Most(3.0)),
            ("queue ms, p95 from 3 s", Bar::Most(150.0)),
            ("estimate at 500 k", Bar::Between(0.8, 1.15)),
            ("2.6 M after s", Bar::Most(8.0)),
        ];
        check(name, &bars, |seed| {
            let network = Network { capacity: vec![(at(0), 3_000_000), (at(20_000), 500_000), (at(40_000), 3_000_000)], ..Network::new(0) };
            let mut w = World::new(seed, network, &[media]);
            w.run(at(60_000));
            let flow = &w.flows[0];
            let first = flow.over(20, 40).iter().skip(2).position(|s| s.queue < at(100)).unwrap_or(200);
            let mut queues: Vec<Duration> = flow.over(23, 40).iter().map(|s| s.queue).collect();
            queues.sort_unstable();
            vec![
                first as f64 / 10.0,
                arrival::ms(queues[queues.len() * 95 / 100]),
                flow.means(23, 40).0 / 500_000.0,
                flow.reached(40, 2_600_000),
            ]
        });
    }
}

#[test]
fn who_sends_little_keeps_the_estimate_and_gets_more_when_more_is_wanted() {
    let bars = [("estimate, least / most", Bar::Least(0.8)), ("padding at 150 k, kbit", Bar::Most(200.0)), ("2 M after s", Bar::Most(5.0))];
    check("150 kbit/s for 60 s, then 2 M", &bars, |seed| {
        let mut w = World::new(seed, Network::new(3_000_000), &[Media::Fixed(150_000)]);
        w.run(at(60_000));
        let estimates = w.flows[0].over(2, 60).iter().map(|s| s.estimate);
        let (least, most) = (estimates.clone().min().unwrap() as f64, estimates.max().unwrap() as f64);
        let padding = w.flows[0].padding as f64 * 8.0 / 1_000.0;
        w.flows[0].media = Media::Slots(1);
        let now = w.start + w.now;
        w.flows[0].estimator.want(2_000_000, now);
        w.run(at(70_000));
        vec![least / most, padding, w.flows[0].reached(60, 2_000_000)]
    });
}

#[test]
fn an_estimate_outlives_a_pause_of_media() {
    check("2 M, 20 s pause, 2 M", &[("after / before", Bar::Between(0.8, 1.25)), ("sent in the pause", Bar::Most(0.0))], |seed| {
        let mut w = World::new(seed, Network::new(2_500_000), &[Media::Fixed(2_000_000)]);
        w.run(at(20_000));
        let (before, now) = (w.flows[0].means(15, 20).0, w.start + w.now);
        w.flows[0].estimator.want(0, now);
        w.run(at(20_500));
        let sent = w.flows[0].sent;
        w.run(at(40_000));
        let (paused, now) = (w.flows[0].sent - sent, w.start + w.now);
        w.flows[0].estimator.want(2_000_000, now);
        w.run(at(50_000));
        vec![w.flows[0].means(45, 50).0 / before, paused as f64]
    });
}

#[test]
fn a_way_that_becomes_longer_is_no_queue_for_ever() {
    let bars = [("media / capacity, after 15 s", Bar::Least(0.7)), ("least estimate, Mbit/s", Bar::Least(0.1))];
    check("250 ms longer from 20 s on, 2 M", &bars, |seed| {
        let mut w = World::new(seed, Network::new(2_000_000), &[Media::Slots(4)]);
        w.run(at(20_000));
        w.network.delay += at(250);
        w.run(at(60_000));
        let least = w.flows[0].over(20, 60).iter().map(|s| s.estimate).min().unwrap_or(0);
        vec![w.flows[0].means(35, 60).1 / 2e6, least as f64 / 1e6]
    });
}

#[test]
fn who_sends_little_does_not_make_room_for_a_download() {
    let bars = [("least / before", Bar::Least(0.1)), ("after / before, 10 s later", Bar::Least(0.3))];
    check("100 ms of somebody's queue for 2 s, 150 kbit/s", &bars, |seed| {
        let mut w = World::new(seed, Network::new(3_000_000), &[Media::Fixed(150_000)]);
        w.run(at(20_000));
        let before = w.flows[0].means(15, 20).0;
        for _ in 0..20 {
            w.network.delay += at(5);
            w.run(w.now + at(20));
        }
        w.run(at(22_000));
        w.network.delay -= at(100);
        w.run(at(35_000));
        let least = w.flows[0].over(20, 24).iter().map(|s| s.estimate).min().unwrap_or(0);
        vec![least as f64 / before, w.flows[0].means(32, 35).0 / before]
    });
}

#[test]
fn who_wants_nothing_gets_nothing() {
    let mut w = World::new(1, Network::new(3_000_000), &[Media::Fixed(0)]);
    w.run(at(10_000));
    assert_eq!((w.flows[0].sent, w.flows[0].padding), (0, 0));
}

#[test]
fn two_receivers_share_a_link() {
    for media in [Media::Unlimited, Media::Slots(4)] {
        let name = if matches!(media, Media::Unlimited) { "two on 2 Mbit/s, unlimited" } else { "two on 2 Mbit/s, four slots" };
        let bars =
            [("larger / smaller", Bar::Most(2.0)), ("together / capacity", Bar::Between(0.8, 1.01)), ("queue ms p95", Bar::Most(200.0))];
        check(name, &bars, |seed| {
            let mut w = World::new(seed, Network::new(2_000_000), &[media, media]);
            w.run(at(90_000));
            let (a, b) = (w.flows[0].means(30, 90).1, w.flows[1].means(30, 90).1);
            let mut queues: Vec<Duration> = w.flows[0].over(30, 90).iter().map(|s| s.queue).collect();
            queues.sort_unstable();
            vec![a.max(b) / a.min(b), (a + b) / 2e6, arrival::ms(queues[queues.len() * 95 / 100])]
        });
    }
}
