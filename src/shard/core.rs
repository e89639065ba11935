//! A shard without its thread: rooms, people and connections meet here. Sans-IO: commands, datagrams and `now` in; replies, notices and datagrams out.
//!
//! ```text
//! command ──┐                                   ┌→ the reply, at once
//! datagram ─┼→ demux → peer → room → peers ──────┼→ take_datagrams (at the end of the tick)
//! time ─────┘          └→ people                 ├→ poll_notice (what signalling is told)
//!                                               └→ poll_ended (rooms that are over)
//! ```
//!
//! A panic inside a connection closes that peer, inside a room that room; the shard lives.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rustc_hash::FxHashMap;

use self::outgoing::{Chain, Outgoing};
use super::command::{Action, Arrival, Declared, Entry, Joined, LayerReport, Notice, NumberedSection, Refusal, RoomInfo, RoomOptions};
use super::demux::Demux;
use super::hall::{Hall, Known};
use super::timers::{Timers, Waiter};
use crate::auth::Secret;
use crate::id::{ConnectionId, PeerId, RoomName, SlotIndex, TrackId};
use crate::limits::Limits;
use crate::metrics::{Present, ShardCounters};
use crate::people::{self, LeaveReason, PeopleError, Snapshot};
use crate::room::{self, Forward};
use crate::webrtc::{Answer, Offer, Peer, ntp_time_to_unix_ms};

mod flow;
#[cfg(test)]
mod footprint;
mod gate;
mod outgoing;
mod resume;

/// One connection and where it belongs.
struct Member {
    hall: usize,
    viewer: bool,
    /// Slots are filled.
    receives: bool,
    /// With which signalling is resumed.
    secret: Secret,
    /// How often it was.
    attachment: u32,
    /// The last event that was told with the join: what was said before is not for them.
    since: u64,
    media: Box<Peer>,
    /// It has datagrams waiting and stands in the list of those who have.
    touched: bool,
    /// Its packets of this tick.
    chain: Chain,
}

/// Rooms with their people and connections.
pub struct Core {
    halls: Vec<Option<Hall>>,
    names: BTreeMap<RoomName, usize>,
    members: FxHashMap<PeerId, Member>,
    demux: Demux,
    timers: Timers,
    notices: VecDeque<(PeerId, Notice)>,
    ended: VecDeque<(RoomName, u64)>,
    /// Rooms begun so far.
    lives: u64,
    limits: Limits,
    touched: Vec<PeerId>,
    leaving: Vec<Box<Peer>>,
    /// Reused for every packet.
    forwards: Vec<Forward>,
    outgoing: Outgoing,
    /// Peers that broke within a loop over all of them.
    broken: Vec<PeerId>,
    /// What the datagram that was handled last proved.
    proven: Option<ConnectionId>,
    epoch: (Instant, u64),
    rng: fastrand::Rng,
    /// For the metrics.
    pub counters: ShardCounters,
    present: Option<Present>,
}

impl Core {
    /// No rooms. `epoch`: a moment and its NTP time.
    pub fn new(epoch: (Instant, u64), limits: Limits, rng: fastrand::Rng) -> Core {
        Core {
            halls: vec![],
            names: BTreeMap::new(),
            members: FxHashMap::default(),
            demux: Demux::default(),
            timers: Timers::default(),
            notices: VecDeque::new(),
            ended: VecDeque::new(),
            lives: 0,
            limits,
            touched: vec![],
            leaving: vec![],
            forwards: vec![],
            outgoing: Outgoing::default(),
            broken: vec![],
            proven: None,
            epoch,
            rng,
            counters: ShardCounters::default(),
            present: None,
        }
    }

    // Commands.

    /// Makes a room that stays. Says which of this name it is.
    pub fn create(&mut self, room: RoomName, options: RoomOptions, now: Instant) -> Result<u64, Refusal> {
        if self.names.contains_key(&room) {
            return Err(Refusal::RoomExists);
        }
        let key = self.begin(room, options, now);
        self.in_hall(key, now, |hall| {
            hall.permanent = true;
            hall.life
        })
    }

