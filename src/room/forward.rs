//! The packet path: a plain loop over a track's receivers. No policy, no map per receiver, no allocation but the growth of `out`.

use std::sync::Arc;
use std::time::Instant;

use super::event::Forward;
use super::keyframes::ask;
use super::slot::{Arrival, Verdict};
use super::track::Arrived;
use super::{Room, sooner, tell_slot};
use crate::id::{LayerIndex, TrackId};
use crate::limits::LAYERS_PERIOD;
use crate::metrics::{DropReason, Drops};
use crate::rtp::{Kind, Packet};

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
    /// Packets that went out from what is kept for newcomers; not among the others.
    pub replayed: u64,
    /// What did not go out: once per slot, or once per packet that was offered to none.
    pub drops: Drops,
}

impl Room {
    /// Forwards one packet of a track: adds one entry to `out` for each slot that it goes to.
    pub fn forward(&mut self, id: TrackId, layer: LayerIndex, packet: &Arc<Packet>, now: Instant, out: &mut Vec<Forward>) {
        self.counters.received += 1;
        let offered = self.arrive(id, layer, packet, now).and_then(|arrival| self.offer(id, &arrival, packet, out));
        if let Err(reason) = offered {
            self.counters.unoffered += 1;
            self.counters.drops.count(reason);
        }
    }

    /// Takes note of a packet; the reason if nobody may have it.
    fn arrive<'a>(&mut self, id: TrackId, index: LayerIndex, packet: &'a Packet, now: Instant) -> Result<Arrival<'a>, DropReason> {
        let track = self.tracks.get_mut(&id).ok_or(DropReason::NoTrack)?;
        if packet.codec.kind() != track.kind {
            return Err(DropReason::Malformed);
        }
        if !track.may_be(packet.codec, now) {
            return Err(DropReason::Rate);
        }
        let Arrived { newest, begins } = track.arrive(index, packet, now).ok_or(DropReason::Layer)?;
        let is_video = track.kind == Kind::Video;
        if track.muted {
            return Err(DropReason::Muted);
        }
        if let (false, Some(level)) = (is_video, packet.extensions.audio_level) {
            track.level.observe(level, now);
            self.speakers.listen(now);
            let begins = track.level.speaking() && !track.phase.speaking;
            if begins || self.speakers.is_left_out(id, &self.tracks) {
                self.speakers.hurry(now);
                self.judge_speakers(now);
            }
        }
        let track = self.tracks.get_mut(&id).ok_or(DropReason::NoTrack)?;
        let encoding = &mut track.encodings[usize::from(index.0)];
        let facts = encoding.reader.read(packet);
        encoding.learn(&facts, packet.payload.len(), now);
        if newest && facts.keyframe {
            track.keyframe_came(index);
        }
        if is_video {
            sooner(&mut self.wake, now + LAYERS_PERIOD);
        }
        let other_codec = track.set_codec(packet.codec, now);
        if other_codec || (begins && is_video) {
            // Rare: who receives it may have it now, or better.
            self.at_hand = (newest && facts.keyframe).then_some((id, index));
            self.judge_receivers(id, now);
            self.settle(now);
            self.at_hand = None;
        }
        Ok(Arrival { packet, facts, encoding: index, newest, now })
    }

    /// Offers a packet to the track's receivers; the reason if it is for none of them.
    fn offer(&mut self, id: TrackId, arrival: &Arrival<'_>, packet: &Arc<Packet>, out: &mut Vec<Forward>) -> Result<(), DropReason> {
        let Room { tracks, slots, news, wake, counters, .. } = self;
        let track = tracks.get_mut(&id).ok_or(DropReason::NoTrack)?;
        let (encoding, now) = (arrival.encoding, arrival.now);
        let (mut offered, mut waiting, mut urgent) = (false, false, false);
        for key in &track.receivers {
            let Some(slot) = slots[*key].as_mut() else { continue };
            let verdict = slot.offer(arrival);
            offered |= !matches!(verdict, Verdict::Other);
            if slot.waits_for() == Some(encoding) {
                waiting = true;
                urgent |= slot.is_urgent();
            }
            let header = match verdict {
                Verdict::Other => continue,
                Verdict::Drop(reason) => {
                    waiting |= reason == DropReason::WaitKeyframe;
                    urgent |= reason == DropReason::WaitKeyframe;
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
        if track.kind == Kind::Video && encoding.0 == 0 {
            track.cache.note(packet, &arrival.facts, arrival.newest, now);
        }
        // The repeated question is cheap: the track knows when it asked last.
        if waiting && track.kind == Kind::Video {
            track.need(encoding, urgent);
            ask(id, track, encoding, news, wake, now);
        }
        match (offered, track.receivers.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => Err(DropReason::NoReceiver),
            (false, false) => Err(DropReason::Layer),
        }
    }
}
