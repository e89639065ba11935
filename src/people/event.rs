//! What the people of a room are told, and what they are told by it.

use crate::id::{PeerId, TrackId};

/// Who somebody says to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Unique in the room.
    pub identity: String,
    /// Display name; may repeat.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
}

/// Where a track comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen.
    Screen,
    /// The sound of a shared screen.
    ScreenAudio,
}

/// One published track in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    /// Its number.
    pub track: TrackId,
    /// Where it comes from.
    pub source: Source,
    /// Whether it is muted.
    pub muted: bool,
}

/// Somebody in the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The number.
    pub peer: PeerId,
    /// Name and identity.
    pub profile: Profile,
    /// Place among the raised hands, from 1.
    pub hand: Option<u32>,
    /// What they publish, in order of publishing.
    pub tracks: Vec<TrackInfo>,
}

/// Why somebody left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// Said so.
    Left,
    /// Signalling was lost.
    Disconnected,
    /// Media was not connected in time or was lost.
    MediaLost,
    /// Removed through the API.
    Removed,
    /// Another connection with the same identity.
    Replaced,
    /// Did not read.
    TooSlow,
    /// The room was closed.
    RoomClosed,
    /// The server stops.
    ServerStopping,
    /// A defect of ours.
    ServerError,
}

impl LeaveReason {
    /// For logs, metrics and the wire.
    pub fn label(self) -> &'static str {
        match self {
            LeaveReason::Left => "left",
            LeaveReason::Disconnected => "disconnected",
            LeaveReason::MediaLost => "media_lost",
            LeaveReason::Removed => "removed",
            LeaveReason::Replaced => "replaced",
            LeaveReason::TooSlow => "too_slow",
            LeaveReason::RoomClosed => "room_closed",
            LeaveReason::ServerStopping => "server_stopping",
            LeaveReason::ServerError => "server_error",
        }
    }
}

/// What the people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody comes. Viewers are counted and not listed.
    Join {
        /// Who.
        peer: PeerId,
        /// Name and identity.
        profile: Profile,
        /// Counted only.
        viewer: bool,
    },
    /// Somebody goes.
    Leave {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// A track was published.
    Publish {
        /// Whose.
        peer: PeerId,
        /// What.
        track: TrackInfo,
    },
    /// A track is gone.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// A track was muted or unmuted.
    Mute {
        /// Which.
        track: TrackId,
        /// Now.
        muted: bool,
    },
    /// Somebody writes.
    Chat {
        /// Who.
        peer: PeerId,
        /// To one only.
        to: Option<PeerId>,
        /// What.
        text: String,
        /// Milliseconds since 1970 (wall clock, given by the shard).
        time_ms: u64,
    },
    /// A hand goes up or down.
    Hand {
        /// Whose.
        peer: PeerId,
        /// Up.
        raised: bool,
    },
    /// A name or metadata changes.
    Update {
        /// Whose.
        peer: PeerId,
        /// New name.
        name: Option<String>,
        /// New metadata.
        metadata: Option<String>,
    },
}

/// Why an input was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// No such participant.
    #[error("participant {0} is not in the room")]
    NoParticipant(PeerId),
    /// Viewers cannot do this.
    #[error("a viewer cannot do this")]
    Viewer,
    /// Not one's own track, or gone.
    #[error("track {0} is not in the room")]
    NoTrack(TrackId),
    /// Empty, too long, or with control characters.
    #[error("a name has 1 to {} characters and no control characters", crate::limits::DISPLAY_NAME_CHARS_MAX)]
    BadName,
    /// Too long.
    #[error("metadata has at most {} bytes", crate::limits::METADATA_BYTES_MAX)]
    BadMetadata,
    /// Empty or too long.
    #[error("a message has 1 to {} characters", crate::limits::CHAT_CHARS_MAX)]
    BadText,
    /// The room has all the participants it may have.
    #[error("the room is full")]
    Full,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody came.
    Joined(Participant),
    /// Somebody left.
    Left {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// A profile changed.
    Updated {
        /// Whose.
        peer: PeerId,
        /// Name now.
        name: String,
        /// Metadata now.
        metadata: String,
    },
    /// A track was published.
    Published {
        /// Whose.
        peer: PeerId,
        /// What.
        track: TrackInfo,
    },
    /// A track is gone.
    Unpublished {
        /// Whose it was.
        peer: PeerId,
        /// Which.
        track: TrackId,
    },
    /// A track was muted or unmuted.
    Muted {
        /// Whose.
        peer: PeerId,
        /// Which.
        track: TrackId,
        /// Now.
        muted: bool,
    },
    /// A chat message.
    Chat {
        /// Who wrote.
        from: PeerId,
        /// To one only.
        to: Option<PeerId>,
        /// What.
        text: String,
        /// When, milliseconds since 1970.
        time_ms: u64,
    },
    /// The raised hands, first first.
    Hands(Vec<PeerId>),
    /// How many viewers there are; said at most once a second.
    Viewers(u32),
}

/// Who gets an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody in the room, viewers included.
    All,
    /// Everybody but this one (who learnt it from the answer to their own request).
    AllBut(PeerId),
    /// These only.
    Only(Vec<PeerId>),
}

impl Audience {
    /// Whether `peer` hears of it.
    pub fn includes(&self, peer: PeerId) -> bool {
        match self {
            Audience::All => true,
            Audience::AllBut(other) => *other != peer,
            Audience::Only(peers) => peers.contains(&peer),
        }
    }
}

/// An event with its number. Numbers grow by one in the room, whoever hears of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// From 1.
    pub seq: u64,
    /// Who gets it.
    pub audience: Audience,
    /// What happened.
    pub event: Event,
}

/// The room's people at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of the last event in this picture.
    pub seq: u64,
    /// The roster in order of joining.
    pub participants: Vec<Participant>,
    /// Raised hands, first first.
    pub raised: Vec<PeerId>,
    /// How many viewers there are.
    pub viewers: u32,
}
