//! Who does what when: a scenario and a seed become a list of steps, before anybody has joined. The same seed is the same list.

use std::time::Duration;

use fastrand::Rng;
use ninefold::api::protocol::Source;

use crate::scenario::{Action, Deed, Group};

/// Pages that are turned to begin with one of so many pictures.
const PAGES: u32 = 8;
/// Heights of pictures that are wanted. 0: not in sight.
const HEIGHTS: [u32; 5] = [0, 90, 180, 360, 720];

/// What one bot does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Enters its room, for the first time or again.
    Join,
    /// Says goodbye.
    Leave,
    /// Is gone without a word.
    Vanish,
    /// Loses its WebSocket.
    Cut,
    /// Comes back with another WebSocket.
    Resume,
    /// Goes on from another address.
    Move,
    /// Mutes or unmutes one of its tracks.
    Mute(Source, bool),
    /// Looks at the pictures from this one on.
    View(u32),
    /// Wants pictures of this height.
    Wishes(u32),
}

/// A step and its time, from the beginning of what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Duration,
    /// Who: a place in the crowd.
    pub member: usize,
    /// What.
    pub step: Step,
}

impl Step {
    /// Its name, as reports count it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Join => "join",
            Step::Leave => "leave",
            Step::Vanish => "vanish",
            Step::Cut => "cut",
            Step::Resume => "resume",
            Step::Move => "move",
            Step::Mute(_, true) => "mute",
            Step::Mute(_, false) => "unmute",
            Step::View(_) => "view",
            Step::Wishes(_) => "wishes",
        }
    }
}

/// The joins of these, evenly within a time.
pub fn joins(members: &[usize], within: Duration) -> Vec<Due> {
    let count = members.len().max(1) as f64;
    let due = |(index, member): (usize, &usize)| Due { at: within.mul_f64(index as f64 / count), member: *member, step: Step::Join };
    members.iter().enumerate().map(due).collect()
}

/// All that the members of one group do within the duration, in any order. What cannot be undone in time is not.
pub fn actions(group: &Group, members: &[usize], duration: Duration, rng: &mut Rng) -> Vec<Due> {
    let mut all = vec![];
    for action in &group.actions {
        for (at, member) in times(action, members, duration, rng) {
            let (step, undo) = steps(action.what, rng);
            all.push(Due { at, member, step });
            all.extend(undo.map(|step| Due { at: at + action.back, member, step }));
        }
    }
    all.retain(|due| due.at < duration);
    all
}

fn times(action: &Action, members: &[usize], duration: Duration, rng: &mut Rng) -> Vec<(Duration, usize)> {
    let mut all = vec![];
    for at in &action.at {
        let count = (members.len() as f64 * action.share).ceil() as usize;
        all.extend(rng.choose_multiple(members.iter(), count).into_iter().map(|member| (*at, *member)));
    }
    let mut at = Duration::ZERO;
    while let Some(every) = action.every {
        // Not in step with anything else, and so often in the long run.
        at += every.mul_f64(0.5 + rng.f64());
        match rng.choice(members) {
            Some(member) if at < duration => all.push((at, *member)),
            _ => break,
        }
    }
    all
}

/// What a deed is made of: the step and what undoes it.
fn steps(deed: Deed, rng: &mut Rng) -> (Step, Option<Step>) {
    match deed {
        Deed::Mute => {
            let source = if rng.bool() { Source::Camera } else { Source::Microphone };
            (Step::Mute(source, true), Some(Step::Mute(source, false)))
        }
        Deed::View => (Step::View(rng.u32(..PAGES)), None),
        Deed::Wishes => (Step::Wishes(HEIGHTS[rng.usize(..HEIGHTS.len())]), None),
        Deed::Leave => (Step::Leave, Some(Step::Join)),
        Deed::Vanish => (Step::Vanish, Some(Step::Join)),
        Deed::Cut => (Step::Cut, Some(Step::Resume)),
        Deed::Move => (Step::Move, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn group(what: Deed, at: Vec<Duration>, every: Option<Duration>) -> Group {
        let action = Action { what, at, share: 0.5, every, back: SECOND };
        Group { actions: vec![action], ..Group::new("x", 4, None) }
    }

    #[test]
    fn joins_are_spread_over_the_ramp() {
        let times: Vec<_> = joins(&[7, 8, 9, 10], 2 * SECOND).iter().map(|due| (due.at.as_millis(), due.member)).collect();
        assert_eq!(times, [(0, 7), (500, 8), (1_000, 9), (1_500, 10)]);
        assert!(joins(&[], SECOND).is_empty());
    }

    #[test]
    fn a_share_does_it_at_a_time_and_undoes_it() {
        let all = actions(&group(Deed::Vanish, vec![2 * SECOND], None), &[1, 2, 3, 4], 10 * SECOND, &mut Rng::with_seed(1));
        let at = |step| all.iter().filter(|due| due.step == step).map(|due| (due.at, due.member)).collect::<Vec<_>>();
        let (gone, back) = (at(Step::Vanish), at(Step::Join));
        assert_eq!((gone.len(), all.len()), (2, 4));
        assert_eq!(back, gone.iter().map(|(at, member)| (*at + SECOND, *member)).collect::<Vec<_>>());
        let late = actions(&group(Deed::Cut, vec![2 * SECOND], None), &[1, 2], 3 * SECOND, &mut Rng::with_seed(1));
        assert_eq!(late.iter().map(|due| due.step).collect::<Vec<_>>(), [Step::Cut], "not undone in time");
    }

    #[test]
    fn each_so_often_and_the_same_for_the_same_seed() {
        let often = group(Deed::View, vec![], Some(SECOND));
        let with = |seed| actions(&often, &[1, 2, 3], 100 * SECOND, &mut Rng::with_seed(seed));
        assert!((80..120).contains(&with(1).len()), "{}", with(1).len());
        assert!([1, 2, 3].iter().all(|member| with(1).iter().any(|due| due.member == *member)));
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2));
        assert!(actions(&often, &[], 100 * SECOND, &mut Rng::with_seed(1)).is_empty());
    }
}
