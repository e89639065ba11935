//! Which numbers of a stream were left out, and by how much the later ones move up.
//!
//! ```text
//! source   70   71   72   73   74   75      71 and 72 are left out; 74 is missing and may still come
//! out      10             11   12   13      so its number stays free
//! ```
//!
//! It remembers as many numbers as anybody waits for. Further back nothing is asked: such packets are refused before.

use crate::limits::LATE_PACKETS_MAX;

/// Words of 64 numbers that are remembered; the newest of them is being filled.
const WORDS: usize = 17;
const _: () = assert!((WORDS as u64 - 1) * 64 > LATE_PACKETS_MAX);

/// What became of the numbers up to the newest, which only grows.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    newest: u64,
    /// How many of all numbers were left out.
    total: u64,
    /// Its number in what goes out is used: by itself or, if it is also in `left_out`, by padding in its place.
    used: Set,
    /// It does not go out.
    left_out: Set,
}

/// What became of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet: it is missing.
    Open,
    /// It went out.
    Sent,
    /// It was left out and later ones moved up.
    Closed,
    /// It was left out and padding has its number.
    Filled,
}

impl Shift {
    /// `first` is the newest, and nothing became of it yet.
    pub(super) fn new(first: u64) -> Shift {
        Shift { newest: first, total: 0, used: Set::default(), left_out: Set::default() }
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The newest is `n` now, if it was older. What lies between is missing.
    pub(super) fn advance(&mut self, n: u64) {
        for word in self.newest / 64 + 1..=(n / 64).min(self.newest / 64 + WORDS as u64) {
            self.used.0[word as usize % WORDS] = 0;
            self.left_out.0[word as usize % WORDS] = 0;
        }
        self.newest = self.newest.max(n);
    }

    /// How many numbers below `n` were left out and closed. For what is further back than the window, how many were before it.
    pub(super) fn before(&self, n: u64) -> u64 {
        let from = n.max(self.oldest());
        let mut since = 0;
        for word in from / 64..=self.newest / 64 {
            let at = word as usize % WORDS;
            let closed = self.left_out.0[at] & !self.used.0[at];
            let wanted = if word == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
            since += u64::from((closed & wanted).count_ones());
        }
        self.total - since
    }

    pub(super) fn fate(&self, n: u64) -> Fate {
        if n < self.oldest() || n > self.newest {
            return Fate::Open;
        }
        match (self.used.has(n), self.left_out.has(n)) {
            (false, false) => Fate::Open,
            (true, false) => Fate::Sent,
            (false, true) => Fate::Closed,
            (true, true) => Fate::Filled,
        }
    }

    /// `n` goes out. It was open or goes out again.
    pub(super) fn send(&mut self, n: u64) {
        debug_assert!(matches!(self.fate(n), Fate::Open | Fate::Sent), "it was not left out");
        self.used.insert(n);
    }

    /// `n`, which was open, is left out and later ones move up.
    pub(super) fn close(&mut self, n: u64) {
        debug_assert_eq!(self.fate(n), Fate::Open);
        self.left_out.insert(n);
        self.total += 1;
    }

    /// `n`, which was open, is left out and its number is used by padding.
    pub(super) fn fill(&mut self, n: u64) {
        debug_assert_eq!(self.fate(n), Fate::Open);
        self.used.insert(n);
        self.left_out.insert(n);
    }

    /// Words are forgotten as a whole.
    fn oldest(&self) -> u64 {
        (self.newest / 64 + 1).saturating_sub(WORDS as u64) * 64
    }
}

/// Numbers of the window.
#[derive(Clone, Debug, Default)]
struct Set([u64; WORDS]);

impl Set {
    fn has(&self, n: u64) -> bool {
        self.0[(n / 64) as usize % WORDS] >> (n % 64) & 1 == 1
    }

    fn insert(&mut self, n: u64) {
        self.0[(n / 64) as usize % WORDS] |= 1 << (n % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_numbers_move_up() {
        let mut shift = Shift::new(70);
        shift.send(70);
        for n in [71, 72] {
            shift.advance(n);
            shift.close(n);
        }
        for n in [73, 75] {
            shift.advance(n);
            shift.send(n);
        }
        assert_eq!([70, 71, 72, 73, 74, 75, 76].map(|n| shift.before(n)), [0, 0, 1, 2, 2, 2, 2]);
        assert_eq!([70, 72, 74, 69, 76].map(|n| shift.fate(n)), [Fate::Sent, Fate::Closed, Fate::Open, Fate::Open, Fate::Open]);
        shift.fill(74);
        assert_eq!((shift.fate(74), shift.before(75)), (Fate::Filled, 2), "padding is no reason to move up");
    }

    #[test]
    fn it_forgets_what_is_old_and_nothing_else() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut shift = Shift::new(1_000_000);
        let mut closed = Vec::new();
        for _ in 0..5_000 {
            let n = shift.newest() + [1, 2, 63, 64, 65, 900, 5_000][rng.choice([0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]).unwrap()];
            shift.advance(n);
            if rng.bool() {
                shift.close(n);
                closed.push(n);
            } else {
                shift.send(n);
            }
            let back = n - rng.u64(0..=LATE_PACKETS_MAX);
            let below = closed.partition_point(|c| *c < back) as u64;
            assert_eq!(shift.before(back), below, "{back} of {n}");
            assert_eq!(shift.fate(back) == Fate::Closed, closed.binary_search(&back).is_ok());
        }
    }
}
