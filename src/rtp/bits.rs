//! Bits from the front of a byte string, most significant first. Total: behind the end everything is `None`.

/// A place in a byte string, counted in bits.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// A number of `count` bits, at most 32.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "it fits");
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// `ns(n)` of the AV1 specification: one of `n` values in as few bits as that takes. `n` is at least 1.
    pub(super) fn non_symmetric(&mut self, n: u32) -> Option<u32> {
        let width = n.max(1).ilog2() + 1;
        let short = (1 << width) - n;
        let value = self.take(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.take(1)?)
    }

    /// `ue(v)` of H.264, which is `uvlc()` of AV1: as many zeros as the number has bits behind its first one.
    pub(super) fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        match zeros {
            0..32 => Some(((1u64 << zeros) - 1 + u64::from(self.take(zeros)?)) as u32),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_kind() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!((bits.flag(), bits.take(3)), (Some(true), Some(0b010)));
        // 011 00100 00101 0: two, three, four.
        assert_eq!([bits.exp_golomb(), bits.exp_golomb(), bits.exp_golomb()], [Some(2), Some(3), Some(4)]);
        assert_eq!(bits.exp_golomb(), None, "zeros to the end");
        assert_eq!((bits.take(1), bits.flag()), (None, None));
        // Five values: 00 01 10 110 111.
        let mut bits = Bits::new(&[0b0001_1011, 0b0111_0000]);
        assert_eq!([0, 1, 2, 3, 4].map(|_| bits.non_symmetric(5)), [0, 1, 2, 3, 4].map(Some));
        assert_eq!(bits.non_symmetric(1), Some(0), "one value takes no bit");
        assert_eq!((bits.skip(4), bits.skip(1)), (Some(()), None));
        assert_eq!(Bits::new(&[0; 8]).exp_golomb(), None, "wider than a number");
    }
}
