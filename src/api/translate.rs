//! Between the wire types and the door's words, both ways. Pure: what a request means is decided behind the door, not here.
//!
//! Here stand only the checks that need no room: how many tracks a message may name.

use super::error::{Code, Error};
use super::layers::wishes;
use super::protocol as wire;
use super::protocol::{ClientMessage, ServerMessage};
use crate::auth::{Publish, Rights, Secret};
use crate::id::{PeerId, TrackId};
use crate::limits::{MESSAGE_COST, OFFER_COST, OFFER_SECTIONS_MAX, POST_COST, VIEW_TRACKS_MAX};
use crate::people::{Event, LeaveReason, Numbered, Participant, Settings, SettingsChange, Source, TrackInfo, Waiting};
use crate::room::{Filler, SlotReason, SlotState, Speaker, View};
use crate::sfu::{Action, Declared, Earlier, Joined, Moderation, Notice, NumberedSection, Opened, RoomInfo, RoomOptions, VideoCodec};

/// What a client said, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Enter.
    Join {
        /// Of the request.
        id: u32,
        /// Who and how.
        wish: Wish,
        /// SDP.
        offer: String,
        /// What the send sections carry.
        declared: Vec<Declared>,
    },
    /// Take up signalling that was lost.
    Resume {
        /// Of the request.
        id: u32,
        /// Who one was; `None`: nobody that could be.
        earlier: Option<Earlier>,
        /// The last event that was heard.
        seq: u64,
    },
    /// A further offer.
    Offer {
        /// Of the request.
        id: u32,
        /// SDP.
        offer: String,
        /// What all the send sections carry.
        declared: Vec<Declared>,
    },
    /// What a moderator does.
    Moderate {
        /// Of the request.
        id: u32,
        /// What.
        what: Moderation,
    },
    /// See what is sent in the own slots.
    Layers {
        /// Of the request.
        id: u32,
    },
    /// Something else.
    Act {
        /// Of the request.
        id: u32,
        /// What.
        action: Action,
    },
    /// Goodbye.
    Leave,
}

/// As what somebody wants to enter. What they may is for their token to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Display name.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
    /// Publishes nothing.
    pub viewer: bool,
    /// What the room is like if this entry begins it.
    pub options: RoomOptions,
    /// Access token.
    pub token: Option<String>,
    /// Who one was before.
    pub earlier: Option<Earlier>,
}

impl Said {
    /// What it takes of the allowance of messages.
    pub fn cost(&self) -> f64 {
        match self {
            Said::Join { .. } | Said::Offer { .. } => OFFER_COST,
            Said::Resume { .. } | Said::Moderate { .. } => POST_COST,
            Said::Act { action, .. } => match action {
                Action::View(_) | Action::Wishes(_) => MESSAGE_COST,
                Action::Mute { .. } | Action::Chat { .. } | Action::Hand(_) | Action::Update { .. } => POST_COST,
            },
            Said::Layers { .. } | Said::Leave => MESSAGE_COST,
        }
    }
}

/// A message that cannot be carried out, with its request's number if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Of the request.
    pub id: Option<u32>,
    /// What is wrong.
    pub error: Error,
}

