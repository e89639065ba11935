//! The last pictures of a track's lowest layer from a keyframe on, so that one who comes in the middle sees something at once and needs no
//! keyframe of their own.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::{CACHE_AGE_MAX, CACHE_BYTES_MAX};
use crate::rtp::{Facts, Packet};

/// A packet, and what was found out about it.
pub(super) type Kept = (Arc<Packet>, Facts);

/// Packets in order, the first of them begins a keyframe. Empty until one comes, and again when it is too old or too large.
#[derive(Debug, Default)]
pub(super) struct Cache {
    packets: Vec<Kept>,
    bytes: usize,
    began: Option<Instant>,
    /// The highest sequence number since the keyframe began, and how many packets came, those of upper spatial layers included.
    highest: u64,
    count: u64,
}

impl Cache {
    /// A packet of the lowest encoding, in the order of arrival. Of several spatial layers only the lowest is kept.
    pub(super) fn note(&mut self, packet: &Arc<Packet>, facts: &Facts, newest: bool, now: Instant) {
        if facts.keyframe && newest {
            self.clear();
            self.began = Some(now);
        }
        let Some(began) = self.began else { return };
        let at = self.packets.partition_point(|(other, _)| other.seq < packet.seq);
        // What came before the keyframe, or the same once more.
        if (at == 0 && !self.packets.is_empty()) || self.packets.get(at).is_some_and(|(other, _)| other.seq == packet.seq) {
            return;
        }
        self.highest = self.highest.max(packet.seq);
        self.count += 1;
        self.bytes += packet.payload.len();
        if now.saturating_duration_since(began) > CACHE_AGE_MAX || self.bytes > CACHE_BYTES_MAX {
            return self.clear();
        }
        if facts.layer.spatial == 0 {
            self.packets.insert(at, (packet.clone(), *facts));
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        (self.bytes, self.highest, self.count) = (0, 0, 0);
        self.began = None;
    }

    /// The packets, and the bytes of those that are worth sending, if they are young enough and none is missing. Upper temporal layers would be
    /// over before they are seen.
    pub(super) fn pictures(&self, now: Instant) -> Option<(&[Kept], usize)> {
        let (began, (first, _)) = (self.began?, self.packets.first()?);
        let young = now.saturating_duration_since(began) <= CACHE_AGE_MAX;
        let whole = self.highest - first.seq + 1 == self.count;
        let base = self.packets.iter().filter(|(_, facts)| facts.layer.temporal == 0);
        (young && whole).then(|| (&self.packets[..], base.map(|(packet, _)| packet.payload.len()).sum()))
    }
}
