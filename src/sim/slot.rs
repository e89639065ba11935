//! One receive section of a client: what signalling said of it, what came, and what is wrong with that.

use std::time::Instant;

use str0m::rtp::RtpPacket;

use super::decoder::{Decoder, Header};
use super::listener::Listener;
use super::payload::Payload;

use crate::id::{PeerId, TrackId};
use crate::room::SlotReason;

/// One receive section and what has come through it.
#[derive(Debug, Default)]
pub struct Slot {
    pub video: bool,
    /// Its place in the offer.
    pub number: usize,
    /// What signalling said, in order: from this timestamp on, this source. Timestamps count from the first.
    pub said: Vec<(u32, TrackId, PeerId)>,
    pub highest: Option<(u64, u32)>,
    /// Sequence numbers behind the highest that have not come.
    pub missing: usize,
    pub source: Option<u32>,
    pub reason: Option<SlotReason>,
    pub packets: u64,
    pub last_frame: Option<Instant>,
    /// Of an encoder's frames.
    pub decoder: Decoder,
    /// Of sound.
    pub listener: Listener,
}

impl Slot {
    /// What is wrong with a packet: the wrong face under a name, a number used twice, a hole that nobody's loss made, time that goes back.
    pub fn check(&mut self, packet: &RtpPacket, owner: PeerId, key: bool) -> Vec<String> {
        let mut faults = vec![];
        let (seq, time) = (*packet.seq_no, packet.header.timestamp);
        // Signalling is faster than media here, so what a timestamp belongs to is known when the packet comes.
        let said = self.said.iter().rev().find(|(first, _, _)| time.wrapping_sub(*first) < 1 << 31);
        match said {
            Some((_, track, peer)) => {
                if *peer != owner {
                    faults.push(format!("signalling says {peer}, the packet is of {owner}"));
                }
                if packet.header.csrc[0] != track.0 {
                    faults.push(format!("CSRC {} instead of {track}", packet.header.csrc[0]));
                }
            }
            None => faults.push(format!("a packet of {owner} that was never signalled")),
        }
        match self.highest {
            Some((highest, last)) if seq > highest => {
                self.missing += (seq - highest - 1) as usize;
                if (time.wrapping_sub(last) as i32) < 0 {
                    faults.push(format!("timestamp {last} → {time}"));
                }
                self.highest = Some((seq, time));
            }
            Some((highest, _)) if seq == highest => faults.push(format!("number {seq} twice")),
            Some(_) => self.missing = self.missing.saturating_sub(1),
            None => self.highest = Some((seq, time)),
        }
        if self.video && said.is_some_and(|(first, _, _)| *first == time) && !key {
            faults.push("the first frame of a source is no keyframe".into());
        }
        faults
    }
    /// What a decoder and a person make of a packet. Tiny media are not decoded.
    pub fn handle_media(&mut self, packet: &RtpPacket, video: Option<Payload>, owner: PeerId, (start, now): (Instant, Instant)) {
        let (seq, timestamp, marker) = (*packet.seq_no, packet.header.timestamp, packet.header.marker);
        match video {
            Some(payload) => {
                let header = Header { seq, timestamp, marker, bytes: packet.payload.len() };
                payload.layered.into_iter().for_each(|layered| self.decoder.handle_packet(header, payload, layered, now));
            }
            None => self.listener.handle_packet((seq, timestamp), owner, (start, now)),
        }
    }

    /// Lets time pass; `true`: its decoder asks for a keyframe.
    pub fn poll(&mut self, now: Instant) -> bool {
        self.video && self.decoder.poll(now)
    }
}
