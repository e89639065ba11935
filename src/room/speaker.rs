//! Who speaks: told at most five times a second and only when it changed; heard as soon as they begin, or as soon as they are clearly louder than
//! one of those who are heard.

use std::collections::BTreeMap;
use std::time::Instant;

use super::event::Speaker;
use super::fill::{ACTIVE, KEPT, SEATED};
use super::track::{Phase, Track};
use crate::id::{PeerId, TrackId};
use crate::limits::{CROWD_PERIOD, SPEAKERS_MAX, SPEAKERS_PERIOD, VOICES_PERIOD};
use crate::rtp::Kind;

/// The room's speakers as last told, and when to judge again.
#[derive(Default)]
pub(super) struct Speakers {
    /// Loudest first.
    pub(super) list: Vec<Speaker>,
    /// The list stands in the room's output.
    pub(super) queued: bool,
    /// Of those who talk as many as one receiver hears.
    heard: Vec<TrackId>,
    due: Option<Instant>,
    judged: Option<Instant>,
    told: Option<Instant>,
}

/// What a look at the levels brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// Another list is to be told.
    pub(super) list: bool,
    /// Somebody's phase changed: slots may have to be filled anew.
    pub(super) phase: bool,
}

impl Speakers {
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.due
    }

    /// A sound packet came: levels are worth a look soon.
    pub(super) fn listen(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = Some(self.judged.map_or(now, |judged| now.max(judged + SPEAKERS_PERIOD)));
        }
    }

    /// Somebody began to speak, and the slots may not know: look at once, or soon.
    pub(super) fn hurry(&mut self, now: Instant) {
        let due = self.judged.map_or(now, |judged| now.max(judged + VOICES_PERIOD));
        self.due = Some(self.due.map_or(due, |old| old.min(due)));
    }

    /// Somebody talks, is not heard, and is clearly louder than one who is.
    pub(super) fn is_left_out(&self, id: TrackId, tracks: &BTreeMap<TrackId, Track>) -> bool {
        if self.heard.contains(&id) {
            return false;
        }
        let loudness = |id: &TrackId| tracks.get(id).map_or(0.0, |track| track.level.value());
        let talks = tracks.get(&id).is_some_and(|track| track.level.speaking() && !track.screen);
        talks && self.heard.iter().any(|heard| loudness(heard) + SEATED < loudness(&id))
    }

    /// Looks at all levels. Goes on by itself until everything is silent, since silence comes without packets.
    /// `voices`: how many sounds one receiver hears.
    pub(super) fn handle_timeout(&mut self, tracks: &mut BTreeMap<TrackId, Track>, voices: usize, now: Instant) -> Change {
        let mut change = Change::default();
        let mut loudest: BTreeMap<PeerId, f32> = BTreeMap::new();
        let mut talking: Vec<(TrackId, f32)> = Vec::new();
        let mut restless = false;
        for (id, track) in tracks.iter_mut().filter(|(_, track)| track.kind == Kind::Audio) {
            track.level.handle_timeout(now);
            let level = &track.level;
            let phase = Phase { speaking: level.speaking(), kept: level.heard_within(KEPT, now), active: level.heard_within(ACTIVE, now) };
            change.phase |= phase != track.phase;
            track.phase = phase;
            restless |= phase != Phase::default();
            // The sound of a screen is nobody's voice.
            if phase.speaking && !track.muted && !track.screen {
                let loudness = loudest.entry(track.owner).or_default();
                *loudness = loudness.max(level.value());
                talking.push((*id, level.value() + if self.heard.contains(id) { SEATED } else { 0.0 }));
            }
        }
        // While more talk than are heard, the loudest change from word to word.
        let crowded = loudest.len() > voices;
        change.phase |= crowded;
        talking.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        talking.truncate(voices);
        self.heard = talking.into_iter().map(|(id, _)| id).collect();
        // Tenths are as fine as a picture of it needs to be, and keep it from being news all the time.
        let mut list: Vec<Speaker> =
            loudest.into_iter().map(|(peer, level)| Speaker { peer, level: (level * 10.0).round() / 10.0 }).collect();
        list.sort_by(|a, b| b.level.total_cmp(&a.level).then(a.peer.cmp(&b.peer)));
        list.truncate(SPEAKERS_MAX);
        if self.told.is_none_or(|told| now.saturating_duration_since(told) >= SPEAKERS_PERIOD) {
            change.list = list != self.list;
            self.list = list;
            self.told = Some(now);
        }
        self.judged = Some(now);
        let period = if crowded { CROWD_PERIOD } else { SPEAKERS_PERIOD };
        self.due = (restless || !self.list.is_empty()).then_some(now + period);
        change
    }

    /// Somebody left, or was muted: look again even if no sound comes any more.
    pub(super) fn look_again(&mut self, now: Instant) {
        if !self.list.is_empty() {
            self.listen(now);
        }
    }
}