/// Reads a text message.
pub fn said(text: &str) -> Result<Said, Unfit> {
    let message = serde_json::from_str(text).map_err(|error| Unfit { id: readable_id(text), error: Error::bad_message(error) })?;
    match message {
        ClientMessage::Join { id, name, role, metadata, mode, offer, tracks, token, rejoin } => {
            let declared = declared(tracks).map_err(|error| Unfit { id: Some(id), error })?;
            let options = room_options(mode, wire::VideoCodec::default(), &wire::NewSettings::default());
            let earlier = rejoin.as_deref().and_then(earlier);
            let wish = Wish { name: name.trim().to_owned(), metadata, viewer: role == wire::Role::Viewer, options, token, earlier };
            Ok(Said::Join { id, wish, offer, declared })
        }
        ClientMessage::Resume { id, resume, seq } => Ok(Said::Resume { id, earlier: earlier(&resume), seq }),
        ClientMessage::Offer { id, offer, tracks } => {
            let declared = declared(tracks).map_err(|error| Unfit { id: Some(id), error })?;
            Ok(Said::Offer { id, offer, declared })
        }
        ClientMessage::Mute { id, track, muted } => Ok(Said::Act { id, action: Action::Mute { track: TrackId(track), muted } }),
        ClientMessage::View { id, view: wish } => {
            let view = view(wish).map_err(|error| Unfit { id: Some(id), error })?;
            Ok(Said::Act { id, action: Action::View(view) })
        }
        ClientMessage::Wishes { id, slots } => {
            let wishes = wishes(slots).map_err(|error| Unfit { id: Some(id), error })?;
            Ok(Said::Act { id, action: Action::Wishes(wishes) })
        }
        ClientMessage::Layers { id } => Ok(Said::Layers { id }),
        ClientMessage::Chat { id, text, to } => Ok(Said::Act { id, action: Action::Chat { to: to.map(PeerId), text } }),
        ClientMessage::Hand { id, raised } => Ok(Said::Act { id, action: Action::Hand(raised) }),
        ClientMessage::Update { id, name, metadata } => {
            let name = name.map(|name| name.trim().to_owned());
            Ok(Said::Act { id, action: Action::Update { name, metadata } })
        }
        ClientMessage::Remove { id, participant, ban } => {
            Ok(Said::Moderate { id, what: Moderation::Remove { peer: PeerId(participant), ban } })
        }
        ClientMessage::Permit { id, participant, publish: allowed } => {
            Ok(Said::Moderate { id, what: Moderation::Permit { peer: PeerId(participant), publish: publish(&allowed) } })
        }
        ClientMessage::Settings { id, locked, lobby, publish } => {
            Ok(Said::Moderate { id, what: Moderation::Settings(settings_change(&wire::NewSettings { locked, lobby, publish })) })
        }
        ClientMessage::Admit { id, participant, admit } => {
            Ok(Said::Moderate { id, what: Moderation::Admit { peer: PeerId(participant), admit } })
        }
        ClientMessage::Leave {} => Ok(Said::Leave),
    }
}

/// The number of a request that cannot be read otherwise, so that its sender need not wait for an answer.
fn readable_id(text: &str) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        id: u32,
    }
    serde_json::from_str(text).map(|OnlyId { id }| id).ok()
}

/// The secret that resumes, as its owner is told it: the participant's number, a dash, 32 hexadecimal digits.
fn resume_text(peer: PeerId, secret: &Secret) -> String {
    format!("{peer}-{}", secret.reveal())
}

fn earlier(text: &str) -> Option<Earlier> {
    let (peer, secret) = text.split_once('-')?;
    Some(Earlier { peer: PeerId(peer.parse().ok()?), secret: Secret::parse(secret)? })
}

/// What may be published, from the wire.
pub fn publish(allowed: &[wire::Publishable]) -> Publish {
    let has = |one| allowed.contains(&one);
    Publish {
        camera: has(wire::Publishable::Camera),
        microphone: has(wire::Publishable::Microphone),
        screen: has(wire::Publishable::Screen),
    }
}

fn wire_publish(publish: Publish) -> Vec<wire::Publishable> {
    let Publish { camera, microphone, screen } = publish;
    let all = [(camera, wire::Publishable::Camera), (microphone, wire::Publishable::Microphone), (screen, wire::Publishable::Screen)];
    all.into_iter().filter(|(may, _)| *may).map(|(_, one)| one).collect()
}

/// A change of a room, from the wire.
pub fn settings_change(change: &wire::NewSettings) -> SettingsChange {
    SettingsChange { locked: change.locked, lobby: change.lobby, publish: change.publish.as_deref().map(publish) }
}

