//! What crosses from the front ends into a shard and back: values, no handles.
//!
//! A command carries a oneshot for its reply; notices go to each participant's signalling through a bounded queue. A reader that lets the
//! queue fill is closed with a reason, so the shard never waits.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::auth::{Publish, Rights, Secret};
use crate::id::{PeerId, RoomName, TrackId};
use crate::people::{Doorway, Knock, LeaveReason, Numbered, PeopleError, Profile, Settings, SettingsChange, Snapshot, Source};
use crate::room::{Filler, RoomError, SlotLayers, SlotState, Speaker, View, Wish};
use crate::webrtc;

/// What a room is like; said when it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomOptions {
    /// Who fills its slots.
    pub filler: Filler,
    /// What its participants are asked to publish.
    pub publish: webrtc::VideoCodec,
    /// Who may enter and publish, until moderators decide otherwise.
    pub settings: Settings,
}

/// Who enters a room, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name and identity.
    pub profile: Profile,
    /// Publishes nothing, is counted and not listed.
    pub viewer: bool,
    /// What they may do.
    pub rights: Rights,
    /// By which they are banned, where their identity is made anew each time they come.
    pub address: Option<IpAddr>,
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
    /// Say how slots are shown, by `a=mid`, each with the track that is meant.
    Wishes(Vec<(String, TrackId, Wish)>),
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

/// What a moderator does, or the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moderation {
    /// Mute what somebody publishes.
    Mute {
        /// Whom.
        peer: PeerId,
        /// One track; `None`: all.
        track: Option<TrackId>,
    },
    /// Send somebody out.
    Remove {
        /// Whom.
        peer: PeerId,
        /// Not to be let in again while the room lives.
        ban: bool,
    },
    /// Say what somebody may publish.
    Permit {
        /// Whom.
        peer: PeerId,
        /// All of it.
        publish: Publish,
    },
    /// Change the room.
    Settings(SettingsChange),
    /// Let somebody in who waits, or send them away.
    Admit {
        /// Whom.
        peer: PeerId,
        /// In.
        admit: bool,
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
    /// Own tracks of which other encodings are watched than before.
    Encodings(Vec<(TrackId, Vec<bool>)>),
    /// Who speaks.
    Speakers(Arc<[Speaker]>),
    /// The participant is out; nothing follows.
    Closed(LeaveReason),
    /// One who waited may come in.
    Admitted,
    /// One who waited may not; nothing follows.
    NotAdmitted,
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
    /// What one may do.
    pub rights: Rights,
    /// The people, oneself included; the lobby only for moderators.
    pub snapshot: Snapshot,
    /// Which room of this name it is: rooms end and begin again.
    pub life: u64,
}

/// One who knocked and was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// In, or into the lobby.
    pub doorway: Doorway,
    /// Taken over from the participation that they had before.
    pub identity: Option<String>,
}

/// An earlier participation, and the secret that proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its number.
    pub peer: PeerId,
    /// Its secret.
    pub secret: Secret,
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
    /// With which signalling is resumed.
    pub secret: Secret,
}

/// What is sent to a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerReport {
    /// What the way to them carries, in bits a second; `None`: not known yet.
    pub estimate: Option<u64>,
    /// Their slots with a source, by `a=mid`.
    pub slots: Vec<(String, SlotLayers)>,
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
    /// What moderators have decided.
    pub settings: Settings,
    /// Participants, without viewers.
    pub participants: usize,
    /// Viewers.
    pub viewers: usize,
    /// Published tracks.
    pub tracks: usize,
    /// Who waits in the lobby.
    pub waiting: usize,
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
        /// Which room of this name it is.
        reply: oneshot::Sender<Result<u64, Refusal>>,
    },
    /// Send everybody out and end a room.
    Close {
        /// Which.
        room: RoomName,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody asks to be let in. A room that is not there lets everybody in.
    Knock {
        /// Which room.
        room: RoomName,
        /// Who.
        knock: Knock,
        /// Who they were before.
        earlier: Option<Earlier>,
        /// Where one who has to wait is told the outcome.
        notices: mpsc::Sender<Notice>,
        /// The answer.
        reply: oneshot::Sender<Result<Answered, Refusal>>,
    },
    /// Somebody who was let in enters; the room begins if it is not there.
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
    /// Somebody's signalling comes back.
    Resume {
        /// Which room.
        room: RoomName,
        /// Who.
        earlier: Earlier,
        /// The last event that they had.
        seq: u64,
        /// Where they are told things from now on.
        notices: mpsc::Sender<Notice>,
        /// Which connection of theirs it is.
        reply: oneshot::Sender<Result<u32, Refusal>>,
    },
    /// Somebody's signalling is lost.
    Lost {
        /// Which room.
        room: RoomName,
        /// Whose.
        peer: PeerId,
        /// Which connection of theirs it was: a newer one is not lost with it.
        attachment: u32,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// A moderator does something, or the API.
    Moderate {
        /// Which room.
        room: RoomName,
        /// Who; `None`: the API.
        by: Option<PeerId>,
        /// What.
        what: Moderation,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody leaves, in the lobby or in the room.
    Leave {
        /// Which room.
        room: RoomName,
        /// Who.
        peer: PeerId,
        /// Which connection of theirs says so.
        attachment: u32,
        /// Why.
        reason: LeaveReason,
        /// The answer.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// What is sent to a participant.
    Layers {
        /// Where.
        room: RoomName,
        /// To whom.
        peer: PeerId,
        /// The answer.
        reply: oneshot::Sender<Result<LayerReport, Refusal>>,
    },
    /// What a room looks like.
    Inspect {
        /// Which.
        room: RoomName,
        /// The answer.
        reply: oneshot::Sender<Result<RoomInfo, Refusal>>,
    },
    /// Who is in a room.
    Roster {
        /// Which.
        room: RoomName,
        /// The answer.
        reply: oneshot::Sender<Result<Snapshot, Refusal>>,
    },
    /// Send everybody out and stop the thread.
    Stop {
        /// When done.
        reply: oneshot::Sender<()>,
    },
}
