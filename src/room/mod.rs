//! A room: a table of tracks × slots, and nothing else.
//!
//! ```text
//! publisher ──► Track (layers, keyframes) ──► Slot ──► receiver      forward(): the plain loop, packet by packet
//!                            fill ──► which track in which slot       handle(): whenever somebody comes, goes, publishes or chooses
//! ```
//!
//! It knows no names (that is `people`), no sockets, no str0m, no clock: `now` comes in, values go out. The shard owns it and, after each
//! call of `handle`, `forward` or `handle_timeout`, takes what it says with `poll` until there is nothing more, and wakes it at `timeout`.
//! What it has to say is kept at most once per slot and per layer, so a slow reader finds the present and not a queue of the past.
//!
//! Limits: `TRACKS_PER_PEER_MAX`, `SLOTS_PER_PEER_MAX`, `LAYERS_PER_TRACK_MAX`. How many peers may enter is decided by `people`.

mod adapt;
mod allocate;
mod cache;
mod check;
mod encoding;
pub mod event;
mod fill;
mod forward;
mod keyframes;
mod ladder;
mod meter;
mod peer;
mod place;
mod publish;
mod slot;
mod speaker;
#[cfg(test)]
mod tests;
mod track;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub use event::*;
pub use forward::Counters;

use crate::id::{LayerIndex, PeerId, SlotIndex, TrackId};
use crate::limits::SLOTS_PER_PEER_MAX;
use crate::rtp::{Codec, Kind, Packet, Starts};
use fill::{Candidate, Candidates, Place};
use peer::Peer;
use place::{Placed, Wanted};
use slot::Slot;
use speaker::Speakers;
use track::Track;

/// What a room is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomConfig {
    /// The policy that fills slots.
    pub filler: Filler,
    /// How many sounds one receiver hears at most, whatever slots it has: the loudest.
    pub voices: usize,
}

/// Tracks × slots.
pub struct Room {
    config: RoomConfig,
    rng: fastrand::Rng,
    tracks_made: u32,
    peers_joined: u64,
    peers: BTreeMap<PeerId, Peer>,
    tracks: BTreeMap<TrackId, Track>,
    /// Found by key, so that the forward path looks nothing up. Keys are used again.
    slots: Vec<Option<Slot>>,
    slots_free: Vec<usize>,
    speakers: Speakers,
    /// Peers with open audio slots.
    listeners: Vec<PeerId>,
    /// Receivers to be looked at, each once, and tracks whose watchers changed; empty between two calls.
    stirred: Vec<PeerId>,
    rewatched: Vec<TrackId>,
    /// A keyframe is at hand: nobody needs to ask for it.
    at_hand: Option<(TrackId, LayerIndex)>,
    news: VecDeque<News>,
    /// When keyframes and layers want to be looked at; never later than needed.
    wake: Option<Instant>,
    counters: Counters,
}

/// Something to say. The value is read when it is said.
enum News {
    Slot(usize),
    Keyframe(TrackId, LayerIndex),
    Encodings(TrackId),
    Want(PeerId),
    Replay(Vec<(Forward, Arc<Packet>)>),
    Speakers,
}

impl Room {
    /// An empty room. `rng` gives the slots their first numbers.
    pub fn new(config: RoomConfig, rng: fastrand::Rng) -> Room {
        Room {
            config,
            rng,
            tracks_made: 0,
            peers_joined: 0,
            peers: BTreeMap::new(),
            tracks: BTreeMap::new(),
            slots: Vec::new(),
            slots_free: Vec::new(),
            speakers: Speakers::default(),
            listeners: Vec::new(),
            stirred: Vec::new(),
            rewatched: Vec::new(),
            at_hand: None,
            news: VecDeque::new(),
            wake: None,
            counters: Counters::default(),
        }
    }

    /// A number for a track that is about to be published.
    pub fn new_track_id(&mut self) -> TrackId {
        self.tracks_made += 1;
        TrackId(self.tracks_made)
    }

    /// Nobody is here.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Peers, connected or not.
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Published tracks.
    pub fn track_count(&self) -> usize {
        self.tracks.len()
    }

    /// What the room counted since it was made or since `take_counters`.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The counts since the last call.
    pub fn take_counters(&mut self) -> Counters {
        std::mem::take(&mut self.counters)
    }