/// What moderators have decided, for the wire.
pub fn wire_settings(settings: Settings) -> wire::Settings {
    let Settings { locked, lobby, publish } = settings;
    wire::Settings { locked, lobby, publish: wire_publish(publish) }
}

fn wire_rights(rights: Rights) -> wire::Rights {
    let Rights { publish, subscribe, moderate } = rights;
    wire::Rights { publish: wire_publish(publish), subscribe, moderate }
}

/// Somebody in the lobby, for the wire.
pub fn wire_waiting(waiting: &Waiting) -> wire::Waiting {
    let Waiting { peer, identity, name } = waiting;
    wire::Waiting { participant: peer.0, identity: identity.clone(), name: name.clone() }
}

fn declared(sections: Vec<wire::PublishedSection>) -> Result<Vec<Declared>, Error> {
    if sections.len() > OFFER_SECTIONS_MAX {
        return Err(Error::new(Code::BadOffer, format!("an offer has at most {OFFER_SECTIONS_MAX} sections")));
    }
    let declared = |section: wire::PublishedSection| Declared { mid: section.mid, source: source(section.source), muted: section.muted };
    Ok(sections.into_iter().map(declared).collect())
}

fn view(view: wire::View) -> Result<View, Error> {
    let tracks = |tracks: Vec<u32>| {
        let fit = tracks.len() <= VIEW_TRACKS_MAX;
        let error = || Error::new(Code::BadView, format!("a view names at most {VIEW_TRACKS_MAX} tracks"));
        fit.then(|| tracks.into_iter().map(TrackId).collect()).ok_or_else(error)
    };
    match view {
        wire::View::Auto { offset, limit, pinned } => {
            // Both count slots or tracks of one room, so what does not fit in usize means "more than there are".
            let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
            Ok(View::Auto { offset: count(offset), limit: limit.map(count), pinned: tracks(pinned)? })
        }
        wire::View::Tracks { tracks: wished } => Ok(View::Tracks(tracks(wished)?)),
    }
}

fn source(source: wire::Source) -> Source {
    match source {
        wire::Source::Camera => Source::Camera,
        wire::Source::Microphone => Source::Microphone,
        wire::Source::Screen => Source::Screen,
        wire::Source::ScreenAudio => Source::ScreenAudio,
    }
}

/// What a room is to be like.
pub fn room_options(mode: wire::RoomMode, video_codec: wire::VideoCodec, begins: &wire::NewSettings) -> RoomOptions {
    let filler = match mode {
        wire::RoomMode::Conference => Filler::Conference,
        wire::RoomMode::Broadcast => Filler::Broadcast,
    };
    let publish = match video_codec {
        wire::VideoCodec::Vp8 => VideoCodec::Vp8,
        wire::VideoCodec::Vp9 => VideoCodec::Vp9,
        wire::VideoCodec::H264 => VideoCodec::H264,
        wire::VideoCodec::Av1 => VideoCodec::Av1,
    };
    let SettingsChange { locked, lobby, publish: allowed } = settings_change(begins);
    let open = Settings::default();
    let settings =
        Settings { locked: locked.unwrap_or(open.locked), lobby: lobby.unwrap_or(open.lobby), publish: allowed.unwrap_or(open.publish) };
    RoomOptions { filler, publish, settings }
}

fn wire_codec(codec: VideoCodec) -> wire::VideoCodec {
    match codec {
        VideoCodec::Vp8 => wire::VideoCodec::Vp8,
        VideoCodec::Vp9 => wire::VideoCodec::Vp9,
        VideoCodec::H264 => wire::VideoCodec::H264,
        VideoCodec::Av1 => wire::VideoCodec::Av1,
    }
}

fn wire_mode(filler: Filler) -> wire::RoomMode {
    match filler {
        Filler::Conference => wire::RoomMode::Conference,
        Filler::Broadcast => wire::RoomMode::Broadcast,
    }
}

