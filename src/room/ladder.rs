//! The steps that a receiver of a track may stand on, from the lowest layer to the best one that is wished. Pure.
//!
//! ```text
//! camera   0·T0  0·T1  0·T2  1·T1  1·T2  2·T1  2·T2     a larger picture never moves more slowly than half the frames
//! screen   0·T0  1·T0  2·T0  2·T1  2·T2                 text is to be read: size first
//! ```

use super::encoding::Step;
use super::event::Wish;
use super::track::Track;
use crate::rtp::Layer;

/// A layer is large enough if its picture has this share of the pixels that are shown: nobody sees the difference.
const ENOUGH_PERCENT: u64 = 75;

/// The steps of a track at `now` that are worth having at the size at which it is shown, each better and dearer than the one before. At least one, if
/// there is one.
pub(super) fn ladder(track: &Track, wish: &Wish, now: std::time::Instant) -> Vec<Step> {
    let simulcast = track.is_simulcast();
    let all: Vec<Step> = track.encodings.iter().enumerate().flat_map(|(index, encoding)| encoding.steps(index, simulcast, now)).collect();
    worth(all, wish, track.screen)
}

/// Size is judged before price: a larger picture that costs no more would replace a small one's frames, and then be too large.
fn worth(mut all: Vec<Step>, wish: &Wish, screen: bool) -> Vec<Step> {
    let largest = largest(&all, wish);
    all.retain(|step| step.layer.spatial <= largest);
    rising(all, screen)
}

fn rising(all: Vec<Step>, screen: bool) -> Vec<Step> {
    let slowest = all.iter().map(|step| step.layer.spatial).min().unwrap_or(0);
    let has_better = |layer: Layer| {
        let same = |other: &&Step| other.layer.spatial == layer.spatial && other.layer.temporal > layer.temporal;
        let larger = |other: &&Step| other.layer.spatial > layer.spatial;
        match screen {
            true => layer.temporal > 0 && all.iter().any(|other| larger(&other)),
            false => layer.spatial > slowest && layer.temporal == 0 && all.iter().any(|other| same(&other)),
        }
    };
    let mut steps: Vec<Step> = Vec::with_capacity(all.len());
    for step in all.iter().filter(|step| !has_better(step.layer)) {
        // Better and not dearer: nobody needs the others.
        while steps.last().is_some_and(|last| last.bps >= step.bps) {
            steps.pop();
        }
        steps.push(*step);
    }
    steps
}

/// The first layer in space that is large enough.
fn largest(steps: &[Step], wish: &Wish) -> u8 {
    let (Some(width), Some(height)) = wish.size else { return u8::MAX };
    let shown = u64::from(width) * u64::from(height);
    let enough = |step: &&Step| step.size.is_some_and(|(w, h)| u64::from(w) * u64::from(h) * 100 >= shown * ENOUGH_PERCENT);
    steps.iter().filter(enough).map(|step| step.layer.spatial).min().unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(spatial: u8, temporal: u8, bps: u64) -> Step {
        let size = 180 << spatial;
        Step { layer: Layer { spatial, temporal }, bps, size: Some((size / 9 * 16, size)) }
    }

    fn camera() -> Vec<Step> {
        [(0, 0, 60), (0, 1, 90), (0, 2, 150), (1, 0, 200), (1, 1, 300), (1, 2, 500), (2, 0, 700), (2, 1, 1_000), (2, 2, 1_700)]
            .map(|(spatial, temporal, bps)| step(spatial, temporal, bps))
            .to_vec()
    }

    fn places(steps: &[Step]) -> Vec<(u8, u8)> {
        steps.iter().map(|step| (step.layer.spatial, step.layer.temporal)).collect()
    }

    #[test]
    fn a_camera_gains_frames_and_a_screen_gains_size() {
        assert_eq!(places(&rising(camera(), false)), [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]);
        assert_eq!(places(&rising(camera(), true)), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]);
        assert_eq!(places(&rising(vec![step(0, 0, 5), step(1, 0, 9)], false)), [(0, 0), (1, 0)], "no layers in time");
        assert_eq!(places(&rising(vec![step(1, 0, 5), step(1, 1, 9)], false)), [(1, 0), (1, 1)], "the lowest is off");
    }

    #[test]
    fn what_is_better_and_not_dearer_replaces() {
        let mut steps = camera();
        steps[5].bps = 120; // a still picture
        assert_eq!(places(&rising(steps, false)), [(0, 0), (0, 1), (1, 2), (2, 1), (2, 2)]);
        assert_eq!(rising(vec![], false), []);
    }

    #[test]
    fn no_more_than_is_seen() {
        let steps = camera();
        let shown = |width: u32, height: u32| largest(&steps, &Wish { size: (Some(width), Some(height)), ..Wish::default() });
        assert_eq!(shown(160, 90), 0);
        assert_eq!(shown(320, 180), 0);
        assert_eq!(shown(360, 202), 0, "a little larger is not seen");
        assert_eq!(shown(420, 236), 1);
        assert_eq!(shown(202, 360), 0, "upright");
        assert_eq!(shown(1_000, 700), 2);
        assert_eq!(shown(0, 0), 0);
        assert_eq!(shown(5_000, 4_000), u8::MAX);
        assert_eq!(largest(&steps, &Wish::default()), u8::MAX);
        assert_eq!(largest(&[], &Wish { size: (Some(1), Some(1)), ..Wish::default() }), u8::MAX);
    }

    #[test]
    fn a_still_picture_has_all_its_frames_at_any_size() {
        let mut steps = camera();
        steps[5].bps = 100; // all of the middle one costs less than all frames of the small one
        let small = Wish { size: (Some(320), Some(180)), ..Wish::default() };
        assert_eq!(places(&worth(steps, &small, false)), [(0, 0), (0, 1), (0, 2)]);
    }
}
