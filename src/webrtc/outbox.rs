//! Datagrams that wait to be sent: one peer's, in one buffer, so that runs of equal size leave in one call.

use crate::limits::OUTBOX_BYTES_MAX;

/// A bounded run of datagrams to one address.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Outbox {
    /// Room for a datagram of at most `len` bytes; `None` when the peer has too much waiting.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Option<&mut [u8]> {
        let from = self.bytes.len();
        if from + len > OUTBOX_BYTES_MAX {
            return None;
        }
        self.bytes.resize(from + len, 0);
        Some(&mut self.bytes[from..])
    }

    /// Keeps the first `len` bytes of what [`Outbox::reserve`] gave.
    #[inline]
    pub fn commit(&mut self, len: usize) {
        let from = self.ends.last().copied().unwrap_or(0);
        self.bytes.truncate(from + len);
        if len > 0 {
            self.ends.push(from + len);
        }
    }

    /// Appends a whole datagram; `false` when there is no room.
    pub fn push(&mut self, datagram: &[u8]) -> bool {
        let Some(room) = self.reserve(datagram.len()) else { return false };
        room.copy_from_slice(datagram);
        self.commit(datagram.len());
        true
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes another's memory where that is larger. Nothing waits in either.
    pub fn keep_larger(&mut self, other: Outbox) {
        debug_assert!(self.is_empty() && other.is_empty(), "all of it has left");
        if other.bytes.capacity() > self.bytes.capacity() {
            *self = other;
        }
    }

    /// Runs of datagrams of equal size (the last may be shorter), at most `run_max` each: (bytes, segment size). Nothing waits afterwards.
    pub fn drain(&mut self, run_max: usize, mut send: impl FnMut(&[u8], usize)) {
        let (mut from, mut i) = (0, 0);
        while i < self.ends.len() {
            let size = self.ends[i] - from;
            let (mut end, mut count) = (self.ends[i], 1);
            i += 1;
            while i < self.ends.len() && count < run_max && end - from + size <= u16::MAX as usize - 64 {
                let next = self.ends[i] - end;
                if next > size {
                    break;
                }
                end = self.ends[i];
                count += 1;
                i += 1;
                if next < size {
                    break;
                }
            }
            send(&self.bytes[from..end], size);
            from = end;
        }
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(sizes: &[usize], run_max: usize) -> Vec<(usize, usize)> {
        let mut o = Outbox::default();
        sizes.iter().for_each(|s| assert!(o.push(&vec![1; *s])));
        let mut out = vec![];
        o.drain(run_max, |bytes, size| out.push((bytes.len(), size)));
        assert!(o.is_empty());
        out
    }

    #[test]
    fn equal_sizes_leave_together() {
        assert_eq!(runs(&[10, 10, 10], 64), [(30, 10)]);
        assert_eq!(runs(&[10, 10, 4, 10], 64), [(24, 10), (10, 10)]);
        assert_eq!(runs(&[4, 10, 10], 64), [(4, 4), (20, 10)]);
        assert_eq!(runs(&[10; 5], 2), [(20, 10), (20, 10), (10, 10)]);
        assert!(runs(&[1_200; 80], 64).iter().all(|(bytes, _)| *bytes <= 65_535));
    }

    #[test]
    fn a_full_outbox_refuses() {
        let mut o = Outbox::default();
        while o.push(&[0; 1_000]) {}
        assert!(o.bytes.len() <= OUTBOX_BYTES_MAX);
        o.drain(64, |_, _| ());
        assert!(o.push(&[0; 1_000]));
    }
}
