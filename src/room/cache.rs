//! The last pictures of a track's lowest layer from a keyframe on, so that one who comes in the middle sees something at once and needs no
//! keyframe of their own.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::{CACHE_AGE_MAX, CACHE_BYTES_MAX};
use crate::rtp::{Facts, Layer, Packet};

/// A packet, and what was found out about it.
pub(super) type Kept = (Arc<Packet>, Facts);

/// Packets in order, the first of them begins a keyframe. Empty until one comes, and again when it is too old or too large. Those of upper layers
/// are kept although they are not shown: who leaves them out has to know of them, or takes the numbers for lost and the layers for complete.
#[derive(Debug, Default)]
pub(super) struct Cache {
    packets: Vec<Kept>,
    bytes: usize,
    began: Option<Instant>,
}

impl Cache {
    /// A packet of the lowest encoding, in the order of arrival.
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
        self.bytes += packet.payload.len();
        if now.saturating_duration_since(began) > CACHE_AGE_MAX || self.bytes > CACHE_BYTES_MAX {
            return self.clear();
        }
        self.packets.insert(at, (packet.clone(), *facts));
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
        self.began = None;
    }

    /// The packets, and the bytes of those that are worth sending, if they are young enough and none is missing. Only the lowest layer is:
    /// upper ones of time would be over before they are seen.
    pub(super) fn pictures(&self, now: Instant) -> Option<(&[Kept], usize)> {
        let (began, (first, _), (last, _)) = (self.began?, self.packets.first()?, self.packets.last()?);
        let young = now.saturating_duration_since(began) <= CACHE_AGE_MAX;
        let whole = last.seq - first.seq + 1 == self.packets.len() as u64;
        let base = self.packets.iter().filter(|(_, facts)| facts.layer == Layer::default());
        (young && whole).then(|| (&self.packets[..], base.map(|(packet, _)| packet.payload.len()).sum()))
    }
}