    /// Sends everybody out and ends a room.
    pub fn close(&mut self, room: &RoomName, reason: LeaveReason, now: Instant) -> Result<(), Refusal> {
        let key = *self.names.get(room).ok_or(Refusal::NoRoom)?;
        self.end(key, reason, now);
        Ok(())
    }

    /// Sends everybody out of every room.
    pub fn close_all(&mut self, reason: LeaveReason, now: Instant) {
        for key in 0..self.halls.len() {
            self.end(key, reason, now);
        }
    }

    /// Somebody who was let in enters; the room begins if it is not there. Of a refusal nothing remains.
    pub fn join(&mut self, room: &RoomName, peer: PeerId, entry: Entry, arrival: Arrival, now: Instant) -> Result<Joined, Refusal> {
        let known = self.names.get(room).copied();
        let key = known.unwrap_or_else(|| self.begin(room.clone(), entry.options, now));
        let entered = self.enter(key, peer, entry, arrival, now);
        match &entered {
            Ok(_) => tracing::info!(%room, %peer, "join"),
            Err(refusal) => {
                tracing::debug!(%room, %peer, %refusal, "join refused");
                if known.is_none() {
                    self.end(key, LeaveReason::RoomClosed, now);
                }
            }
        }
        entered
    }

    fn enter(&mut self, key: usize, peer: PeerId, entry: Entry, arrival: Arrival, now: Instant) -> Result<Joined, Refusal> {
        let Arrival { mut media, negotiated, declared, secret } = arrival;
        let (identity, viewer, rights) = (entry.profile.identity.clone(), entry.viewer, entry.rights);
        let older =
            self.in_hall(key, now, |hall| hall.check_join(&entry, &negotiated, &declared).map(|()| hall.people.find_identity(&identity)))??;
        if !self.demux.add(peer, media.ufrag()) {
            return Err(Refusal::Offer("its connection could not be told from another, offer again".into()));
        }
        // The newer connection wins, now that nothing can refuse it.
        if let Some(older) = older {
            self.remove(older, LeaveReason::Replaced, now);
        }
        let joined = self.in_hall(key, now, |hall| hall.join(peer, entry, &negotiated, &declared, now));
        let tracks = match joined {
            Ok(Ok(tracks)) => tracks,
            Ok(Err(refusal)) | Err(refusal) => {
                self.demux.remove(peer);
                return Err(refusal);
            }
        };
        tracks.iter().for_each(|t| media.set_track(&t.mid, Some(t.track)));
        self.timers.set(Waiter::Peer(peer), Some(media.timeout()));
        self.members.insert(
            peer,
            Member {
                hall: key,
                viewer,
                receives: rights.subscribe,
                secret,
                attachment: 0,
                since: 0,
                media,
                touched: false,
                chain: Chain::default(),
            },
        );
        self.present = None;
        self.counters.joins += 1;
        // The others are told before the newcomer listens: what happened before is in the snapshot.
        self.settle(key, now);
        self.in_hall(key, now, |hall| {
            hall.listen(peer);
            let mut snapshot = hall.people.snapshot();
            if !rights.moderate {
                snapshot.lobby.clear();
            }
            let rights = hall.people.rights(peer).unwrap_or(rights);
            let (filler, life) = (hall.options().filler, hall.life);
            (Joined { peer, identity, filler, tracks, rights, snapshot, life }, hall.room.speakers().to_vec())
        })
        .map(|(joined, speakers)| {
            if let Some(member) = self.members.get_mut(&peer) {
                member.since = joined.snapshot.seq;
            }
            if !speakers.is_empty() {
                self.notices.push_back((peer, Notice::Speakers(speakers.into())));
            }
            joined
        })
    }

