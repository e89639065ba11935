//! The fillers: who is shown in which slot. Policy, and nothing but: values in, a list of tracks out.
//!
//! Here it is chosen *which* tracks a receiver gets; `place` decides *where*.
//!
//! The conference shows everybody in the order of joining. When there are more cameras than places, those who speak have theirs: whoever was
//! heard in the last 5 s stays (the earliest turn first, so that two who talk at once do not push each other out), then the last heard. Only
//! the first page follows the speakers; further pages keep the order, so that turning them shows what one expects.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::event::{Filler, View};
use super::place::Group;
use crate::id::{PeerId, TrackId};
use crate::limits::VIEW_TRACKS_MAX;
use crate::rtp::{Kind, Level};

/// Whoever was heard within this time keeps a place in the picture.
pub(super) const ACTIVE: Duration = Duration::from_secs(5);
/// How much louder than a voice that has a slot another one has to be to take it (of 1).
pub(super) const SEATED: f32 = 0.15;
/// A voice is heard for so long after it fell below the level of speech: between two words.
pub(super) const KEPT: Duration = Duration::from_millis(200);

/// A track that may be shown.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) track: TrackId,
    pub(super) owner: PeerId,
    /// Place of its owner in the order of joining.
    pub(super) joined: u64,
    pub(super) kind: Kind,
    pub(super) screen: bool,
    pub(super) muted: bool,
    /// Level of its owner's voice (of a sound track: its own).
    pub(super) level: Level,
}

/// A slot as the fillers see it, in order of slot indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: Option<TrackId>,
    /// It may have a source.
    pub(super) open: bool,
}

/// All tracks of a room, sorted once for all receivers, so that filling one of them costs as much as it has slots.
pub(super) struct Candidates {
    /// By number.
    all: Vec<Candidate>,
    /// What may be seen: screens, then cameras, in the filler's order.
    pictures: Vec<Candidate>,
    /// The same with the cameras sorted by how much they belong to the conversation.
    lively: Vec<Candidate>,
    /// What may be heard: the sound of screens, then voices in the order of joining.
    sounds: Vec<Candidate>,
    /// Those who speak, loudest first.
    speaking: Vec<Candidate>,
    /// How many of them one receiver hears at most.
    voices: usize,
    /// What has sound, muted or not.
    sounding: Vec<Group>,
}

impl Candidates {
    /// Sorts them.
    pub(super) fn new(filler: Filler, voices: usize, mut all: Vec<Candidate>, now: Instant) -> Candidates {
        all.sort_by_key(|c| c.track);
        let of = |kind: Kind| all.iter().filter(move |c| c.kind == kind && !c.muted).copied();
        let mut pictures: Vec<Candidate> = of(Kind::Video).collect();
        match filler {
            Filler::Conference => pictures.sort_by_key(|c| (!c.screen, c.joined)),
            Filler::Broadcast => pictures.sort_by_key(|c| !c.screen),
        }
        let mut lively = pictures.clone();
        match filler {
            Filler::Conference => lively.sort_by_key(|c| (!c.screen).then(|| standing(c, now))),
            Filler::Broadcast => {}
        }
        let mut sounds: Vec<Candidate> = of(Kind::Audio).collect();
        sounds.sort_by_key(|c| (!c.screen, c.joined));
        let is_loud = |c: &&Candidate| c.level.speaking() && c.level.heard_within(KEPT, now);
        let mut speaking: Vec<Candidate> = sounds.iter().filter(is_loud).copied().collect();
        speaking.sort_by(|a, b| b.level.value().total_cmp(&a.level.value()));
        let sounding = all.iter().filter(|c| c.kind == Kind::Audio).map(|c| (c.owner, c.screen)).collect();
        Candidates { all, pictures, lively, sounds, speaking, voices, sounding }
    }

    /// What of the others has sound, each once, if all of it fits so many places.
    pub(super) fn sounding(&self, me: PeerId, places: usize) -> Option<Vec<Group>> {
        let (mut groups, mut count) = (Vec::new(), 0);
        for group in self.sounding.iter().filter(|(owner, _)| *owner != me) {
            count += 1;
            if count > places.min(self.voices) {
                return None;
            }
            if !groups.contains(group) {
                groups.push(*group);
            }
        }
        Some(groups)
    }

