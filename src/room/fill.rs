//! The fillers: who is shown in which slot. Policy, and nothing but: values in, a list of tracks out.
//!
//! Two steps. `video` and `audio` choose *which* tracks a receiver gets; `place` decides *where*, with the least movement: a track that is in
//! a slot stays there. Where it is free to choose, sound number k and picture number k are of the same person, since browsers synchronise
//! slots by pairs.
//!
//! The conference shows everybody in the order of joining. When there are more cameras than places, those who speak have theirs: whoever was
//! heard in the last 5 s stays (the earliest turn first, so that two who talk at once do not push each other out), then the last heard. Only
//! the first page follows the speakers; further pages keep the order, so that turning them shows what one expects.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::event::{Filler, View};
use crate::id::{PeerId, TrackId};
use crate::limits::VIEW_TRACKS_MAX;
use crate::rtp::{Kind, Level};

/// Whoever was heard within this time keeps a place in the picture.
pub(super) const ACTIVE: Duration = Duration::from_secs(5);
/// A voice keeps its slot through a silence of this length.
pub(super) const KEPT: Duration = Duration::from_secs(1);

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

/// Which tracks `me` sees in `places` slots. `candidates` come in the order of joining.
pub(super) fn video(filler: Filler, view: &View, me: PeerId, candidates: &[Candidate], places: usize, now: Instant) -> Vec<TrackId> {
    match view {
        View::Tracks(wanted) => named(wanted, |c| c.kind == Kind::Video, candidates).into_iter().map(|c| c.track).take(places).collect(),
        View::Auto { offset, limit, pinned } => {
            let places = limit.map_or(places, |limit| limit.min(places));
            let eligible = |c: &Candidate| c.kind == Kind::Video && c.owner != me && !c.muted;
            let mut list = named(pinned, eligible, candidates);
            let mut rest: Vec<Candidate> = candidates.iter().filter(|c| eligible(c) && !pinned.contains(&c.track)).copied().collect();
            match filler {
                Filler::Conference => {}
                Filler::Broadcast => rest.sort_by_key(|c| c.track),
            }
            let (screens, mut cameras): (Vec<_>, Vec<_>) = rest.into_iter().partition(|c| c.screen);
            list.extend(screens);
            let left = places.saturating_sub(list.len());
            if filler == Filler::Conference && *offset == 0 && cameras.len() > left {
                cameras.sort_by_key(|c| standing(c, now));
            }
            list.extend(cameras);
            list.into_iter().skip(*offset).take(places).map(|c| c.track).collect()
        }
    }
}

/// The candidates named in `wanted`, in its order, each once.
fn named(wanted: &[TrackId], eligible: impl Fn(&Candidate) -> bool, candidates: &[Candidate]) -> Vec<Candidate> {
    let mut list: Vec<Candidate> = Vec::new();
    for track in wanted.iter().take(VIEW_TRACKS_MAX) {
        let found = candidates.iter().find(|c| c.track == *track && eligible(c));
        list.extend(found.filter(|_| list.iter().all(|c| c.track != *track)));
    }
    list
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

/// Which tracks `me` hears: all that fit. Above that the sound of screens, then who has a slot and was heard within a second, then who
/// speaks, loudest first, then who has a slot, then the order of joining. So a voice loses its slot only to a louder one and in a pause.
pub(super) fn audio(me: PeerId, candidates: &[Candidate], current: &[Place], now: Instant) -> Vec<TrackId> {
    let places = current.iter().filter(|p| p.open).count();
    let eligible = candidates.iter().filter(|c| c.kind == Kind::Audio && c.owner != me && !c.muted);
    let mut list: Vec<&Candidate> = eligible.collect();
    if list.len() > places {
        list.sort_by_key(|c| {
            let has_slot = current.iter().any(|p| p.source == Some(c.track));
            let rank = match (c.screen, has_slot) {
                (true, _) => 0,
                (false, true) if c.level.heard_within(KEPT, now) => 1,
                (false, _) if c.level.speaking() => 2,
                (false, true) => 3,
                (false, false) => 4,
            };
            let loudness = if rank == 2 { (c.level.value() * 1_000.0) as u32 } else { 0 };
            (rank, Reverse(loudness))
        });
    }
    list.into_iter().take(places).map(|c| c.track).collect()
}

/// Puts `wanted` into the places: who is there stays, the others take the place that `hint` names if it is free, else the first free one.
pub(super) fn place(wanted: &[TrackId], current: &[Place], hint: impl Fn(TrackId) -> Option<usize>) -> Vec<Option<TrackId>> {
    let mut filled: Vec<Option<TrackId>> = current.iter().map(|p| p.source.filter(|track| p.open && wanted.contains(track))).collect();
    let free = |filled: &[Option<TrackId>], at: usize| current.get(at).is_some_and(|p| p.open) && filled[at].is_none();
    let mut homeless = Vec::new();
    for track in wanted.iter().filter(|track| !filled.contains(&Some(**track))).copied().collect::<Vec<_>>() {
        match hint(track).filter(|at| free(&filled, *at)) {
            Some(at) => filled[at] = Some(track),
            None => homeless.push(track),
        }
    }
    let mut at = 0;
    for track in homeless {
        while at < filled.len() && !free(&filled, at) {
            at += 1;
        }
        if at < filled.len() {
            filled[at] = Some(track);
        }
    }
    filled
}
