//! What the people of a room are told, and what they are told by it.

use std::net::IpAddr;

use crate::auth::{Publish, Rights};
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

impl Source {
    /// For persons.
    pub fn label(self) -> &'static str {
        match self {
            Source::Camera => "a camera",
            Source::Microphone => "a microphone",
            Source::Screen => "a screen",
            Source::ScreenAudio => "the sound of a screen",
        }
    }

    /// Whether it is among what may be published.
    pub fn is_in(self, publish: Publish) -> bool {
        match self {
            Source::Camera => publish.camera,
            Source::Microphone => publish.microphone,
            Source::Screen | Source::ScreenAudio => publish.screen,
        }
    }
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
    /// What they may do.
    pub rights: Rights,
    /// Signalling is lost; they may come back.
    pub away: bool,
    /// Place among the raised hands, from 1.
    pub hand: Option<u32>,
    /// What they publish, in order of publishing.
    pub tracks: Vec<TrackInfo>,
}

/// What moderators may change about a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Nobody but moderators may enter.
    pub locked: bool,
    /// Who enters waits to be admitted.
    pub lobby: bool,
    /// What those who are no moderators may publish.
    pub publish: Publish,
}

impl Default for Settings {
    /// Open to everybody.
    fn default() -> Settings {
        Settings { locked: false, lobby: false, publish: Publish::ALL }
    }
}

/// A change of [`Settings`]; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Nobody but moderators may enter.
    pub locked: Option<bool>,
    /// Who enters waits to be admitted.
    pub lobby: Option<bool>,
    /// What those who are no moderators may publish.
    pub publish: Option<Publish>,
}

/// Somebody at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// The number they will have.
    pub peer: PeerId,
    /// Name and identity.
    pub profile: Profile,
    /// Counted only, once in.
    pub viewer: bool,
    /// What they may do.
    pub rights: Rights,
    /// By which they are banned, where their identity is made anew each time they come.
    pub address: Option<IpAddr>,
}

/// What becomes of a [`Knock`] that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doorway {
    /// Come in.
    Open,
    /// Wait to be admitted.
    Lobby,
}

/// Somebody in the lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number that they will have in the room.
    pub peer: PeerId,
    /// Unique.
    pub identity: String,
    /// Display name.
    pub name: String,
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
    /// Removed by a moderator or through the API.
    Removed,
    /// The same, for good.
    Banned,
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
            LeaveReason::Banned => "banned",
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
        /// What they may do.
        rights: Rights,
        /// By which they are banned, see [`Knock`].
        address: Option<IpAddr>,
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
    /// Tracks that may not be published any more are gone.
    End {
        /// Whose, and which.
        tracks: Vec<(PeerId, TrackId)>,
    },
    /// A track was muted or unmuted.
    Mute {
        /// Which.
        track: TrackId,
        /// Now.
        muted: bool,
        /// The moderator who did it. `None`: the owner or the API.
        by: Option<PeerId>,
    },
    /// Somebody's signalling is lost. After a while they are away, and then gone.
    Lost {
        /// Whose.
        peer: PeerId,
    },
    /// It is back.
    Resumed {
        /// Whose.
        peer: PeerId,
    },
    /// What somebody may publish changes.
    Permit {
        /// Whose.
        peer: PeerId,
        /// All of it.
        publish: Publish,
    },
    /// The room changes.
    Settings(SettingsChange),
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
    #[error("metadata has at most {0} bytes")]
    BadMetadata(usize),
    /// Empty or too long.
    #[error("a message has 1 to {} characters", crate::limits::CHAT_CHARS_MAX)]
    BadText,
    /// The room has all the participants it may have.
    #[error("the room is full")]
    Full,
    /// The right is lacking.
    #[error("you have no right to do this")]
    NotAllowed,
    /// The same, to publish.
    #[error("you have no right to publish this: {0}")]
    NotPublishable(&'static str),
    /// Only moderators enter.
    #[error("the room is locked")]
    Locked,
    /// Not again.
    #[error("you were banned from this room")]
    Banned,
    /// As many wait as may.
    #[error("too many people wait to be admitted already")]
    LobbyFull,
    /// Neither lost nor known, or too much was missed.
    #[error("this participation cannot be resumed")]
    CannotResume,
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
    /// Tracks are gone that may not be published any more: one event, however many.
    Ended(Vec<(PeerId, TrackId)>),
    /// A track was muted or unmuted.
    Muted {
        /// Whose.
        peer: PeerId,
        /// Which.
        track: TrackId,
        /// Now.
        muted: bool,
        /// The moderator who did it. `None`: the owner or the API.
        by: Option<PeerId>,
    },
    /// Signalling of these is lost or back: one event for all of a moment, since a network loses many at once.
    Away {
        /// Whose.
        peers: Vec<PeerId>,
        /// Now.
        away: bool,
    },
    /// What somebody may publish changed.
    Permitted {
        /// Whose.
        peer: PeerId,
        /// Now.
        publish: Publish,
    },
    /// The room changed.
    Settings(Settings),
    /// Who waits in the lobby; for moderators.
    Lobby(Vec<Waiting>),
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

impl Event {
    /// About how many bytes it takes to keep.
    pub fn weight(&self) -> usize {
        let content = match self {
            Event::Joined(participant) => {
                let Profile { identity, name, metadata } = &participant.profile;
                identity.len() + name.len() + metadata.len()
            }
            Event::Updated { name, metadata, .. } => name.len() + metadata.len(),
            Event::Chat { text, .. } => text.len(),
            Event::Ended(tracks) => tracks.len() * size_of::<(PeerId, TrackId)>(),
            Event::Away { peers, .. } | Event::Hands(peers) => peers.len() * size_of::<PeerId>(),
            Event::Lobby(waiting) => waiting.iter().map(|w| size_of::<Waiting>() + w.identity.len() + w.name.len()).sum(),
            Event::Left { .. }
            | Event::Published { .. }
            | Event::Unpublished { .. }
            | Event::Muted { .. }
            | Event::Permitted { .. }
            | Event::Settings(_)
            | Event::Viewers(_) => 0,
        };
        size_of::<Numbered>() + content
    }
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
    /// What moderators have decided.
    pub settings: Settings,
    /// Who waits to be admitted. Not for everybody's eyes.
    pub lobby: Vec<Waiting>,
}