fn wire_source(source: Source) -> wire::Source {
    match source {
        Source::Camera => wire::Source::Camera,
        Source::Microphone => wire::Source::Microphone,
        Source::Screen => wire::Source::Screen,
        Source::ScreenAudio => wire::Source::ScreenAudio,
    }
}

/// Why somebody left, for the wire.
pub fn wire_reason(reason: LeaveReason) -> wire::LeaveReason {
    match reason {
        LeaveReason::Left => wire::LeaveReason::Left,
        LeaveReason::Disconnected => wire::LeaveReason::Disconnected,
        LeaveReason::MediaLost => wire::LeaveReason::MediaLost,
        LeaveReason::Removed => wire::LeaveReason::Removed,
        LeaveReason::Banned => wire::LeaveReason::Banned,
        LeaveReason::Replaced => wire::LeaveReason::Replaced,
        LeaveReason::TooSlow => wire::LeaveReason::TooSlow,
        LeaveReason::RoomClosed => wire::LeaveReason::RoomClosed,
        LeaveReason::ServerStopping => wire::LeaveReason::ServerStopping,
        LeaveReason::ServerError => wire::LeaveReason::ServerError,
    }
}

/// The answer to a `join`.
pub fn wire_joined(id: u32, opened: &Opened) -> ServerMessage {
    let Opened { joined, answer, secret, notices: _ } = opened;
    let Joined { peer, identity, filler, tracks, rights, snapshot, life: _ } = joined;
    ServerMessage::Joined {
        id,
        participant: peer.0,
        identity: identity.clone(),
        mode: wire_mode(*filler),
        answer: answer.clone(),
        tracks: wire_sections(tracks),
        participants: snapshot.participants.iter().map(wire_participant).collect(),
        raised: wire_peers(&snapshot.raised),
        viewers: snapshot.viewers,
        seq: snapshot.seq,
        resume: resume_text(*peer, secret),
        rights: wire_rights(*rights),
        settings: wire_settings(snapshot.settings),
        lobby: snapshot.lobby.iter().map(wire_waiting).collect(),
    }
}

/// The answer to an `offer`.
pub fn wire_answered(id: u32, answer: String, tracks: &[NumberedSection]) -> ServerMessage {
    ServerMessage::Answered { id, answer, tracks: wire_sections(tracks) }
}

/// What a participant is told unasked. `None`: it is for those who wait, and nobody waits who is in.
pub fn wire_notice(notice: Notice) -> Option<ServerMessage> {
    Some(match notice {
        Notice::Event(numbered) => {
            let Numbered { seq, event, audience: _ } = &*numbered;
            ServerMessage::Event { seq: *seq, event: wire_event(event) }
        }
        Notice::Slots(slots) => ServerMessage::Slots { slots: slots.into_iter().map(wire_slot).collect() },
        Notice::Encodings(tracks) => {
            let tracks = tracks.into_iter().map(|(track, active)| wire::TrackEncodings { track: track.0, active });
            ServerMessage::Encodings { tracks: tracks.collect() }
        }
        Notice::Speakers(speakers) => {
            let speakers = speakers.iter().map(|Speaker { peer, level }| wire::Speaker { participant: peer.0, level: *level });
            ServerMessage::Speakers { speakers: speakers.collect() }
        }
        Notice::Closed(reason) => ServerMessage::Closed { reason: wire_reason(reason) },
        Notice::Admitted | Notice::NotAdmitted => return None,
    })
}

/// A room as REST shows it.
pub fn wire_room(room: &RoomInfo) -> wire::Room {
    let RoomInfo { name, options, permanent, settings, participants, viewers, tracks, waiting } = room;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    wire::Room {
        name: name.to_string(),
        mode: wire_mode(options.filler),
        video_codec: wire_codec(options.publish),
        participants: count(*participants),
        viewers: count(*viewers),
        tracks: count(*tracks),
        permanent: *permanent,
        settings: wire_settings(*settings),
        waiting: count(*waiting),
    }
}

