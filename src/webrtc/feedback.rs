//! The compound RTCP that a receiver sends about what we send: read totally, bounded, into a plain list.
//!
//! RFC 3550 (RR, SR), RFC 4585 (NACK, PLI), RFC 5104 (FIR), draft-holmer-rmcat-transport-wide-cc-extensions-01. Everything else is passed over.

use crate::limits::NACKS_PER_PACKET_MAX;

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
    /// A transport-wide feedback packet: how many packets it tells of, and how many of them arrived.
    Transport {
        /// Told of.
        packets: u16,
        /// Arrived.
        received: u16,
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
    let mut nacks = 0;
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
            (205, 15) => read_transport(packet, &mut on),
            (206, 1) if len >= 12 => on(Feedback::Keyframe { ssrc: word(packet, 8) }),
            (206, 4) => packet.get(12..).unwrap_or(&[]).chunks_exact(8).for_each(|entry| on(Feedback::Keyframe { ssrc: word(entry, 0) })),
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

fn read_transport(packet: &[u8], on: &mut impl FnMut(Feedback)) {
    let Some(body) = packet.get(12..).filter(|b| b.len() >= 8) else { return };
    let packets = u16::from_be_bytes([body[2], body[3]]);
    let (mut left, mut received) = (packets, 0u16);
    let mut chunks = body[8..].chunks_exact(2);
    while let (true, Some(chunk)) = (left > 0, chunks.next()) {
        let chunk = u16::from_be_bytes([chunk[0], chunk[1]]);
        if chunk & 0x8000 == 0 {
            let run = (chunk & 0x1fff).min(left);
            received += if chunk >> 13 == 0 { 0 } else { run };
            left -= run;
        } else {
            let (bits, count) = if chunk & 0x4000 == 0 { (1, 14u16) } else { (2, 7) };
            let count = count.min(left);
            for i in 0..count {
                received += u16::from(chunk >> (14 - bits * (i + 1)) & ((1 << bits) - 1) != 0);
            }
            left -= count;
        }
    }
    on(Feedback::Transport { packets, received });
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

    #[test]
    fn transport_feedback_counts_what_arrived() {
        // 3 small deltas by a run, then 14 one-bit statuses of which 2 are used: received, missing.
        let mut c = vec![0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 5, 0, 0, 0, 0];
        c.extend([0x20, 3, 0xa0, 0]);
        assert_eq!(all(&c), [Feedback::Transport { packets: 5, received: 4 }]);
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
