//! The people of a room: who is here, what they are called and publish, who has raised a hand, who said what.
//!
//! It is not media: nothing here forwards a packet, and `room` never sees a name. The shard owns one beside each room, tells it with
//! `handle` and `handle_timeout`, and takes numbered events with `poll` until there is nothing more. Who comes in gets a `snapshot`; from
//! there on the events, applied in order, give the same picture that the server has. That is a test.
//!
//! Participants are listed, viewers only counted: ten thousand of them cost the others one number a second.
//!
//! Limits: `PARTICIPANTS_MAX`, `VIEWERS_MAX`, `EVENT_LOG_MAX`, and the lengths of all texts. Full or too long: refused, nothing changes. The
//! number of tracks is limited by the room, which is asked first.

pub mod event;
mod gate;
mod hands;
mod log;
mod messages;
mod presence;
mod roster;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Instant;

pub use event::*;

use crate::auth::{Publish, Rights};
use crate::id::{PeerId, TrackId};
use crate::limits::{Limits, VIEWERS_PERIOD};
use gate::Gate;
use hands::Hands;
use log::Log;
use presence::Presence;
use roster::Roster;

/// Who is in a room, and what happened.
#[derive(Debug, Default)]
pub struct People {
    roster: Roster,
    hands: Hands,
    gate: Gate,
    presence: Presence,
    log: Log,
    limits: Limits,
    viewers_told: u32,
    viewers_told_at: Option<Instant>,
    viewers_due: Option<Instant>,
}

impl People {
    /// Nobody.
    pub fn new(settings: Settings, limits: Limits) -> People {
        People { gate: Gate::new(settings), limits, ..People::default() }
    }

    /// Somebody in the roster.
    pub fn participant(&self, peer: PeerId) -> Option<&Participant> {
        self.roster.get(peer)
    }

    /// The roster in the order of joining.
    pub fn participants(&self) -> &[Participant] {
        self.roster.participants()
    }

    /// Whether this is a viewer.
    pub fn is_viewer(&self, peer: PeerId) -> bool {
        self.roster.is_viewer(peer)
    }

    /// How many viewers there are.
    pub fn viewer_count(&self) -> usize {
        self.roster.viewer_count()
    }

    /// Who has this identity, viewers included.
    pub fn find_identity(&self, identity: &str) -> Option<PeerId> {
        self.roster.find_identity(identity)
    }

    /// Somebody's identity, viewers included.
    pub fn identity(&self, peer: PeerId) -> Option<String> {
        self.roster.traits(peer).map(|(identity, _)| identity)
    }

    /// Neither participants nor viewers.
    pub fn is_empty(&self) -> bool {
        self.roster.participants().is_empty() && self.roster.viewer_count() == 0
    }

