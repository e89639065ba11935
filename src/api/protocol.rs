//! The wire types of our own signalling, all of them: what a client sends, what it gets, and what REST shows.
//!
//! They are JSON objects with a `type`; `protocol.md` beside this file explains when each is sent, and its examples are run as tests. The
//! TypeScript types of the SDK are generated from these. Nothing here decides anything: `socket` and `rest` translate to and from the door's words.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Where a published track comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen, window or tab.
    Screen,
    /// The sound of a shared tab or screen.
    ScreenAudio,
}

/// What somebody is in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May publish, stands in the roster.
    #[default]
    Participant,
    /// Publishes nothing, is counted and never listed.
    Viewer,
}

/// Who fills the slots of a room when nobody says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoomMode {
    /// Everybody sees everybody.
    #[default]
    Conference,
    /// A few publish, everybody sees those.
    Broadcast,
}

/// Says which section of the offer (by its `mid`) publishes what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct PublishedSection {
    /// The section's `a=mid`.
    pub mid: String,
    /// What it carries.
    pub source: Source,
    /// Whether it starts muted.
    #[serde(default)]
    pub muted: bool,
}

/// Which tracks a receiver wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum View {
    /// The room decides: pinned tracks, shared screens, cameras in order of joining, from `offset` on, at most `limit`.
    Auto {
        /// How many of that order are skipped: a page's first place.
        #[serde(default)]
        offset: u32,
        /// How many video slots are filled; absent: all.
        #[serde(default)]
        #[ts(optional)]
        limit: Option<u32>,
        /// Tracks that come first.
        #[serde(default)]
        pinned: Vec<u32>,
    },
    /// Exactly these video tracks, as many as there are slots, the first being the most important. A track that is already in a slot stays there.
    Tracks {
        /// Numbers of tracks.
        tracks: Vec<u32>,
    },
}

/// What a client says. `id` is chosen by the client and comes back in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// The first message: enter the room, with an SDP offer. Answered by `joined`.
    Join {
        /// Comes back in the answer.
        id: u32,
        /// Display name, 1 to 64 characters. Viewers may leave it out.
        #[serde(default)]
        name: String,
        /// Participant or viewer.
        #[serde(default)]
        role: Role,
        /// Free text for the application, up to 4,096 bytes, shown to everybody.
        #[serde(default)]
        metadata: String,
        /// The mode of the room if this join begins it; ignored otherwise.
        #[serde(default)]
        mode: RoomMode,
        /// SDP.
        offer: String,
        /// What the send sections carry.
        #[serde(default)]
        tracks: Vec<PublishedSection>,
    },
    /// A further offer: more slots, a new track, a track that stopped, an ICE restart. Answered by `answered`.
    Offer {
        /// Comes back in the answer.
        id: u32,
        /// SDP.
        offer: String,
        /// What the send sections carry, all of them.
        #[serde(default)]
        tracks: Vec<PublishedSection>,
    },
    /// Mute or unmute one's own track: a muted one is not forwarded.
    Mute {
        /// Comes back in the answer.
        id: u32,
        /// The track.
        track: u32,
        /// The new state.
        muted: bool,
    },
    /// Choose what one's slots show.
    View {
        /// Comes back in the answer.
        id: u32,
        /// The choice.
        view: View,
    },
    /// Write to everybody, or to one participant.
    Chat {
        /// Comes back in the answer.
        id: u32,
        /// 1 to 2,000 characters.
        text: String,
        /// One participant, or absent for all.
        #[serde(default)]
        #[ts(optional)]
        to: Option<u32>,
    },
    /// Raise or lower one's hand.
    Hand {
        /// Comes back in the answer.
        id: u32,
        /// The new state.
        raised: bool,
    },
    /// Change one's own name or metadata; what is absent stays.
    Update {
        /// Comes back in the answer.
        id: u32,
        /// New display name.
        #[serde(default)]
        #[ts(optional)]
        name: Option<String>,
        /// New metadata.
        #[serde(default)]
        #[ts(optional)]
        metadata: Option<String>,
    },
    /// Leave. Not answered: the socket closes.
    Leave {},
}

/// One published track, as the roster shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Track {
    /// Its number in the room; also the CSRC of its packets.
    pub track: u32,
    /// Where it comes from.
    pub source: Source,
    /// Whether it is muted.
    pub muted: bool,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Participant {
    /// The number by which everything else names them.
    pub participant: u32,
    /// Unique in the room; made by the server for guests.
    pub identity: String,
    /// Display name; may repeat.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
    /// The place in the queue of raised hands, from 1; absent: hand is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub hand: Option<u32>,
    /// What they publish.
    pub tracks: Vec<Track>,
}

/// The number that the server gave to a send section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SectionTrack {
    /// The section's `a=mid`.
    pub mid: String,
    /// The track's number.
    pub track: u32,
}

/// Why a slot shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SlotReason {
    /// The receiver did not offer the track's codec.
    Codec,
    /// The track is muted.
    Muted,
}

