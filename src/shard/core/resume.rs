//! Signalling that is lost and comes back. Media knows nothing of it.

use std::time::Instant;

use super::Core;
use crate::id::{PeerId, RoomName, SlotIndex};
use crate::limits::MISSED_EVENTS_MAX;
use crate::people::{Input, PeopleError};
use crate::room::SlotState;
use crate::shard::command::{Earlier, Notice, Refusal};

impl Core {
    /// Somebody's signalling is lost. Which connection of theirs: one that was replaced takes nothing with it.
    pub fn lost(&mut self, room: &RoomName, peer: PeerId, attachment: u32, now: Instant) -> Result<(), Refusal> {
        self.hall_of(room, peer)?;
        if self.members.get(&peer).is_some_and(|member| member.attachment == attachment) {
            self.lost_reader(peer, now);
        }
        Ok(())
    }

    /// Nobody takes somebody's notices any more.
    pub fn lost_reader(&mut self, peer: PeerId, now: Instant) {
        let Some(key) = self.members.get(&peer).map(|member| member.hall) else { return };
        if let Ok(Err(error)) = self.in_hall(key, now, |hall| hall.people.handle(Input::Lost { peer }, now)) {
            tracing::debug!(%peer, %error, "lost, but not there");
        }
        self.settle(key, now);
    }

    /// Somebody's signalling comes back: what was missed since the event `seq`, the slots, the encodings and the speakers are told anew. Returns the
    /// number of the new connection.
    pub fn resume(&mut self, room: &RoomName, earlier: &Earlier, seq: u64, now: Instant) -> Result<u32, Refusal> {
        let peer = self.member_of(room, earlier).ok_or(PeopleError::CannotResume)?;
        let key = self.hall_of(room, peer)?;
        if self.members.get(&peer).is_none_or(|member| seq < member.since) {
            return Err(PeopleError::CannotResume.into());
        }
        let missed = self.in_hall(key, now, |hall| hall.people.events_since(seq, peer))?;
        let missed = missed.filter(|events| events.len() <= MISSED_EVENTS_MAX).ok_or(PeopleError::CannotResume)?;
        let speakers = self.in_hall(key, now, |hall| hall.room.speakers().to_vec())?;
        // What is not handed over yet is in what was missed, or is told below.
        self.notices.retain(|(other, _)| *other != peer);
        self.notices.extend(missed.into_iter().map(|event| (peer, Notice::Event(event.into()))));
        let encodings = self.in_hall(key, now, |hall| hall.room.encodings(peer))?;
        if !encodings.is_empty() {
            self.notices.push_back((peer, Notice::Encodings(encodings)));
        }
        let slots = self.all_slots(key, peer);
        self.notices.push_back((peer, Notice::Slots(slots)));
        self.notices.push_back((peer, Notice::Speakers(speakers.into())));
        self.in_hall(key, now, |hall| hall.people.handle(Input::Resumed { peer }, now))??;
        self.settle(key, now);
        let member = self.members.get_mut(&peer).ok_or(PeopleError::CannotResume)?;
        member.attachment += 1;
        tracing::info!(%room, %peer, "resume");
        Ok(member.attachment)
    }

    /// The member that an earlier participation is, if its secret is right.
    pub(super) fn member_of(&self, room: &RoomName, earlier: &Earlier) -> Option<PeerId> {
        let member = self.members.get(&earlier.peer).filter(|member| member.secret == earlier.secret)?;
        (self.names.get(room) == Some(&member.hall)).then_some(earlier.peer)
    }

    fn all_slots(&self, key: usize, peer: PeerId) -> Vec<(String, SlotState)> {
        let (Some(member), Some(hall)) = (self.members.get(&peer), &self.halls[key]) else { return vec![] };
        let slots = (0..).map(SlotIndex).map_while(|slot| Some((slot, member.media.slot_mid(slot)?)));
        slots.filter_map(|(slot, mid)| Some((mid.to_owned(), hall.room.slot_state(peer, slot)?))).collect()
    }
}