    /// The track with this number.
    pub(super) fn get(&self, track: TrackId) -> Option<&Candidate> {
        self.all.binary_search_by_key(&track, |c| c.track).ok().map(|at| &self.all[at])
    }

    /// The tracks in `wanted` that fit, in its order, each once.
    fn named(&self, wanted: &[TrackId], fits: impl Fn(&Candidate) -> bool) -> Vec<TrackId> {
        let mut list = Vec::new();
        for track in wanted.iter().take(VIEW_TRACKS_MAX) {
            if self.get(*track).is_some_and(&fits) && !list.contains(track) {
                list.push(*track);
            }
        }
        list
    }

    /// Which tracks `me` sees in `places` slots.
    pub(super) fn video(&self, view: &View, me: PeerId, places: usize) -> Vec<TrackId> {
        match view {
            View::Tracks(wanted) => {
                let mut list = self.named(wanted, |c| c.kind == Kind::Video);
                list.truncate(places);
                list
            }
            View::Auto { offset, limit, pinned } => {
                let first = self.named(pinned, |c| c.kind == Kind::Video && c.owner != me && !c.muted);
                let order = if *offset == 0 { &self.lively } else { &self.pictures };
                let rest = order.iter().filter(|c| c.owner != me && !first.contains(&c.track)).map(|c| c.track);
                first.iter().copied().chain(rest).skip(*offset).take(limit.map_or(places, |limit| limit.min(places))).collect()
            }
        }
    }

    /// Which tracks `me` hears: all that fit. Above that the sound of screens, then who speaks, loudest first, then who has a slot, then the
    /// order of joining. So a voice loses its slot only to one that is clearly louder, as others are in its pauses.
    pub(super) fn audio(&self, me: PeerId, current: &[Place], now: Instant) -> Vec<TrackId> {
        let places = current.iter().filter(|place| place.open).count().min(self.voices);
        let seated = || current.iter().filter_map(|place| self.get(place.source?)).filter(|c| !c.muted);
        let screens = self.sounds.iter().take_while(|c| c.screen);
        let kept = seated().filter(|c| c.level.heard_within(KEPT, now));
        let is_seated = |c: &Candidate| current.iter().any(|place| place.source == Some(c.track));
        let mut loud: Vec<&Candidate> = kept.chain(&self.speaking).collect();
        let loudness = |c: &Candidate| c.level.value() + if is_seated(c) { SEATED } else { 0.0 };
        loud.sort_by(|a, b| loudness(b).total_cmp(&loudness(a)));
        let order = screens.chain(loud).chain(seated()).chain(&self.sounds);
        let mut list = Vec::with_capacity(places);
        for candidate in order.filter(|c| c.owner != me) {
            if list.len() == places {
                break;
            }
            if !list.contains(&candidate.track) {
                list.push(candidate.track);
            }
        }
        list
    }
}

