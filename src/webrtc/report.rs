//! What one slot tells of its times: the sender reports (RFC 3550 6.4.1), by which a browser plays the two slots of a pair in step.
//!
//! A report says which of the slot's RTP times is now. That follows from the newest packet: what it carries was captured at a moment of our clock
//! (`rtp/clock.rs`), and RTP time has run on since. The rewriter counts a slot's timestamps by the time of capture, so all reports of a slot lie on
//! one line, through every change of source. That matters: Chromium and Firefox fit a line through the last twenty reports, one a second
//! (libwebrtc's `rtp_to_ntp_estimator`), and a step would lead them astray for as long.
//!
//! Nothing here encrypts or counts SRTCP: that is the egress's.

use std::time::{Duration, Instant};

use crate::id::TrackId;
use crate::rtp::Packet;

/// Browsers begin to synchronise with the first reports; one more comes with the first packet of each source.
const EVERY: Duration = Duration::from_secs(1);
/// A slot that sent nothing for so long writes no reports.
const WHILE_SENT: Duration = Duration::from_secs(5);

/// A moment of our clock and its NTP time (32.32 fixed-point seconds since 1900): the wall clock is the caller's.
pub type Epoch = (Instant, u64);

/// NTP time of a moment; before the epoch it stands still.
pub fn ntp_at(epoch: Epoch, at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch.0);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    epoch.1.wrapping_add((since.as_secs() << 32) + fraction)
}

/// What a slot has sent, and when the next report is due.
#[derive(Debug, Default)]
pub struct Reports {
    packets: u32,
    octets: u32,
    newest: Option<Newest>,
    due: Option<Instant>,
}

/// The packet that was sent last.
#[derive(Clone, Copy, Debug)]
struct Newest {
    track: TrackId,
    /// In the slot.
    timestamp: u32,
    clock_rate: u32,
    captured: Instant,
    sent: Instant,
}

impl Reports {
    /// Media packets so far, modulo 2^32.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// When the next report is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A packet of `track` left with this timestamp.
    pub fn on_sent(&mut self, track: TrackId, timestamp: u32, packet: &Packet, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        // The first packet of a source, and the first one after a silence.
        if self.due.is_none() || self.newest.is_none_or(|newest| newest.track != track) {
            self.due = Some(now);
        }
        self.newest = Some(Newest { track, timestamp, clock_rate: packet.codec.kind().clock_rate(), captured: packet.captured, sent: now });
    }

    /// The due report with its source description, to be sealed; `None` from a slot that has fallen silent: the next packet wakes it.
    pub fn write(&mut self, ssrc: u32, cname: &str, epoch: Epoch, now: Instant) -> Option<Vec<u8>> {
        self.due = None;
        let newest = self.newest.filter(|newest| now.saturating_duration_since(newest.sent) <= WHILE_SENT)?;
        self.due = Some(now + EVERY);
        let since = now.saturating_duration_since(newest.captured).as_micros() as u64;
        let ticks = (since * u64::from(newest.clock_rate) / 1_000_000) as u32;
        let mut plain = vec![0x80, 200, 0, 6];
        plain.extend_from_slice(&ssrc.to_be_bytes());
        plain.extend_from_slice(&ntp_at(epoch, now).to_be_bytes());
        plain.extend_from_slice(&newest.timestamp.wrapping_add(ticks).to_be_bytes());
        plain.extend_from_slice(&self.packets.to_be_bytes());
        plain.extend_from_slice(&self.octets.to_be_bytes());
        describe(&mut plain, ssrc, cname);
        Some(plain)
    }
}

/// RFC 3550 6.5: one chunk with the canonical name, ended by at least one zero.
fn describe(plain: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
    let end = plain.len() + 4 + chunk;
    plain.extend_from_slice(&[0x81, 202, 0, (chunk / 4) as u8]);
    plain.extend_from_slice(&ssrc.to_be_bytes());
    plain.extend_from_slice(&[1, cname.len() as u8]);
    plain.extend_from_slice(cname);
    plain.resize(end, 0);
}
