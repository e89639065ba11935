//! All that a bot was told and received, as its owner reads it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ninefold::api::protocol::{LeaveReason, Participant, RoomEvent, SectionTrack, ServerMessage, Settings, SlotLayers, Speaker, Waiting};

use crate::slot::Slot;

/// Messages and data that are kept. More: the oldest are forgotten.
const KEPT_MAX: usize = 4_096;
/// Faults that are kept; the first ones say what is wrong. More: counted only.
const FAULTS_MAX: usize = 64;

/// A message of a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// On the reliable channel, not the lossy one.
    pub reliable: bool,
    /// Who sent it, as the server says.
    pub from: u32,
    /// What.
    pub payload: Vec<u8>,
}

/// How far it has come, measured from the beginning of the WebSocket's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// `joined` came.
    pub joined: Option<Duration>,
    /// Media is connected.
    pub connected: Option<Duration>,
    /// The first frame of somebody came to its end.
    pub first_frame: Option<Duration>,
}

/// All that a bot was told and received.
#[derive(Debug)]
pub struct Seen {
    /// When it began.
    pub began: Instant,
    /// How far it has come.
    pub times: Times,
    /// One's own number.
    pub participant: u32,
    /// One's own identity.
    pub identity: String,
    /// With which one resumes.
    pub resume: String,
    /// The number of the last event.
    pub seq: u64,
    /// What moderators have decided.
    pub settings: Option<Settings>,
    /// What is sent in the own slots, as last answered.
    pub layers: Vec<SlotLayers>,
    /// Which encodings of the own tracks anybody watches, as last told.
    pub encodings: BTreeMap<u32, Vec<bool>>,
    /// Who waits in the lobby, as moderators are told.
    pub lobby: Vec<Waiting>,
    /// The answer to the last offer.
    pub answer: String,
    /// Offers made.
    pub offers: u32,
    /// The numbers of one's own tracks.
    pub tracks: Vec<SectionTrack>,
    /// Where the server takes media.
    pub media_address: Option<SocketAddr>,
    /// Everybody in the room but viewers, as the events say.
    pub roster: BTreeMap<u32, Participant>,
    /// Raised hands in order.
    pub raised: Vec<u32>,
    /// How many viewers there are.
    pub viewers: u32,
    /// Who speaks.
    pub speakers: Vec<Speaker>,
    /// Who left, and why.
    pub left: BTreeMap<u32, LeaveReason>,
    /// Receive sections by `a=mid`.
    pub slots: BTreeMap<String, Slot>,
    /// All messages of the server.
    pub heard: VecDeque<ServerMessage>,
    /// All that came through data channels.
    pub data: VecDeque<Data>,
    /// Data channels that are open: reliable, lossy.
    pub channels: (bool, bool),
    /// Keyframes that were asked for.
    pub keyframes_asked: u64,
    /// Packets and bytes that were sent.
    pub sent: (u64, u64),
    /// The latest that a frame or an audio packet was made after its time: above some milliseconds this machine is too slow for its bots.
    pub late_max: Duration,
    /// Why the server ended it.
    pub closed: Option<LeaveReason>,
    /// Nothing more will come.
    pub ended: bool,
    /// What is wrong; empty in a good run.
    pub faults: Vec<String>,
    /// How many things are wrong.
    pub faults_count: u64,
}

impl Seen {
    /// Nothing yet.
    pub fn new(now: Instant) -> Seen {
        Seen {
            began: now,
            times: Times::default(),
            participant: 0,
            identity: String::new(),
            resume: String::new(),
            seq: 0,
            layers: vec![],
            encodings: BTreeMap::new(),
            settings: None,
            lobby: vec![],
            answer: String::new(),
            offers: 0,
            tracks: vec![],
            media_address: None,
            roster: BTreeMap::new(),
            raised: vec![],
            viewers: 0,
            speakers: vec![],
            left: BTreeMap::new(),
            slots: BTreeMap::new(),
            heard: VecDeque::new(),
            data: VecDeque::new(),
            channels: (false, false),
            keyframes_asked: 0,
            sent: (0, 0),
            late_max: Duration::ZERO,
            closed: None,
            ended: false,
            faults: vec![],
            faults_count: 0,
        }
    }

    /// Media is connected.
    pub fn is_connected(&self) -> bool {
        self.times.connected.is_some()
    }

    /// Packets that came, over all slots.
    pub fn packets(&self) -> u64 {
        self.slots.values().map(|slot| slot.packets).sum()
    }

    /// Packets that never came, over all slots.
    pub fn lost(&self) -> u64 {
        self.slots.values().map(Slot::lost).sum()
    }

    /// Pictures that stood still, over all slots.
    pub fn freezes(&self) -> u64 {
        self.slots.values().map(|slot| slot.freezes).sum()
    }

    /// Whose video comes through the slots now, of those that agree with signalling, in order of their numbers.
    pub fn shown(&self) -> Vec<u32> {
        let right = self.slots.values().filter(|slot| slot.video && slot.is_right());
        let mut owners: Vec<u32> = right.filter_map(|slot| slot.last.map(|last| last.owner)).collect();
        owners.sort_unstable();
        owners
    }