    /// A further offer of a participant. Whatever could refuse it is looked at before anything changes.
    pub fn offer(
        &mut self,
        room: &RoomName,
        peer: PeerId,
        offer: Offer,
        declared: &[Declared],
        now: Instant,
    ) -> Result<(Answer, Vec<NumberedSection>), Refusal> {
        let key = self.hall_of(room, peer)?;
        let publish = self.in_hall(key, now, |hall| hall.options().publish)?;
        let Some(member) = self.members.get_mut(&peer) else { return Err(PeopleError::NoParticipant(peer).into()) };
        if member.viewer && offer.sections.iter().any(|section| section.publishes) {
            return Err(Refusal::ViewerPublishes);
        }
        let before: Vec<NumberedSection> = member.media.tracks().map(|(mid, track)| NumberedSection { mid, track }).collect();
        let ended: Vec<String> = member.media.trackless().collect();
        let known = Known { tracks: &before, ended: &ended };
        self.in_hall(key, now, |hall| hall.check_offer(peer, &offer, declared, known))??;
        let Some(member) = self.members.get_mut(&peer) else { return Err(PeopleError::NoParticipant(peer).into()) };
        let Ok(answered) = catch_unwind(AssertUnwindSafe(|| member.media.offer(offer, publish, now))) else {
            self.on_panic(peer, now);
            return Err(Refusal::Broken);
        };
        let (answer, negotiated) = answered?;
        self.demux.rename(peer, member.media.ufrag());
        self.present = None;
        let tracks = match self.in_hall(key, now, |hall| hall.negotiate(peer, &negotiated, declared, known, now))? {
            Ok(tracks) => tracks,
            Err(refusal) => {
                // Connection and room no longer agree on what there is.
                tracing::error!(%peer, %refusal, "an offer that was checked was refused");
                self.remove(peer, LeaveReason::ServerError, now);
                self.settle(key, now);
                return Err(Refusal::Broken);
            }
        };
        if let Some(member) = self.members.get_mut(&peer) {
            tracks.iter().for_each(|t| member.media.set_track(&t.mid, Some(t.track)));
        }
        self.pump(peer, now);
        Ok((answer, tracks))
    }

    /// A participant does something.
    pub fn act(&mut self, room: &RoomName, peer: PeerId, action: Action, now: Instant) -> Result<(), Refusal> {
        let key = self.hall_of(room, peer)?;
        let time_ms = self.unix_ms(now);
        let slots = if let Action::Wishes(wishes) = &action { self.slots_of(peer, wishes) } else { vec![] };
        let done = self.in_hall(key, now, |hall| match action {
            // What is said of sections that are no slots is void, as what is said too late.
            Action::Wishes(wishes) => wishes.into_iter().zip(slots).try_for_each(|((_, track, wish), slot)| {
                let Some(slot) = slot else { return Ok(()) };
                Ok(hall.room.handle(room::Input::Wish { peer, slot, track, wish }, now)?)
            }),
            Action::Mute { track, muted } => hall.mute(peer, track, muted, now),
            Action::View(view) => Ok(hall.room.handle(room::Input::View { peer, view }, now)?),
            Action::Chat { to, text } => Ok(hall.people.handle(people::Input::Chat { peer, to, text, time_ms }, now)?),
            Action::Hand(raised) => Ok(hall.people.handle(people::Input::Hand { peer, raised }, now)?),
            Action::Update { name, metadata } => Ok(hall.people.handle(people::Input::Update { peer, name, metadata }, now)?),
        })?;
        self.settle(key, now);
        done
    }

    /// Which slots are meant.
    fn slots_of(&self, peer: PeerId, wishes: &[(String, TrackId, room::Wish)]) -> Vec<Option<SlotIndex>> {
        let media = self.members.get(&peer).map(|member| &member.media);
        wishes.iter().map(|(mid, ..)| media.and_then(|media| media.slot(mid))).collect()
    }

    /// What is sent to somebody, and why it is not more.
    pub fn layers(&self, room: &RoomName, peer: PeerId, now: Instant) -> Result<LayerReport, Refusal> {
        let key = self.hall_of(room, peer)?;
        let (Some(hall), Some(member)) = (&self.halls[key], self.members.get(&peer)) else { return Err(Refusal::NoRoom) };
        let named = |slot: room::SlotLayers| Some((member.media.slot_mid(slot.slot)?.to_owned(), slot));
        let slots = hall.room.layers(peer, now).into_iter().filter_map(named).collect();
        Ok(LayerReport { estimate: hall.room.estimate_of(peer), slots })
    }

