//! The packet path: a plain loop over a track's receivers. No policy, no map per receiver, no allocation but the growth of `out`.

use std::time::Instant;

use super::event::Forward;
use super::slot::{Arrival, Verdict};
use super::{Room, ask, judge_receivers, sooner, tell_slot};
use crate::id::{LayerIndex, TrackId};
use crate::limits::LAYER_LIFE;
use crate::metrics::{DropReason, Drops};
use crate::rtp::{Facts, Kind, Packet};

/// What became of the packets.
///
/// Each received packet was offered to some slots or to none. An offer ends in `forwarded` or in `drops`; a packet that was offered to none is
/// one of `drops` and of `unoffered`. So `offers + unoffered = forwarded + drops.total()`, and nothing is lost in silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in.
    pub received: u64,
    /// Of these, how many were offered to no slot.
    pub unoffered: u64,
    /// Times a packet was offered to a slot whose layer it is.
    pub offers: u64,
    /// Packets that went out, once per slot.
    pub forwarded: u64,
    /// What did not go out: once per slot, or once per packet that was offered to none.
    pub drops: Drops,
}

impl Room {
    /// Forwards one packet of a track: adds one entry to `out` for each slot that it goes to.
    pub fn forward(&mut self, id: TrackId, layer: LayerIndex, packet: &Packet, now: Instant, out: &mut Vec<Forward>) {
        self.counters.received += 1;
        if let Err(reason) = self.offer(id, layer, packet, now, out) {
            self.counters.unoffered += 1;
            self.counters.drops.count(reason);
        }
    }

    /// Offers the packet to the track's receivers; the reason if it is for none of them.
    fn offer(&mut self, id: TrackId, layer: LayerIndex, packet: &Packet, now: Instant, out: &mut Vec<Forward>) -> Result<(), DropReason> {
        let Room { tracks, slots, speakers, news, wake, counters, .. } = self;
        let track = tracks.get_mut(&id).ok_or(DropReason::NoTrack)?;
        if packet.codec.kind() != track.kind {
            return Err(DropReason::Malformed);
        }
        if !track.may_be(packet.codec, now) {
            return Err(DropReason::Rate);
        }
        let newest = track.arrive(layer, packet, now).ok_or(DropReason::Layer)?;
        if track.layers.len() > 1 {
            sooner(wake, now + LAYER_LIFE);
        }
        if track.muted {
            return Err(DropReason::Muted);
        }
        if let (Kind::Audio, Some(level)) = (track.kind, packet.extensions.audio_level) {
            track.level.observe(level, now);
            speakers.listen(now);
        }
        if track.receivers.is_empty() {
            return Err(DropReason::NoReceiver);
        }
        if track.set_codec(packet.codec, now) {
            judge_receivers(track, slots, news);
        }
        let facts = Facts::parse(packet.codec, &packet.payload, packet.extensions.descriptor.as_deref());
        let target = track.target == Some(layer);
        let arrival = Arrival { packet, facts, layer, target, begins: target && newest && facts.keyframe, now };
        if newest && facts.keyframe {
            track.keyframe_came(layer);
        }
        let (mut offered, mut waiting) = (false, false);
        for key in &track.receivers {
            let Some(slot) = slots[*key].as_mut() else { continue };
            let verdict = slot.offer(&arrival);
            offered |= !matches!(verdict, Verdict::Other);
            waiting |= slot.waits(track.target);
            let header = match verdict {
                Verdict::Other => continue,
                Verdict::Drop(reason) => {
                    waiting |= reason == DropReason::WaitKeyframe;
                    counters.offers += 1;
                    counters.drops.count(reason);
                    continue;
                }
                Verdict::Send(header) => header,
                Verdict::SendFirst(header) => {
                    tell_slot(news, *key, slot);
                    header
                }
            };
            counters.offers += 1;
            counters.forwarded += 1;
            out.push(Forward { peer: slot.peer, slot: slot.index, track: id, header });
        }
        // The repeated question is cheap: the track knows when it asked last.
        if waiting && track.kind == Kind::Video && target {
            track.need(layer);
            ask(id, track, layer, news, wake, now);
        }
        if offered { Ok(()) } else { Err(DropReason::Layer) }
    }
}
