//! Between the wire types and the door's words, both ways. Pure: what a request means is decided behind the door, not here.
//!
//! Here stand only the checks that need no room: how many tracks a message may name.

use super::error::{Code, Error};
use super::protocol as wire;
use super::protocol::{ClientMessage, ServerMessage};
use crate::id::{PeerId, TrackId};
use crate::limits::{OFFER_SECTIONS_MAX, VIEW_TRACKS_MAX};
use crate::people::{Event, LeaveReason, Numbered, Participant, Profile, Source, TrackInfo};
use crate::room::{Filler, SlotReason, SlotState, Speaker, View};
use crate::sfu::{Action, Declared, Entry, Joined, Notice, NumberedSection, RoomInfo};

/// What a client said, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Enter.
    Join {
        /// Of the request.
        id: u32,
        /// Who, with the identity that was given to [`said`].
        entry: Entry,
        /// SDP.
        offer: String,
        /// What the send sections carry.
        declared: Vec<Declared>,
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

/// A message that cannot be carried out, with its request's number if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Of the request.
    pub id: Option<u32>,
    /// What is wrong.
    pub error: Error,
}

/// Reads a text message. Who joins gets `identity`.
pub fn said(text: &str, identity: &str) -> Result<Said, Unfit> {
    let message = serde_json::from_str(text).map_err(|error| Unfit { id: readable_id(text), error: Error::bad_message(error) })?;
    match message {
        ClientMessage::Join { id, name, role, metadata, mode, offer, tracks } => {
            let declared = declared(tracks).map_err(|error| Unfit { id: Some(id), error })?;
            let profile = Profile { identity: identity.to_owned(), name: name.trim().to_owned(), metadata };
            let entry = Entry { profile, viewer: role == wire::Role::Viewer, filler: filler(mode) };
            Ok(Said::Join { id, entry, offer, declared })
        }
        ClientMessage::Offer { id, offer, tracks } => {
            let declared = declared(tracks).map_err(|error| Unfit { id: Some(id), error })?;
            Ok(Said::Offer { id, offer, declared })
        }
        ClientMessage::Mute { id, track, muted } => Ok(Said::Act { id, action: Action::Mute { track: TrackId(track), muted } }),
        ClientMessage::View { id, view: wish } => {
            let view = view(wish).map_err(|error| Unfit { id: Some(id), error })?;
            Ok(Said::Act { id, action: Action::View(view) })
        }
        ClientMessage::Chat { id, text, to } => Ok(Said::Act { id, action: Action::Chat { to: to.map(PeerId), text } }),
        ClientMessage::Hand { id, raised } => Ok(Said::Act { id, action: Action::Hand(raised) }),
        ClientMessage::Update { id, name, metadata } => {
            let name = name.map(|name| name.trim().to_owned());
            Ok(Said::Act { id, action: Action::Update { name, metadata } })
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

/// The policy that a mode means.
pub fn filler(mode: wire::RoomMode) -> Filler {
    match mode {
        wire::RoomMode::Conference => Filler::Conference,
        wire::RoomMode::Broadcast => Filler::Broadcast,
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
        LeaveReason::Replaced => wire::LeaveReason::Replaced,
        LeaveReason::TooSlow => wire::LeaveReason::TooSlow,
        LeaveReason::RoomClosed => wire::LeaveReason::RoomClosed,
        LeaveReason::ServerStopping => wire::LeaveReason::ServerStopping,
        LeaveReason::ServerError => wire::LeaveReason::ServerError,
    }
}

/// The answer to a `join`.
pub fn wire_joined(id: u32, joined: &Joined, answer: String) -> ServerMessage {
    let Joined { peer, identity, filler, tracks, snapshot } = joined;
    ServerMessage::Joined {
        id,
        participant: peer.0,
        identity: identity.clone(),
        mode: wire_mode(*filler),
        answer,
        tracks: wire_sections(tracks),
        participants: snapshot.participants.iter().map(wire_participant).collect(),
        raised: wire_peers(&snapshot.raised),
        viewers: snapshot.viewers,
        seq: snapshot.seq,
    }
}

/// The answer to an `offer`.
pub fn wire_answered(id: u32, answer: String, tracks: &[NumberedSection]) -> ServerMessage {
    ServerMessage::Answered { id, answer, tracks: wire_sections(tracks) }
}

/// What a participant is told unasked.
pub fn wire_notice(notice: Notice) -> ServerMessage {
    match notice {
        Notice::Event(numbered) => {
            let Numbered { seq, event, audience: _ } = &*numbered;
            ServerMessage::Event { seq: *seq, event: wire_event(event) }
        }
        Notice::Slots(slots) => ServerMessage::Slots { slots: slots.into_iter().map(wire_slot).collect() },
        Notice::Speakers(speakers) => {
            let speakers = speakers.iter().map(|Speaker { peer, level }| wire::Speaker { participant: peer.0, level: *level });
            ServerMessage::Speakers { speakers: speakers.collect() }
        }
        Notice::Closed(reason) => ServerMessage::Closed { reason: wire_reason(reason) },
    }
}

/// A room as REST shows it.
pub fn wire_room(room: &RoomInfo) -> wire::Room {
    let RoomInfo { name, filler, permanent, snapshot } = room;
    let tracks: usize = snapshot.participants.iter().map(|participant| participant.tracks.len()).sum();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    wire::Room {
        name: name.to_string(),
        mode: wire_mode(*filler),
        participants: count(snapshot.participants.len()),
        viewers: snapshot.viewers,
        tracks: count(tracks),
        permanent: *permanent,
    }
}

/// Somebody as the roster shows them.
pub fn wire_participant(participant: &Participant) -> wire::Participant {
    let Participant { peer, profile, hand, tracks } = participant;
    wire::Participant {
        participant: peer.0,
        identity: profile.identity.clone(),
        name: profile.name.clone(),
        metadata: profile.metadata.clone(),
        hand: *hand,
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
        Event::Muted { peer, track, muted } => wire::RoomEvent::TrackMuted { participant: peer.0, track: track.0, muted: *muted },
        Event::Chat { from, to, text, time_ms } => {
            wire::RoomEvent::Chat { from: from.0, to: to.map(|to| to.0), text: text.clone(), time_ms: *time_ms }
        }
        Event::Hands(peers) => wire::RoomEvent::Hands { raised: wire_peers(peers) },
        Event::Viewers(count) => wire::RoomEvent::Viewers { count: *count },
    }
}
