//! The wire types of our own signalling, all of them: what a client sends, what it gets, and what REST shows.
//!
//! They are JSON objects with a `type`; `protocol.md` beside this file explains when each is sent, and its examples are run as tests. The
//! TypeScript types of the SDK are generated from these. Nothing here decides anything: `socket` and `rest` translate to and from the door's words.

pub use super::resources::*;
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

/// What participants are asked to publish; who cannot publishes something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoCodec {
    /// Every browser decodes it.
    #[default]
    Vp8,
    /// Smaller at the same quality.
    Vp9,
    /// Often made in hardware.
    H264,
    /// The smallest, and the dearest to make.
    Av1,
}

/// What one may be allowed to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Publishable {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A shared screen with its sound.
    Screen,
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

/// What a client wants to see in one of its video slots, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// The slot's `a=mid`.
    pub mid: String,
    /// The track that is meant. If the slot shows another one by now, the wish is void.
    pub track: u32,
    /// Width of the picture on the screen in device pixels; absent: any.
    #[serde(default)]
    #[ts(optional)]
    pub width: Option<u32>,
    /// Its height; absent: any.
    #[serde(default)]
    #[ts(optional)]
    pub height: Option<u32>,
    /// Whether it is in sight. What is not is not sent.
    #[serde(default = "yes")]
    pub visible: bool,
    /// Which slots come first when not everything fits: the higher. Shared screens and pinned tracks come before all others.
    #[serde(default)]
    pub priority: u8,
    /// Not wanted for now, though in sight.
    #[serde(default)]
    pub paused: bool,
}

fn yes() -> bool {
    true
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
        /// An access token, where the server wants one.
        #[serde(default)]
        #[ts(optional)]
        token: Option<String>,
        /// The `resume` of an earlier participation that could not be resumed: its identity and its place are taken over.
        #[serde(default)]
        #[ts(optional)]
        rejoin: Option<String>,
    },
    /// The first message of a socket that replaces a lost one. Answered by `resumed`; then come the missed events, all slots and the speakers.
    Resume {
        /// Comes back in the answer.
        id: u32,
        /// What `joined` gave.
        resume: String,
        /// The number of the last event that was received.
        #[ts(type = "number")]
        seq: u64,
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
    /// Mute or unmute one's own track: a muted one is not forwarded. Moderators mute those of others too, and never unmute them.
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
    /// How one's video slots are shown: the server sends the layers that fit. A slot whose track changes forgets its wish.
    Wishes {
        /// Comes back in the answer.
        id: u32,
        /// Those that changed.
        slots: Vec<Wish>,
    },
    /// What is sent in one's slots, and why it is not more. Answered by `layers`.
    Layers {
        /// Comes back in the answer.
        id: u32,
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
    /// Moderators: send somebody out.
    Remove {
        /// Comes back in the answer.
        id: u32,
        /// Whom.
        participant: u32,
        /// Not to be let in again while the room lives.
        #[serde(default)]
        ban: bool,
    },
    /// Moderators: say what somebody may publish. What they may not any more ends.
    Permit {
        /// Comes back in the answer.
        id: u32,
        /// Whom.
        participant: u32,
        /// All of it.
        publish: Vec<Publishable>,
    },
    /// Moderators: change the room; what is absent stays.
    Settings {
        /// Comes back in the answer.
        id: u32,
        /// Nobody but moderators may enter.
        #[serde(default)]
        #[ts(optional)]
        locked: Option<bool>,
        /// Who enters waits to be admitted.
        #[serde(default)]
        #[ts(optional)]
        lobby: Option<bool>,
        /// What those who are no moderators may publish.
        #[serde(default)]
        #[ts(optional)]
        publish: Option<Vec<Publishable>>,
    },
    /// Moderators: let somebody in, or not, who waits in the lobby.
    Admit {
        /// Comes back in the answer.
        id: u32,
        /// Whom, by the number in the lobby.
        participant: u32,
        /// False: send them away.
        admit: bool,
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
    /// Signalling is lost; they may come back.
    pub away: bool,
    /// May mute, remove, lock and admit.
    pub moderator: bool,
    /// What they may publish, apart from what the room's settings say.
    pub publish: Vec<Publishable>,
    /// What they publish.
    pub tracks: Vec<Track>,
}

/// What moderators may change about a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Settings {
    /// Nobody but moderators may enter.
    pub locked: bool,
    /// Who enters waits to be admitted.
    pub lobby: bool,
    /// What those who are no moderators may publish.
    pub publish: Vec<Publishable>,
}

/// What one may do oneself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Rights {
    /// What may be published, apart from what the room's settings say.
    pub publish: Vec<Publishable>,
    /// Whether media is received.
    pub subscribe: bool,
    /// May mute, remove, lock and admit; the room's settings do not bind them.
    pub moderate: bool,
}

