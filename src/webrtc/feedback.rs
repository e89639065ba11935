//! The compound RTCP that a receiver sends about what we send: read totally, bounded, into a plain list.
//!
//! RFC 3550 (RR, SR), RFC 4585 (NACK, PLI), RFC 5104 (FIR), draft-holmer-rmcat-transport-wide-cc-extensions-01,
//! draft-alvestrand-rmcat-remb-03. Everything else is passed over.

use crate::limits::{NACKS_PER_PACKET_MAX, TOLD_PER_PACKET_MAX};

/// One thing that a receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// A packet of ours is missing.
    Nack {
        /// Our media SSRC.
        ssrc: u32,
        /// Its sequence number.
        seq: u16,
    },
    /// A keyframe is wanted (PLI or FIR).
    Keyframe {
        /// Our media SSRC.
        ssrc: u32,
    },
    /// A report block about one of our streams.
    Report {
        /// Our SSRC.
        ssrc: u32,
        /// Lost since the last report, of 256.
        fraction_lost: u8,
        /// Jitter in clock ticks.
        jitter: u32,
        /// Middle 32 bits of the last sender report's NTP time, 0 if none came.
        last_sr: u32,
        /// Since that report came, in 1/65,536 s.
        delay: u32,
    },
    /// The receiver's own estimate (REMB), in bits a second.
    Remb {
        /// Of everything together.
        bps: u64,
    },
    /// Transport-wide feedback about one packet.
    Told {
        /// Its transport-wide number.
        number: u16,
        /// 24 bits, in 64 ms of the receiver's clock.
        reference: u32,
        /// When it arrived after that, in quarters of a millisecond; `None`: it is not there.
        quarters: Option<i32>,
    },
}

/// RTCP as opposed to RTP, of a datagram whose first byte says "RTP or RTCP" (RFC 5761).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.len() >= 8 && (128..192).contains(&datagram[0]) && (192..224).contains(&datagram[1])
}

/// RTP as opposed to RTCP.
pub fn is_rtp(datagram: &[u8]) -> bool {
    datagram.len() >= 12 && (128..192).contains(&datagram[0]) && !(192..224).contains(&datagram[1])
}

