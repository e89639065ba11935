//! When a packet leaves: at once while there is budget, else after a while, and not at all when it would come too late.
//!
//! ```text
//! audio ─────────────────────────────────────→ at once, whatever waits
//! repetitions ─→ [ queue ] ─┐
//! video ───────→ [ by slot ]┼→ budget: 2.5 × estimate, or the rate of the cluster that runs
//! padding (only in a cluster)┘
//! ```
//!
//! Video that waited [`PACER_TIME_MAX`], or finds the queue full, is dropped with all that its slot has waiting, and what follows it up to the next
//! keyframe: pictures with a hole cannot be decoded, and would only keep the next whole one waiting. A keyframe is asked for.
//!
//! The factor of 2.5 is libwebrtc's (`goog_cc_network_control.cc`): enough that a keyframe does not wait, not so much that a burst fills queues.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bwe::{CLUSTER_PACKETS_MIN, Cluster};
use super::history::Sent;
use crate::id::SlotIndex;
use crate::limits::{PACER_PACKETS_MAX, PACER_REPEATS_MAX, PACER_TIME_MAX, SLOTS_PER_PEER_MAX};
use crate::room::Forward;
use crate::rtp::{Facts, Packet};

const FACTOR: (u64, u64) = (5, 2);
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

    /// So many bytes left.
    #[inline]
    pub fn charge(&mut self, bytes: u32, now: Instant) {
        let Some(bps) = self.running.as_ref().map(|r| r.cluster.bps).or(self.bps) else { return };
        let cost = Duration::from_nanos(u64::from(bytes) * 8_000_000_000 / bps);
        let from = self.free_at.map_or(now, |at| at.max(now));
        // Audio is never held back and so may run up a debt; more of it than this would hold video back for long.
        self.free_at = Some((from + cost).min(now + PACER_TIME_MAX));
        if let Some(running) = &mut self.running {
            running.bytes += bytes;
            running.packets += 1;
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
