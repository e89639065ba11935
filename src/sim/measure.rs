//! What one run of a scenario was like for the receiver that is looked at, as numbers.
//!
//! Where nothing was shown, heard or sent that a number could be made of, the number is infinite or zero, whichever is worse: a check that has
//! nothing to look at fails.

use std::time::{Duration, Instant};

use super::best::{SOUND_WIRE, best};
use super::client::Client;
use super::decoder::Shown;
use super::link::{BIN, Traffic};
use super::listener::Heard;
use super::steps::Scenario;

/// Bins in a second.
const PER_SECOND: f64 = 1_000.0 / BIN.as_millis() as f64;
/// The mean that decides what a freeze is, in frames.
const MEAN_OF: usize = 30;

/// What was seen and heard in one run. Times are seconds since it began.
pub struct Run {
    pub start: Instant,
    pub length: f64,
    /// Frames shown, by slot; a slot that should have shown something and did not is empty.
    pub video: Vec<Vec<Shown>>,
    /// All audio slots, by bin.
    pub heard: Vec<Heard>,
    /// Bits of payload of the frames shown, by bin: no padding, nothing twice, nothing that came in vain.
    pub media: Vec<u64>,
    /// What left the bottleneck towards the receiver.
    pub down: Traffic,
    /// What the bottleneck carried, from when on.
    pub capacity: Vec<(f64, Option<u64>)>,
    /// What the sender believed of it.
    pub estimates: Vec<(f64, u64)>,
    /// Keyframe requests at the first publisher: when, for which layer.
    pub requests: Vec<(f64, usize)>,
    /// Of those who came later: from connection to first frame, in milliseconds.
    pub first_frames: Vec<f64>,
    /// Audio streams that anybody received in one second, at most.
    pub streams: usize,
    /// From the first word of somebody to the first packet of it at each of the others, in milliseconds.
    pub heard_after: Vec<f64>,
    /// When the publisher last sent a packet of its top encoding.
    pub top_sent: f64,
    /// What was wrong with it.
    pub faults: Vec<String>,
}

impl Run {
    /// What its receiver says of a run. What happened elsewhere is not in it: nothing was asked for, nobody else was there.
    pub fn of(client: &Client, scenario: &Scenario, down: Traffic) -> Run {
        let slots = client.receives();
        let mut video: Vec<_> = slots.iter().map(|(_, slot)| slot.decoder.shown.clone()).filter(|shown| !shown.is_empty()).collect();
        video.resize(scenario.pictures.max(video.len()), vec![]);
        let faults = slots.iter().flat_map(|(_, slot)| &slot.decoder.faults).chain(&client.faults).cloned().collect();
        let heard = |a: Heard, b: Heard| Heard { played: a.played + b.played, concealed: a.concealed + b.concealed };
        Run {
            start: down.since,
            length: scenario.length as f64,
            heard: sum(slots.iter().map(|(_, slot)| &slot.listener.heard[..]), heard),
            media: media(&video, down.since),
            video,
            down,
            capacity: scenario.capacity(),
            estimates: vec![],
            requests: vec![],
            first_frames: vec![],
            streams: 0,
            heard_after: vec![],
            top_sent: 0.0,
            faults,
        }
    }

    /// Since the run began.
    pub fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    fn worst_slot(&self, of: impl Fn(&[Shown]) -> f64) -> f64 {
        self.video.iter().map(|shown| of(shown)).fold(0.0, f64::max)
    }

