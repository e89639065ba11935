//! Tracks come and go. Whoever has a track in a slot is told, and the slots are filled anew.

use std::time::Instant;

use super::track::Track;
use super::{News, Room, RoomError, TrackSpec, tell_slot};
use crate::id::{PeerId, TrackId};
use crate::limits::TRACKS_PER_PEER_MAX;

impl Room {
    pub(super) fn publish(&mut self, id: PeerId, track: TrackId, spec: &TrackSpec, now: Instant) -> Result<(), RoomError> {
        let peer = self.peers.get_mut(&id).ok_or(RoomError::NoPeer(id))?;
        if peer.tracks.len() >= TRACKS_PER_PEER_MAX {
            return Err(RoomError::TooManyTracks(TRACKS_PER_PEER_MAX));
        }
        // A number that was not drawn here, or was drawn and is taken.
        if track.0 == 0 || track.0 > self.tracks_made || self.tracks.contains_key(&track) {
            return Err(RoomError::NoTrack(track));
        }
        peer.tracks.push(track);
        self.tracks.insert(track, Track::new(id, spec, now));
        self.rewatched.push(track);
        self.fill_all(now);
        Ok(())
    }

    pub(super) fn unpublish(&mut self, track: TrackId, now: Instant) -> Result<(), RoomError> {
        self.tracks.get(&track).ok_or(RoomError::NoTrack(track))?;
        self.unpublish_all(&[track], now)
    }

    pub(super) fn unpublish_all(&mut self, tracks: &[TrackId], now: Instant) -> Result<(), RoomError> {
        for track in tracks {
            if let Some(peer) = self.tracks.get(track).and_then(|track| self.peers.get_mut(&track.owner)) {
                peer.tracks.retain(|t| t != track);
            }
            self.remove_track(*track, now);
        }
        self.fill_all(now);
        Ok(())
    }

    pub(super) fn remove_track(&mut self, id: TrackId, now: Instant) {
        let Some(track) = self.tracks.remove(&id) else { return };
        if track.queued || track.encodings.iter().any(|encoding| encoding.queued) {
            self.news.retain(|news| !matches!(news, News::Keyframe(other, _) | News::Encodings(other) if *other == id));
        }
        for key in track.receivers {
            if let Some(slot) = self.slots[key].as_mut() {
                slot.set_source(None, now);
                tell_slot(&mut self.news, key, slot);
                let peer = slot.peer;
                self.stir(peer);
            }
        }
        self.speakers.look_again(now);
    }
}