    /// Somebody leaves, in the lobby or in the room. `attachment`: which connection of theirs says so; an older one than theirs has no say.
    pub fn leave(&mut self, room: &RoomName, peer: PeerId, attachment: u32, reason: LeaveReason, now: Instant) -> Result<(), Refusal> {
        if self.stop_waiting(room, peer, now) {
            return Ok(());
        }
        let key = self.hall_of(room, peer)?;
        if self.members.get(&peer).is_some_and(|member| member.attachment != attachment) {
            return Ok(());
        }
        self.remove(peer, reason, now);
        self.settle(key, now);
        Ok(())
    }

    /// Somebody's notices cannot be handed over.
    pub fn drop_reader(&mut self, peer: PeerId, reason: LeaveReason, now: Instant) {
        if let Some(key) = self.members.get(&peer).map(|member| member.hall) {
            self.remove(peer, reason, now);
            self.settle(key, now);
        }
    }

    /// Who is in a room.
    pub fn roster(&self, room: &RoomName) -> Result<Snapshot, Refusal> {
        let key = self.names.get(room).ok_or(Refusal::NoRoom)?;
        self.halls[*key].as_ref().map(|hall| hall.people.snapshot()).ok_or(Refusal::NoRoom)
    }

    /// A room from outside.
    pub fn inspect(&self, room: &RoomName) -> Result<RoomInfo, Refusal> {
        let key = self.names.get(room).ok_or(Refusal::NoRoom)?;
        self.halls[*key].as_ref().map(Hall::info).ok_or(Refusal::NoRoom)
    }

    // Time. Datagrams and what they bring are in `flow`.

    /// When there is something to do.
    pub fn timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    // Results.

    /// What somebody's signalling is to be told.
    pub fn poll_notice(&mut self) -> Option<(PeerId, Notice)> {
        self.notices.pop_front()
    }

    /// A room that is over, and which of its name it was.
    pub fn poll_ended(&mut self) -> Option<(RoomName, u64)> {
        self.ended.pop_front()
    }

    /// Rooms, participants, viewers and tracks, for the gauges.
    pub fn present(&mut self) -> Present {
        if let Some(present) = self.present {
            return present;
        }
        let tracks: usize = self.halls.iter().flatten().map(|hall| hall.room.track_count()).sum();
        let viewers = self.members.values().filter(|m| m.viewer).count();
        let participants = self.members.len() - viewers;
        let present = Present {
            rooms: self.names.len() as u64,
            participants: participants as u64,
            viewers: viewers as u64,
            tracks: tracks as u64,
            ..Present::default()
        };
        self.present = Some(present);
        present
    }

    /// Makes the next datagram for a peer panic.
    #[cfg(test)]
    pub fn poison_peer(&mut self, peer: PeerId) {
        self.members.get_mut(&peer).expect("a peer").media.poison();
    }

    /// Makes the next packet in a room panic.
    #[cfg(test)]
    pub fn poison_room(&mut self, room: &RoomName) {
        let key = self.names[room];
        self.halls[key].as_mut().expect("a room").poisoned = true;
    }

