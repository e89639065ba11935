//! Where a receiver's tracks stand: which of its slots each gets, with the least movement. Which tracks those are is decided in `fill`.
//!
//! Browsers play sound slot k and picture slot k in step (`webrtc/offer.rs` gives them one stream), so they are to be of one person; a shared screen
//! goes with its own sound.
//!
//! ```text
//! slot       0        1        2        3       4
//! picture    Ada      Bo       –        Bo's screen (no sound)
//! sound      Ada      Bo       Cy
//! ```
//!
//! While all sound of the others fits the sound slots, that holds for every pair: sound moves to its picture, since a change of sound is hardly heard,
//! and a picture moves only if there is no sound slot of its number. Muted sound counts, or a picture would have to move when it is heard again.
//! With more sound than slots, voices come and go, and none is moved in mid-sentence for a picture: new ones are put beside each other where
//! both are free to go.

use super::fill::{Candidates, Place};
use crate::id::{PeerId, TrackId};

/// What belongs together: whose it is, and whether it is of a screen.
pub(super) type Group = (PeerId, bool);

/// A receiver's slots of one kind, and the tracks that shall be in them.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) wanted: &'a [TrackId],
    pub(super) current: &'a [Place],
}

/// The new sources of the slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) video: Vec<Option<TrackId>>,
    pub(super) audio: Vec<Option<TrackId>>,
}

/// Places both kinds for `me`.
pub(super) fn place(candidates: &Candidates, me: PeerId, video: Wanted<'_>, audio: Wanted<'_>) -> Placed {
    let places = audio.current.iter().filter(|place| place.open).count();
    let group = |track: TrackId| candidates.get(track).map(|c| (c.owner, c.screen));
    match candidates.sounding(me, places) {
        Some(sounding) => Pairs { video, audio, sounding: &sounding, group: &group }.place(),
        None => {
            let beside = |track: TrackId, others: &[Option<TrackId>]| position(others, group(track)?, group);
            let heard: Vec<Option<TrackId>> = audio.current.iter().map(|place| place.source).collect();
            let video = settle(video, |track| beside(track, &heard));
            let audio = settle(audio, |track| beside(track, &video));
            Placed { video, audio }
        }
    }
}

/// Where a track of this group stands.
fn position(sources: &[Option<TrackId>], wanted: Group, group: impl Fn(TrackId) -> Option<Group>) -> Option<usize> {
    sources.iter().position(|source| source.and_then(&group) == Some(wanted))
}

/// Who is there and wanted stays, the others take the place that `hint` names if it is free, else the first free one.
fn settle(wish: Wanted<'_>, hint: impl Fn(TrackId) -> Option<usize>) -> Vec<Option<TrackId>> {
    let mut filled = stay(wish);
    let mut homeless = missing(wish.wanted, &filled);
    homeless.retain(|track| match hint(*track).filter(|at| is_free(wish.current, &filled, *at)) {
        Some(at) => {
            filled[at] = Some(*track);
            false
        }
        None => true,
    });
    let order: Vec<usize> = (0..filled.len()).collect();
    house(&mut filled, wish.current, homeless, &order);
    filled
}

fn stay(wish: Wanted<'_>) -> Vec<Option<TrackId>> {
    wish.current.iter().map(|place| place.source.filter(|track| place.open && wish.wanted.contains(track))).collect()
}

fn missing(wanted: &[TrackId], filled: &[Option<TrackId>]) -> Vec<TrackId> {
    wanted.iter().copied().filter(|track| !filled.contains(&Some(*track))).collect()
}

fn is_free(current: &[Place], filled: &[Option<TrackId>], at: usize) -> bool {
    current.get(at).is_some_and(|place| place.open) && filled[at].is_none()
}

/// Gives each the first free place in `order`; there may be too few.
fn house(filled: &mut [Option<TrackId>], current: &[Place], homeless: Vec<TrackId>, order: &[usize]) {
    let free: Vec<usize> = order.iter().copied().filter(|at| is_free(current, filled, *at)).collect();
    for (track, at) in homeless.into_iter().zip(free) {
        filled[at] = Some(track);
    }
}

/// Placing while all sound fits.
struct Pairs<'a, G: Fn(TrackId) -> Option<Group>> {
    video: Wanted<'a>,
    audio: Wanted<'a>,
    sounding: &'a [Group],
    group: &'a G,
}

