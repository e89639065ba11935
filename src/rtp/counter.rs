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
        let unused = 16 - bits;
        let ahead = ((out.wrapping_sub(self.last) << unused) as i16) >> unused;
        self.last = self.last.wrapping_add(ahead.max(0) as u16);
        out & (u16::MAX >> unused)
    }
}

/// A number of pictures, which move up when one is left out. Whether a packet is newer than all before it is told from outside, so that no
/// number of seven bits is mistaken for one of the next round.
#[derive(Clone, Debug)]
pub(super) struct PictureCounter {
    last: u16,
    run: Option<Run>,
}

/// The pictures of one source, by numbers that are extended, so that they never wrap.
#[derive(Clone, Debug)]
struct Run {
    offset: u16,
    shift: Shift,
    /// The newest that went out.
    sent: u64,
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

    pub(super) fn map(&mut self, value: u16, bits: u32, newest: bool) -> u16 {
        let first = EXTENDED + u64::from(value);
        let run = self.run.get_or_insert_with(|| Run {
            offset: self.last.wrapping_add(1).wrapping_sub(value),
            shift: Shift::new(first),
            sent: first,
        });
        let n = run.extended(value, bits, newest);
        run.shift.advance(n);
        let out = (n as u16).wrapping_add(run.offset).wrapping_sub(run.shift.before(n) as u16);
        if n >= run.sent {
            run.sent = n;
            self.last = out;
        }
        out & (u16::MAX >> (16 - bits))
    }

    /// This picture is left out as a whole: what follows moves up, unless it went out before.
    pub(super) fn leave_out(&mut self, value: u16, bits: u32, newest: bool) {
        let Some(run) = &mut self.run else { return };
        let n = run.extended(value, bits, newest);
        run.shift.advance(n);
        if n > run.sent && run.shift.fate(n) == Fate::Open {
            run.shift.close(n);
        }
    }
}

impl Run {
    /// Pictures are in the order of their packets: a newer packet is not of an older picture, nor an older packet of a newer one.
    fn extended(&self, value: u16, bits: u32, newest: bool) -> u64 {
        let last = self.shift.newest();
        let mask = u16::MAX >> (16 - bits);
        match newest {
            true => last + u64::from(value.wrapping_sub(last as u16) & mask),
            false => last - u64::from((last as u16).wrapping_sub(value) & mask),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_move_up_and_gaps_stay() {
        let mut counter = PictureCounter::new(40);
        counter.leave_out(3, 15, true);
        assert_eq!(counter.map(0x7ffe, 15, true), 40, "what was before its first picture is nothing to it");
        counter.leave_out(0x7fff, 15, true);
        counter.leave_out(0x7fff, 15, true);
        assert_eq!(counter.map(0, 15, true), 41);
        // 1 is missing, 2 is left out.
        counter.leave_out(2, 15, true);
        assert_eq!((counter.map(3, 15, true), counter.map(1, 15, false), counter.map(0, 15, false)), (43, 42, 41));
        // 4 is missing too; after 5 went out it is too late to leave it out.
        assert_eq!(counter.map(5, 15, true), 45);
        counter.leave_out(4, 15, false);
        assert_eq!(counter.map(6, 15, true), 46);
        // 8 was left out before it was known that 7 is as well: still nothing went out behind them.
        counter.leave_out(8, 15, true);
        counter.leave_out(7, 15, false);
        assert_eq!(counter.map(9, 15, true), 47);
        counter.detach();
        assert_eq!(counter.map(100, 7, true), 48);
    }

    #[test]
    fn seven_bits_wrap() {
        let mut counter = PictureCounter::new(0);
        let mut expected = 0;
        for step in 0..1_000u16 {
            if step % 4 == 1 {
                counter.leave_out(step & 0x7f, 7, true);
            } else {
                assert_eq!(counter.map(step & 0x7f, 7, true), expected & 0x7f);
                expected += 1;
            }
        }
        // 103 pictures ago is not 25 ahead.
        let late = (999 - 103u16) & 0x7f;
        assert_eq!(counter.map(late, 7, false), (896 * 3 / 4) & 0x7f);
        assert_eq!(counter.map(1_000 & 0x7f, 7, true), expected & 0x7f);
    }
}
