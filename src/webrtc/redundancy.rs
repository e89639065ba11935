//! Sound that comes with redundancy (RFC 2198): unwrapped where it arrives, and used to fill what was lost on the way here, so that every receiver
//! gains from it, with or without redundancy of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::limits::TRACKS_PER_PEER_MAX;
use crate::metrics::DropReason;
use crate::rtp::red::BLOCKS_MAX;
use crate::rtp::{Extensions, Packet, Red};

/// What one client sends with redundancy.
#[derive(Debug, Default)]
pub struct Redundancy {
    /// The payload type of what is wrapped, and that of the sound within.
    types: Option<(u8, u8)>,
    /// SSRC, number and timestamp of the newest packet of each stream.
    newest: Vec<(u32, u64, u32)>,
}

impl Redundancy {
    /// As negotiated: payload types of what is wrapped, and of the sound within.
    pub fn negotiate(&mut self, types: Option<(u8, u8)>) {
        self.types = types;
    }

    /// The payload type is that of wrapped sound.
    pub fn wraps(&self, pt: u8) -> bool {
        self.types.is_some_and(|(wrapped, _)| wrapped == pt)
    }

    /// Takes a packet of sound of the stream `ssrc`, and hands on what it is, after those before it that were lost. The error: it is not what it
    /// should be.
    pub fn receive(&mut self, ssrc: u32, wrapped: bool, mut packet: Packet, mut out: impl FnMut(Packet)) -> Result<(), DropReason> {
        let before = self.note(ssrc, &packet);
        if !wrapped {
            out(packet);
            return Ok(());
        }
        let whole = packet.payload.clone();
        let red = Red::parse(&whole).filter(|red| self.types.is_some_and(|(_, pt)| pt == red.pt)).ok_or(DropReason::Malformed)?;
        if let Some((seq, timestamp)) = before
            && packet.seq > seq
            && packet.seq - seq <= BLOCKS_MAX as u64 + 1
        {
            let ticks = packet.timestamp.wrapping_sub(timestamp);
            for (back, block) in red.missing(packet.seq - seq - 1, ticks) {
                let rate = u64::from(packet.codec.kind().clock_rate());
                let earlier = Duration::from_micros(u64::from(block.offset) * 1_000_000 / rate);
                out(Packet {
                    seq: packet.seq - back,
                    timestamp: packet.timestamp.wrapping_sub(block.offset),
                    marker: false,
                    extensions: Extensions::default(),
                    payload: Arc::from(block.sound),
                    red: None,
                    captured: packet.captured.checked_sub(earlier).unwrap_or(packet.captured),
                    ..packet
                });
            }
        }
        packet.payload = Arc::from(red.primary);
        packet.red = Some(whole);
        out(packet);
        Ok(())
    }

    /// Notes the packet if it is the newest, and gives what was the newest before.
    fn note(&mut self, ssrc: u32, packet: &Packet) -> Option<(u64, u32)> {
        let Some((_, seq, timestamp)) = self.newest.iter_mut().find(|(known, ..)| *known == ssrc) else {
            if self.newest.len() == TRACKS_PER_PEER_MAX {
                self.newest.remove(0); // a client that changes SSRCs for ever
            }
            self.newest.push((ssrc, packet.seq, packet.timestamp));
            return None;
        };
        let before = (*seq, *timestamp);
        if packet.seq > *seq {
            (*seq, *timestamp) = (packet.seq, packet.timestamp);
        }
        Some(before)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rtp::Codec;

    const TYPES: (u8, u8) = (63, 111);

    /// Number `n` with the two before it; the sound of a packet is its number.
    fn packet(n: u8, pt: u8) -> Packet {
        let payload = [0x80 | pt, 30, 0, 1, 0x80 | pt, 15, 0, 1, pt, n.wrapping_sub(2), n.wrapping_sub(1), n];
        let received = Instant::now() + Duration::from_secs(1);
        let (seq, timestamp) = (u64::from(n), u32::from(n).wrapping_mul(960));
        let extensions = Extensions { audio_level: Some(9), ..Extensions::default() };
        let payload = Arc::from(payload);
        Packet { seq, timestamp, marker: true, codec: Codec::Opus, extensions, payload, red: None, received, captured: received }
    }

    fn taken(redundancy: &mut Redundancy, n: u8) -> Vec<(u64, u32, Vec<u8>, bool)> {
        let mut out = vec![];
        redundancy.receive(1, true, packet(n, 111), |p| out.push((p.seq, p.timestamp / 960, p.payload.to_vec(), p.red.is_some()))).unwrap();
        out
    }

    #[test]
    fn sound_is_unwrapped_and_holes_are_filled_once() {
        let mut redundancy = Redundancy::default();
        redundancy.negotiate(Some(TYPES));
        assert!(redundancy.wraps(63) && !redundancy.wraps(111));
        let whole = |n: u8| (u64::from(n), u32::from(n), vec![n], true);
        let filled = |n: u8| (u64::from(n), u32::from(n), vec![n], false);
        assert_eq!(taken(&mut redundancy, 10), [whole(10)]);
        assert_eq!(taken(&mut redundancy, 11), [whole(11)]);
        assert_eq!(taken(&mut redundancy, 13), [filled(12), whole(13)]);
        assert_eq!(taken(&mut redundancy, 12), [whole(12)], "late after all: the slots have it already");
        assert_eq!(taken(&mut redundancy, 17), [filled(15), filled(16), whole(17)], "14 is lost");
        assert_eq!(taken(&mut redundancy, 200), [whole(200)], "a jump");
    }

    #[test]
    fn what_was_not_agreed_upon_is_refused() {
        let mut redundancy = Redundancy::default();
        let take = |redundancy: &mut Redundancy, packet| redundancy.receive(1, true, packet, |_| panic!("nothing goes on"));
        assert_eq!(take(&mut redundancy, packet(10, 111)), Err(DropReason::Malformed));
        redundancy.negotiate(Some(TYPES));
        assert_eq!(take(&mut redundancy, packet(10, 8)), Err(DropReason::Malformed));
        assert_eq!(take(&mut redundancy, Packet { payload: Arc::from([0x80u8]), ..packet(10, 111) }), Err(DropReason::Malformed));
        for ssrc in 0..100 {
            redundancy.receive(ssrc, false, packet(1, 111), |p| assert!(p.red.is_none())).unwrap();
        }
        assert_eq!(redundancy.newest.len(), TRACKS_PER_PEER_MAX);
    }
}
