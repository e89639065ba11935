//! What crosses from the front ends into a shard and back: values, no handles.
//!
//! A command carries a oneshot for its reply; notices go to each participant's signalling through a bounded queue. A reader that lets the
//! queue fill is closed with a reason, so the shard never waits.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::id::{PeerId, RoomName, TrackId};
use crate::people::{LeaveReason, Numbered, PeopleError, Profile, Snapshot, Source};
use crate::room::{Filler, RoomError, SlotState, Speaker, View};
use crate::webrtc;

/// What a room is like; said when it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomOptions {
    /// Who fills its slots.
    pub filler: Filler,
    /// What its participants are asked to publish.
    pub publish: webrtc::VideoCodec,
}

/// Who enters a room, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name and identity.
    pub profile: Profile,
    /// Publishes nothing, is counted and not listed.
    pub viewer: bool,
    /// What the room is like if this entry begins it.
    pub options: RoomOptions,
}

/// What the client says of a send section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its `a=mid`.
    pub mid: String,
    /// What it carries.
    pub source: Source,
    /// Starts muted.
    pub muted: bool,
}

/// The number that the room gave to a send section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedSection {
    /// Its `a=mid`.
    pub mid: String,
    /// Its track.
    pub track: TrackId,
}

/// What a participant does, beside offering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Mute or unmute an own track.
    Mute {
        /// Which.
        track: TrackId,
        /// The state to come.
        muted: bool,
    },
    /// Choose what the slots show.
    View(View),
    /// Write.
    Chat {
        /// To one only.
        to: Option<PeerId>,
        /// What.
        text: String,
    },
    /// Raise or lower the hand.
    Hand(bool),
    /// Change name or metadata.
    Update {
        /// New name.
        name: Option<String>,
        /// New metadata.
        metadata: Option<String>,
    },
}

/// Why something was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such room.
    #[error("there is no such room")]
    NoRoom,
    /// The room exists already.
    #[error("the room exists already")]
    RoomExists,
    /// The server has all the rooms it may have.
    #[error("the server has no place for another room")]
    TooManyRooms,
    /// The offer cannot be used.
    #[error("the offer cannot be used: {0}")]
    Offer(String),
    /// A viewer offered to send.
    #[error("a viewer cannot publish")]
    ViewerPublishes,
    /// By the room.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// By the people.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// The server is going down.
    #[error("the server is stopping")]
    Stopping,
    /// A defect of the server ended the room or the connection.
    #[error("a defect of the server ended this")]
    Broken,
}

impl From<webrtc::OfferError> for Refusal {
    fn from(error: webrtc::OfferError) -> Refusal {
        match error {
            webrtc::OfferError::Bad(what) => Refusal::Offer(what),
            webrtc::OfferError::TooManyTracks(max) => RoomError::TooManyTracks(max).into(),
            webrtc::OfferError::TooManySlots(max) => RoomError::TooManySlots(max).into(),
        }
    }
}

/// What a participant's signalling is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Something happened in the room.
    Event(Arc<Numbered>),
    /// Own slots that changed, by `a=mid`.
    Slots(Vec<(String, SlotState)>),
    /// Who speaks.
    Speakers(Arc<[Speaker]>),
    /// The participant is out; nothing follows.
    Closed(LeaveReason),
}

/// What somebody finds who entered.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Own number.
    pub peer: PeerId,
    /// Own identity.
    pub identity: String,
    /// The policy of the room.
    pub filler: Filler,
    /// Own tracks.
    pub tracks: Vec<NumberedSection>,
    /// The people, oneself included.
    pub snapshot: Snapshot,
}

/// What comes with somebody who enters: the connection, its offer already accepted.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub media: Box<webrtc::Peer>,
    /// What its offer brought.
    pub negotiated: webrtc::Negotiated,
    /// What its send sections carry.
    pub declared: Vec<Declared>,
}

/// A room from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomInfo {
    /// Its name.
    pub name: RoomName,
    /// What it is like.
    pub options: RoomOptions,
    /// Stays when it is empty.
    pub permanent: bool,
    /// Its people.
    pub snapshot: Snapshot,
}

/// What a shard is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Make a room that stays. Refused if it exists.
    Create {
        /// Which.
        room: RoomName,
        /// What it is like.
        options: RoomOptions,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Send everybody out and end a room.
    Close {
        /// Which.
        room: RoomName,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody enters; the room begins if it is not there.
    Join {
        /// Which room.
        room: RoomName,
        /// The number that the door gave.
        peer: PeerId,
        /// Who.
        entry: Entry,
        /// The media side, its offer already accepted.
        arrival: Arrival,
        /// Where it is told things.
        notices: mpsc::Sender<Notice>,
        /// The answer.
        reply: oneshot::Sender<Result<Joined, Refusal>>,
    },
    /// A further offer.
    Offer {
        /// Which room.
        room: RoomName,
        /// Whose.
        peer: PeerId,
        /// Parsed by the front.
        offer: webrtc::Offer,
        /// What all the send sections carry.
        declared: Vec<Declared>,
        /// The SDP answer as text, and the tracks.
        reply: oneshot::Sender<Result<(webrtc::Answer, Vec<NumberedSection>), Refusal>>,
    },
    /// A participant does something.
    Act {
        /// Which room.
        room: RoomName,
        /// Who.
        peer: PeerId,
        /// What.
        action: Action,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody leaves or is sent out.
    Leave {
        /// Which room.
        room: RoomName,
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// What a room looks like.
    Inspect {
        /// Which.
        room: RoomName,
        /// The answer.
        reply: oneshot::Sender<Result<RoomInfo, Refusal>>,
    },
    /// Send everybody out and stop the thread.
    Stop {
        /// When done.
        reply: oneshot::Sender<()>,
    },
}
