//! Which layers one receiver gets for what its way carries. One pure function.
//!
//! The idea is Jitsi's ("bitrate allocation" of the videobridge: receiver constraints, priorities, base layers for all, then better ones in
//! turn), with two additions: a step up has to fit with a margin, and one that failed lately has to wait. So an estimate that moves a little moves nobody.
//!
//! 1. Every demand is given its lowest step, the important ones first. What does not fit is paused.
//! 2. The demands of the highest rank are raised in turn, one step each, until nothing more fits; then those of the next rank.

/// Whoever rises has to leave so much of the budget free, in per cent: estimates move by some per cent, encoders do, too, and a better layer begins
/// with a keyframe.
const MARGIN_PERCENT: u64 = 10;
/// So much after one that rose had to fall at once: its keyframes are larger than that, or the way is shared.
const MARGIN_WARY_PERCENT: u64 = 25;

/// What a way has to carry before everything up to these costs is given: the margin, and a little more, since estimates stay below what is asked of
/// them.
pub(super) fn to_rise_to(costs: u64, wary: bool) -> u64 {
    costs * 105 / (100 - margin(wary))
}

fn margin(wary: bool) -> u64 {
    if wary { MARGIN_WARY_PERCENT } else { MARGIN_PERCENT }
}

/// One slot that wants a picture.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// What each step costs in bits a second, rising, the lowest first. Not empty; the last is all that is wished.
    pub(super) costs: Vec<u64>,
    /// The higher comes first.
    pub(super) rank: u16,
    /// The step that it has.
    pub(super) current: Option<usize>,
    /// It may not rise above what it has, but for its lowest step.
    pub(super) held: bool,
    /// The last time that it rose was too early.
    pub(super) wary: bool,
    /// It stays without a picture for a while.
    pub(super) paused: bool,
}

impl Demand {
    /// Whether a step fits beside what the others use.
    fn fits(&self, step: usize, others: u64, budget: u64) -> bool {
        let rises = self.current.is_none_or(|current| step > current);
        let free = if rises { budget / 100 * margin(self.wary) } else { 0 };
        others + self.costs[step] <= budget - free
    }
}

/// The step of each demand, in their order; `None`: paused. Their costs together are at most `budget`.
pub(super) fn allocate(budget: u64, demands: &[Demand]) -> Vec<Option<usize>> {
    let mut given: Vec<Option<usize>> = vec![None; demands.len()];
    let mut used = 0;
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(demands[*at].rank));
    for at in &order {
        let demand = &demands[*at];
        if !demand.paused && demand.fits(0, used, budget) {
            given[*at] = Some(0);
            used += demand.costs[0];
        }
    }
    for group in order.chunk_by(|a, b| demands[*a].rank == demands[*b].rank) {
        while group.iter().filter(|at| raise(&demands[**at], &mut given[**at], &mut used, budget)).count() > 0 {}
    }
    given
}

