//! What a room is told, and what it says.

use std::sync::Arc;

use crate::id::{LayerIndex, PeerId, SlotIndex, TrackId};
use crate::rtp::{Codec, Kind, Layer, Packet, Rewritten};

/// A published track as the room needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSpec {
    /// Audio or video.
    pub kind: Kind,
    /// A shared screen (or its sound): comes before cameras.
    pub screen: bool,
    /// How many layers it may have, at least 1.
    pub layers: u8,
    /// Starts muted.
    pub muted: bool,
}

/// One outgoing place as the receiver negotiated it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSpec {
    /// Audio or video.
    pub kind: Kind,
    /// What the receiver decodes there.
    pub codecs: Vec<Codec>,
}

/// Which tracks a receiver wants in its video slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// The filler decides: pinned, screens, cameras in the order of joining, without one's own; from `offset` on, at most `limit`.
    Auto {
        /// Skipped at the start.
        offset: usize,
        /// At most so many; `None`: all slots.
        limit: Option<usize>,
        /// These first.
        pinned: Vec<TrackId>,
    },
    /// Exactly these, as many as there are slots.
    Tracks(Vec<TrackId>),
}

impl View {
    /// The receiver wants this track before others.
    pub(super) fn pins(&self, track: TrackId) -> bool {
        matches!(self, View::Auto { pinned, .. } if pinned.contains(&track))
    }
}

/// How a receiver shows one of its video slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Size of the picture in device pixels; `None`: any.
    pub size: (Option<u32>, Option<u32>),
    /// In sight.
    pub visible: bool,
    /// The higher comes first when not everything fits.
    pub priority: u8,
    /// Not wanted for now.
    pub paused: bool,
}

impl Default for Wish {
    /// In sight, and of any size.
    fn default() -> Wish {
        Wish { size: (None, None), visible: true, priority: 0, paused: false }
    }
}

/// Which policy fills slots by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filler {
    /// Everybody sees everybody.
    #[default]
    Conference,
    /// A stage and its audience.
    Broadcast,
}

/// What a room is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A peer enters, with no tracks and no slots yet. Nothing is forwarded to it before `Connected`.
    Join {
        /// Who.
        peer: PeerId,
    },
    /// A peer's media path stands: its slots are filled from now on.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// A peer is gone, with its tracks and slots.
    Leave {
        /// Who.
        peer: PeerId,
    },
    /// A peer publishes. The number comes from [`Room::new_track_id`](super::Room::new_track_id).
    Publish {
        /// Whose.
        peer: PeerId,
        /// The new track's number.
        track: TrackId,
        /// What it is.
        spec: TrackSpec,
    },
    /// Tracks end at once; the slots are filled anew once for all. Those that are not there are gone already.
    UnpublishAll {
        /// Which.
        tracks: Vec<TrackId>,
    },
    /// A track is gone.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// A track was muted or unmuted; a muted one is not forwarded.
    Mute {
        /// Which.
        track: TrackId,
        /// The state now.
        muted: bool,
    },
    /// A peer has further slots; they are numbered on from those it has.
    AddSlots {
        /// Whose.
        peer: PeerId,
        /// The new ones, in order.
        slots: Vec<SlotSpec>,
    },
    /// The receiver stopped a slot: it has no source until it is opened again.
    CloseSlot {
        /// Whose.
        peer: PeerId,
        /// Which.
        slot: SlotIndex,
    },
    /// A slot is open again, or decodes other codecs than before. Its numbers go on.
    OpenSlot {
        /// Whose.
        peer: PeerId,
        /// Which.
        slot: SlotIndex,
        /// What the receiver decodes there now.
        codecs: Vec<Codec>,
    },
    /// A receiver chooses.
    View {
        /// Who.
        peer: PeerId,
        /// What.
        view: View,
    },
    /// A receiver says how it shows a slot. Void if the slot shows another track by now.
    Wish {
        /// Who.
        peer: PeerId,
        /// Which slot.
        slot: SlotIndex,
        /// The track that is meant.
        track: TrackId,
        /// How.
        wish: Wish,
    },
    /// What the way to a receiver carries.
    Estimate {
        /// Whose.
        peer: PeerId,
        /// Bits in a second, whole datagrams.
        bps: u64,
    },
    /// A receiver asks for a keyframe (PLI or FIR).
    KeyframeRequest {
        /// Who.
        peer: PeerId,
        /// For which slot.
        slot: SlotIndex,
    },
}

