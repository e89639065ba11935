//! When a packet leaves: at once while there is budget, else after a while, and not at all when it would come too late.
//!
//! ```text
//! audio ─────────────────────────────────────→ at once, whatever waits
//! repetitions ─→ [ queue ] ─┐
//! video ───────→ [ by slot ]┼→ budget: 1.6 × estimate, or the rate of the cluster that runs
//! padding (only in a cluster)┘
//! ```
//!
//! Video that waited [`PACER_TIME_MAX`], or finds the queue full, is dropped with all that its slot has waiting, and what follows it up to the next
//! keyframe: pictures with a hole cannot be decoded, and would only keep the next whole one waiting. A keyframe is asked for.
//!
//! libwebrtc paces at 2.5 times the estimate (`goog_cc_network_control.cc`). A server that switches layers sends more keyframes, and at that rate each
//! of them looked like congestion: over 20 seeds of a step from 3 Mbit/s to 500 kbit/s the longest gap was 1.5 s with 2.5 and 1.0 s with 1.5.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bwe::{CLUSTER_PACKETS_MIN, Cluster};
use super::history::Sent;
use crate::id::SlotIndex;
use crate::limits::{PACER_PACKETS_MAX, PACER_REPEATS_MAX, PACER_TIME_MAX, SLOTS_PER_PEER_MAX};
use crate::room::Forward;
use crate::rtp::{Facts, Packet};

const FACTOR: (u64, u64) = (8, 5);
/// What leaves in one go: short enough for the smallest queues, long enough that runs leave in one call.
const BURST: Duration = Duration::from_millis(10);
/// In a cluster: a measurement wants an even stream.
const BURST_IN_CLUSTER: Duration = Duration::from_millis(2);
/// A cluster that has not been filled by then ends as it is.
const CLUSTER_TIME_MAX: Duration = Duration::from_millis(500);
/// While a keyframe does not come, it is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const _: () = assert!(SLOTS_PER_PEER_MAX <= 64, "a set of slots is a u64");

/// A packet that waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Where to.
    pub forward: Forward,
    /// What.
    pub packet: Arc<Packet>,
    /// Since when.
    pub since: Instant,
}

/// What may leave now.
#[derive(Debug)]
pub enum Release {
    /// Video.
    Video(Waiting),
    /// A packet that was asked for again.
    Repeat(SlotIndex, Sent),
    /// So many bytes of anything, for the cluster that runs.
    Padding(usize),
}

/// What shall happen with a packet of video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It leaves at once.
    Pass,
    /// It waits.
    Wait,
    /// Its slot waits for a keyframe.
    Drop,
}

#[derive(Debug)]
struct Running {
    cluster: Cluster,
    since: Instant,
    bytes: u32,
    packets: u32,
    pads: bool,
}

/// The queue in front of one connection's sealing.
#[derive(Debug, Default)]
pub struct Pacer {
    /// Bits a second; `None`: nobody adapts to the estimate, and pacing would only lose what comes.
    bps: Option<u64>,
    /// When all that left will have been paid for.
    free_at: Option<Instant>,
    running: Option<Running>,
    repeats: VecDeque<(SlotIndex, Sent, Instant)>,
    video: Vec<VecDeque<Waiting>>,
    waiting: usize,
    /// Whose turn is next.
    turn: usize,
    /// Slots that lost packets here and get nothing before a keyframe.
    broken: u64,
    /// Of them, whose keyframe shall be asked for.
    asks: u64,
    asked: Option<Instant>,
    dropped: u64,
}

impl Pacer {
    /// The estimate changed, in bits a second.
    pub fn set_estimate(&mut self, bps: u64, now: Instant) {
        let bps = (bps * FACTOR.0 / FACTOR.1).max(1);
        if let (Some(old), Some(free_at)) = (self.bps, self.free_at)
            && self.running.is_none()
        {
            let debt = free_at.saturating_duration_since(now).as_secs_f64() * old as f64 / bps as f64;
            self.free_at = Some(now + Duration::from_secs_f64(debt.min(1.0)));
        }
        self.bps = Some(bps);
    }

    /// A cluster begins. `pads`: there is a stream that takes padding.
    pub fn start(&mut self, cluster: Cluster, pads: bool, now: Instant) {
        self.running = Some(Running { cluster, since: now, bytes: 0, packets: 0, pads });
        self.free_at = Some(now);
    }