    /// What must be true between any two calls; used by every simulation.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        for (name, key) in &self.names {
            let hall = self.halls[*key].as_ref().unwrap_or_else(|| panic!("room {name} has no hall"));
            hall.room.check_invariants();
            assert_eq!(hall.room.peer_count(), hall.members.len(), "peers and members of {name}");
            let people = hall.people.participants().len() + hall.people.viewer_count();
            assert_eq!(people, hall.members.len(), "people and members of {name}");
            assert!(hall.members.iter().all(|peer| self.members.get(peer).is_some_and(|m| m.hall == *key)), "members of {name}");
        }
        let in_halls: usize = self.halls.iter().flatten().map(|hall| hall.members.len()).sum();
        assert_eq!(in_halls, self.members.len(), "connections without a room");
        assert!(!self.members.is_empty() || self.demux.is_empty(), "the demultiplexer remembers somebody who is gone");
    }

    // Inside.

    fn begin(&mut self, name: RoomName, options: RoomOptions, now: Instant) -> usize {
        let key = self.halls.iter().position(Option::is_none).unwrap_or_else(|| {
            self.halls.push(None);
            self.halls.len() - 1
        });
        self.lives += 1;
        let hall = Hall::new(name.clone(), options, self.lives, &self.limits, self.rng.fork(), now);
        self.timers.set(Waiter::Hall(key), hall.timeout());
        self.halls[key] = Some(hall);
        self.names.insert(name, key);
        self.present = None;
        key
    }

    fn end(&mut self, key: usize, reason: LeaveReason, now: Instant) {
        let Some(hall) = self.halls[key].take() else { return };
        self.timers.set(Waiter::Hall(key), None);
        self.present = None;
        self.names.remove(&hall.name);
        for peer in &hall.members {
            self.forget(*peer, &hall.name, reason, now);
        }
        self.notices.extend(hall.people.lobby().iter().map(|waiting| (waiting.peer, Notice::NotAdmitted)));
        self.ended.push_back((hall.name, hall.life));
    }

    fn hall_of(&self, room: &RoomName, peer: PeerId) -> Result<usize, Refusal> {
        let key = *self.names.get(room).ok_or(Refusal::NoRoom)?;
        let here = self.members.get(&peer).is_some_and(|member| member.hall == key);
        if here { Ok(key) } else { Err(PeopleError::NoParticipant(peer).into()) }
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        ntp_time_to_unix_ms(self.epoch.1) + now.saturating_duration_since(self.epoch.0).as_millis() as u64
    }

    /// Takes somebody out of their room. The room's news of it are told by `settle`.
    fn remove(&mut self, peer: PeerId, reason: LeaveReason, now: Instant) {
        let Some(key) = self.members.get(&peer).map(|member| member.hall) else { return };
        let left = self.in_hall(key, now, |hall| {
            hall.leave(peer, reason, now);
            hall.name.clone()
        });
        if let Ok(name) = left {
            self.forget(peer, &name, reason, now);
        }
    }

    /// Does something in a room. A panic there ends the room, and nothing else.
    fn in_hall<T>(&mut self, key: usize, now: Instant, work: impl FnOnce(&mut Hall) -> T) -> Result<T, Refusal> {
        let hall = self.halls[key].as_mut().ok_or(Refusal::NoRoom)?;
        catch_unwind(AssertUnwindSafe(|| work(hall))).map_err(|_| {
            self.on_room_panic(key, now);
            Refusal::Broken
        })
    }

    /// Ends a connection; its room knows already, or is gone.
    fn forget(&mut self, peer: PeerId, room: &RoomName, reason: LeaveReason, now: Instant) {
        let Some(mut member) = self.members.remove(&peer) else { return };
        self.timers.set(Waiter::Peer(peer), None);
        self.present = None;
        self.demux.remove(peer);
        // A connection that panicked before may do so again while it says goodbye.
        if catch_unwind(AssertUnwindSafe(|| member.media.shut(now))).is_ok() {
            self.leaving.push(member.media);
        }
        self.notices.push_back((peer, Notice::Closed(reason)));
        tracing::info!(%room, %peer, ?reason, "leave");
    }

    fn on_panic(&mut self, peer: PeerId, now: Instant) {
        tracing::error!(%peer, "a connection panicked and is closed");
        self.counters.peer_panics += 1;
        let Some(key) = self.members.get(&peer).map(|member| member.hall) else { return };
        self.remove(peer, LeaveReason::ServerError, now);
        self.settle(key, now);
    }

    fn on_room_panic(&mut self, key: usize, now: Instant) {
        tracing::error!(room = self.halls[key].as_ref().map(|h| tracing::field::display(&h.name)), "a room panicked and is closed");
        self.counters.room_panics += 1;
        self.end(key, LeaveReason::ServerError, now);
    }
}
