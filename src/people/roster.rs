//! Who is here: participants in the order of joining, viewers as a number with their identities.
//!
//! Searches are linear: a roster has at most `PARTICIPANTS_MAX` entries, and people do things at the pace of people.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::event::{Participant, PeopleError, Profile};
use super::hands::Hands;
use crate::auth::Rights;
use crate::id::{PeerId, TrackId};
use crate::limits::{DISPLAY_NAME_CHARS_MAX, IDENTITY_CHARS_MAX, Limits};

/// The list.
#[derive(Debug, Default)]
pub(super) struct Roster {
    participants: Vec<Participant>,
    viewers: BTreeMap<PeerId, Viewer>,
    /// Of those whose identity is made anew each time, see `Knock`.
    addresses: BTreeMap<PeerId, IpAddr>,
}

/// One who is counted.
#[derive(Debug)]
struct Viewer {
    identity: String,
    rights: Rights,
}

impl Roster {
    pub(super) fn participants(&self) -> &[Participant] {
        &self.participants
    }

    pub(super) fn get(&self, peer: PeerId) -> Option<&Participant> {
        self.participants.iter().find(|p| p.peer == peer)
    }

    /// A participant, or why there is none.
    pub(super) fn get_mut(&mut self, peer: PeerId) -> Result<&mut Participant, PeopleError> {
        if self.viewers.contains_key(&peer) {
            return Err(PeopleError::Viewer);
        }
        self.participants.iter_mut().find(|p| p.peer == peer).ok_or(PeopleError::NoParticipant(peer))
    }

    pub(super) fn is_viewer(&self, peer: PeerId) -> bool {
        self.viewers.contains_key(&peer)
    }

    pub(super) fn viewer_count(&self) -> usize {
        self.viewers.len()
    }

    pub(super) fn find_identity(&self, identity: &str) -> Option<PeerId> {
        let listed = self.participants.iter().find(|p| p.profile.identity == identity).map(|p| p.peer);
        listed.or_else(|| self.viewers.iter().find(|(_, viewer)| viewer.identity == identity).map(|(peer, _)| *peer))
    }

    /// Who publishes this track.
    pub(super) fn owner(&self, track: TrackId) -> Option<PeerId> {
        self.participants.iter().find(|p| p.tracks.iter().any(|info| info.track == track)).map(|p| p.peer)
    }

    /// Whether one more may come, `leaving` giving up its place.
    pub(super) fn check_room(&self, viewer: bool, leaving: Option<PeerId>, limits: &Limits) -> Result<(), PeopleError> {
        let freed = |is_viewer: bool| usize::from(leaving.is_some_and(|peer| self.is_viewer(peer) == is_viewer));
        let full = match viewer {
            true => self.viewers.len() - freed(true) >= limits.viewers,
            false => self.participants.len() - freed(false) >= limits.participants,
        };
        if full { Err(PeopleError::Full) } else { Ok(()) }
    }

    pub(super) fn add(&mut self, participant: Participant) {
        debug_assert!(self.get(participant.peer).is_none() && !self.is_viewer(participant.peer), "the door gives each number once");
        self.participants.push(participant);
    }

    pub(super) fn add_viewer(&mut self, peer: PeerId, identity: String, rights: Rights) {
        self.viewers.insert(peer, Viewer { identity, rights });
    }

    /// Notes by which address somebody can be banned.
    pub(super) fn note_address(&mut self, peer: PeerId, address: IpAddr) {
        self.addresses.insert(peer, address);
    }

    /// Identity and address of somebody, viewers included.
    pub(super) fn traits(&self, peer: PeerId) -> Option<(String, Option<IpAddr>)> {
        let listed = self.get(peer).map(|participant| &participant.profile.identity);
        let identity = listed.or_else(|| self.viewers.get(&peer).map(|viewer| &viewer.identity))?;
        Some((identity.clone(), self.addresses.get(&peer).copied()))
    }

    /// What somebody may do, viewers included.
    pub(super) fn rights(&self, peer: PeerId) -> Option<Rights> {
        self.get(peer).map(|p| p.rights).or_else(|| self.viewers.get(&peer).map(|viewer| viewer.rights))
    }

    /// Everybody, viewers included.
    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.participants.iter().map(|p| p.peer).chain(self.viewers.keys().copied())
    }

    /// All who moderate, viewers included.
    pub(super) fn moderators(&self) -> Vec<PeerId> {
        let listed = self.participants.iter().filter(|p| p.rights.moderate).map(|p| p.peer);
        listed.chain(self.viewers.iter().filter(|(_, viewer)| viewer.rights.moderate).map(|(peer, _)| *peer)).collect()
    }

    pub(super) fn remove(&mut self, peer: PeerId) -> Result<(), PeopleError> {
        let at = self.participants.iter().position(|p| p.peer == peer).ok_or(PeopleError::NoParticipant(peer))?;
        self.participants.remove(at);
        self.addresses.remove(&peer);
        Ok(())
    }

    /// True if it was a viewer.
    pub(super) fn remove_viewer(&mut self, peer: PeerId) -> bool {
        self.addresses.remove(&peer);
        self.viewers.remove(&peer).is_some()
    }

    /// Notes in each participant its place among the raised hands.
    pub(super) fn place_hands(&mut self, hands: &Hands) {
        for participant in &mut self.participants {
            participant.hand = hands.place(participant.peer);
        }
    }
}

/// The profile as it is kept, or why it is refused. A viewer may have no name.
pub(super) fn checked(profile: Profile, viewer: bool, limits: &Limits) -> Result<Profile, PeopleError> {
    let name = profile.name.trim();
    let length = name.chars().count();
    let nameless = length == 0 && !viewer;
    if nameless || length > DISPLAY_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(PeopleError::BadName);
    }
    if profile.identity.is_empty() || profile.identity.chars().count() > IDENTITY_CHARS_MAX {
        return Err(PeopleError::BadName);
    }
    if profile.metadata.len() > limits.metadata_bytes {
        return Err(PeopleError::BadMetadata(limits.metadata_bytes));
    }
    Ok(Profile { name: name.to_owned(), ..profile })
}