impl<G: Fn(TrackId) -> Option<Group>> Pairs<'_, G> {
    fn place(&self) -> Placed {
        let video = self.place_video();
        let audio = self.place_audio(&video);
        Placed { video, audio }
    }

    /// There is an open slot of each kind with this number.
    fn is_pair(&self, at: usize) -> bool {
        [self.video.current, self.audio.current].iter().all(|current| current.get(at).is_some_and(|place| place.open))
    }

    /// The pictures that go with sound: of each group the first that is wanted.
    fn pictures(&self) -> Vec<TrackId> {
        let mut without: Vec<Group> = self.sounding.to_vec();
        let mut first = |track: &TrackId| {
            let at = without.iter().position(|group| (self.group)(*track).as_ref() == Some(group));
            at.map(|at| without.swap_remove(at)).is_some()
        };
        self.video.wanted.iter().copied().filter(|track| first(track)).collect()
    }

    /// Pictures with sound stand where there is a pair, the others where there is none as long as they can.
    fn place_video(&self) -> Vec<Option<TrackId>> {
        let mut filled = stay(self.video);
        let pictures = self.pictures();
        for picture in &pictures {
            let at = filled.iter().position(|source| source == &Some(*picture));
            if at.is_some_and(|at| self.is_pair(at)) {
                continue;
            }
            if let Some(to) = self.seat(*picture, &filled, &pictures) {
                if let Some(at) = at {
                    filled[at] = None;
                }
                // Whoever sat there without sound finds another place below.
                filled[to] = Some(*picture);
            }
        }
        let (pairs, single): (Vec<usize>, Vec<usize>) = (0..filled.len()).partition(|at| self.is_pair(*at));
        let order: Vec<usize> = single.into_iter().chain(pairs.into_iter().rev()).collect();
        let homeless = missing(self.video.wanted, &filled);
        house(&mut filled, self.video.current, homeless, &order);
        filled
    }

    /// The best pair for a picture: a free one before one that shows something without sound; where its sound is, before where none is.
    fn seat(&self, picture: TrackId, filled: &[Option<TrackId>], pictures: &[TrackId]) -> Option<usize> {
        let group = (self.group)(picture);
        let rank = |at: &usize| {
            let heard = self.audio.current[*at].source.map(self.group);
            (filled[*at].is_some(), heard != Some(group), heard.is_some())
        };
        let seats = (0..filled.len()).filter(|at| self.is_pair(*at) && filled[*at].is_none_or(|source| !pictures.contains(&source)));
        seats.min_by_key(rank)
    }

    /// Sound goes where its picture is; the rest stays, or takes a place with no picture if there is one.
    fn place_audio(&self, video: &[Option<TrackId>]) -> Vec<Option<TrackId>> {
        let current = self.audio.current;
        let mut filled = vec![None; current.len()];
        for track in self.audio.wanted {
            let group = (self.group)(*track);
            let picture = |at: &usize| video[*at].is_some_and(|picture| (self.group)(picture) == group) && is_free(current, &filled, *at);
            if let Some(at) = (0..video.len()).find(picture) {
                filled[at] = Some(*track);
            }
        }
        for (at, source) in stay(self.audio).into_iter().enumerate() {
            if source.is_some() && filled[at].is_none() && !filled.contains(&source) {
                filled[at] = source;
            }
        }
        let (shown, blank): (Vec<usize>, Vec<usize>) = (0..filled.len()).partition(|at| video.get(*at).is_some_and(Option::is_some));
        let order: Vec<usize> = blank.into_iter().chain(shown).collect();
        let homeless = missing(self.audio.wanted, &filled);
        house(&mut filled, current, homeless, &order);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(current: &[Option<u32>], wanted: &[u32]) -> Vec<Option<u32>> {
        let current: Vec<Place> = current.iter().map(|s| Place { source: s.map(TrackId), open: *s != Some(0) }).collect();
        let wanted: Vec<TrackId> = wanted.iter().copied().map(TrackId).collect();
        let hint = |track: TrackId| track.0.checked_sub(10).map(|at| at as usize);
        settle(Wanted { wanted: &wanted, current: &current }, hint).into_iter().map(|t| t.map(|t| t.0)).collect()
    }

    #[test]
    fn places_move_as_little_as_can_be() {
        assert_eq!(settled(&[Some(1), Some(2), None], &[2, 3]), [Some(3), Some(2), None]);
        assert_eq!(settled(&[None, None, None], &[1, 12, 2]), [Some(1), Some(2), Some(12)], "the hint is taken");
        assert_eq!(settled(&[None, Some(1), None], &[1, 11]), [Some(11), Some(1), None], "unless somebody is there");
        // 0 stands for a closed slot.
        assert_eq!(settled(&[Some(0), None], &[1, 10]), [None, Some(1)]);
    }

    /// Tracks are written as person × 10 + what: 1 voice, 2 camera, 3 screen, 4 the screen's sound. 0: closed.
    fn group(track: TrackId) -> Option<Group> {
        Some((PeerId(track.0 / 10), track.0 % 10 > 2))
    }

    fn paired(video: (&[Option<u32>], &[u32]), audio: (&[Option<u32>], &[u32]), sounding: &[u32]) -> (Vec<Option<u32>>, Vec<Option<u32>>) {
        let places = |current: &[Option<u32>]| -> Vec<Place> {
            current.iter().map(|s| Place { source: s.filter(|s| *s > 0).map(TrackId), open: *s != Some(0) }).collect()
        };
        let tracks = |wanted: &[u32]| -> Vec<TrackId> { wanted.iter().copied().map(TrackId).collect() };
        let (seen, heard, pictures, sounds) = (places(video.0), places(audio.0), tracks(video.1), tracks(audio.1));
        let sounding: Vec<Group> = sounding.iter().filter_map(|track| group(TrackId(*track))).collect();
        let (video, audio) = (Wanted { wanted: &pictures, current: &seen }, Wanted { wanted: &sounds, current: &heard });
        let Placed { video, audio } = Pairs { video, audio, sounding: &sounding, group: &group }.place();
        let numbers = |list: Vec<Option<TrackId>>| list.into_iter().map(|t| t.map(|t| t.0)).collect();
        (numbers(video), numbers(audio))
    }

    #[test]
    fn sound_follows_its_picture() {
        // Bo's picture is on the page that has one place: his voice goes there, and Ada's makes room.
        let (video, audio) = paired((&[Some(12)], &[22]), (&[Some(11), Some(21), None], &[11, 21]), &[11, 21]);
        assert_eq!((video, audio), (vec![Some(22)], vec![Some(21), Some(11), None]));
    }

    #[test]
    fn a_screen_without_sound_stays_out_of_the_way() {
        let (video, audio) = paired((&[None; 4], &[13, 12, 22]), (&[None; 2], &[11, 21]), &[11, 21]);
        assert_eq!((video, audio), (vec![Some(12), Some(22), Some(13), None], vec![Some(11), Some(21)]));
        // One with sound has a pair of its own.
        let (video, audio) = paired((&[None; 4], &[13, 12, 22]), (&[None; 3], &[14, 11, 21]), &[14, 11, 21]);
        assert_eq!((video, audio), (vec![Some(13), Some(12), Some(22), None], vec![Some(14), Some(11), Some(21)]));
    }

    #[test]
    fn a_picture_moves_only_for_want_of_a_sound_slot() {
        // Ada got a microphone after her picture had been put beyond the sound slots, where the silent screen has to go now.
        let (video, audio) = paired((&[Some(22), Some(33), Some(12), None], &[33, 22, 12]), (&[Some(21), None], &[21, 11]), &[21, 11]);
        assert_eq!((video, audio), (vec![Some(22), Some(12), Some(33), None], vec![Some(21), Some(11)]));
    }

    #[test]
    fn somebody_without_a_picture_takes_no_place_beside_a_stranger() {
        let (video, audio) = paired((&[Some(12), None, None], &[12]), (&[None; 3], &[31]), &[11, 31]);
        assert_eq!((video, audio), (vec![Some(12), None, None], vec![None, Some(31), None]));
        // And the picture of the next one leaves the place beside that voice free.
        let (video, audio) = paired((&[Some(12), None, None], &[12, 22]), (&[None, Some(31), None], &[31, 21]), &[11, 31, 21]);
        assert_eq!((video, audio), (vec![Some(12), None, Some(22)], vec![None, Some(31), Some(21)]));
    }

    #[test]
    fn closed_slots_make_no_pairs() {
        let (video, audio) = paired((&[Some(0), None, None], &[12, 22]), (&[None, None, Some(0)], &[11, 21]), &[11, 21]);
        assert_eq!((video, audio), (vec![None, Some(12), Some(22)], vec![Some(21), Some(11), None]));
    }
}
