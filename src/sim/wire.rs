//! What is seen on the wire: whoever sends, no SRTP or SRTCP index may be used twice under one key.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// Every protected packet that left the server, by receiver.
#[derive(Debug, Default)]
pub struct Audit {
    seen: HashSet<(SocketAddr, bool, u32, u64)>,
    rollover: HashMap<(SocketAddr, u32), u64>,
    /// How many packets were looked at.
    pub packets: u64,
    /// What was used twice: receiver, SRTCP, SSRC, index.
    pub reused: Vec<(SocketAddr, bool, u32, u64)>,
    /// Hours of packets are more than it can remember.
    pub off: bool,
}

impl Audit {
    /// A datagram of the server to this receiver.
    pub fn note(&mut self, to: SocketAddr, d: &[u8]) {
        if self.off || d.len() < 12 || !(128..192).contains(&d[0]) {
            return;
        }
        let word = |at: usize| u32::from_be_bytes([d[at], d[at + 1], d[at + 2], d[at + 3]]);
        let rtcp = (192..224).contains(&d[1]);
        let key = if rtcp {
            (to, true, word(4), u64::from(word(d.len() - 4) & 0x7fff_ffff))
        } else {
            let (ssrc, seq) = (word(8), u16::from_be_bytes([d[2], d[3]]));
            (to, false, ssrc, self.extended(to, ssrc, seq))
        };
        self.packets += 1;
        if !self.seen.insert(key) {
            self.reused.push(key);
        }
    }

    /// The index as a receiver guesses it (RFC 3711 3.3.1): the rollover counter is not on the wire.
    fn extended(&mut self, to: SocketAddr, ssrc: u32, seq: u16) -> u64 {
        let highest = self.rollover.entry((to, ssrc)).or_insert(seq.into());
        let delta = seq.wrapping_sub(*highest as u16) as i16;
        let index = highest.wrapping_add_signed(delta.into());
        *highest = (*highest).max(index);
        index
    }
}