/// What one receive section of the client shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Slot {
    /// The section's `a=mid`.
    pub mid: String,
    /// The track, or absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub track: Option<u32>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub participant: Option<u32>,
    /// RTP timestamp of the first packet of this track in this slot. Absent until that packet is on its way: frames shown before it belong
    /// to the previous source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub first_timestamp: Option<u32>,
    /// Why nothing is sent although there is a track.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<SlotReason>,
}

/// Somebody who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Speaker {
    /// Who.
    pub participant: u32,
    /// Loudness from 0 to 1.
    pub level: f32,
}

/// Why somebody left, or why one's own connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// Said so, or closed the page.
    Left,
    /// The signalling connection was lost.
    Disconnected,
    /// Media could not be connected in time, or was lost for good.
    MediaLost,
    /// Removed through the API.
    Removed,
    /// Another connection came with the same identity.
    Replaced,
    /// Did not read what was sent to it.
    TooSlow,
    /// The room was closed through the API.
    RoomClosed,
    /// The server is going down.
    ServerStopping,
    /// A defect of the server.
    ServerError,
}

/// What happened in the room; numbered, the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RoomEvent {
    /// Somebody came.
    ParticipantJoined {
        /// Who.
        participant: Participant,
    },
    /// Somebody left.
    ParticipantLeft {
        /// Who.
        participant: u32,
        /// Why.
        reason: LeaveReason,
    },
    /// A name or metadata changed.
    ParticipantUpdated {
        /// Who.
        participant: u32,
        /// Name now.
        name: String,
        /// Metadata now.
        metadata: String,
    },
    /// Somebody publishes one track more.
    TrackPublished {
        /// Who.
        participant: u32,
        /// What.
        track: Track,
    },
    /// A track is gone.
    TrackUnpublished {
        /// Whose it was.
        participant: u32,
        /// Its number.
        track: u32,
    },
    /// A track was muted or unmuted.
    TrackMuted {
        /// Whose it is.
        participant: u32,
        /// Its number.
        track: u32,
        /// The state now.
        muted: bool,
    },
    /// A chat message.
    Chat {
        /// Who wrote.
        from: u32,
        /// Whom to; absent: everybody.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        to: Option<u32>,
        /// The text.
        text: String,
        /// Milliseconds since 1970, the server's clock.
        #[ts(type = "number")]
        time_ms: u64,
    },
    /// The queue of raised hands, in order.
    Hands {
        /// Participants, the first to raise it first.
        raised: Vec<u32>,
    },
    /// How many viewers there are.
    Viewers {
        /// Their number.
        count: u32,
    },
}

/// An error, in signalling and in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ErrorBody {
    /// Stable, for programs.
    pub code: String,
    /// For a person.
    pub message: String,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to `join`: the room as it is now.
    Joined {
        /// Of the request.
        id: u32,
        /// One's own number.
        participant: u32,
        /// One's own identity.
        identity: String,
        /// The room's mode.
        mode: RoomMode,
        /// SDP.
        answer: String,
        /// Numbers of one's own tracks.
        tracks: Vec<SectionTrack>,
        /// Everybody who is in the room, oneself included unless a viewer.
        participants: Vec<Participant>,
        /// Hands that are up, in order.
        raised: Vec<u32>,
        /// How many viewers there are.
        viewers: u32,
        /// The number of the last event that this picture includes.
        #[ts(type = "number")]
        seq: u64,
    },
    /// The answer to `offer`.
    Answered {
        /// Of the request.
        id: u32,
        /// SDP.
        answer: String,
        /// Numbers of one's own tracks, all of them.
        tracks: Vec<SectionTrack>,
    },
    /// A request was carried out.
    Done {
        /// Of the request.
        id: u32,
    },
    /// A request was not carried out; nothing changed. Without `id`: the message could not be read.
    Error {
        /// Of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        id: Option<u32>,
        /// What is wrong.
        error: ErrorBody,
    },
    /// Something happened in the room. Numbers only grow; some may be missing, because private messages are numbered too.
    Event {
        /// Its number.
        #[ts(type = "number")]
        seq: u64,
        /// What.
        event: RoomEvent,
    },
    /// Slots that changed.
    Slots {
        /// Only those that changed.
        slots: Vec<Slot>,
    },
    /// Who is speaking now, loudest first.
    Speakers {
        /// All of them; empty: silence.
        speakers: Vec<Speaker>,
    },
    /// The last message before the server closes the socket.
    Closed {
        /// Why.
        reason: LeaveReason,
    },
}

/// A room in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// Who fills its slots.
    pub mode: RoomMode,
    /// Participants, without viewers.
    pub participants: u32,
    /// Viewers.
    pub viewers: u32,
    /// Published tracks.
    pub tracks: u32,
    /// Whether it stays when it is empty.
    pub permanent: bool,
}

/// Makes a room in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// Its name.
    pub name: String,
    /// Who fills its slots.
    #[serde(default)]
    pub mode: RoomMode,
}