    /// The cluster that a packet leaving now belongs to, or 0.
    #[inline]
    pub fn cluster(&self) -> u8 {
        self.running.as_ref().map_or(0, |running| running.cluster.id)
    }

    /// What shall happen with a packet of video.
    #[inline]
    pub fn admit(&mut self, slot: SlotIndex, packet: &Packet, now: Instant) -> Admission {
        if self.broken >> slot.0 & 1 == 1 && !self.mends(slot, packet, now) {
            return Admission::Drop;
        }
        if self.waiting == 0 && self.repeats.is_empty() && self.is_free(now) { Admission::Pass } else { Admission::Wait }
    }

    /// Whether a repetition leaves at once.
    pub fn admit_repeat(&self, now: Instant) -> bool {
        self.repeats.is_empty() && self.is_free(now)
    }

    /// So many bytes left. `counts`: in the cluster that runs, too.
    #[inline]
    pub fn charge(&mut self, bytes: u32, counts: bool, now: Instant) {
        let Some(bps) = self.running.as_ref().map(|r| r.cluster.bps).or(self.bps) else { return };
        let cost = Duration::from_nanos(u64::from(bytes) * 8_000_000_000 / bps);
        let from = self.free_at.map_or(now, |at| at.max(now));
        // Audio is never held back and so may run up a debt; more of it than this would hold video back for long.
        self.free_at = Some((from + cost).min(now + PACER_TIME_MAX));
        if let Some(running) = &mut self.running {
            running.bytes += if counts { bytes } else { 0 };
            running.packets += u32::from(counts);
            let full = running.bytes >= running.cluster.bytes && running.packets >= CLUSTER_PACKETS_MIN;
            if full || now.saturating_duration_since(running.since) >= CLUSTER_TIME_MAX {
                self.running = None;
            }
        }
    }

    /// A packet of video waits.
    pub fn push(&mut self, waiting: Waiting) {
        let slot = usize::from(waiting.forward.slot.0);
        if self.waiting >= PACER_PACKETS_MAX {
            let longest = (0..self.video.len()).max_by_key(|slot| self.video[*slot].len()).unwrap_or(slot);
            self.abandon(longest);
            if longest == slot {
                self.dropped += 1;
                return;
            }
        }
        if self.video.len() <= slot {
            self.video.resize_with(slot + 1, VecDeque::new);
        }
        self.video[slot].push_back(waiting);
        self.waiting += 1;
    }

    /// A repetition waits. Without room it does not: the receiver asks again.
    pub fn push_repeat(&mut self, slot: SlotIndex, sent: Sent, now: Instant) {
        if self.repeats.len() < PACER_REPEATS_MAX {
            self.repeats.push_back((slot, sent, now));
        }
    }

    /// What may leave now; ask until there is nothing.
    pub fn pop(&mut self, now: Instant) -> Option<Release> {
        if self.waiting > 0 {
            self.expire(now);
        }
        if !self.is_free(now) {
            return None;
        }
        while let Some((slot, sent, since)) = self.repeats.pop_front() {
            if now.saturating_duration_since(since) < PACER_TIME_MAX {
                return Some(Release::Repeat(slot, sent));
            }
        }
        if self.waiting > 0 {
            return self.next_video().map(Release::Video);
        }
        let running = self.running.as_ref().filter(|r| r.pads)?;
        let (bytes, packets) = (running.cluster.bytes.saturating_sub(running.bytes), CLUSTER_PACKETS_MIN.saturating_sub(running.packets));
        Some(Release::Padding((bytes / packets.max(1)) as usize))
    }

    /// There is nothing to pad with after all.
    pub fn stop_padding(&mut self) {
        if let Some(running) = &mut self.running {
            running.pads = false;
        }
    }

    /// When [`Pacer::pop`] may have something.
    pub fn timeout(&self) -> Option<Instant> {
        let waits = self.waiting > 0 || !self.repeats.is_empty() || self.running.as_ref().is_some_and(|r| r.pads);
        self.free_at.filter(|_| waits)
    }