    /// The picture as the events up to now have told it: what a newcomer is given. The number of viewers is the one told last, so that a
    /// newcomer never knows another than the rest; the true one is `viewer_count`.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            seq: self.log.last(),
            participants: self.roster.participants().to_vec(),
            raised: self.hands.raised().to_vec(),
            viewers: self.viewers_told,
            settings: self.gate.settings(),
            lobby: self.gate.lobby().to_vec(),
        }
    }

    /// Who publishes this track.
    pub fn owner(&self, track: TrackId) -> Option<PeerId> {
        self.roster.owner(track)
    }

    /// What somebody may do, viewers included.
    pub fn rights(&self, peer: PeerId) -> Option<Rights> {
        self.roster.rights(peer)
    }

    /// What moderators have decided.
    pub fn settings(&self) -> Settings {
        self.gate.settings()
    }

    /// Whether somebody, viewers included, may moderate.
    pub fn may_moderate(&self, peer: PeerId) -> bool {
        self.roster.rights(peer).is_some_and(|rights| rights.moderate)
    }

    /// What somebody may publish: their own right and what the room allows.
    pub fn publishable(&self, peer: PeerId) -> Publish {
        self.roster.rights(peer).map_or(Publish::NOTHING, |rights| self.gate.publishable(rights))
    }

    /// The tracks that may not be published any more, after rights or settings changed.
    pub fn forbidden(&self) -> Vec<(PeerId, TrackId)> {
        let of = |p: &Participant| {
            let publishable = self.gate.publishable(p.rights);
            let forbidden = p.tracks.iter().filter(move |info| !info.source.is_in(publishable));
            forbidden.map(|info| (p.peer, info.track)).collect::<Vec<_>>()
        };
        self.roster.participants().iter().flat_map(of).collect()
    }

    /// Somebody is at the door: they may come in, wait in the lobby, or are refused. Checked here is what needs no connection.
    pub fn knock(&mut self, knock: &Knock) -> Result<Doorway, PeopleError> {
        self.check(&knock.profile, knock.viewer, knock.address)?;
        let doorway = self.gate.knock(knock)?;
        if doorway == Doorway::Lobby {
            self.tell_lobby();
        }
        Ok(doorway)
    }

    /// Whether somebody may be in the room at all: what cannot change by being let in.
    pub fn check(&self, profile: &Profile, viewer: bool, address: Option<IpAddr>) -> Result<(), PeopleError> {
        roster::checked(profile.clone(), viewer, &self.limits)?;
        if self.gate.is_banned(&profile.identity, address) {
            return Err(PeopleError::Banned);
        }
        self.roster.check_room(viewer, self.roster.find_identity(&profile.identity), &self.limits)
    }

    /// What somebody will be allowed to publish who enters with these rights.
    pub fn publishable_by(&self, identity: &str, rights: Rights) -> Publish {
        self.gate.publishable(self.gate.permitted(identity, rights))
    }

    /// Takes somebody out of the lobby: let in, sent away, or tired of waiting. `false`: nobody of that number waits.
    pub fn take_waiting(&mut self, peer: PeerId) -> bool {
        let waited = self.gate.take(peer);
        if waited {
            self.tell_lobby();
        }
        waited
    }

    /// Those who wait.
    pub fn lobby(&self) -> &[Waiting] {
        self.gate.lobby()
    }

    /// Somebody, in the room or in its lobby, is not let in again; nor is who comes from a guest's address. Returns all those who are there and
    /// have to be sent out, waiting or not.
    pub fn ban(&mut self, peer: PeerId) -> Vec<PeerId> {
        let Some((identity, address)) = self.roster.traits(peer).or_else(|| self.gate.traits(peer)) else { return vec![] };
        self.gate.ban(identity, address);
        let here = self.roster.peers().filter(|peer| self.roster.traits(*peer).is_some_and(|(id, from)| self.gate.is_banned(&id, from)));
        let mut all: Vec<PeerId> = here.collect();
        all.extend(
            self.gate
                .lobby()
                .iter()
                .map(|waiting| waiting.peer)
                .filter(|peer| self.gate.traits(*peer).is_some_and(|(identity, address)| self.gate.is_banned(&identity, address))),
        );
        all
    }

    /// Those who wait although nobody has to any more.
    pub fn released(&self) -> Vec<PeerId> {
        let Settings { locked, lobby, publish: _ } = self.gate.settings();
        if locked || lobby { vec![] } else { self.gate.lobby().iter().map(|waiting| waiting.peer).collect() }
    }

    /// Those whose signalling was lost and who did not come back in time.
    pub fn gone(&self, now: Instant) -> Vec<PeerId> {
        self.presence.gone(now)
    }

    /// What `peer` has missed since the event `seq`. `None`: too long ago, it needs a snapshot.
    pub fn events_since(&self, seq: u64, peer: PeerId) -> Option<Vec<Numbered>> {
        self.log.since(seq, peer)
    }

    /// Tells the people something. An error means that nothing changed.
    pub fn handle(&mut self, input: Input, now: Instant) -> Result<(), PeopleError> {
        match input {
            Input::Join { peer, profile, viewer, rights, address } => {
                self.join(peer, profile, viewer, rights, now)?;
                address.into_iter().for_each(|address| self.roster.note_address(peer, address));
                Ok(())
            }
            Input::Leave { peer, reason } => self.leave(peer, reason, now),
            Input::Publish { peer, track } => self.publish(peer, track),
            Input::Unpublish { track } => self.unpublish(track),
            Input::End { tracks } => {
                for (peer, track) in &tracks {
                    if let Ok(participant) = self.roster.get_mut(*peer) {
                        participant.tracks.retain(|info| info.track != *track);
                    }
                }
                self.log.push(Audience::All, Event::Ended(tracks));
                Ok(())
            }
            Input::Mute { track, muted, by } => self.mute(track, muted, by),
            Input::Lost { peer } => {
                self.roster.rights(peer).ok_or(PeopleError::NoParticipant(peer))?;
                self.presence.lose(peer, now);
                Ok(())
            }
            Input::Resumed { peer } => self.resumed(peer, now),
            Input::Permit { peer, publish } => self.permit(peer, publish),
            Input::Settings(change) => {
                if self.gate.change(change) {
                    self.log.push(Audience::All, Event::Settings(self.gate.settings()));
                }
                Ok(())
            }
            Input::Chat { peer, to, text, time_ms } => self.chat(peer, to, text, time_ms),
            Input::Hand { peer, raised } => self.hand(peer, raised),
            Input::Update { peer, name, metadata } => self.update(peer, name, metadata),
        }
    }

    /// When `handle_timeout` wants to be called, if at all.
    pub fn timeout(&self) -> Option<Instant> {
        [self.viewers_due, self.presence.timeout()].into_iter().flatten().min()
    }

    /// Time went by. May be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.viewers_due.is_some_and(|due| due <= now) {
            self.tell_viewers(now);
        }
        self.tell_presence(now);
    }

    /// The next event that has not been taken yet. To be taken after each `handle`: what is more than `EVENT_LOG_MAX` events behind is lost.
    pub fn poll(&mut self) -> Option<Numbered> {
        self.log.poll()
    }

    fn join(&mut self, peer: PeerId, profile: Profile, viewer: bool, rights: Rights, now: Instant) -> Result<(), PeopleError> {
        let profile = roster::checked(profile, viewer, &self.limits)?;
        let rights = self.gate.permitted(&profile.identity, rights);
        // The newer connection wins. The shard, which has to close the older one, asks `find_identity` first; this keeps the roster right.
        let older = self.roster.find_identity(&profile.identity);
        self.roster.check_room(viewer, older, &self.limits)?;
        if let Some(older) = older {
            self.leave(older, LeaveReason::Replaced, now)?;
        }
        if viewer {
            self.roster.add_viewer(peer, profile.identity, rights);
            self.tell_viewers(now);
            return Ok(());
        }
        let participant = Participant { peer, profile, rights, away: false, hand: None, tracks: Vec::new() };
        self.roster.add(participant.clone());
        self.log.push(Audience::AllBut(peer), Event::Joined(participant));
        Ok(())
    }

    fn leave(&mut self, peer: PeerId, reason: LeaveReason, now: Instant) -> Result<(), PeopleError> {
        self.presence.forget(peer);
        if self.roster.remove_viewer(peer) {
            self.tell_viewers(now);
            return Ok(());
        }
        self.roster.remove(peer)?;
        // Its tracks are gone with it, unsaid.
        self.log.push(Audience::AllBut(peer), Event::Left { peer, reason });
        if self.hands.set(peer, false) {
            self.tell_hands();
        }
        Ok(())
    }

    fn publish(&mut self, peer: PeerId, track: TrackInfo) -> Result<(), PeopleError> {
        if self.roster.owner(track.track).is_some() {
            return Err(PeopleError::NoTrack(track.track));
        }
        self.roster.get_mut(peer)?.tracks.push(track);
        self.log.push(Audience::All, Event::Published { peer, track });
        Ok(())
    }

    fn unpublish(&mut self, track: TrackId) -> Result<(), PeopleError> {
        let peer = self.roster.owner(track).ok_or(PeopleError::NoTrack(track))?;
        self.roster.get_mut(peer)?.tracks.retain(|info| info.track != track);
        self.log.push(Audience::All, Event::Unpublished { peer, track });
        Ok(())
    }

    fn mute(&mut self, track: TrackId, muted: bool, by: Option<PeerId>) -> Result<(), PeopleError> {
        let peer = self.roster.owner(track).ok_or(PeopleError::NoTrack(track))?;
        let participant = self.roster.get_mut(peer)?;
        if let Some(info) = participant.tracks.iter_mut().find(|info| info.track == track && info.muted != muted) {
            info.muted = muted;
            self.log.push(Audience::All, Event::Muted { peer, track, muted, by: by.filter(|by| *by != peer) });
        }
        Ok(())
    }

    fn chat(&mut self, peer: PeerId, to: Option<PeerId>, text: String, time_ms: u64) -> Result<(), PeopleError> {
        let (audience, event) = messages::chat(&self.roster, peer, to, text, time_ms)?;
        self.log.push(audience, event);
        Ok(())
    }

    fn hand(&mut self, peer: PeerId, raised: bool) -> Result<(), PeopleError> {
        self.roster.get_mut(peer)?;
        if self.hands.set(peer, raised) {
            self.tell_hands();
        }
        Ok(())
    }

    fn update(&mut self, peer: PeerId, name: Option<String>, metadata: Option<String>) -> Result<(), PeopleError> {
        let old = &self.roster.get_mut(peer)?.profile;
        let changed = Profile {
            identity: old.identity.clone(),
            name: name.unwrap_or_else(|| old.name.clone()),
            metadata: metadata.unwrap_or_else(|| old.metadata.clone()),
        };
        let changed = roster::checked(changed, false, &self.limits)?;
        let participant = self.roster.get_mut(peer)?;
        if participant.profile != changed {
            let (name, metadata) = (changed.name.clone(), changed.metadata.clone());
            participant.profile = changed;
            self.log.push(Audience::All, Event::Updated { peer, name, metadata });
        }
        Ok(())
    }

    fn resumed(&mut self, peer: PeerId, now: Instant) -> Result<(), PeopleError> {
        self.roster.rights(peer).ok_or(PeopleError::NoParticipant(peer))?;
        self.presence.find(peer);
        self.tell_presence(now);
        Ok(())
    }

    /// Tells who is away and who is back, all of a moment together. Viewers are away unseen.
    fn tell_presence(&mut self, now: Instant) {
        let (away, back) = self.presence.news(now);
        for (peers, away) in [(away, true), (back, false)] {
            let mut listed = vec![];
            for peer in peers {
                if let Ok(participant) = self.roster.get_mut(peer) {
                    participant.away = away;
                    listed.push(peer);
                }
            }
            if !listed.is_empty() {
                self.log.push(Audience::All, Event::Away { peers: listed, away });
            }
        }
    }

    fn permit(&mut self, peer: PeerId, publish: Publish) -> Result<(), PeopleError> {
        let participant = self.roster.get_mut(peer)?;
        self.gate.remember_permit(participant.profile.identity.clone(), publish);
        if participant.rights.publish != publish {
            participant.rights.publish = publish;
            self.log.push(Audience::All, Event::Permitted { peer, publish });
        }
        Ok(())
    }

    fn tell_lobby(&mut self) {
        self.log.push(Audience::Only(self.roster.moderators()), Event::Lobby(self.gate.lobby().to_vec()));
    }

    fn tell_hands(&mut self) {
        self.roster.place_hands(&self.hands);
        self.log.push(Audience::All, Event::Hands(self.hands.raised().to_vec()));
    }

    /// Tells the number of viewers if it is another than was told, now or when the last telling is long enough ago.
    fn tell_viewers(&mut self, now: Instant) {
        self.viewers_due = None;
        let count = self.roster.viewer_count() as u32;
        if count == self.viewers_told {
            return;
        }
        match self.viewers_told_at.map(|at| at + VIEWERS_PERIOD).filter(|due| *due > now) {
            Some(due) => self.viewers_due = Some(due),
            None => {
                self.viewers_told = count;
                self.viewers_told_at = Some(now);
                self.log.push(Audience::All, Event::Viewers(count));
            }
        }
    }
}