/// One step up, if it fits. The loop over this ends, since each success is a step of finitely many.
fn raise(demand: &Demand, given: &mut Option<usize>, used: &mut u64, budget: u64) -> bool {
    let Some(step) = *given else { return false };
    let next = step + 1;
    if next >= demand.costs.len() || (demand.held && demand.current.is_none_or(|current| next > current)) {
        return false;
    }
    let others = *used - demand.costs[step];
    if !demand.fits(next, others, budget) {
        return false;
    }
    *used = others + demand.costs[next];
    *given = Some(next);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: [u64; 5] = [60, 90, 150, 500, 1_700];

    fn fresh(rank: u16) -> Demand {
        Demand { costs: CAMERA.to_vec(), rank, current: None, held: false, wary: false, paused: false }
    }

    fn with(rank: u16, current: usize, held: bool) -> Demand {
        Demand { current: Some(current), held, ..fresh(rank) }
    }

    #[test]
    fn base_layers_for_all_come_before_better_ones() {
        assert_eq!(allocate(0, &[fresh(0)]), [None]);
        assert_eq!(allocate(10_000, &[]), []);
        assert_eq!(allocate(3_000, &[fresh(0)]), [Some(4)]);
        assert_eq!(allocate(600, &[fresh(0)]), [Some(3)]);
        assert_eq!(allocate(140, &[fresh(0), fresh(0)]), [Some(0), Some(0)]);
        assert_eq!(allocate(800, &vec![fresh(0); 9])[5..], [Some(1), Some(0), Some(0), Some(0)]);
        assert_eq!(allocate(1_700, &vec![fresh(0); 9]), [Some(2); 9]);
    }

    #[test]
    fn the_important_come_first() {
        assert_eq!(allocate(760, &[fresh(0), fresh(0), fresh(7)]), [Some(1), Some(1), Some(3)]);
        assert_eq!(allocate(100, &[fresh(0), fresh(1), fresh(0)]), [None, Some(1), None], "what does not fit is paused");
        assert_eq!(allocate(130, &[fresh(0), fresh(1)]), [Some(0), Some(0)]);
    }

    #[test]
    fn a_small_move_of_the_budget_moves_nobody() {
        for budget in [500, 520, 549] {
            assert_eq!(allocate(budget, &[with(0, 3, false)]), [Some(3)], "kept at {budget}");
            assert_eq!(allocate(budget, &[with(0, 2, false)]), [Some(2)], "not raised at {budget}");
        }
        assert_eq!(allocate(550, &[with(0, 2, false)]), [Some(3)]);
        assert_eq!(allocate(499, &[with(0, 3, false)]), [Some(2)]);
        let wary = |current| Demand { wary: true, ..with(0, current, false) };
        assert_eq!(
            (allocate(640, &[wary(2)]), allocate(670, &[wary(2)]), allocate(500, &[wary(3)])),
            (vec![Some(2)], vec![Some(3)], vec![Some(3)])
        );
    }

    #[test]
    fn who_is_held_keeps_or_falls_and_does_not_rise() {
        assert_eq!(allocate(5_000, &[with(0, 2, true)]), [Some(2)]);
        assert_eq!(allocate(100, &[with(0, 2, true)]), [Some(1)]);
        let held = Demand { held: true, ..fresh(0) };
        assert_eq!(allocate(5_000, &[held, fresh(0)]), [Some(0), Some(4)], "its layer stopped: it may not rise, but shall see something");
        let paused = Demand { paused: true, ..fresh(0) };
        assert_eq!(allocate(5_000, &[paused, fresh(0)]), [None, Some(4)]);
    }

    /// Whatever is asked: never over budget, nobody of lower rank has a picture while one of higher rank could have one instead, and the budget
    /// is used: no single further step would fit.
    #[test]
    fn random_demands() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..20_000 {
            let demands: Vec<Demand> = (0..rng.usize(0..10))
                .map(|_| {
                    let mut cost = 0;
                    let costs: Vec<u64> = (0..rng.usize(1..8))
                        .map(|_| {
                            cost += rng.u64(1..500);
                            cost
                        })
                        .collect();
                    let current = rng.bool().then(|| rng.usize(0..costs.len()));
                    Demand { costs, rank: rng.u16(0..3), current, held: rng.u8(0..4) == 0, wary: rng.bool(), paused: rng.u8(0..8) == 0 }
                })
                .collect();
            let budget = rng.u64(0..4_000);
            let given = allocate(budget, &demands);
            let used: u64 = given.iter().zip(&demands).filter_map(|(step, demand)| Some(demand.costs[(*step)?])).sum();
            assert!(used <= budget);
            for (step, demand) in given.iter().zip(&demands) {
                let next = step.map_or(0, |step| step + 1);
                if next == demand.costs.len() || (demand.held && demand.current.is_none_or(|current| next > current)) {
                    continue;
                }
                let others = used - step.map_or(0, |step| demand.costs[step]);
                let base = step.is_none();
                assert!(base || !demand.fits(next, others, budget), "{demands:?} {budget} {given:?}");
            }
        }
    }
}