/// Sorts cameras: active ones by the age of their turn, then the others by how recently they were heard. A stable sort keeps the order of
/// joining among equals.
fn standing(candidate: &Candidate, now: Instant) -> (bool, Reverse<Duration>, Duration) {
    let age = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
    if candidate.level.heard_within(ACTIVE, now) {
        (false, Reverse(age(candidate.level.turn())), Duration::ZERO)
    } else {
        (true, Reverse(Duration::ZERO), age(candidate.level.heard()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: View = View::Auto { offset: 0, limit: None, pinned: Vec::new() };
    const ME: PeerId = PeerId(99);

    fn candidate(track: u32, joined: u64, kind: Kind, heard: Option<Instant>) -> Candidate {
        let mut level = Level::default();
        if let Some(at) = heard {
            // Two packets as loud as can be: heard, and a turn begun.
            level.observe(0, at);
            level.observe(0, at + Duration::from_millis(60));
            for step in 1..40 {
                level.handle_timeout(at + Duration::from_millis(step * 75));
            }
        }
        Candidate { track: TrackId(track), owner: PeerId(joined as u32), joined, kind, screen: false, muted: false, level }
    }

    fn numbers(list: Vec<TrackId>) -> Vec<u32> {
        list.into_iter().map(|track| track.0).collect()
    }

    #[test]
    fn a_conference_follows_joining_and_a_broadcast_publishing() {
        let now = Instant::now();
        let (mut screen, mut muted) = (candidate(4, 3, Kind::Video, None), candidate(5, 5, Kind::Video, None));
        (screen.screen, muted.muted) = (true, true);
        let of = |track, joined| candidate(track, joined, Kind::Video, None);
        let list = vec![of(1, 2), of(2, 1), of(3, 99), screen, muted, of(6, 4)];
        let conference = Candidates::new(Filler::Conference, 3, list.clone(), now);
        assert_eq!(numbers(conference.video(&AUTO, ME, 9)), [4, 2, 1, 6]);
        let broadcast = Candidates::new(Filler::Broadcast, 3, list, now);
        assert_eq!(numbers(broadcast.video(&AUTO, ME, 9)), [4, 1, 2, 6]);
    }

    #[test]
    fn speakers_have_a_place_on_the_first_page() {
        let start = Instant::now();
        let now = start + Duration::from_secs(60);
        let ago = |seconds: u64| Some(now - Duration::from_secs(seconds));
        let heard = [None, ago(50), ago(3), None, ago(2), ago(20)];
        let list: Vec<_> = heard.iter().zip(1..).map(|(at, n)| candidate(n, u64::from(n), Kind::Video, *at)).collect();
        let conference = Candidates::new(Filler::Conference, 3, list.clone(), now);
        for (places, shown) in [(1, vec![3]), (2, vec![3, 5]), (3, vec![3, 5, 6]), (4, vec![3, 5, 6, 2]), (5, vec![3, 5, 6, 2, 1])] {
            assert_eq!(numbers(conference.video(&AUTO, ME, places)), shown);
        }
        let page = View::Auto { offset: 2, limit: Some(2), pinned: Vec::new() };
        assert_eq!(numbers(conference.video(&page, ME, 9)), [3, 4], "further pages keep the order of joining");
        let broadcast = Candidates::new(Filler::Broadcast, 3, list, now);
        assert_eq!(numbers(broadcast.video(&AUTO, ME, 2)), [1, 2]);
    }

    #[test]
    fn a_voice_loses_its_slot_to_one_that_is_clearly_louder() {
        let start = Instant::now();
        let now = start + Duration::from_secs(60);
        let voice = |n: u32, ms: u64| candidate(n, u64::from(n), Kind::Audio, Some(now - Duration::from_millis(ms)));
        let seat = |track: u32| Place { source: Some(TrackId(track)), open: true };
        let heard = |list: Vec<Candidate>, seats: &[Place]| {
            let mut list = numbers(Candidates::new(Filler::Conference, 3, list, now).audio(ME, seats, now));
            list.sort_unstable();
            list
        };
        let mut talking = candidate(3, 3, Kind::Audio, None);
        talking.level.observe(0, now - Duration::from_millis(80));
        talking.level.observe(0, now);
        assert!(talking.level.speaking());
        let loud = |n: u32| Candidate { track: TrackId(n), owner: PeerId(n), joined: n.into(), ..talking };
        assert_eq!(heard(vec![loud(1), loud(2), talking], &[seat(1), seat(2)]), [1, 2], "as loud is not louder");
        assert_eq!(heard(vec![loud(1), loud(2), talking], &[seat(2), seat(3)]), [2, 3]);
        assert_eq!(heard(vec![loud(1), voice(2, 150), talking], &[seat(1), seat(2)]), [1, 3], "in the other's pause");
        assert_eq!(heard(vec![voice(1, 150), voice(2, 900)], &[seat(1), seat(2)]), [1, 2], "nobody else talks");
        let mut screen = candidate(9, 9, Kind::Audio, None);
        screen.screen = true;
        assert_eq!(heard(vec![voice(1, 150), voice(2, 150), screen], &[seat(1), seat(2)]), [1, 9]);
        let closed = Place { source: None, open: false };
        assert_eq!(heard(vec![loud(1), talking], &[closed, seat(1)]), [1]);
    }
}