/// The 32-bit word at a place that is known to be inside.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// Reads a plain compound packet and calls `on` for each thing said. Stops at the first thing that is not RTCP.
pub fn read(compound: &[u8], mut on: impl FnMut(Feedback)) {
    let mut rest = compound;
    let (mut nacks, mut told) = (0, 0);
    while rest.len() >= 8 {
        let len = 4 * (1 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
        if rest[0] >> 6 != 2 || len < 8 || len > rest.len() {
            return;
        }
        let (packet, after) = rest.split_at(len);
        rest = after;
        let format = packet[0] & 31;
        match (packet[1], format) {
            (200, count) => read_reports(packet, 28, count, &mut on),
            (201, count) => read_reports(packet, 8, count, &mut on),
            (205, 1) => read_nacks(packet, &mut nacks, &mut on),
            (205, 15) => read_transport(packet, &mut told, &mut on),
            (206, 1) if len >= 12 => on(Feedback::Keyframe { ssrc: word(packet, 8) }),
            (206, 4) => packet.get(12..).unwrap_or(&[]).chunks_exact(8).for_each(|entry| on(Feedback::Keyframe { ssrc: word(entry, 0) })),
            (206, 15) => read_remb(packet, &mut on),
            _ => {}
        }
    }
}

fn read_reports(packet: &[u8], from: usize, count: u8, on: &mut impl FnMut(Feedback)) {
    for block in packet.get(from..).unwrap_or(&[]).chunks_exact(24).take(count.into()) {
        on(Feedback::Report {
            ssrc: word(block, 0),
            fraction_lost: block[4],
            jitter: word(block, 12),
            last_sr: word(block, 16),
            delay: word(block, 20),
        });
    }
}

fn read_nacks(packet: &[u8], count: &mut usize, on: &mut impl FnMut(Feedback)) {
    let ssrc = word(packet, 8);
    for entry in packet.get(12..).unwrap_or(&[]).chunks_exact(4) {
        let (first, mask) = (u16::from_be_bytes([entry[0], entry[1]]), u16::from_be_bytes([entry[2], entry[3]]));
        for i in 0..17u16 {
            if i > 0 && mask >> (i - 1) & 1 == 0 {
                continue;
            }
            if *count == NACKS_PER_PACKET_MAX {
                return;
            }
            *count += 1;
            on(Feedback::Nack { ssrc, seq: first.wrapping_add(i) });
        }
    }
}

/// "REMB", the number of SSRCs, then 6 bits of exponent and 18 of mantissa.
fn read_remb(packet: &[u8], on: &mut impl FnMut(Feedback)) {
    if packet.get(12..16) != Some(b"REMB") || packet.len() < 20 {
        return;
    }
    let value = word(packet, 16) & 0xff_ffff;
    let (exponent, mantissa) = (value >> 18, u64::from(value & 0x3_ffff));
    let bps = if mantissa.leading_zeros() >= exponent { mantissa << exponent } else { u64::MAX };
    on(Feedback::Remb { bps });
}

/// Base number, count, reference time, then chunks with a status for each packet, then a delta for each that arrived.
fn read_transport(packet: &[u8], told: &mut usize, on: &mut impl FnMut(Feedback)) {
    let Some(body) = packet.get(12..).filter(|b| b.len() >= 8) else { return };
    let (base, count) = (u16::from_be_bytes([body[0], body[1]]), usize::from(u16::from_be_bytes([body[2], body[3]])));
    let reference = word(body, 4) >> 8;
    let chunks = || body[8..].chunks_exact(2).map(|chunk| u16::from_be_bytes([chunk[0], chunk[1]]));
    let (mut covered, mut used) = (0, 0);
    for chunk in chunks() {
        if covered >= count {
            break;
        }
        covered += chunk_len(chunk);
        used += 1;
    }
    if covered < count {
        return; // which deltas belong to which packets is not known
    }
    let mut deltas = &body[8 + 2 * used..];
    let mut quarters = 0i32;
    let statuses = chunks().take(used).flat_map(|chunk| (0..chunk_len(chunk)).map(move |i| status(chunk, i)));
    for (i, status) in statuses.take(count).enumerate() {
        if *told == TOLD_PER_PACKET_MAX {
            return;
        }
        *told += 1;
        let delta = match (status, deltas) {
            (0, _) => None,
            (1, [small, rest @ ..]) => {
                deltas = rest;
                Some(i32::from(*small))
            }
            (2, [high, low, rest @ ..]) => {
                deltas = rest;
                Some(i32::from(i16::from_be_bytes([*high, *low])))
            }
            _ => return, // reserved, or the deltas ended
        };
        quarters += delta.unwrap_or(0);
        on(Feedback::Told { number: base.wrapping_add(i as u16), reference, quarters: delta.map(|_| quarters) });
    }
}

/// How many packets a chunk is about: a run, or 14 statuses of one bit, or 7 of two.
fn chunk_len(chunk: u16) -> usize {
    match chunk >> 14 {
        0 | 1 => usize::from(chunk & 0x1fff),
        2 => 14,
        _ => 7,
    }
}

/// 0: not there, 1: a small delta (one byte), 2: a large or negative one (two), 3: reserved.
fn status(chunk: u16, i: usize) -> u16 {
    match chunk >> 14 {
        0 | 1 => chunk >> 13 & 3,
        2 => chunk >> (13 - i) & 1,
        _ => chunk >> (12 - 2 * i) & 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Feedback> {
        let mut out = vec![];
        read(bytes, |f| out.push(f));
        out
    }

    #[test]
    fn nack_pli_fir_and_reports() {
        let mut c = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9, 128, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 2, 0];
        c.extend([0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0b101]);
        c.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9]);
        c.extend([0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0]);
        assert_eq!(
            all(&c),
            [
                Feedback::Report { ssrc: 9, fraction_lost: 128, jitter: 3, last_sr: 0x10000, delay: 512 },
                Feedback::Nack { ssrc: 9, seq: 65_535 },
                Feedback::Nack { ssrc: 9, seq: 0 },
                Feedback::Nack { ssrc: 9, seq: 2 },
                Feedback::Keyframe { ssrc: 9 },
                Feedback::Keyframe { ssrc: 8 },
            ]
        );
    }

    /// A transport-wide feedback packet: base, count, reference, then what follows.
    fn transport(base: u16, count: u16, reference: u32, rest: &[u8]) -> Vec<u8> {
        let mut c = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9];
        c.extend([base.to_be_bytes(), count.to_be_bytes()].concat());
        c.extend((reference << 8 | 5).to_be_bytes());
        c.extend(rest);
        c.resize(c.len().next_multiple_of(4), 0);
        c[3] = (c.len() / 4 - 1) as u8;
        c
    }

    fn told(bytes: &[u8]) -> Vec<(u16, Option<i32>)> {
        let each = |said| match said {
            Feedback::Told { number, reference: 0x01_0203, quarters } => (number, quarters),
            other => panic!("{other:?}"),
        };
        all(bytes).into_iter().map(each).collect()
    }

    #[test]
    fn transport_feedback_of_all_kinds() {
        let runs = |from: u16, to: u16, value: Option<i32>| (from..to).map(move |n| (n, value)).collect::<Vec<_>>();
        type Statuses = Vec<(u16, Option<i32>)>;
        let table: Vec<(u16, u16, Vec<u8>, Statuses)> = vec![
            // A run of small deltas, across the wrap.
            (65_535, 3, vec![0x20, 3, 4, 8, 255], vec![(65_535, Some(4)), (0, Some(12)), (1, Some(267))]),
            // A run of what is missing, and one of large deltas, one of them negative.
            (10, 4, vec![0, 2, 0x40, 2, 1, 0, 0xff, 0xfe], vec![(10, None), (11, None), (12, Some(256)), (13, Some(254))]),
            // One-bit statuses: there, missing, there; the chunk has room for more.
            (7, 3, vec![0xa8, 0, 1, 2], vec![(7, Some(1)), (8, None), (9, Some(3))]),
            // Two-bit statuses: small, large, missing, small.
            (1, 4, vec![0xd8, 0x40, 9, 0x80, 0, 1], vec![(1, Some(9)), (2, Some(9 - 32_768)), (3, None), (4, Some(10 - 32_768))]),
            // Two chunks.
            (
                0,
                20,
                vec![0, 15, 0xbe, 0, 1, 1, 1, 1, 1],
                [runs(0, 15, None), (15..20).map(|n| (n, Some(i32::from(n) - 14))).collect()].concat(),
            ),
        ];
        for (base, count, rest, expected) in table {
            assert_eq!(told(&transport(base, count, 0x01_0203, &rest)), expected, "{rest:x?}");
        }
    }

    #[test]
    fn transport_feedback_that_is_cut_or_reserved_tells_what_can_be_known() {
        assert_eq!(told(&transport(0, 9, 0x01_0203, &[0x20, 3])), [], "statuses are missing");
        let two = transport(0, 6, 0x01_0203, &[0x20, 6, 1, 2]);
        assert_eq!(told(&two), [(0, Some(1)), (1, Some(3))], "deltas are missing");
        let reserved = transport(0, 2, 0x01_0203, &[0xdc, 0, 5, 0]);
        assert_eq!(told(&reserved), [(0, Some(5))]);
        let mut many = vec![];
        (0..10).for_each(|_| many.extend(transport(0, 8_191, 0x01_0203, &[0x1f, 0xff])));
        assert_eq!(told(&many).len(), TOLD_PER_PACKET_MAX);
    }

    #[test]
    fn remb() {
        let remb = |exponent: u32, mantissa: u32| {
            let mut c = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
            c.extend(b"REMB");
            c.extend((1 << 24 | exponent << 18 | mantissa).to_be_bytes());
            c.extend([0, 0, 0, 9]);
            all(&c)
        };
        assert_eq!(remb(3, 0x3_0000), [Feedback::Remb { bps: 0x18_0000 }]);
        assert_eq!(remb(63, 0x3_ffff), [Feedback::Remb { bps: u64::MAX }]);
        assert_eq!(remb(63, 0), [Feedback::Remb { bps: 0 }]);
    }

    #[test]
    fn a_nack_of_everything_is_bounded() {
        let mut c = vec![0x81, 205, 0, 202, 0, 0, 0, 1, 0, 0, 0, 9];
        for i in 0..200u16 {
            c.extend((i * 17).to_be_bytes());
            c.extend([0xff, 0xff]);
        }
        assert_eq!(all(&c).len(), NACKS_PER_PACKET_MAX);
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut bytes: Vec<u8> = (0..rng.usize(..80)).map(|_| rng.u8(..)).collect();
            if bytes.len() >= 8 {
                bytes[0] = 0x80 | rng.u8(..32);
                bytes[1] = rng.u8(200..207);
                bytes[2..4].copy_from_slice(&rng.u16(0..20).to_be_bytes());
            }
            all(&bytes);
        }
    }
}