    /// All that came from one participant in audio slots.
    pub fn audio_slot_of(&self, participant: u32) -> Option<&Slot> {
        self.slots.values().find(|slot| !slot.video && slot.told.as_ref().is_some_and(|told| told.participant == Some(participant)))
    }

    /// Events of the room in order.
    pub fn events(&self) -> impl Iterator<Item = &RoomEvent> {
        self.heard.iter().filter_map(|message| match message {
            ServerMessage::Event { event, .. } => Some(event),
            _ => None,
        })
    }

    pub(crate) fn fault(&mut self, text: String) {
        self.faults_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }

    pub(crate) fn keep_data(&mut self, data: Data) {
        self.data.push_back(data);
        if self.data.len() > KEPT_MAX {
            self.data.pop_front();
        }
    }

    /// The server said something.
    pub(crate) fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        match &message {
            ServerMessage::Joined {
                participant,
                identity,
                tracks,
                participants,
                raised,
                viewers,
                answer,
                resume,
                seq,
                settings,
                lobby,
                ..
            } => {
                (self.resume, self.seq) = (resume.clone(), *seq);
                (self.settings, self.lobby) = (Some(settings.clone()), lobby.clone());
                self.times.joined = Some(now - self.began);
                (self.participant, self.identity) = (*participant, identity.clone());
                (self.answer, self.tracks) = (answer.clone(), tracks.clone());
                (self.raised, self.viewers) = (raised.clone(), *viewers);
                self.roster = participants.iter().map(|p| (p.participant, p.clone())).collect();
            }
            ServerMessage::Answered { answer, tracks, .. } => (self.answer, self.tracks) = (answer.clone(), tracks.clone()),
            ServerMessage::Done { .. } | ServerMessage::Error { .. } | ServerMessage::Waiting { .. } | ServerMessage::Resumed { .. } => {}
            ServerMessage::Event { seq, event } => self.handle_event(*seq, event),
            ServerMessage::Slots { slots } => {
                for told in slots {
                    match self.slots.get_mut(&told.mid) {
                        Some(slot) => slot.handle_told(told, now),
                        None => self.fault(format!("there is no slot {}", told.mid)),
                    }
                }
            }
            ServerMessage::Layers { slots, .. } => self.layers.clone_from(slots),
            ServerMessage::Encodings { tracks } => {
                self.encodings.extend(tracks.iter().map(|told| (told.track, told.active.clone())));
            }
            ServerMessage::Speakers { speakers } => self.speakers.clone_from(speakers),
            ServerMessage::Closed { reason } => self.closed = Some(*reason),
        }
        self.heard.push_back(message);
        if self.heard.len() > KEPT_MAX {
            self.heard.pop_front();
        }
    }

    fn handle_event(&mut self, seq: u64, event: &RoomEvent) {
        if seq <= self.seq {
            self.fault(format!("event {seq} after {}", self.seq));
        }
        self.seq = seq;
        let known = match event {
            RoomEvent::ParticipantJoined { participant } => self.roster.insert(participant.participant, participant.clone()).is_none(),
            RoomEvent::ParticipantLeft { participant, reason } => {
                self.left.insert(*participant, *reason);
                self.roster.remove(participant).is_some()
            }
            RoomEvent::ParticipantUpdated { participant, name, metadata } => self.change(*participant, |p| {
                (p.name, p.metadata) = (name.clone(), metadata.clone());
                true
            }),
            RoomEvent::TrackPublished { participant, track } => self.change(*participant, |p| {
                p.tracks.push(track.clone());
                true
            }),
            RoomEvent::TrackUnpublished { participant, track } => self.change(*participant, |p| {
                let before = p.tracks.len();
                p.tracks.retain(|known| known.track != *track);
                p.tracks.len() < before
            }),
            RoomEvent::TrackMuted { participant, track, muted, by: _ } => self.change(*participant, |p| {
                let known = p.tracks.iter_mut().find(|known| known.track == *track);
                known.map(|known| known.muted = *muted).is_some()
            }),
            RoomEvent::ParticipantsAway { participants, away } => {
                participants.iter().all(|participant| self.change(*participant, |p| std::mem::replace(&mut p.away, *away) != *away))
            }
            RoomEvent::TracksEnded { tracks } => tracks.iter().all(|ended| {
                self.change(ended.participant, |p| {
                    let before = p.tracks.len();
                    p.tracks.retain(|known| known.track != ended.track);
                    p.tracks.len() < before
                })
            }),
            RoomEvent::PublishChanged { participant, publish } => self.change(*participant, |p| {
                p.publish.clone_from(publish);
                true
            }),
            RoomEvent::SettingsChanged { settings } => {
                self.settings = Some(settings.clone());
                true
            }
            RoomEvent::Lobby { waiting } => {
                self.lobby.clone_from(waiting);
                true
            }
            RoomEvent::Chat { .. } => true,
            RoomEvent::Hands { raised } => {
                self.raised.clone_from(raised);
                true
            }
            RoomEvent::Viewers { count } => {
                self.viewers = *count;
                true
            }
        };
        if !known {
            self.fault(format!("event {seq} does not fit the roster: {event:?}"));
        }
    }

    fn change(&mut self, participant: u32, change: impl FnOnce(&mut Participant) -> bool) -> bool {
        self.roster.get_mut(&participant).is_some_and(change)
    }
}