/// A track that may not be published any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EndedTrack {
    /// Whose it was.
    pub participant: u32,
    /// Its number.
    pub track: u32,
}

/// Somebody in the lobby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Waiting {
    /// The number by which they are admitted; it stays theirs in the room.
    pub participant: u32,
    /// Unique.
    pub identity: String,
    /// Display name.
    pub name: String,
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
    /// The receiver's network does not carry it.
    Bandwidth,
    /// The receiver does not want it now: paused, or out of sight.
    Paused,
}

/// One layer of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Layer {
    /// Simulcast encoding or spatial layer, 0 the smallest.
    pub spatial: u8,
    /// Temporal layer, 0 the slowest.
    pub temporal: u8,
    /// Width of its picture, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub width: Option<u32>,
    /// Its height.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub height: Option<u32>,
    /// What it takes, in kbit/s.
    pub kbps: u32,
}

/// Why no better layer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerLimit {
    /// The receiver's network does not carry it.
    Bandwidth,
    /// The publisher does not send it now.
    NotPublished,
    /// It is shown so small that a better one would not be seen.
    Size,
    /// The receiver does not want it now: paused, or out of sight.
    Paused,
    /// The receiver did not offer the track's codec.
    Codec,
    /// The track is muted.
    Muted,
}

/// What is sent in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct SlotLayers {
    /// The slot's `a=mid`.
    pub mid: String,
    /// The track.
    pub track: u32,
    /// Its codec, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub codec: Option<String>,
    /// What is sent; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sent: Option<Layer>,
    /// What would be sent if the network carried everything; absent: nothing is wanted or known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub wished: Option<Layer>,
    /// Why it is not the publisher's best; absent: it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<LayerLimit>,
}