    /// The longest time without a new picture in any slot, in milliseconds.
    pub fn longest_gap(&self, from: f64, to: f64) -> f64 {
        self.worst_slot(|shown| {
            let inside = shown.iter().map(|s| self.seconds(s.at)).filter(|at| (from..to).contains(at));
            let edges: Vec<f64> = [from].into_iter().chain(inside).chain([to]).collect();
            edges.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max) * 1_000.0
        })
    }

    /// Intervals between pictures that are freezes, as W3C's webrtc-stats defines `freezeCount`: longer than three mean intervals and than one and
    /// 150 ms more, the mean being of the last thirty. The last interval is open.
    pub fn freezes(&self, shown: &[Shown]) -> Vec<(f64, f64)> {
        let mut times: Vec<f64> = shown.iter().map(|s| self.seconds(s.at)).collect();
        times.push(self.length);
        let intervals: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let mut freezes = vec![];
        for (n, interval) in intervals.iter().enumerate() {
            let last = &intervals[n.saturating_sub(MEAN_OF)..n];
            let mean = if last.is_empty() { 1.0 / 30.0 } else { last.iter().sum::<f64>() / last.len() as f64 };
            if *interval > (3.0 * mean).max(mean + 0.15) {
                freezes.push((times[n], times[n + 1]));
            }
        }
        freezes
    }

    /// Milliseconds frozen in the slot that is the worst; before the first picture all of it is.
    pub fn frozen(&self, from: f64, to: f64) -> f64 {
        self.worst_slot(|shown| {
            let first = shown.first().map_or(self.length, |s| self.seconds(s.at));
            let freezes = self.freezes(shown).into_iter().chain([(0.0, first)]);
            freezes.map(|(a, b)| (b.min(to) - a.max(from)).max(0.0)).sum::<f64>() * 1_000.0
        })
    }

    /// Pictures a second in any time of `window` seconds, of the slot that has the fewest.
    pub fn fewest_frames(&self, from: f64, to: f64, window: f64) -> f64 {
        let rates = self.video.iter().map(|shown| {
            let times: Vec<f64> = shown.iter().map(|s| self.seconds(s.at)).collect();
            let starts = (0..=((to - from - window) * 10.0) as u32).map(|n| from + f64::from(n) / 10.0);
            let counts = starts.map(|at| times.partition_point(|t| *t < at + window) - times.partition_point(|t| *t < at));
            counts.min().unwrap_or(0) as f64 / window
        });
        rates.reduce(f64::min).unwrap_or(0.0)
    }

    /// How often a slot changed its layer in any time of `window` seconds, at most.
    pub fn layer_changes(&self, from: f64, to: f64, window: f64) -> f64 {
        if self.video.iter().any(|shown| shown.is_empty()) {
            return f64::INFINITY;
        }
        self.worst_slot(|shown| {
            let changes = shown.windows(2).filter(|w| w[0].layer != w[1].layer).map(|w| self.seconds(w[1].at));
            let changes: Vec<f64> = changes.filter(|at| (from..to).contains(at)).collect();
            changes.iter().map(|at| changes.iter().filter(|other| (*at..at + window).contains(other)).count()).max().unwrap_or(0) as f64
        })
    }

    /// Percent of the pictures that are of this layer or higher.
    pub fn share_at(&self, layer: u8, from: f64, to: f64) -> f64 {
        let shares = self.video.iter().map(|shown| {
            let inside: Vec<&Shown> = shown.iter().filter(|s| (from..to).contains(&self.seconds(s.at))).collect();
            let high = inside.iter().filter(|s| s.layer >= layer).count();
            if inside.is_empty() { 0.0 } else { 100.0 * high as f64 / inside.len() as f64 }
        });
        shares.reduce(f64::min).unwrap_or(0.0)
    }

    /// Seconds from then until a picture of this layer (or of none higher) that is followed by a second of no other.
    pub fn until_layer(&self, from: f64, fits: impl Fn(u8) -> bool) -> f64 {
        self.worst_slot(|shown| {
            let after: Vec<(f64, bool)> = shown.iter().map(|s| (self.seconds(s.at), fits(s.layer))).filter(|(at, _)| *at >= from).collect();
            let stays = |at: f64| after.iter().filter(|(other, _)| (at..at + 1.0).contains(other)).all(|(_, fits)| *fits);
            after.iter().find(|(at, fits)| *fits && stays(*at)).map_or(f64::INFINITY, |(at, _)| at - from)
        })
    }

    /// Milliseconds from then to the next picture.
    pub fn back_after(&self, from: f64) -> f64 {
        self.worst_slot(|shown| {
            shown.iter().map(|s| self.seconds(s.at)).find(|at| *at >= from).map_or(f64::INFINITY, |at| (at - from) * 1_000.0)
        })
    }

    /// Seconds from then until the queue stays below `ms` for a second.
    pub fn queue_below(&self, from: f64, ms: u64) -> f64 {
        let first = (from * PER_SECOND) as usize;
        let bins = &self.down.queue[first.min(self.down.queue.len())..];
        let calm = bins.windows(PER_SECOND as usize).position(|w| w.iter().all(|wait| *wait < Duration::from_millis(ms)));
        calm.map_or(f64::INFINITY, |bin| bin as f64 / PER_SECOND)
    }

    /// Percent of the sound that was made up.
    pub fn concealed(&self, from: f64, to: f64) -> f64 {
        let bins = self.heard.iter().skip((from * PER_SECOND) as usize).take(((to - from) * PER_SECOND) as usize);
        let (mut played, mut concealed) = (0.0, 0.0);
        for heard in bins {
            played += heard.played.as_secs_f64();
            concealed += heard.concealed.as_secs_f64();
        }
        // What never came was not played, and is a hole of all of it.
        if played < (to - from) / 2.0 { 100.0 } else { 100.0 * concealed / played }
    }

    /// Bits per second in the mean.
    pub fn rate(bins: &[u64], from: f64, to: f64) -> f64 {
        let inside = bins.iter().skip((from * PER_SECOND) as usize).take(((to - from) * PER_SECOND) as usize);
        inside.sum::<u64>() as f64 / (to - from)
    }

    /// Percent of what the best set of layers brings beside so many voices.
    pub fn of_best(&self, from: f64, to: f64, voices: u64) -> f64 {
        let capacity = self.capacity.iter().rev().find(|(at, _)| *at <= from).and_then(|(_, rate)| *rate).unwrap_or(u64::MAX);
        let set = best(capacity.saturating_sub(voices * SOUND_WIRE), self.video.len());
        let media: u64 = set.iter().map(|p| p.media).sum();
        if media == 0 { 0.0 } else { 100.0 * Run::rate(&self.media, from, to) / media as f64 }
    }

    /// Keyframe requests for one layer, at most.
    pub fn requests(&self, from: f64, to: f64) -> f64 {
        let of = |layer| self.requests.iter().filter(|(at, l)| *l == layer && (from..to).contains(at)).count();
        (0..3).map(of).max().unwrap_or(0) as f64
    }
}

