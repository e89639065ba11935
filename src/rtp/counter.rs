//! Numbers that run on in the slot while each source starts them anywhere: TL0PICIDX and frame number, and the picture id.
//!
//! Sources without the number leave it alone; the first packet of a source that has it goes on where the last one stopped. All is additive,
//! so the same value of a source always becomes the same value in the slot, at every width.

use super::shift::{Fate, Shift};

/// A number whose gaps stay gaps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    /// The highest given out, kept in 16 bits whatever the width on the wire.
    last: u16,
    offset: Option<u16>,
}

impl Counter {
    pub(super) fn new(first: u16) -> Counter {
        Counter { last: first.wrapping_sub(1), offset: None }
    }

    /// Another source comes.
    pub(super) fn detach(&mut self) {
        self.offset = None;
    }

    pub(super) fn map(&mut self, value: u16, bits: u32) -> u16 {
        let offset = *self.offset.get_or_insert(self.last.wrapping_add(1).wrapping_sub(value));
        let out = value.wrapping_add(offset);
        self.last = later(self.last, out, bits);
        out & (u16::MAX >> (16 - bits))
    }
}

/// A number of pictures, which move up when one is left out.
#[derive(Clone, Debug)]
pub(super) struct PictureCounter {
    last: u16,
    run: Option<Run>,
}

/// The pictures of one source.
#[derive(Clone, Debug)]
struct Run {
    offset: u16,
    /// By numbers that are extended, so that they never wrap.
    shift: Shift,
}

/// Where extended numbers start, so that there are some before the first.
const EXTENDED: u64 = 1 << 32;

impl PictureCounter {
    pub(super) fn new(first: u16) -> PictureCounter {
        PictureCounter { last: first.wrapping_sub(1), run: None }
    }

    /// Another source comes.
    pub(super) fn detach(&mut self) {
        self.run = None;
    }

    pub(super) fn map(&mut self, value: u16, bits: u32) -> u16 {
        let run = self.run.get_or_insert_with(|| Run {
            offset: self.last.wrapping_add(1).wrapping_sub(value),
            shift: Shift::new(EXTENDED + u64::from(value)),
        });
        let n = run.extended(value, bits);
        run.shift.advance(n);
        let out = run.out(n);
        self.last = later(self.last, out, bits);
        out & (u16::MAX >> (16 - bits))
    }

    /// This picture is left out as a whole: what follows moves up, unless it went out before.
    pub(super) fn leave_out(&mut self, value: u16, bits: u32) {
        let Some(run) = &mut self.run else { return };
        let n = run.extended(value, bits);
        run.shift.advance(n);
        if run.shift.fate(n) == Fate::Open && ahead(run.out(n), self.last, bits) > 0 {
            run.shift.close(n);
        }
    }
}

impl Run {
    /// The extended number nearest to the newest.
    fn extended(&self, value: u16, bits: u32) -> u64 {
        let newest = self.shift.newest();
        newest.wrapping_add_signed(i64::from(ahead(value, newest as u16, bits)))
    }

    fn out(&self, n: u64) -> u16 {
        (n as u16).wrapping_add(self.offset).wrapping_sub(self.shift.before(n) as u16)
    }
}

/// By how much `a` is ahead of `b`, both of so many bits.
fn ahead(a: u16, b: u16, bits: u32) -> i16 {
    let unused = 16 - bits;
    ((a.wrapping_sub(b) << unused) as i16) >> unused
}

/// The later of both, where `last` may have more bits than count.
fn later(last: u16, out: u16, bits: u32) -> u16 {
    last.wrapping_add(ahead(out, last, bits).max(0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_move_up_and_gaps_stay() {
        let mut counter = PictureCounter::new(40);
        counter.leave_out(3, 15);
        assert_eq!(counter.map(0x7ffe, 15), 40, "what was before its first picture is nothing to it");
        counter.leave_out(0x7fff, 15);
        counter.leave_out(0x7fff, 15);
        assert_eq!(counter.map(0, 15), 41);
        // 1 is missing, 2 is left out.
        counter.leave_out(2, 15);
        assert_eq!([counter.map(3, 15), counter.map(1, 15), counter.map(0, 15)], [43, 42, 41]);
        // 4 is missing too; after 5 went out it is too late to leave it out.
        assert_eq!(counter.map(5, 15), 45);
        counter.leave_out(4, 15);
        assert_eq!(counter.map(6, 15), 46);
        counter.detach();
        assert_eq!(counter.map(100, 7), 47);
    }

    #[test]
    fn seven_bits_wrap() {
        let mut counter = PictureCounter::new(0);
        let mut expected = 0;
        for step in 0..1_000u16 {
            if step % 4 == 1 {
                counter.leave_out(step & 0x7f, 7);
            } else {
                assert_eq!(counter.map(step & 0x7f, 7), expected & 0x7f);
                expected += 1;
            }
        }
    }
}
