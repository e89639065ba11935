//! Who is let in, and what moderators do about those who are.

use std::time::Instant;

use super::Core;
use crate::id::{PeerId, RoomName, TrackId};
use crate::people::{Doorway, Input, Knock, LeaveReason, PeopleError, Profile};
use crate::shard::command::{Answered, Earlier, Moderation, Notice, Refusal};
use crate::shard::hall::Hall;

impl Core {
    /// Somebody asks to be let in. A room that is not there lets everybody in; who was in it a moment ago comes in again.
    pub fn knock(&mut self, room: &RoomName, knock: &Knock, earlier: Option<&Earlier>, now: Instant) -> Result<Answered, Refusal> {
        let Some(key) = self.names.get(room).copied() else { return Ok(Answered { doorway: Doorway::Open, identity: None }) };
        let member = earlier.and_then(|earlier| self.member_of(room, earlier));
        // Only as what they were: a viewer was let in to watch.
        let member = member.filter(|peer| self.members.get(peer).is_some_and(|member| member.viewer == knock.viewer));
        if let Some(peer) = member {
            let identity = self.in_hall(key, now, |hall| hall.people.identity(peer))?;
            let profile = Profile { identity: identity.clone().unwrap_or_default(), ..knock.profile.clone() };
            self.in_hall(key, now, |hall| hall.people.check(&profile, knock.viewer, knock.address))??;
            return Ok(Answered { doorway: Doorway::Open, identity });
        }
        let doorway = self.in_hall(key, now, |hall| hall.people.knock(knock))?;
        self.settle(key, now);
        Ok(Answered { doorway: doorway?, identity: None })
    }

    /// A moderator does something, or the API.
    pub fn moderate(&mut self, room: &RoomName, by: Option<PeerId>, what: Moderation, now: Instant) -> Result<(), Refusal> {
        let key = match by {
            Some(by) => self.hall_of(room, by)?,
            None => *self.names.get(room).ok_or(Refusal::NoRoom)?,
        };
        let may = self.in_hall(key, now, |hall| by.is_none_or(|by| hall.people.may_moderate(by)))?;
        if !may {
            return Err(PeopleError::NotAllowed.into());
        }
        let done = match what {
            Moderation::Mute { peer, track } => self.in_hall(key, now, |hall| mute(hall, peer, track, by, now))?,
            Moderation::Remove { peer, ban } => self.send_out(room, key, peer, ban, now),
            Moderation::Permit { peer, publish } => {
                self.in_hall(key, now, |hall| Ok(hall.people.handle(Input::Permit { peer, publish }, now)?))?
            }
            Moderation::Settings(change) => self.in_hall(key, now, |hall| Ok(hall.people.handle(Input::Settings(change), now)?))?,
            Moderation::Admit { peer, admit } => self.admit(key, peer, admit, now),
        };
        self.end_forbidden(key, now);
        self.release(key, now);
        self.settle(key, now);
        done
    }

    /// Lets those in who wait although nobody has to any more.
    fn release(&mut self, key: usize, now: Instant) {
        for peer in self.in_hall(key, now, |hall| hall.people.released()).unwrap_or_default() {
            // They do wait.
            let _ = self.admit(key, peer, true, now);
        }
    }

    /// Somebody does not wait in the lobby any longer. `false`: they did not.
    pub(super) fn stop_waiting(&mut self, room: &RoomName, peer: PeerId, now: Instant) -> bool {
        let Some(key) = self.names.get(room).copied() else { return false };
        let waited = self.in_hall(key, now, |hall| hall.people.take_waiting(peer)).unwrap_or(false);
        if waited {
            self.notices.push_back((peer, Notice::NotAdmitted));
            self.settle(key, now);
        }
        waited
    }

    fn admit(&mut self, key: usize, peer: PeerId, admit: bool, now: Instant) -> Result<(), Refusal> {
        if !self.in_hall(key, now, |hall| hall.people.take_waiting(peer))? {
            return Err(PeopleError::NoParticipant(peer).into());
        }
        self.notices.push_back((peer, if admit { Notice::Admitted } else { Notice::NotAdmitted }));
        Ok(())
    }

    fn send_out(&mut self, room: &RoomName, key: usize, peer: PeerId, ban: bool, now: Instant) -> Result<(), Refusal> {
        if !ban {
            self.hall_of(room, peer)?;
            self.remove(peer, LeaveReason::Removed, now);
            return Ok(());
        }
        let banned = self.in_hall(key, now, |hall| hall.people.ban(peer))?;
        if banned.is_empty() {
            return Err(PeopleError::NoParticipant(peer).into());
        }
        for peer in banned {
            if !self.stop_waiting(room, peer, now) {
                self.remove(peer, LeaveReason::Banned, now);
            }
        }
        Ok(())
    }

    /// Ends the tracks that rights or settings do not allow any more, in the room and where their media comes in.
    fn end_forbidden(&mut self, key: usize, now: Instant) {
        for (peer, track) in self.in_hall(key, now, |hall| hall.end_forbidden(now)).unwrap_or_default() {
            if let Some(member) = self.members.get_mut(&peer) {
                member.media.end_track(track);
            }
            self.present = None;
        }
    }
}

/// Mutes one track of somebody, or all.
fn mute(hall: &mut Hall, peer: PeerId, track: Option<TrackId>, by: Option<PeerId>, now: Instant) -> Result<(), Refusal> {
    let participant = hall.people.participant(peer).ok_or(PeopleError::NoParticipant(peer))?;
    let tracks: Vec<_> = participant.tracks.iter().map(|info| info.track).filter(|one| track.is_none_or(|track| *one == track)).collect();
    if let Some(track) = track.filter(|_| tracks.is_empty()) {
        return Err(PeopleError::NoTrack(track).into());
    }
    tracks.into_iter().try_for_each(|track| hall.set_muted(track, true, by, now))
}