/// The bits of all frames by when they were shown.
fn media(video: &[Vec<Shown>], start: Instant) -> Vec<u64> {
    let mut bins = vec![];
    for shown in video.iter().flatten() {
        let bin = (shown.at.saturating_duration_since(start).as_millis() / BIN.as_millis()) as usize;
        if bins.len() <= bin {
            bins.resize(bin + 1, 0);
        }
        bins[bin] += 8 * shown.bytes as u64;
    }
    bins
}

/// Adds bins up.
pub fn sum<'a, T: Copy + 'a>(all: impl Iterator<Item = &'a [T]>, add: impl Fn(T, T) -> T) -> Vec<T> {
    let mut total: Vec<T> = vec![];
    for bins in all {
        for (n, bin) in bins.iter().enumerate() {
            match total.get_mut(n) {
                Some(sum) => *sum = add(*sum, *bin),
                None => total.push(*bin),
            }
        }
    }
    total
}

/// Of those that there are; infinite if there are none.
pub fn worst(values: &[f64]) -> f64 {
    values.iter().copied().reduce(f64::max).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    /// Twenty seconds of one slot at 3 Mbit/s: a picture each time that `layer` gives one, of that layer.
    fn run(layer: impl Fn(f64) -> Option<u8>) -> Run {
        let start = Instant::now();
        let shown = (0..600).filter_map(|n| {
            let at = f64::from(n) / 30.0;
            let shown =
                |layer| Shown { at: start + Duration::from_secs_f64(at), owner: PeerId(1), layer, temporal: 0, key: false, bytes: 700 };
            layer(at).map(shown)
        });
        let heard = Heard { played: BIN, concealed: Duration::ZERO };
        let down = Traffic { since: start, bits: vec![200_000; 200], queue: vec![Duration::from_millis(20); 200], dropped: 0 };
        Run {
            start,
            length: 20.0,
            video: vec![shown.collect()],
            heard: vec![heard; 200],
            media: vec![170_000; 200],
            down,
            capacity: vec![(0.0, Some(3_000_000))],
            estimates: vec![],
            requests: vec![],
            first_frames: vec![],
            streams: 0,
            heard_after: vec![],
            top_sent: 0.0,
            faults: vec![],
        }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.05 * b.abs().max(1.0)
    }

    #[test]
    fn a_good_run_is_good() {
        let run = run(|_| Some(2));
        assert!(near(run.longest_gap(0.0, 19.0), 33.3) && run.frozen(0.0, 20.0) == 0.0);
        assert!(near(run.fewest_frames(0.0, 20.0, 5.0), 30.0));
        assert_eq!((run.layer_changes(0.0, 20.0, 10.0), run.share_at(2, 0.0, 20.0)), (0.0, 100.0));
        assert!(run.until_layer(3.0, |l| l == 2) < 0.1 && run.back_after(3.01) < 34.0);
        assert_eq!((run.queue_below(5.0, 100), run.concealed(0.0, 20.0)), (0.0, 0.0));
        assert!(near(run.of_best(5.0, 20.0, 1), 100.0), "{}", run.of_best(5.0, 20.0, 1));
    }

    #[test]
    fn each_measure_sees_what_it_is_for() {
        let hole = run(|at| (!(8.0..10.0).contains(&at)).then_some(2));
        assert!(near(hole.longest_gap(5.0, 15.0), 2_033.0) && near(hole.frozen(5.0, 15.0), 2_033.0));
        assert!(near(hole.longest_gap(9.0, 15.0), 1_000.0), "a hole that began before");
        assert!(near(hole.frozen(9.0, 15.0), 1_000.0));
        assert!(near(hole.fewest_frames(0.0, 20.0, 5.0), 18.0) && near(hole.back_after(8.0), 2_000.0));
        let short = run(|at| (!(8.0..8.12).contains(&at)).then_some(2));
        assert_eq!(short.frozen(0.0, 20.0), 0.0, "not yet a freeze");
        let slow = run(|at| ((at * 30.0).round() as u32).is_multiple_of(4).then_some(0));
        assert!(slow.frozen(0.0, 19.9) == 0.0 && near(slow.fewest_frames(0.0, 20.0, 5.0), 7.5), "few pictures are no freeze");
        let flaps = run(|at| Some(if at as u32 % 4 < 2 { 2 } else { 1 }));
        assert_eq!(flaps.layer_changes(0.0, 20.0, 10.0), 5.0);
        assert!(near(flaps.share_at(2, 0.0, 20.0), 50.0));
        let climbs = run(|at| Some(if at < 12.0 { 1 } else { 2 }));
        assert!(near(climbs.until_layer(4.0, |l| l == 2), 8.0));
        assert_eq!(climbs.until_layer(4.0, |l| l == 0), f64::INFINITY);
    }

    #[test]
    fn nothing_at_all_is_worst() {
        let mut none = run(|_| None);
        (none.heard, none.media) = (vec![], vec![]);
        assert_eq!((none.longest_gap(5.0, 15.0), none.frozen(5.0, 15.0)), (10_000.0, 10_000.0));
        assert_eq!((none.fewest_frames(0.0, 20.0, 5.0), none.share_at(0, 0.0, 20.0)), (0.0, 0.0));
        assert_eq!((none.layer_changes(0.0, 20.0, 10.0), none.until_layer(0.0, |_| true)), (f64::INFINITY, f64::INFINITY));
        assert_eq!((none.back_after(1.0), none.concealed(0.0, 20.0)), (f64::INFINITY, 100.0));
        assert_eq!((none.of_best(5.0, 20.0, 0), worst(&[])), (0.0, f64::INFINITY));
        none.down.queue = vec![Duration::from_millis(150); 200];
        assert_eq!(none.queue_below(5.0, 100), f64::INFINITY);
    }

    #[test]
    fn bins_add_up() {
        let all = run(|_| Some(0));
        assert_eq!(media(&all.video, all.start)[..3], [8 * 2_100; 3]);
        assert_eq!(sum([&[1, 2][..], &[3, 4, 5]].into_iter(), |a, b| a + b), [4, 6, 5]);
    }

    #[test]
    fn sound_and_requests_are_counted() {
        let mut run = run(|_| Some(0));
        run.heard[100].concealed = BIN;
        assert!(near(run.concealed(5.0, 15.0), 1.0));
        run.requests = vec![(1.0, 0), (2.0, 0), (2.1, 1), (9.0, 0)];
        assert_eq!((run.requests(0.0, 5.0), run.requests(8.0, 20.0)), (2.0, 1.0));
        run.media = vec![30_000; 200];
        assert!(run.of_best(5.0, 20.0, 1) < 20.0);
        run.down.queue[70] = Duration::from_millis(150);
        assert!(near(run.queue_below(6.5, 100), 0.6));
    }
}