/// Why an input was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// The peer is in the room already.
    #[error("peer {0} is in the room already")]
    PeerExists(PeerId),
    /// No such peer here.
    #[error("peer {0} is not in the room")]
    NoPeer(PeerId),
    /// No such track here.
    #[error("track {0} is not in the room")]
    NoTrack(TrackId),
    /// No such slot.
    #[error("there is no slot {0}")]
    NoSlot(SlotIndex),
    /// More tracks than one participant may publish.
    #[error("a participant may publish at most {0} tracks")]
    TooManyTracks(usize),
    /// More slots than one participant may have.
    #[error("a participant may have at most {0} slots")]
    TooManySlots(usize),
}

/// Why a slot with a source sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotReason {
    /// The receiver did not negotiate the track's codec.
    Codec,
    /// The track is muted.
    Muted,
    /// The receiver does not want it now.
    Paused,
    /// The way to the receiver does not carry it.
    Bandwidth,
}

/// One layer of a track as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Which.
    pub layer: Layer,
    /// Width and height of its picture, once they are known.
    pub size: Option<(u16, u16)>,
    /// What it takes with the layers below it, in bits a second.
    pub bps: u64,
}

/// Why no better layer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerLimit {
    /// The way to the receiver does not carry it.
    Bandwidth,
    /// The publisher does not send it now.
    NotPublished,
    /// It is shown so small that a better one would not be seen.
    Size,
    /// Nothing can be sent.
    Slot(SlotReason),
}

/// What one slot sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLayers {
    /// Which slot.
    pub slot: SlotIndex,
    /// Its source.
    pub track: TrackId,
    /// The source's codec, once it is known.
    pub codec: Option<Codec>,
    /// What is sent.
    pub sent: Option<LayerInfo>,
    /// What would be sent if the way carried everything.
    pub wished: Option<LayerInfo>,
    /// Why it is not the publisher's best.
    pub limit: Option<LayerLimit>,
}

/// What a slot shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    /// The source and whose it is.
    pub source: Option<(TrackId, PeerId)>,
    /// RTP timestamp (in the slot) of the first packet of this source; `None` until it was forwarded.
    pub first_timestamp: Option<u32>,
    /// Why nothing is sent.
    pub reason: Option<SlotReason>,
}

/// Somebody who speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speaker {
    /// Who.
    pub peer: PeerId,
    /// Loudness from 0 to 1.
    pub level: f32,
}

/// What a room says; taken by [`Room::poll`](super::Room::poll) until there is nothing more.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The publisher shall send a keyframe.
    RequestKeyframe {
        /// Whom to ask.
        publisher: PeerId,
        /// For which track.
        track: TrackId,
        /// For which layer.
        layer: LayerIndex,
    },
    /// A slot changed its source, got its first packet, or cannot send.
    Slot {
        /// Whose.
        peer: PeerId,
        /// Which.
        slot: SlotIndex,
        /// What it is now.
        state: SlotState,
    },
    /// Which encodings of a track anybody watches changed.
    Encodings {
        /// Whose track.
        publisher: PeerId,
        /// Which track.
        track: TrackId,
        /// For each of its encodings.
        active: Vec<bool>,
    },
    /// What would be sent to a receiver if its way carried everything changed, in bits a second.
    Want {
        /// To whom.
        peer: PeerId,
        /// How much; 0: nothing.
        bps: u64,
    },
    /// Packets that are kept of a track's last keyframe on, for one who comes in the middle.
    Replay(Vec<(Forward, Arc<Packet>)>),
    /// Who speaks, loudest first; said when it changes, at most five times a second.
    Speakers(Vec<Speaker>),
}

/// One packet to one slot. The packet itself is at hand where this is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// To whom.
    pub peer: PeerId,
    /// Into which slot.
    pub slot: SlotIndex,
    /// The packet's track, which goes out as CSRC.
    pub track: TrackId,
    /// Header fields and patches.
    pub header: Rewritten,
}
