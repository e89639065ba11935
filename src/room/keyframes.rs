//! Who asks a publisher for a keyframe, and how seldom: one request of an encoding serves all who wait for it.

use std::collections::VecDeque;
use std::time::Instant;

use super::track::{Ask, Track};
use super::{News, Room, RoomError, sooner};
use crate::id::{LayerIndex, PeerId, SlotIndex, TrackId};

impl Room {
    pub(super) fn keyframe_request(&mut self, id: PeerId, index: SlotIndex, now: Instant) -> Result<(), RoomError> {
        let key = self.slot_key(id, index)?;
        // Browsers ask for a picture of a slot that was emptied, too.
        let Some(slot) = self.slots[key].as_ref().filter(|slot| slot.state.reason.is_none()) else { return Ok(()) };
        let Some(id) = slot.source() else { return Ok(()) };
        let wanted = slot.encoding.or(slot.aim.map(|(encoding, _)| encoding));
        let Some(track) = self.tracks.get_mut(&id) else { return Ok(()) };
        if let Some(encoding) = wanted {
            track.need(encoding, true);
            self.ask(id, encoding, now);
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, id: TrackId, layer: LayerIndex, now: Instant) {
        if self.at_hand == Some((id, layer)) {
            return;
        }
        let Some(track) = self.tracks.get_mut(&id) else { return };
        ask(id, track, layer, &mut self.news, &mut self.wake, now);
    }

    pub(super) fn repeat_requests(&mut self, now: Instant) {
        for (id, track) in &mut self.tracks {
            for encoding in 0..track.encodings.len() {
                ask(*id, track, LayerIndex(encoding as u8), &mut self.news, &mut self.wake, now);
            }
        }
    }
}

/// Asks for a keyframe if one is needed and it is time; else sees to it that it is looked at again.
pub(super) fn ask(id: TrackId, track: &mut Track, layer: LayerIndex, news: &mut VecDeque<News>, wake: &mut Option<Instant>, now: Instant) {
    match track.ask(layer, now) {
        Ask::Now(again) => {
            let found = &mut track.encodings[usize::from(layer.0)];
            if !found.queued {
                found.queued = true;
                news.push_back(News::Keyframe(id, layer));
            }
            sooner(wake, again);
        }
        Ask::At(again) => sooner(wake, again),
        Ask::Never => {}
    }
}