    /// What a slot shows now.
    pub fn slot_state(&self, peer: PeerId, slot: SlotIndex) -> Option<SlotState> {
        let key = *self.peers.get(&peer)?.slots.get(usize::from(slot.0))?;
        self.slots[key].as_ref().map(|slot| slot.state)
    }

    /// Who speaks, as last told.
    pub fn speakers(&self) -> &[Speaker] {
        &self.speakers.list
    }

    /// Tells the room something. An error means that nothing changed.
    pub fn handle(&mut self, input: Input, now: Instant) -> Result<(), RoomError> {
        let done = self.obey(input, now);
        self.settle(now);
        done
    }

    fn obey(&mut self, input: Input, now: Instant) -> Result<(), RoomError> {
        match input {
            Input::Join { peer } => self.join(peer),
            Input::Connected { peer } => self.connected(peer, now),
            Input::Leave { peer } => self.leave(peer, now),
            Input::Publish { peer, track, spec } => self.publish(peer, track, &spec, now),
            Input::Unpublish { track } => self.unpublish(track, now),
            Input::UnpublishAll { tracks } => self.unpublish_all(&tracks, now),
            Input::Mute { track, muted } => self.mute(track, muted, now),
            Input::AddSlots { peer, slots } => self.add_slots(peer, slots, now),
            Input::CloseSlot { peer, slot } => self.close_slot(peer, slot, now),
            Input::OpenSlot { peer, slot, codecs } => self.open_slot(peer, slot, codecs, now),
            Input::View { peer, view } => self.view(peer, view, now),
            Input::Wish { peer, slot, track, wish } => self.wish(peer, slot, track, wish, now),
            Input::Estimate { peer, bps } => self.estimate(peer, bps),
            Input::KeyframeRequest { peer, slot } => self.keyframe_request(peer, slot, now),
        }
    }

    /// When `handle_timeout` wants to be called, if at all.
    pub fn timeout(&self) -> Option<Instant> {
        [self.wake, self.speakers.timeout()].into_iter().flatten().min()
    }

