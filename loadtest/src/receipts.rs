//! Which packets came when, and the transport-wide feedback that says so (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::{Duration, Instant};

/// A tick of the reference time.
const REFERENCE: Duration = Duration::from_millis(64);
/// A tick of a delta.
const DELTA: Duration = Duration::from_micros(250);
/// Numbers that one packet of feedback speaks of. Older ones are left out.
const NUMBERS_MAX: u64 = 1_000;

/// Arrivals since the last feedback.
#[derive(Debug, Default)]
pub struct Receipts {
    epoch: Option<Instant>,
    highest: u64,
    /// The first number of the next feedback.
    from: u64,
    /// Extended numbers in order of arrival.
    arrived: Vec<(u64, Instant)>,
    count: u8,
}

impl Receipts {
    /// A packet came.
    pub fn note(&mut self, number: u16, now: Instant) {
        if self.epoch.is_none() {
            self.epoch = Some(now);
            // So that what came late before the first can be told, too.
            self.highest = 65_536 + u64::from(number);
            self.from = self.highest;
        }
        let ahead = number.wrapping_sub(self.highest as u16) as i16;
        let extended = self.highest.saturating_add_signed(ahead.into());
        self.highest = self.highest.max(extended);
        if extended >= self.from {
            self.arrived.push((extended, now));
        }
    }

    /// Appends the feedback about all that came since the last one, if anything did.
    pub fn write(&mut self, sender: u32, out: &mut Vec<u8>) {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.sort_unstable();
        arrived.dedup_by_key(|(number, _)| *number);
        let (Some(epoch), Some((last, _))) = (self.epoch, arrived.last().copied()) else { return };
        let base = self.from.max((last + 1).saturating_sub(NUMBERS_MAX));
        arrived.retain(|(number, _)| *number >= base);
        self.from = last + 1;
        let reference = arrived.iter().map(|(_, at)| (*at - epoch).as_millis() / REFERENCE.as_millis()).min().unwrap_or(0) as u32;
        let mut before = i64::from(reference) * (REFERENCE.as_micros() / DELTA.as_micros()) as i64;
        let (mut symbols, mut deltas) = (vec![0u8; (last + 1 - base) as usize], vec![]);
        for (number, at) in arrived {
            let ticks = ((at - epoch).as_micros() / DELTA.as_micros()) as i64;
            let delta = (ticks - before).clamp(i16::MIN.into(), i16::MAX.into());
            before += delta;
            let is_small = (0..256).contains(&delta);
            symbols[(number - base) as usize] = if is_small { 1 } else { 2 };
            if is_small { deltas.push(delta as u8) } else { deltas.extend((delta as i16).to_be_bytes()) }
        }
        let start = out.len();
        out.extend([0x8f, 205, 0, 0]);
        out.extend(sender.to_be_bytes());
        out.extend(0u32.to_be_bytes());
        out.extend((base as u16).to_be_bytes());
        out.extend((symbols.len() as u16).to_be_bytes());
        out.extend(((reference & 0xff_ffff) << 8 | u32::from(self.count)).to_be_bytes());
        self.count = self.count.wrapping_add(1);
        for seven in symbols.chunks(7) {
            // Two bits for each packet, seven in a chunk.
            let bits = seven.iter().enumerate().fold(0xc000u16, |bits, (i, symbol)| bits | u16::from(*symbol) << (12 - 2 * i));
            out.extend(bits.to_be_bytes());
        }
        out.extend(&deltas);
        while !(out.len() - start).is_multiple_of(4) {
            out.push(0);
        }
        let words = ((out.len() - start) / 4 - 1) as u16;
        out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_says_what_came_and_when() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut receipts = Receipts::default();
        let mut out = vec![];
        receipts.write(1, &mut out);
        assert!(out.is_empty(), "nothing came");
        for (number, at) in [(65_534, 0), (65_535, 10), (1, 10), (2, 200)] {
            receipts.note(number, ms(at));
        }
        receipts.write(7, &mut out);
        let expected = [
            &[0x8f, 205, 0, 6, 0, 0, 0, 7, 0, 0, 0, 0, 0xff, 0xfe, 0, 5, 0, 0, 0, 0][..],
            // 1 1 0 1 2, then the deltas 0, 40, 0 and 760 as a large one.
            &[0b1101_0100, 0b0110_0000, 0, 40, 0, 0x02, 0xf8, 0],
        ]
        .concat();
        assert_eq!(out, expected);
        out.clear();
        receipts.write(7, &mut out);
        assert!(out.is_empty(), "all is told");
        receipts.note(0, ms(300));
        receipts.write(7, &mut out);
        assert!(out.is_empty(), "too late: it was told as missing");
        receipts.note(3, ms(300));
        receipts.write(7, &mut out);
        assert_eq!((out[13], out[15], out[19], word(&out, 16) >> 8), (3, 1, 1, 4));
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }
}