/// Somebody as the roster shows them.
pub fn wire_participant(participant: &Participant) -> wire::Participant {
    let Participant { peer, profile, rights, away, hand, tracks } = participant;
    wire::Participant {
        participant: peer.0,
        identity: profile.identity.clone(),
        name: profile.name.clone(),
        metadata: profile.metadata.clone(),
        hand: *hand,
        away: *away,
        moderator: rights.moderate,
        publish: wire_publish(rights.publish),
        tracks: tracks.iter().copied().map(wire_track).collect(),
    }
}

fn wire_track(track: TrackInfo) -> wire::Track {
    wire::Track { track: track.track.0, source: wire_source(track.source), muted: track.muted }
}

fn wire_sections(sections: &[NumberedSection]) -> Vec<wire::SectionTrack> {
    sections.iter().map(|NumberedSection { mid, track }| wire::SectionTrack { mid: mid.clone(), track: track.0 }).collect()
}

fn wire_slot((mid, state): (String, SlotState)) -> wire::Slot {
    let SlotState { source, first_timestamp, reason } = state;
    let reason = reason.map(|reason| match reason {
        SlotReason::Codec => wire::SlotReason::Codec,
        SlotReason::Muted => wire::SlotReason::Muted,
        SlotReason::Paused => wire::SlotReason::Paused,
        SlotReason::Bandwidth => wire::SlotReason::Bandwidth,
    });
    let (track, participant) = source.map(|(track, peer)| (track.0, peer.0)).unzip();
    wire::Slot { mid, track, participant, first_timestamp, reason }
}

fn wire_peers(peers: &[PeerId]) -> Vec<u32> {
    peers.iter().map(|peer| peer.0).collect()
}