    /// Time went by. May be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.judge_speakers(now);
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            self.look_at_layers(now);
            self.repeat_requests(now);
        }
        self.settle(now);
    }

    /// Judges who speaks, if it is time; the slots follow.
    fn judge_speakers(&mut self, now: Instant) {
        if self.speakers.timeout().is_none_or(|due| due > now) {
            return;
        }
        let change = self.speakers.handle_timeout(&mut self.tracks, self.config.voices, now);
        if change.list && !self.speakers.queued {
            self.speakers.queued = true;
            self.news.push_back(News::Speakers);
        }
        if change.phase {
            self.fill_all(now);
            self.settle(now);
        }
    }

    /// The next thing the room has to say.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            match self.news.pop_front()? {
                News::Slot(key) => {
                    if let Some(slot) = self.slots[key].as_mut() {
                        slot.queued = false;
                        return Some(Output::Slot { peer: slot.peer, slot: slot.index, state: slot.state });
                    }
                }
                News::Keyframe(track, layer) => {
                    if let Some(found) = self.tracks.get_mut(&track) {
                        found.encodings[usize::from(layer.0)].queued = false;
                        return Some(Output::RequestKeyframe { publisher: found.owner, track, layer });
                    }
                }
                News::Encodings(track) => {
                    if let Some(found) = self.tracks.get_mut(&track) {
                        found.queued = false;
                        return Some(Output::Encodings { publisher: found.owner, track, active: found.active() });
                    }
                }
                News::Want(peer) => {
                    if let Some(found) = self.peers.get_mut(&peer) {
                        found.queued = false;
                        return Some(Output::Want { peer, bps: found.want });
                    }
                }
                News::Replay(packets) => return Some(Output::Replay(packets)),
                News::Speakers => {
                    self.speakers.queued = false;
                    return Some(Output::Speakers(self.speakers.list.clone()));
                }
            }
        }
    }

    fn join(&mut self, peer: PeerId) -> Result<(), RoomError> {
        if self.peers.contains_key(&peer) {
            return Err(RoomError::PeerExists(peer));
        }
        self.peers_joined += 1;
        self.peers.insert(peer, Peer::new(self.peers_joined));
        Ok(())
    }

    fn connected(&mut self, id: PeerId, now: Instant) -> Result<(), RoomError> {
        let peer = self.peers.get_mut(&id).ok_or(RoomError::NoPeer(id))?;
        (peer.connected, peer.since) = (true, Some(now));
        self.stir(id);
        self.fill(id, now);
        Ok(())
    }

    fn leave(&mut self, id: PeerId, now: Instant) -> Result<(), RoomError> {
        let peer = self.peers.remove(&id).ok_or(RoomError::NoPeer(id))?;
        self.news.retain(|news| !matches!(news, News::Want(other) if *other == id));
        self.listen(id);
        for key in peer.slots {
            self.set_source(key, None, now);
            if self.slots[key].take().is_some_and(|slot| slot.queued) {
                self.news.retain(|news| !matches!(news, News::Slot(other) if *other == key));
            }
            self.slots_free.push(key);
        }
        for track in &peer.tracks {
            self.remove_track(*track, now);
        }
        if !peer.tracks.is_empty() {
            self.fill_all(now);
        }
        Ok(())
    }

    fn mute(&mut self, id: TrackId, muted: bool, now: Instant) -> Result<(), RoomError> {
        let track = self.tracks.get_mut(&id).ok_or(RoomError::NoTrack(id))?;
        if track.muted == muted {
            return Ok(());
        }
        track.muted = muted;
        if muted {
            track.level.silence();
            self.speakers.look_again(now);
        }
        track.cache.clear();
        self.judge_receivers(id, now);
        self.fill_all(now);
        Ok(())
    }

    fn add_slots(&mut self, id: PeerId, specs: Vec<SlotSpec>, now: Instant) -> Result<(), RoomError> {
        let peer = self.peers.get_mut(&id).ok_or(RoomError::NoPeer(id))?;
        if peer.slots.len() + specs.len() > SLOTS_PER_PEER_MAX {
            return Err(RoomError::TooManySlots(SLOTS_PER_PEER_MAX));
        }
        for spec in specs {
            let slot = Slot::new(id, SlotIndex(peer.slots.len() as u16), spec, Starts::random(&mut self.rng));
            let key = self.slots_free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            self.slots[key] = Some(slot);
            peer.slots.push(key);
        }
        self.listen(id);
        self.expect(id, now);
        self.fill(id, now);
        Ok(())
    }

    fn close_slot(&mut self, id: PeerId, index: SlotIndex, now: Instant) -> Result<(), RoomError> {
        let key = self.slot_key(id, index)?;
        self.set_source(key, None, now);
        if let Some(slot) = &mut self.slots[key] {
            slot.closed = true;
        }
        self.listen(id);
        self.fill(id, now);
        Ok(())
    }

    fn open_slot(&mut self, id: PeerId, index: SlotIndex, codecs: Vec<Codec>, now: Instant) -> Result<(), RoomError> {
        let key = self.slot_key(id, index)?;
        if let Some(slot) = &mut self.slots[key] {
            slot.open(codecs);
        }
        self.judge_slot(key, now);
        self.stir(id);
        self.listen(id);
        self.fill(id, now);
        Ok(())
    }

    fn view(&mut self, id: PeerId, view: View, now: Instant) -> Result<(), RoomError> {
        self.peers.get_mut(&id).ok_or(RoomError::NoPeer(id))?.view = view;
        self.stir(id);
        self.fill(id, now);
        Ok(())
    }

    fn slot_key(&self, id: PeerId, index: SlotIndex) -> Result<usize, RoomError> {
        let peer = self.peers.get(&id).ok_or(RoomError::NoPeer(id))?;
        peer.slots.get(usize::from(index.0)).copied().ok_or(RoomError::NoSlot(index))
    }

    /// Fills the slots of every peer.
    fn fill_all(&mut self, now: Instant) {
        let candidates = self.candidates(now);
        let peers: Vec<PeerId> = self.peers.iter().filter(|(_, peer)| peer.connected).map(|(id, _)| *id).collect();
        for peer in peers {
            self.fill_from(peer, &candidates, now);
        }
    }

    /// Fills the slots of one peer.
    fn fill(&mut self, peer: PeerId, now: Instant) {
        if self.peers.get(&peer).is_some_and(|peer| peer.connected && !peer.slots.is_empty()) {
            let candidates = self.candidates(now);
            self.fill_from(peer, &candidates, now);
        }
    }

    /// All tracks as the fillers see them.
    fn candidates(&self, now: Instant) -> Candidates {
        let mut list: Vec<Candidate> = Vec::with_capacity(self.tracks.len());
        for (id, track) in &self.tracks {
            let Some(owner) = self.peers.get(&track.owner) else { continue };
            let voices = owner.tracks.iter().filter_map(|id| self.tracks.get(id));
            let voice = voices.filter(|t| t.kind == Kind::Audio && !t.screen).max_by_key(|t| t.level.heard());
            list.push(Candidate {
                track: *id,
                owner: track.owner,
                joined: owner.joined,
                kind: track.kind,
                screen: track.screen,
                muted: track.muted,
                level: match track.kind {
                    Kind::Audio => track.level,
                    Kind::Video => voice.map(|voice| voice.level).unwrap_or_default(),
                },
            });
        }
        Candidates::new(self.config.filler, self.config.voices, list, now)
    }

    fn fill_from(&mut self, id: PeerId, candidates: &Candidates, now: Instant) {
        let Some(peer) = self.peers.get(&id) else { return };
        let of = |kind: Kind| -> (Vec<usize>, Vec<Place>) {
            let slots = peer.slots.iter().filter_map(|key| Some((*key, self.slots[*key].as_ref().filter(|s| s.kind == kind)?)));
            slots.map(|(key, slot)| (key, Place { source: slot.source(), open: !slot.closed })).unzip()
        };
        let ((video_keys, video_now), (audio_keys, audio_now)) = (of(Kind::Video), of(Kind::Audio));
        let places = video_now.iter().filter(|place| place.open).count();
        let wanted = candidates.video(&peer.view, id, places);
        let heard = candidates.audio(id, &audio_now, now);
        let (video, audio) = (Wanted { wanted: &wanted, current: &video_now }, Wanted { wanted: &heard, current: &audio_now });
        let Placed { video, audio } = place::place(candidates, id, video, audio);
        for (key, source) in video_keys.into_iter().zip(video).chain(audio_keys.into_iter().zip(audio)) {
            self.set_source(key, source, now);
        }
    }

    /// Gives a slot its source, unless it has it already.
    fn set_source(&mut self, key: usize, source: Option<TrackId>, now: Instant) {
        if self.slots[key].as_ref().is_none_or(|slot| slot.source() == source) {
            return;
        }
        self.set_aim(key, None, now);
        let Some(slot) = &mut self.slots[key] else { return };
        if let Some(old) = slot.source().and_then(|old| self.tracks.get_mut(&old)) {
            old.receivers.retain(|receiver| *receiver != key);
        }
        let new = source.and_then(|id| Some((id, self.tracks.get_mut(&id)?)));
        slot.set_source(new.as_ref().map(|(id, track)| (*id, track.owner)), now);
        let peer = slot.peer;
        tell_slot(&mut self.news, key, slot);
        if let Some((_, track)) = new {
            track.receivers.push(key);
            self.judge_slot(key, now);
        }
        self.stir(peer);
    }

    /// The track was muted or unmuted, or its codec became known: its receivers may be able to show it, or no longer.
    fn judge_receivers(&mut self, id: TrackId, now: Instant) {
        let receivers = self.tracks.get(&id).map(|track| track.receivers.clone()).unwrap_or_default();
        for key in receivers {
            self.judge_slot(key, now);
            if let Some(peer) = self.slots[key].as_ref().map(|slot| slot.peer) {
                self.stir(peer);
            }
        }
    }

    /// Notes whether a peer hears anything: voices are sent only where somebody else listens.
    fn listen(&mut self, id: PeerId) {
        let hears = |key: &usize| self.slots[*key].as_ref().is_some_and(|slot| slot.kind == Kind::Audio && !slot.closed);
        let listens = self.peers.get(&id).is_some_and(|peer| peer.slots.iter().any(hears));
        let known = self.listeners.iter().position(|other| *other == id);
        match (known, listens) {
            (None, true) => self.listeners.push(id),
            (Some(at), false) => drop(self.listeners.swap_remove(at)),
            _ => return,
        }
        // With more of them, everybody is heard by somebody before and after.
        if self.listeners.len() <= 2 {
            self.rewatched.extend(self.tracks.iter().filter(|(_, track)| track.kind == Kind::Audio).map(|(id, _)| *id));
        }
    }
}

/// Queues a slot's state, once.
fn tell_slot(news: &mut VecDeque<News>, key: usize, slot: &mut Slot) {
    if !slot.queued {
        slot.queued = true;
        news.push_back(News::Slot(key));
    }
}

fn sooner(wake: &mut Option<Instant>, at: Instant) {
    *wake = Some(wake.map_or(at, |wake| wake.min(at)));
}
