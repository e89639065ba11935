//! What is always true of a room. Every simulation asks after each step.

use super::Room;
use super::slot::Slot;
use crate::id::TrackId;
use crate::limits::{SLOTS_PER_PEER_MAX, TRACKS_PER_PEER_MAX};
use crate::rtp::Kind;

impl Room {
    /// Panics if the room contradicts itself. Slow; for tests.
    pub fn check_invariants(&self) {
        self.check_tracks();
        self.check_slots();
        self.check_pairs();
        self.check_news();
        let counters = &self.counters;
        assert_eq!(counters.offers + counters.unoffered, counters.forwarded + counters.drops.total(), "a packet was lost in silence");
    }

    fn check_tracks(&self) {
        let mut published = 0;
        for (id, peer) in &self.peers {
            assert!(peer.tracks.len() <= TRACKS_PER_PEER_MAX && peer.slots.len() <= SLOTS_PER_PEER_MAX);
            published += peer.tracks.len();
            for track in &peer.tracks {
                assert_eq!(self.tracks[track].owner, *id, "a track belongs to its publisher");
            }
        }
        assert_eq!(published, self.tracks.len(), "a track outlived its publisher");
        for (id, track) in &self.tracks {
            for (at, key) in track.receivers.iter().enumerate() {
                let slot = self.slots[*key].as_ref().expect("a receiver is a slot");
                assert_eq!(slot.source(), Some(*id), "a receiver has the track as its source");
                assert!(!track.receivers[..at].contains(key), "a receiver is listed once");
            }
            let aims = || track.receivers.iter().filter_map(|key| self.slots[*key].as_ref()?.aim);
            for (index, encoding) in track.encodings.iter().enumerate() {
                let watchers = aims().filter(|(aim, _)| usize::from(aim.0) == index).count();
                assert_eq!(encoding.watchers as usize, watchers, "whoever watches is counted once");
            }
        }
    }

    fn check_slots(&self) {
        let mut owned = 0;
        for (id, peer) in &self.peers {
            let mut sources = Vec::new();
            for (index, key) in peer.slots.iter().enumerate() {
                let slot = self.slots[*key].as_ref().expect("a peer's slot exists");
                assert_eq!((slot.peer, usize::from(slot.index.0)), (*id, index));
                owned += 1;
                let Some(source) = slot.source() else {
                    assert!(
                        slot.encoding.is_none()
                            && slot.aim.is_none()
                            && slot.state.reason.is_none()
                            && slot.state.first_timestamp.is_none()
                    );
                    continue;
                };
                let track = self.tracks.get(&source).expect("no slot keeps a track that is gone");
                assert_eq!(slot.state.source, Some((source, track.owner)));
                assert!(peer.connected && !slot.closed, "only open slots of connected peers have a source");
                assert_eq!(slot.kind, track.kind);
                assert!(track.receivers.contains(key), "the track knows its receiver");
                assert!(!sources.contains(&source), "a track is shown once");
                sources.push(source);
                assert!(slot.state.reason.is_none() || slot.encoding.is_none(), "a slot that cannot send has no layer");
                assert_eq!(slot.encoding.is_some(), slot.state.first_timestamp.is_some(), "the first packet is told");
                assert!(!track.muted || slot.state.reason.is_some(), "a muted track is not sent");
            }
        }
        let live = self.slots.iter().flatten().count();
        assert_eq!(owned, live, "a slot outlived its peer");
        assert_eq!(live + self.slots_free.len(), self.slots.len());
    }

    /// While all sound fits, what is seen and heard of one person stands in slots of equal number; it can be missing only for want of such a pair.
    fn check_pairs(&self) {
        let group = |track: &TrackId| self.tracks.get(track).map(|track| (track.owner, track.screen));
        for (id, peer) in self.peers.iter().filter(|(_, peer)| peer.connected) {
            let of = |kind: Kind| -> Vec<&Slot> {
                peer.slots.iter().filter_map(|key| self.slots[*key].as_ref()).filter(|slot| slot.kind == kind).collect()
            };
            let (video, audio) = (of(Kind::Video), of(Kind::Audio));
            let sounds = self.tracks.values().filter(|track| track.kind == Kind::Audio && track.owner != *id).count();
            if sounds > audio.iter().filter(|slot| !slot.closed).count().min(self.config.voices) {
                continue;
            }
            let pairs: Vec<usize> = (0..video.len().min(audio.len())).filter(|at| !video[*at].closed && !audio[*at].closed).collect();
            let at = |slots: &[&Slot], person| -> Vec<usize> {
                (0..slots.len()).filter(|at| slots[*at].source().as_ref().and_then(group) == Some(person)).collect()
            };
            let sounding = |person| self.tracks.values().any(|track| track.kind == Kind::Audio && (track.owner, track.screen) == person);
            let spare = pairs.iter().any(|at| video[*at].source().as_ref().and_then(group).is_none_or(|person| !sounding(person)));
            for person in audio.iter().filter_map(|slot| slot.source().as_ref().and_then(group)) {
                let (seen, heard) = (at(&video, person), at(&audio, person));
                let together = seen.iter().any(|at| heard.contains(at));
                let possible = !seen.is_empty() && (spare || seen.iter().any(|at| pairs.contains(at)));
                assert!(together || !possible, "{person:?} is seen in {seen:?} and heard in {heard:?}");
            }
        }
    }

    fn check_news(&self) {
        let slots = self.slots.iter().flatten().filter(|slot| slot.queued).count();
        let layers = self.tracks.values().flat_map(|track| &track.encodings).filter(|encoding| encoding.queued).count();
        let encodings = self.tracks.values().filter(|track| track.queued).count();
        let wants = self.peers.values().filter(|peer| peer.queued).count();
        let speakers = usize::from(self.speakers.queued);
        let replays = self.news.iter().filter(|news| matches!(news, super::News::Replay(_))).count();
        assert_eq!(
            self.news.len(),
            slots + layers + encodings + wants + speakers + replays,
            "each piece of news is queued once and not forgotten"
        );
    }
}
