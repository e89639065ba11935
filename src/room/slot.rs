//! A slot: one outgoing place of a peer. It decides for each packet of its source whether this is the packet to begin with, one to go on
//! with, or none of its business.

use std::time::Instant;

use super::event::{SlotReason, SlotSpec, SlotState};
use crate::id::{LayerIndex, PeerId, SlotIndex, TrackId};
use crate::metrics::DropReason;
use crate::rtp::{Codec, Facts, Kind, Packet, Refused, Rewriter, Rewritten, Starts};

/// One outgoing place.
pub(super) struct Slot {
    pub(super) peer: PeerId,
    pub(super) index: SlotIndex,
    pub(super) kind: Kind,
    codecs: Vec<Codec>,
    /// Stopped by the receiver for good.
    pub(super) closed: bool,
    /// What it shows, as told or about to be told.
    pub(super) state: SlotState,
    /// The state stands in the room's output.
    pub(super) queued: bool,
    /// The layer that is being forwarded; `None` while it waits for a keyframe, which the rewriter then takes for a new source.
    pub(super) layer: Option<LayerIndex>,
    rewriter: Rewriter,
}

/// A packet on its way to the slots, with what was found out about it once.
pub(super) struct Arrival<'a> {
    pub(super) packet: &'a Packet,
    pub(super) facts: Facts,
    pub(super) layer: LayerIndex,
    /// It belongs to the layer that slots have or wait for.
    pub(super) target: bool,
    /// Slots may begin with it: the newest packet of the target layer, and a keyframe starts here. A keyframe that comes late (sent again)
    /// is none to begin with, because what followed it was not kept and would be missing for ever.
    pub(super) begins: bool,
    pub(super) now: Instant,
}

/// What a slot makes of a packet.
pub(super) enum Verdict {
    /// It goes out.
    Send(Rewritten),
    /// It goes out as the first packet of its source: the state changed.
    SendFirst(Rewritten),
    /// It was meant for this slot and does not go out.
    Drop(DropReason),
    /// A layer that this slot does not have.
    Other,
}

impl Slot {
    pub(super) fn new(peer: PeerId, index: SlotIndex, spec: SlotSpec, starts: Starts) -> Slot {
        let rewriter = Rewriter::new(spec.kind, starts);
        let state = SlotState::default();
        let SlotSpec { kind, codecs } = spec;
        Slot { peer, index, kind, codecs, closed: false, state, queued: false, layer: None, rewriter }
    }

    /// The track it shows.
    pub(super) fn source(&self) -> Option<TrackId> {
        self.state.source.map(|(track, _)| track)
    }

    /// Gives it another source or none.
    pub(super) fn set_source(&mut self, source: Option<(TrackId, PeerId)>) {
        self.state = SlotState { source, first_timestamp: None, reason: None };
        self.layer = None;
    }

    /// Says why nothing can be sent, or that it can. True if that is news.
    pub(super) fn judge(&mut self, muted: bool, codec: Option<Codec>) -> bool {
        let undecodable = codec.is_some_and(|codec| !self.codecs.contains(&codec));
        let reason = match (muted, undecodable) {
            (true, _) => Some(SlotReason::Muted),
            (false, true) => Some(SlotReason::Codec),
            (false, false) => None,
        };
        if reason == self.state.reason {
            return false;
        }
        self.state.reason = reason;
        self.state.first_timestamp = None;
        self.layer = None;
        true
    }

    /// Whether it shows nothing of its source yet and could.
    pub(super) fn waits(&self, target: Option<LayerIndex>) -> bool {
        self.state.source.is_some() && self.state.reason.is_none() && self.layer != target
    }

    /// Decides about a packet of its source.
    pub(super) fn offer(&mut self, arrival: &Arrival<'_>) -> Verdict {
        if self.state.reason.is_some() {
            return if arrival.target { Verdict::Drop(DropReason::Codec) } else { Verdict::Other };
        }
        let Arrival { packet, facts, layer, now, .. } = arrival;
        if self.layer == Some(*layer) {
            return match self.rewriter.rewrite(packet, facts, *now) {
                Ok(header) => Verdict::Send(header),
                // The publisher started anew, and here it can be followed.
                Err(Refused::WaitKeyframe) if arrival.begins => Verdict::Send(self.rewriter.switch(packet, facts, *now)),
                Err(Refused::WaitKeyframe) => Verdict::Drop(DropReason::WaitKeyframe),
                Err(Refused::Late) => Verdict::Drop(DropReason::Late),
            };
        }
        if arrival.begins {
            let header = self.rewriter.switch(packet, facts, *now);
            self.layer = Some(*layer);
            if self.state.first_timestamp.is_some() {
                return Verdict::Send(header);
            }
            self.state.first_timestamp = Some(header.timestamp);
            return Verdict::SendFirst(header);
        }
        if self.layer.is_none() && arrival.target {
            return Verdict::Drop(if facts.keyframe { DropReason::Late } else { DropReason::WaitKeyframe });
        }
        Verdict::Other
    }
}