    /// What a slot has waiting is not wanted any more; returns how many packets it was.
    pub fn forget(&mut self, slot: SlotIndex) -> u64 {
        let count = self.video.get_mut(usize::from(slot.0)).map_or(0, |queue| std::mem::take(queue).len());
        self.waiting -= count;
        self.repeats.retain(|(of, _, _)| *of != slot);
        self.broken &= !(1 << slot.0);
        self.asks &= !(1 << slot.0);
        count as u64
    }

    /// Packets that were dropped since the last call, and the set of slots whose keyframe shall be asked for.
    #[inline]
    pub fn take_dropped(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.dropped), std::mem::take(&mut self.asks))
    }

    /// Packets that wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting + self.repeats.len()
    }

    #[inline]
    fn is_free(&self, now: Instant) -> bool {
        if self.bps.is_none() && self.running.is_none() {
            return true;
        }
        let burst = if self.running.is_some() { BURST_IN_CLUSTER } else { BURST };
        self.free_at.is_none_or(|at| at <= now + burst)
    }

    /// A keyframe ends the gap; until then it is asked for now and then.
    fn mends(&mut self, slot: SlotIndex, packet: &Packet, now: Instant) -> bool {
        if Facts::parse(packet.codec, &packet.payload, packet.extensions.descriptor.as_deref()).keyframe {
            self.broken &= !(1 << slot.0);
            self.asks &= !(1 << slot.0);
            return true;
        }
        if self.asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN) {
            self.asked = Some(now);
            self.asks |= self.broken;
        }
        false
    }

    fn next_video(&mut self) -> Option<Waiting> {
        let slots = self.video.len();
        for i in 0..slots {
            let slot = (self.turn + i) % slots;
            if let Some(waiting) = self.video[slot].pop_front() {
                self.turn = slot + 1;
                self.waiting -= 1;
                return Some(waiting);
            }
        }
        None
    }

    fn expire(&mut self, now: Instant) {
        for slot in 0..self.video.len() {
            let oldest = self.video[slot].front().map(|w| w.since);
            if oldest.is_some_and(|since| now.saturating_duration_since(since) >= PACER_TIME_MAX) {
                self.abandon(slot);
                self.asked = Some(now);
            }
        }
    }

    fn abandon(&mut self, slot: usize) {
        let count = std::mem::take(&mut self.video[slot]).len();
        self.waiting -= count;
        self.dropped += count as u64;
        self.broken |= 1 << slot;
        self.asks |= 1 << slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Codec;
    use crate::webrtc::egress::{forward_to, packet_of};

    const MS: Duration = Duration::from_millis(1);

    /// A packet of video, a byte of which says whether it is a keyframe.
    fn video(slot: u16, seq: u64, key: bool, now: Instant) -> Waiting {
        let payload = vec![0x10, u8::from(!key), 0, 0, 0x9d, 1, 0x2a];
        Waiting { forward: forward_to(slot, seq, 0), packet: Arc::new(packet_of(Codec::Vp8, payload, now)), since: now }
    }

    fn sent(now: Instant) -> Sent {
        let Waiting { forward, packet, .. } = video(0, 1, false, now);
        Sent { header: forward.header, track: forward.track, packet, repeated: None }
    }

    /// What leaves now, at 1,000 bytes each: slot and number, 100 for a repetition, 200 for padding.
    fn releases(p: &mut Pacer, now: Instant) -> Vec<(u16, u64)> {
        let mut out = vec![];
        while let Some(release) = p.pop(now) {
            out.push(match release {
                Release::Video(w) => (w.forward.slot.0, w.forward.header.seq),
                Release::Repeat(slot, _) => (slot.0, 100),
                Release::Padding(_) => (0, 200),
            });
            p.charge(1_000, true, now);
        }
        out
    }

    #[test]
    fn all_passes_until_somebody_follows_the_estimate() {
        let now = Instant::now();
        let mut p = Pacer::default();
        for seq in 0..1_000 {
            assert_eq!(p.admit(SlotIndex(0), &video(0, seq, false, now).packet, now), Admission::Pass);
            p.charge(1_000, true, now);
        }
        p.set_estimate(1_250_000, now);
        // 2 Mbit/s: 1,000 bytes take 4 ms, and 10 ms may leave in one go.
        let passed = (0..10).filter(|seq| {
            let passes = p.admit(SlotIndex(0), &video(0, *seq, false, now).packet, now) == Admission::Pass;
            if passes {
                p.charge(1_000, true, now);
            }
            passes
        });
        assert_eq!(passed.count(), 3);
        assert_eq!(p.timeout(), None, "nothing waits");
    }

    #[test]
    fn repetitions_first_then_each_slot_in_turn() {
        let now = Instant::now();
        let mut p = Pacer::default();
        p.set_estimate(1_250_000, now);
        p.charge(5_000, true, now);
        (0..4).for_each(|seq| p.push(video(0, seq, false, now)));
        (0..2).for_each(|seq| p.push(video(2, seq, false, now)));
        assert!(!p.admit_repeat(now));
        p.push_repeat(SlotIndex(2), sent(now), now);
        assert_eq!((releases(&mut p, now), p.timeout()), (vec![], Some(now + MS * 20)));
        assert_eq!(releases(&mut p, now + MS * 20), [(2, 100), (0, 0), (2, 0)]);
        assert_eq!(p.timeout(), Some(now + MS * 32));
        assert_eq!(releases(&mut p, now + MS * 32), [(0, 1), (2, 1), (0, 2)]);
        assert_eq!((p.len(), p.forget(SlotIndex(0)), p.timeout()), (1, 1, None));
    }

    #[test]
    fn what_comes_too_late_goes_with_all_that_follows_up_to_a_keyframe() {
        let now = Instant::now();
        let mut p = Pacer::default();
        p.set_estimate(1_250_000, now);
        p.charge(100_000, true, now);
        (0..4).for_each(|seq| p.push(video(1, seq, false, now)));
        p.push(video(2, 0, false, now + MS * 300));
        let late = now + PACER_TIME_MAX;
        assert_eq!(releases(&mut p, late), [(2, 0)]);
        assert_eq!(p.take_dropped(), (4, 0b10));
        let next = |p: &mut Pacer, key, ms| p.admit(SlotIndex(1), &video(1, 5, key, late).packet, late + MS * ms);
        assert_eq!((next(&mut p, false, 100), p.take_dropped()), (Admission::Drop, (0, 0)));
        assert_eq!((next(&mut p, false, 500), p.take_dropped()), (Admission::Drop, (0, 0b10)), "asked for again");
        assert_eq!((next(&mut p, true, 600), next(&mut p, false, 600)), (Admission::Pass, Admission::Pass));
    }

    #[test]
    fn a_full_queue_loses_the_longest() {
        let now = Instant::now();
        let mut p = Pacer::default();
        p.set_estimate(1_250_000, now);
        p.charge(100_000, true, now);
        (0..10).for_each(|seq| p.push(video(3, seq, false, now)));
        (0..2_000).for_each(|seq| p.push(video(5, seq, false, now)));
        assert!(p.len() <= PACER_PACKETS_MAX && p.video[3].len() == 10);
        assert_eq!(p.take_dropped().1, 1 << 5);
        (0..2_000).for_each(|_| p.push_repeat(SlotIndex(0), sent(now), now));
        assert_eq!(p.repeats.len(), PACER_REPEATS_MAX);
    }

    #[test]
    fn a_cluster_is_filled_at_its_rate() {
        let now = Instant::now();
        let mut p = Pacer::default();
        p.set_estimate(300_000, now);
        p.start(Cluster { id: 7, bps: 2_000_000, bytes: 8_000 }, true, now);
        assert_eq!(p.cluster(), 7);
        p.push(video(0, 0, false, now));
        let (mut out, mut at) = (vec![], now);
        while let Some(next) = p.timeout() {
            at = next;
            out.extend(releases(&mut p, at));
        }
        assert_eq!(out, [vec![(0, 0)], vec![(0, 200); 7]].concat());
        assert_eq!((at - now, p.cluster()), (MS * 28, 0));
        p.start(Cluster { id: 8, bps: 2_000_000, bytes: 8_000 }, false, at);
        assert_eq!((releases(&mut p, at), p.timeout()), (vec![], None), "nothing to pad with");
        p.charge(1_000, true, at + CLUSTER_TIME_MAX);
        assert_eq!(p.cluster(), 0, "it ends");
    }
}
