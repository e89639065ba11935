//! The best that a link of a known rate can carry of encoders' layers, found by trying all of it: what the steady state is measured against.

use super::encoder::{BITRATES, RATE, TEMPORAL};
use super::link::HEADS;
use super::payload::PAYLOAD_MAX;

/// On each packet: RTP with one CSRC and its extensions, the tag of GCM, UDP and IPv4.
const PACKET: u64 = 12 + 4 + 16 + 16 + HEADS as u64;
/// 32 kbit/s in 50 packets a second.
pub const SOUND_WIRE: u64 = 32_000 + 50 * 8 * PACKET;

/// One layer of the simulcast up to one of its temporal layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub layer: u8,
    pub temporal: u8,
    /// Bits per second of payload.
    pub media: u64,
    /// Bits per second with all heads.
    pub wire: u64,
}

/// All of them, the smallest first.
pub fn points() -> Vec<Point> {
    let point = |layer: usize, temporal: usize| {
        let mean = BITRATES[layer] as f64 / f64::from(RATE);
        let (mut media, mut wire) = (0.0, 0.0);
        for (frames, share) in &TEMPORAL[..=temporal] {
            let (each_second, bits) = (f64::from(RATE) * f64::from(*frames) / 4.0, mean * share);
            media += each_second * bits;
            wire += each_second * (bits + (bits / 8.0 / PAYLOAD_MAX as f64).ceil() * 8.0 * PACKET as f64);
        }
        Point { layer: layer as u8, temporal: temporal as u8, media: media as u64, wire: wire as u64 }
    };
    let mut all: Vec<Point> = (0..3).flat_map(|layer| (0..3).map(move |temporal| point(layer, temporal))).collect();
    all.sort_by_key(|p| p.wire);
    all
}

/// What so many equal slots are best given, the largest first: as many slots as possible have a picture, then as much media as possible.
/// Slots that get nothing are not in it.
pub fn best(capacity: u64, slots: usize) -> Vec<Point> {
    let mut search = Search { points: points(), chosen: vec![], best: vec![] };
    search.extend(0, capacity, slots);
    search.best.sort_by_key(|p| std::cmp::Reverse(p.wire));
    search.best
}

struct Search {
    points: Vec<Point>,
    chosen: Vec<Point>,
    best: Vec<Point>,
}

impl Search {
    /// Slots are alike, so a choice is as good as each of its permutations: points are chosen in rising order.
    fn extend(&mut self, from: usize, capacity: u64, slots: usize) {
        let rank = |chosen: &[Point]| (chosen.len(), chosen.iter().map(|p| p.media).sum::<u64>());
        if rank(&self.chosen) > rank(&self.best) {
            self.best.clone_from(&self.chosen);
        }
        if slots == 0 {
            return;
        }
        for next in from..self.points.len() {
            let point = self.points[next];
            // All further ones are at least as large.
            if point.wire > capacity {
                return;
            }
            self.chosen.push(point);
            self.extend(next, capacity - point.wire, slots - 1);
            self.chosen.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chosen: &[Point]) -> Vec<(u8, u8)> {
        chosen.iter().map(|p| (p.layer, p.temporal)).collect()
    }

    #[test]
    fn the_best_set_fits_and_nothing_larger_does() {
        for (capacity, slots, expected) in [
            (3_000_000, 1, vec![(2, 2)]),
            (440_000, 1, vec![(1, 1)]),
            (190_000, 1, vec![(0, 2)]),
            (50_000, 1, vec![]),
            (10_000_000, 3, vec![(2, 2), (2, 2), (2, 2)]),
            (2_200_000, 2, vec![(2, 1), (1, 2)]),
            (150_000, 3, vec![(0, 0), (0, 0)]),
        ] {
            let chosen = best(capacity, slots);
            let media: u64 = chosen.iter().map(|p| p.media).sum();
            assert!(chosen.iter().map(|p| p.wire).sum::<u64>() <= capacity);
            if capacity != 2_200_000 {
                assert_eq!(names(&chosen), expected, "{capacity}");
            }
            // One step more anywhere does not fit or is not better.
            for n in 0..chosen.len() {
                for other in points() {
                    let wire: u64 = chosen.iter().enumerate().map(|(m, p)| if m == n { other.wire } else { p.wire }).sum();
                    let changed = media - chosen[n].media + other.media;
                    assert!(wire > capacity || changed <= media, "{chosen:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn heads_are_counted() {
        let all = points();
        assert!(all.iter().all(|p| p.wire > p.media && p.wire < p.media * 13 / 10), "{all:?}");
        let whole = all.iter().find(|p| (p.layer, p.temporal) == (2, 2)).unwrap();
        assert!((1_699_000..=1_701_000).contains(&whole.media));
    }
}