fn wire_event(event: &Event) -> wire::RoomEvent {
    match event {
        Event::Joined(participant) => wire::RoomEvent::ParticipantJoined { participant: wire_participant(participant) },
        Event::Left { peer, reason } => wire::RoomEvent::ParticipantLeft { participant: peer.0, reason: wire_reason(*reason) },
        Event::Updated { peer, name, metadata } => {
            wire::RoomEvent::ParticipantUpdated { participant: peer.0, name: name.clone(), metadata: metadata.clone() }
        }
        Event::Published { peer, track } => wire::RoomEvent::TrackPublished { participant: peer.0, track: wire_track(*track) },
        Event::Unpublished { peer, track } => wire::RoomEvent::TrackUnpublished { participant: peer.0, track: track.0 },
        Event::Muted { peer, track, muted, by } => {
            wire::RoomEvent::TrackMuted { participant: peer.0, track: track.0, muted: *muted, by: by.map(|by| by.0) }
        }
        Event::Ended(tracks) => {
            let ended = tracks.iter().map(|(peer, track)| wire::EndedTrack { participant: peer.0, track: track.0 });
            wire::RoomEvent::TracksEnded { tracks: ended.collect() }
        }
        Event::Away { peers, away } => wire::RoomEvent::ParticipantsAway { participants: wire_peers(peers), away: *away },
        Event::Permitted { peer, publish } => wire::RoomEvent::PublishChanged { participant: peer.0, publish: wire_publish(*publish) },
        Event::Settings(settings) => wire::RoomEvent::SettingsChanged { settings: wire_settings(*settings) },
        Event::Lobby(waiting) => wire::RoomEvent::Lobby { waiting: waiting.iter().map(wire_waiting).collect() },
        Event::Chat { from, to, text, time_ms } => {
            wire::RoomEvent::Chat { from: from.0, to: to.map(|to| to.0), text: text.clone(), time_ms: *time_ms }
        }
        Event::Hands(peers) => wire::RoomEvent::Hands { raised: wire_peers(peers) },
        Event::Viewers(count) => wire::RoomEvent::Viewers { count: *count },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::people::{Audience, Profile};

    fn read(message: serde_json::Value) -> Result<Said, Unfit> {
        said(&message.to_string())
    }

    #[test]
    fn a_join() {
        let message = json!({
            "type": "join", "id": 7, "name": "\u{3000}Ada\t", "metadata": " {} ", "mode": "broadcast", "offer": "v=0",
            "tracks": [{ "mid": "a", "source": "screen_audio" }, { "mid": "b", "source": "screen", "muted": true }],
        });
        let declared = vec![
            Declared { mid: "a".into(), source: Source::ScreenAudio, muted: false },
            Declared { mid: "b".into(), source: Source::Screen, muted: true },
        ];
        let options = RoomOptions { filler: Filler::Broadcast, ..RoomOptions::default() };
        let (name, metadata) = ("Ada".to_owned(), " {} ".to_owned());
        let wish = Wish { name, metadata, viewer: false, options, token: None, earlier: None };
        assert_eq!(read(message), Ok(Said::Join { id: 7, wish, offer: "v=0".into(), declared }));

        let secret = "0123456789abcdef0123456789abcdef";
        let earlier = Earlier { peer: PeerId(12), secret: Secret::parse(secret).expect("a secret") };
        let (name, metadata) = (String::new(), String::new());
        let token = Some("a.b.c".to_owned());
        let wish = Wish { name, metadata, viewer: true, options: RoomOptions::default(), token, earlier: Some(earlier.clone()) };
        let rejoin = format!("12-{secret}");
        let viewer = read(json!({ "type": "join", "id": 7, "role": "viewer", "offer": "v=0", "token": "a.b.c", "rejoin": rejoin }));
        assert_eq!(viewer, Ok(Said::Join { id: 7, wish, offer: "v=0".into(), declared: vec![] }));

        let resume = |text: &str| read(json!({ "type": "resume", "id": 1, "resume": text, "seq": 9 }));
        assert_eq!(resume(&rejoin), Ok(Said::Resume { id: 1, earlier: Some(earlier.clone()), seq: 9 }));
        assert_eq!(resume_text(earlier.peer, &earlier.secret), rejoin);
        for strange in ["", "-", "12", "12-", &format!("x-{secret}"), &format!("-12-{secret}"), &format!("4294967296-{secret}")] {
            assert_eq!(resume(strange), Ok(Said::Resume { id: 1, earlier: None, seq: 9 }), "{strange}");
        }
    }

    #[test]
    fn what_is_done_in_a_room() {
        let auto = View::Auto { offset: 4, limit: Some(9), pinned: vec![TrackId(3)] };
        let plain = View::Auto { offset: 0, limit: None, pinned: vec![] };
        for (message, action) in [
            (json!({ "type": "mute", "track": 5, "muted": true }), Action::Mute { track: TrackId(5), muted: true }),
            (json!({ "type": "view", "view": { "mode": "auto", "offset": 4, "limit": 9, "pinned": [3] } }), Action::View(auto)),
            (json!({ "type": "view", "view": { "mode": "auto" } }), Action::View(plain)),
            (
                json!({ "type": "view", "view": { "mode": "tracks", "tracks": [2, 1] } }),
                Action::View(View::Tracks(vec![TrackId(2), TrackId(1)])),
            ),
            (json!({ "type": "chat", "text": " hi " }), Action::Chat { to: None, text: " hi ".into() }),
            (json!({ "type": "chat", "text": "hi", "to": 2 }), Action::Chat { to: Some(PeerId(2)), text: "hi".into() }),
            (json!({ "type": "hand", "raised": true }), Action::Hand(true)),
            (json!({ "type": "update", "name": " Bo " }), Action::Update { name: Some("Bo".into()), metadata: None }),
            (json!({ "type": "update", "metadata": "" }), Action::Update { name: None, metadata: Some(String::new()) }),
        ] {
            let mut message = message;
            message["id"] = json!(1);
            assert_eq!(read(message.clone()), Ok(Said::Act { id: 1, action }), "{message}");
        }
        assert_eq!(read(json!({ "type": "leave" })), Ok(Said::Leave));
    }

    #[test]
    fn what_moderators_do() {
        let only_sound = Publish { microphone: true, ..Publish::NOTHING };
        let change = SettingsChange { locked: Some(true), lobby: None, publish: Some(Publish::NOTHING) };
        for (message, what) in [
            (json!({ "type": "remove", "participant": 9 }), Moderation::Remove { peer: PeerId(9), ban: false }),
            (json!({ "type": "remove", "participant": 9, "ban": true }), Moderation::Remove { peer: PeerId(9), ban: true }),
            (
                json!({ "type": "permit", "participant": 9, "publish": ["microphone"] }),
                Moderation::Permit { peer: PeerId(9), publish: only_sound },
            ),
            (json!({ "type": "settings", "locked": true, "publish": [] }), Moderation::Settings(change)),
            (json!({ "type": "admit", "participant": 9, "admit": false }), Moderation::Admit { peer: PeerId(9), admit: false }),
        ] {
            let mut message = message;
            message["id"] = json!(1);
            assert_eq!(read(message.clone()), Ok(Said::Moderate { id: 1, what }), "{message}");
        }
    }

    #[test]
    fn what_names_too_much_is_refused() {
        let tracks = |count: usize| (0..count).collect::<Vec<_>>();
        let sections = |count: usize| (0..count).map(|mid| json!({ "mid": mid.to_string(), "source": "camera" })).collect::<Vec<_>>();
        let (views, offers) = (VIEW_TRACKS_MAX, OFFER_SECTIONS_MAX);
        for (message, code) in [
            (json!({ "type": "view", "id": 1, "view": { "mode": "tracks", "tracks": tracks(views) } }), None),
            (json!({ "type": "view", "id": 1, "view": { "mode": "tracks", "tracks": tracks(views + 1) } }), Some(Code::BadView)),
            (json!({ "type": "view", "id": 1, "view": { "mode": "auto", "pinned": tracks(views + 1) } }), Some(Code::BadView)),
            (json!({ "type": "offer", "id": 1, "offer": "", "tracks": sections(offers) }), None),
            (json!({ "type": "offer", "id": 1, "offer": "", "tracks": sections(offers + 1) }), Some(Code::BadOffer)),
            (json!({ "type": "join", "id": 1, "offer": "", "tracks": sections(offers + 1) }), Some(Code::BadOffer)),
        ] {
            let refused = read(message).err();
            assert_eq!(refused.as_ref().map(|unfit| unfit.error.code()), code);
            assert!(refused.is_none_or(|unfit| unfit.id == Some(1)));
        }
    }

    #[test]
    fn the_number_of_an_unreadable_request_is_found_where_it_can_be() {
        for (text, id) in [
            (r#"{"id":3,"type":"dance"}"#, Some(3)),
            (r#"{"type":"hand","id":3,"raised":1}"#, Some(3)),
            (r#"{"type":"hand","id":"3"}"#, None),
            (r#"{"type":"hand","id":-3}"#, None),
            ("", None),
        ] {
            assert_eq!(said(text).map_err(|unfit| unfit.id), Err(id), "{text}");
        }
    }

    #[test]
    fn notices() {
        let mine = Participant {
            peer: PeerId(9),
            profile: Profile { identity: "g".into(), name: "Bo".into(), metadata: "m".into() },
            rights: Rights::MODERATOR,
            away: true,
            hand: Some(1),
            tracks: vec![TrackInfo { track: TrackId(3), source: Source::Microphone, muted: true }],
        };
        let bo = json!({
            "participant": 9, "identity": "g", "name": "Bo", "metadata": "m", "hand": 1, "away": true, "moderator": true, "publish": ["camera", "microphone", "screen"],
            "tracks": [{ "track": 3, "source": "microphone", "muted": true }],
        });
        for (event, kind) in [
            (Event::Joined(mine), json!({ "kind": "participant_joined", "participant": bo })),
            (
                Event::Left { peer: PeerId(9), reason: LeaveReason::MediaLost },
                json!({ "kind": "participant_left", "participant": 9, "reason": "media_lost" }),
            ),
            (
                Event::Unpublished { peer: PeerId(9), track: TrackId(3) },
                json!({ "kind": "track_unpublished", "participant": 9, "track": 3 }),
            ),
            (
                Event::Chat { from: PeerId(9), to: None, text: "hi".into(), time_ms: 5 },
                json!({ "kind": "chat", "from": 9, "text": "hi", "time_ms": 5 }),
            ),
            (Event::Hands(vec![PeerId(9), PeerId(2)]), json!({ "kind": "hands", "raised": [9, 2] })),
            (Event::Viewers(3), json!({ "kind": "viewers", "count": 3 })),
        ] {
            let notice = Notice::Event(Arc::new(Numbered { seq: 4, audience: Audience::All, event }));
            assert_eq!(serde_json::to_value(wire_notice(notice)).expect("JSON"), json!({ "type": "event", "seq": 4, "event": kind }));
        }

        let slots = vec![
            ("a".to_owned(), SlotState { source: Some((TrackId(3), PeerId(9))), first_timestamp: Some(70), reason: None }),
            ("b".to_owned(), SlotState { source: Some((TrackId(4), PeerId(9))), first_timestamp: None, reason: Some(SlotReason::Codec) }),
            ("c".to_owned(), SlotState::default()),
        ];
        let wired = json!([
            { "mid": "a", "track": 3, "participant": 9, "first_timestamp": 70 },
            { "mid": "b", "track": 4, "participant": 9, "reason": "codec" },
            { "mid": "c" },
        ]);
        assert_eq!(serde_json::to_value(wire_notice(Notice::Slots(slots))).expect("JSON"), json!({ "type": "slots", "slots": wired }));

        let speakers = Notice::Speakers([Speaker { peer: PeerId(9), level: 0.5 }].into());
        let wired = json!({ "type": "speakers", "speakers": [{ "participant": 9, "level": 0.5 }] });
        assert_eq!(serde_json::to_value(wire_notice(speakers)).expect("JSON"), wired);
    }

    #[test]
    fn reasons_have_the_same_name_in_logs_and_on_the_wire() {
        use LeaveReason::{Banned, Disconnected, Left, MediaLost, Removed, Replaced, RoomClosed, ServerError, ServerStopping, TooSlow};
        for reason in [Left, Disconnected, MediaLost, Removed, Banned, Replaced, TooSlow, RoomClosed, ServerStopping, ServerError] {
            assert_eq!(serde_json::to_value(wire_reason(reason)).expect("JSON"), reason.label());
        }
    }

    #[test]
    fn a_room_is_counted() {
        let name = crate::id::RoomName::parse("a").expect("a good name");
        let options = RoomOptions { filler: Filler::Broadcast, publish: VideoCodec::Vp9, settings: Settings::default() };
        let settings = Settings { locked: true, lobby: false, publish: Publish::NOTHING };
        let room = RoomInfo { name, options, permanent: true, settings, participants: 2, viewers: 7, tracks: 5, waiting: 4 };
        let room = wire_room(&room);
        let counted = wire::Room {
            name: "a".into(),
            mode: wire::RoomMode::Broadcast,
            video_codec: wire::VideoCodec::Vp9,
            participants: 2,
            viewers: 7,
            tracks: 5,
            permanent: true,
            settings: wire::Settings { locked: true, lobby: false, publish: vec![] },
            waiting: 4,
        };
        assert_eq!(room, counted);
    }
}
