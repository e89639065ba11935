//! The little of SCTP (RFC 9260) that keeps its state bounded: which streams a packet opens, and how many associations are begun. The packet came out
//! of DTLS, so it is the client's own; the client may be hostile all the same.
//!
//! str0m keeps something for each of 65,536 streams that a packet names, opened or not, and walks them all at every packet; and something for each
//! of 100,000 INITs that differ, though it uses the first.

use crate::limits::{SCTP_INITS_MAX, SCTP_STREAMS_MAX};

const HEADER_BYTES: usize = 12;
/// The chunks that open streams (I-DATA: RFC 8260), and the one that begins an association.
const DATA: u8 = 0;
const I_DATA: u8 = 64;
const INIT: u8 = 1;

/// What one client's packets pass.
#[derive(Debug, Default)]
pub struct Gate {
    inits: u32,
}

impl Gate {
    /// Whether str0m may see this packet. What it does not see is as if it were lost.
    pub fn admit(&mut self, packet: &[u8]) -> bool {
        let begins = packet.get(HEADER_BYTES) == Some(&INIT);
        let too_often = begins && self.inits == SCTP_INITS_MAX;
        self.inits += u32::from(begins && !too_often);
        !too_often && is_within_streams(packet)
    }
}

fn is_within_streams(packet: &[u8]) -> bool {
    let mut rest = packet.get(HEADER_BYTES..).unwrap_or(&[]);
    while let Some(head) = rest.first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if matches!(head[0], DATA | I_DATA)
            && let Some(stream) = rest.get(8..10)
            && u16::from_be_bytes([stream[0], stream[1]]) >= SCTP_STREAMS_MAX
        {
            return false;
        }
        rest = rest.get(len.max(4).next_multiple_of(4)..).unwrap_or(&[]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: u8, stream: u16, payload: usize) -> Vec<u8> {
        let len = 16 + payload;
        let mut c = vec![kind, 3];
        c.extend((len as u16).to_be_bytes());
        c.extend([0, 0, 0, 1]);
        c.extend(stream.to_be_bytes());
        c.extend([0; 6]);
        c.resize(len.next_multiple_of(4), 7);
        c
    }

    fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut p = vec![0; HEADER_BYTES];
        p.extend(chunks.concat());
        p
    }

    #[test]
    fn a_client_begins_a_few_times() {
        let mut gate = Gate::default();
        let begins = (0..1_000).filter(|_| gate.admit(&packet(&[chunk(INIT, 0, 4)]))).count();
        assert_eq!(begins, SCTP_INITS_MAX as usize);
    }

    #[test]
    fn streams_of_every_chunk_are_seen() {
        let good = || chunk(DATA, SCTP_STREAMS_MAX - 1, 5);
        assert!(is_within_streams(&packet(&[good(), chunk(3, 0xffff, 0), good()])));
        assert!(!is_within_streams(&packet(&[good(), chunk(DATA, SCTP_STREAMS_MAX, 5)])));
        assert!(!is_within_streams(&packet(&[good(), chunk(I_DATA, 0xffff, 1)])));
        assert!(is_within_streams(&[]) && is_within_streams(&[0; 12]) && is_within_streams(&packet(&[vec![0, 0, 0, 0, 0, 0, 0, 0]])));
    }
}