/// Which encodings of an own track anybody watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TrackEncodings {
    /// The track.
    pub track: u32,
    /// For each encoding in the order of the offer's rids (one where there are none): whether it is to be sent.
    pub active: Vec<bool>,
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
    /// Removed by a moderator or through the API.
    Removed,
    /// The same, and not to come back while the room lives.
    Banned,
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
        /// The moderator who did it, if it was not the owner. Absent also where the API did it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        by: Option<u32>,
    },
    /// Tracks are gone that may not be published any more.
    TracksEnded {
        /// All of them.
        tracks: Vec<EndedTrack>,
    },
    /// The signalling of some was lost, or is back.
    ParticipantsAway {
        /// Who.
        participants: Vec<u32>,
        /// The state now.
        away: bool,
    },
    /// A moderator changed what somebody may publish.
    PublishChanged {
        /// Who.
        participant: u32,
        /// All that they may now, apart from what the room's settings say.
        publish: Vec<Publishable>,
    },
    /// A moderator changed the room.
    SettingsChanged {
        /// All of them as they are now.
        settings: Settings,
    },
    /// Who waits in the lobby, in order; told to moderators only.
    Lobby {
        /// All of them.
        waiting: Vec<Waiting>,
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
        /// A secret with which a lost connection is resumed.
        resume: String,
        /// What one may do oneself.
        rights: Rights,
        /// What moderators have decided about the room.
        settings: Settings,
        /// Who waits in the lobby; always empty for those who are no moderators.
        lobby: Vec<Waiting>,
    },
    /// The answer to `join` where there is a lobby: a moderator has to admit one. `joined` or `error` with the same `id` follows.
    Waiting {
        /// Of the request.
        id: u32,
    },
    /// The answer to `resume`.
    Resumed {
        /// Of the request.
        id: u32,
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
    /// The answer to `layers`.
    Layers {
        /// Of the request.
        id: u32,
        /// What the way to this client is estimated to carry, in kbit/s; absent: not known yet.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        estimate_kbps: Option<u32>,
        /// Every slot with a source.
        slots: Vec<SlotLayers>,
    },
    /// Own tracks of which other encodings are watched than before: those that nobody watches need not be sent.
    Encodings {
        /// Only those that changed.
        tracks: Vec<TrackEncodings>,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::api::error::Code;
    use crate::limits;

    const DOCUMENT: &str = include_str!("protocol.md");

    /// The fenced examples of one side.
    fn examples(side: &str) -> Vec<&'static str> {
        let fence = format!("```json {side}\n");
        DOCUMENT.split(&fence).skip(1).map(|rest| rest.split_once("\n```").expect("the fence is closed").0).collect()
    }

    /// The values of a tag in the examples, and those that the generated type knows.
    fn tags(values: &[Value], tag: &str, declaration: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let shown = values.iter().filter_map(|value| value[tag].as_str().map(str::to_owned)).collect();
        let known =
            declaration.split(&format!("\"{tag}\": \"")).skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect();
        (shown, known)
    }

    #[test]
    fn what_clients_say() {
        let mut values = Vec::new();
        for example in examples("client") {
            let message: ClientMessage = serde_json::from_str(example).unwrap_or_else(|error| panic!("{error}: {example}"));
            let written = serde_json::to_value(&message).expect("it is JSON");
            assert_eq!(serde_json::from_value::<ClientMessage>(written.clone()).expect("it is read again"), message);
            // What an example leaves out is written with its default; what it has must come out again.
            let value: Value = serde_json::from_str(example).expect("it was read before");
            for (key, part) in value.as_object().expect("an object").iter().filter(|(key, _)| !["tracks", "slots"].contains(&key.as_str()))
            {
                assert_eq!(&written[key], part, "{key} in {example}");
            }
            values.push(value);
        }
        let (shown, known) = tags(&values, "type", &ClientMessage::decl(&ts_rs::Config::new()));
        assert_eq!(shown, known);
        let views: Vec<Value> = values.iter().map(|value| value["view"].clone()).collect();
        let (shown, known) = tags(&views, "mode", &View::decl(&ts_rs::Config::new()));
        assert_eq!(shown, known);
    }

    #[test]
    fn what_the_server_says() {
        let mut values = Vec::new();
        for example in examples("server") {
            let message: ServerMessage = serde_json::from_str(example).unwrap_or_else(|error| panic!("{error}: {example}"));
            let value: Value = serde_json::from_str(example).expect("it was read before");
            assert_eq!(serde_json::to_value(&message).expect("it is JSON"), value, "{example}");
            values.push(value);
        }
        let (shown, known) = tags(&values, "type", &ServerMessage::decl(&ts_rs::Config::new()));
        assert_eq!(shown, known);
        let events: Vec<Value> = values.iter().map(|value| value["event"].clone()).collect();
        let (shown, known) = tags(&events, "kind", &RoomEvent::decl(&ts_rs::Config::new()));
        assert_eq!(shown, known);
    }

    #[test]
    fn strange_messages_are_not_understood() {
        for strange in [
            "",
            "[]",
            "{}",
            r#"{"type":"dance","id":1}"#,
            r#"{"type":"hand","id":1}"#,
            r#"{"type":"hand","id":-1,"raised":true}"#,
            r#"{"type":"hand","id":4294967296,"raised":true}"#,
            r#"{"type":"hand","id":1,"raised":true,"more":1}"#,
            r#"{"type":"view","id":1,"view":{"mode":"auto","more":1}}"#,
            r#"{"type":"leave","more":1}"#,
        ] {
            assert!(serde_json::from_str::<ClientMessage>(strange).is_err(), "{strange}");
        }
    }

    /// The cells of the rows of the table under a heading.
    fn rows(heading: &str) -> Vec<Vec<&'static str>> {
        let section =
            DOCUMENT.split(&format!("\n## {heading}\n")).nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section is there");
        let lines = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    #[test]
    fn every_code_is_in_the_table() {
        let told: BTreeSet<(String, String)> =
            rows("Errors").iter().map(|cells| (cells[0].replace('`', ""), cells[1].to_owned())).collect();
        let codes = Code::ALL.iter().map(|code| (code.text().to_owned(), code.status().as_str().to_owned())).collect();
        assert_eq!(told, codes);
    }

    #[test]
    fn every_reason_is_in_the_table() {
        let told: BTreeSet<String> = rows("Leaving").iter().map(|cells| cells[0].replace('`', "")).collect();
        let declaration = LeaveReason::decl(&ts_rs::Config::new());
        let known = declaration.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(told, known);
    }

    #[test]
    fn the_limits_are_those_of_the_code() {
        let numbers: Vec<usize> = rows("Limits")
            .iter()
            .flat_map(|cells| cells[1].split(' ').filter_map(|word| word.trim_matches(',').replace(',', "").parse().ok()))
            .collect();
        let code = [
            limits::SIGNAL_BYTES_MAX,
            limits::OFFER_BYTES_MAX,
            limits::OFFER_SECTIONS_MAX,
            limits::TRACKS_PER_PEER_MAX,
            limits::LAYERS_PER_TRACK_MAX,
            limits::SLOTS_PER_PEER_MAX,
            limits::VIEW_TRACKS_MAX,
            limits::SLOTS_PER_PEER_MAX,
            limits::DISPLAY_NAME_CHARS_MAX,
            limits::METADATA_BYTES_MAX,
            limits::CHAT_CHARS_MAX,
            limits::DATA_BYTES_MAX,
            4,
            limits::PARTICIPANTS_MAX,
            limits::VIEWERS_MAX,
        ];
        assert_eq!(numbers, code);
        assert!(DOCUMENT.contains("when 1,024 messages wait") && limits::NOTICES_MAX == 1024);
    }

    fn typescript() -> String {
        let mut text = "// The wire types of the signalling, generated from src/api/protocol.rs. Do not edit.\n\
                        // Made anew by: UPDATE=1 cargo nextest run --release --lib protocol\n"
            .to_owned();
        macro_rules! declare {
            ($($name:ident)*) => {$(
                let docs = $name::docs().unwrap_or_default();
                text.push_str(&format!("\n{}", laid_out(&format!("{docs}export {}", $name::decl(&ts_rs::Config::new())))));
            )*};
        }
        declare!(Source Role RoomMode VideoCodec Publishable PublishedSection View Wish ClientMessage Track Participant Settings Rights Waiting);
        declare!(EndedTrack SectionTrack SlotReason Slot Layer LayerLimit SlotLayers ReceivedLayers TrackEncodings Speaker);
        declare!(LeaveReason RoomEvent ErrorBody ServerMessage Room NewRoom NewSettings);
        declare!(ParticipantChange MuteRequest);
        text
    }

    /// A generated type with its comments on one line each and its fields set in.
    fn laid_out(declaration: &str) -> String {
        let mut text = String::new();
        let mut comment: Option<Vec<&str>> = None;
        let mut inside = false;
        for line in declaration.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let indent = if inside { "  " } else { "" };
            match (line, &mut comment) {
                ("/**", _) => comment = Some(Vec::new()),
                ("*/", Some(words)) => {
                    text.push_str(&format!("{indent}/** {} */\n", words.join(" ")));
                    comment = None;
                }
                (line, Some(words)) => words.push(line.trim_start_matches("* ")),
                (line, None) => {
                    text.push_str(&format!("{indent}{line}\n"));
                    inside = true;
                }
            }
        }
        text
    }

    #[test]
    fn the_typescript_types_are_up_to_date() {
        let generated = typescript();
        let types = [include_str!("protocol.rs"), include_str!("resources.rs")]
            .into_iter()
            .flat_map(str::lines)
            .filter_map(|line| line.strip_prefix("pub struct ").or(line.strip_prefix("pub enum ")));
        for name in types.filter_map(|rest| rest.split(' ').next()) {
            assert!(generated.contains(&format!("export type {name} = ")), "{name} is not generated");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/sdk/src/protocol.gen.ts");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &generated).expect("the file can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == generated, "{} is old: UPDATE=1 cargo nextest run --release --lib protocol", path.display());
    }
}
