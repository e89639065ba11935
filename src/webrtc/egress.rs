//! What one connection's slots send: headers, encryption, transport-wide numbers, history, retransmission, sender reports; and what the
//! receiver says about it. str0m has no part in it (design, "The send side").
//!
//! ```text
//! send(slot, packet) ─┐                                    ┌→ outbox (SRTP, SRTCP datagrams)
//! handle_rtcp(bytes) ─┼→ pace, number, seal, keep, answer ──┼→ keyframe requests by slot
//! handle_timeout(now)─┘                                    └→ estimate
//! ```
//!
//! What goes by the clock stands in `sending`: the pacer's releases, padding, the wish and the estimate.
//!
//! Rules (facts/egress): one writer per SSRC; RTP indexes are used once and belong to the slot for the life of the keys; one SRTCP counter and one
//! transport-wide counter per connection; nothing is sent before the keys are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bwe::Estimator;
use super::counters::EgressCounters;
use super::feedback::{self, Feedback, word};
use super::header::{self, ExtensionIds, Fixed, HEADER_BYTES_MAX, Hop};
use super::history::{History, Sent, TooSoon};
use super::ledger::Ledger;
use super::outbox::Outbox;
use super::pacer::{Admission, Pacer};
use super::repeats::Repeats;
use super::replay::{self, ReplayWindow};
use super::report::{self, Epoch, Reports};
use super::srtp::{Session, TAG_MAX};
use crate::id::SlotIndex;
use crate::limits::{DATAGRAM_BYTES_MAX, HISTORY_AUDIO_PACKETS_MAX, HISTORY_PACKETS_MAX, MEDIA_BYTES_MAX};
use crate::metrics::{DropReason, Drops};
use crate::room::Forward;
use crate::rtp::{Codec, Kind, Packet, red};

/// Taken for the round trip until the first report tells it.
const RTT_UNKNOWN: Duration = Duration::from_millis(100);
/// A repetition within a shorter time is never of use, whatever the round trip.
const REPEAT_MIN: Duration = Duration::from_millis(20);
/// The mid stands in a slot's first packets; the receiver knows the SSRC from the answer anyway.
const PACKETS_WITH_MID: u32 = 100;
const _: () = assert!(MEDIA_BYTES_MAX + 2 + HEADER_BYTES_MAX + TAG_MAX <= DATAGRAM_BYTES_MAX, "what the room has numbered can be sent");

/// How one receiver wants one codec numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    /// What it is.
    pub codec: Codec,
    /// Media.
    pub pt: u8,
    /// Its retransmissions, where the receiver takes them.
    pub rtx: Option<u8>,
    /// The same with redundancy, where the receiver takes it.
    pub red: Option<u8>,
}

impl PayloadTypes {
    /// What of a packet goes to this receiver: payload type, payload, and the type of the sound in it where that has redundancy.
    fn body<'a>(&self, packet: &'a Packet) -> (u8, &'a [u8], Option<u8>) {
        match (self.red, &packet.red) {
            (Some(red), Some(whole)) => (red, whole, Some(self.pt)),
            _ => (self.pt, &packet.payload, None),
        }
    }
}

/// One slot as it was negotiated.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Audio or video.
    pub kind: Kind,
    /// The m-line.
    pub mid: String,
    /// Ours, for the life of the slot.
    pub ssrc: u32,
    /// Ours, for retransmissions.
    pub rtx: Option<u32>,
    /// The codecs that may go out.
    pub codecs: Vec<PayloadTypes>,
    /// The receiver's numbers for extensions.
    pub ids: ExtensionIds,
    /// Joins the streams that one clock drives (RFC 3550).
    pub cname: String,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) config: StreamConfig,
    pub(super) history: History,
    pub(super) rtx_index: u64,
    reports: Reports,
    /// Of the codec that was sent last.
    types: Option<PayloadTypes>,
}

impl Stream {
    /// How the receiver wants this codec numbered.
    #[inline]
    fn types(&mut self, codec: Codec) -> Option<PayloadTypes> {
        if self.types.is_none_or(|types| types.codec != codec) {
            self.types = self.config.codecs.iter().find(|types| types.codec == codec).copied();
        }
        self.types
    }
}

/// The send side of one connection.
pub struct Egress {
    pub(super) session: Option<Session>,
    pub(super) streams: Vec<Stream>,
    pub(super) ledger: Ledger,
    pub(super) estimator: Estimator,
    pub(super) pacer: Pacer,
    /// Slots that lost packets in the pacer and need a keyframe.
    pub(super) broken: u64,
    srtcp_index: u32,
    /// By sender SSRC: each of the peer's has a counter of its own (RFC 3711 3.2.1), and browsers use one for each receive section.
    srtcp_replay: Vec<(u32, ReplayWindow)>,
    pub(super) epoch: Epoch,
    pub(super) rtt: Option<Duration>,
    pub(super) repeats: Repeats,
    /// Since when anything is wanted.
    pub(super) wanted_since: Option<Instant>,
    /// What the pacer let go.
    pub drops: Drops,
    /// Datagrams for the end of the tick.
    pub outbox: Outbox,
    /// For the metrics.
    pub counters: EgressCounters,
}

impl Egress {
    /// Without keys and slots.
    pub fn new(epoch: Epoch) -> Egress {
        Egress {
            session: None,
            streams: vec![],
            ledger: Ledger::default(),
            estimator: Estimator::new(epoch.0),
            pacer: Pacer::default(),
            broken: 0,
            srtcp_index: 0,
            srtcp_replay: vec![],
            epoch,
            rtt: None,
            repeats: Repeats::default(),
            wanted_since: None,
            drops: Drops::default(),
            outbox: Outbox::default(),
            counters: EgressCounters::default(),
        }
    }

    /// The keys are there: from now on packets leave.
    pub fn connect(&mut self, session: Session) {
        debug_assert!(self.session.is_none(), "one set of keys per connection");
        self.session = Some(session);
        self.estimator.set_blind(!self.streams.iter().any(|s| s.config.ids.transport > 0));
    }

    /// Another slot; its number is the count before.
    pub fn add_stream(&mut self, config: StreamConfig) {
        let size = match config.kind {
            Kind::Audio => HISTORY_AUDIO_PACKETS_MAX,
            Kind::Video => HISTORY_PACKETS_MAX,
        };
        let history = History::new(size);
        self.streams.push(Stream { config, history, rtx_index: 1, reports: Reports::default(), types: None });
    }

    /// A later offer may number extensions and payloads anew; SSRCs and what was sent stay.
    pub fn renegotiate(&mut self, slot: SlotIndex, codecs: Vec<PayloadTypes>, ids: ExtensionIds) {
        if let Some(stream) = self.streams.get_mut(usize::from(slot.0)) {
            stream.config.codecs = codecs;
            stream.types = None;
            stream.config.ids = ids;
        }
    }

    /// A closed slot keeps its numbers and no pictures.
    pub fn forget(&mut self, slot: SlotIndex) {
        self.drops.count_many(DropReason::NoReceiver, self.pacer.forget(slot));
        if let Some(stream) = self.streams.get_mut(usize::from(slot.0)) {
            stream.history.clear();
        }
    }

    /// How a slot was negotiated.
    pub fn config(&self, slot: SlotIndex) -> Option<&StreamConfig> {
        self.streams.get(usize::from(slot.0)).map(|s| &s.config)
    }

    /// The SSRC is one that only we may write.
    pub fn owns(&self, ssrc: u32) -> bool {
        self.streams.iter().any(|s| s.config.ssrc == ssrc || s.config.rtx == Some(ssrc))
    }

    /// One packet into one slot: into the outbox, or behind others that wait for the receiver's bandwidth.
    #[inline]
    pub fn send(&mut self, forward: &Forward, packet: &Arc<Packet>, now: Instant) -> Result<(), DropReason> {
        let Some(stream) = self.streams.get(usize::from(forward.slot.0)) else { return Err(DropReason::NoTrack) };
        if stream.config.kind == Kind::Video && self.session.is_some() {
            match self.pacer.admit(forward.slot, packet, now) {
                Admission::Pass => {}
                Admission::Wait => return self.wait(forward, packet, now),
                Admission::Drop => return Err(DropReason::Paced),
            }
        }
        self.seal(forward, packet, now)
    }

    /// Seals one packet into the outbox and remembers it.
    #[inline]
    pub(super) fn seal(&mut self, forward: &Forward, packet: &Arc<Packet>, now: Instant) -> Result<(), DropReason> {
        let Some(session) = &self.session else { return Err(DropReason::NotConnected) };
        let stream = self.streams.get_mut(usize::from(forward.slot.0)).ok_or(DropReason::NoTrack)?;
        let types = stream.types(packet.codec).ok_or(DropReason::Codec)?;
        stream.history.admit(forward.header.seq)?;
        let sent = Sent { header: forward.header, track: forward.track, packet: packet.clone(), repeated: None };
        let out = Outgoing { session, transport: self.ledger.next(), abs_send_time: abs_send_time(self.epoch.0, now) };
        let (ssrc, index) = (stream.config.ssrc, sent.header.seq);
        let (pt, payload, within) = types.body(packet);
        let len = out.write(&mut self.outbox, stream, &sent, Place { pt, payload, within, ssrc, index, original: None })?;
        let is_numbered = stream.config.ids.transport > 0;
        stream.reports.on_sent(forward.track, forward.header.timestamp, packet, now);
        stream.history.note(sent);
        self.counters.packets += 1;
        self.counters.bytes += len as u64;
        self.repeats.on_sent(len as u64, now);
        self.on_left(len, is_numbered, now);
        self.on_media(now);
        Ok(())
    }

    /// Reads the peer's SRTCP: answers NACKs, measures, and calls `keyframe` for each slot that wants one. `false`: not authentic, or a replay.
    pub fn handle_rtcp(&mut self, datagram: &[u8], now: Instant, mut keyframe: impl FnMut(SlotIndex)) -> bool {
        let Some(session) = &self.session else { return false };
        let opened =
            session.remote.open_rtcp(datagram).filter(|(index, _)| replay::admit(&mut self.srtcp_replay, word(datagram, 4), *index));
        let Some((_, plain)) = opened else {
            self.counters.refused += 1;
            return false;
        };
        let mut is_told = false;
        feedback::read(&plain, |said| match said {
            Feedback::Nack { ssrc, seq } => {
                self.counters.nacks += 1;
                self.repeat(ssrc, seq, now);
            }
            Feedback::Keyframe { ssrc } => {
                self.counters.plis += 1;
                if let Some(slot) = self.streams.iter().position(|s| s.config.ssrc == ssrc) {
                    keyframe(SlotIndex(slot as u16));
                }
            }
            Feedback::Report { fraction_lost, last_sr, delay, .. } => {
                self.measure(last_sr, delay, now);
                self.estimator.on_report(fraction_lost, now);
            }
            Feedback::Remb { bps } => self.estimator.on_remb(bps),
            Feedback::Told { number, reference, quarters } => {
                is_told = true;
                self.ledger.on_told(number, reference, quarters);
            }
        });
        if is_told {
            self.ledger.settle(|fates| self.estimator.on_feedback(fates, now));
        }
        self.pace(now);
        true
    }

    /// When [`Egress::handle_timeout`] has something to do.
    pub fn timeout(&self) -> Option<Instant> {
        self.session.as_ref()?;
        self.streams.iter().filter_map(|s| s.reports.due()).chain(self.pacer.timeout()).min()
    }

    /// Writes the sender reports that are due, and what waited for its time.
    pub fn handle_timeout(&mut self, now: Instant) {
        for slot in 0..self.streams.len() {
            if self.streams[slot].reports.due().is_some_and(|due| due <= now) {
                self.report(slot, now);
            }
        }
        self.release(now);
    }

    /// A packet is asked for again: it leaves now, or as soon as there is room.
    fn repeat(&mut self, ssrc: u32, seq: u16, now: Instant) {
        let again = self.again();
        let Some(slot) = self.streams.iter().position(|s| s.config.ssrc == ssrc) else { return };
        let stream = &mut self.streams[slot];
        if stream.config.rtx.is_none() {
            return;
        }
        let sent = match stream.history.repeat(seq, now, again) {
            Ok(Some(sent)) => sent,
            Ok(None) => return,
            Err(TooSoon) => return self.counters.repeated_lately += 1,
        };
        let copies = self.repeats.copies(sent.repeated.is_some());
        for _ in 0..copies {
            self.repeat_once(SlotIndex(slot as u16), &sent, now);
        }
    }

    /// One copy of it.
    fn repeat_once(&mut self, slot: SlotIndex, sent: &Sent, now: Instant) {
        if !self.repeats.admit(sent.packet.payload.len() as u64, now) {
            return self.counters.repeated_enough += 1;
        }
        if !self.pacer.admit_repeat(now) {
            return self.pacer.push_repeat(slot, sent.clone(), now);
        }
        if self.seal_repeat(slot, sent, now).is_some() {
            self.counters.rtx += 1;
        }
    }

    /// A repetition is on its way for so long. A quarter less than the round trip: that one is smoothed, ways tremble, and who asks again after a round trip
    /// should not be told to ask once more.
    pub(super) fn again(&self) -> Duration {
        (self.rtt.unwrap_or(RTT_UNKNOWN) * 3 / 4).max(REPEAT_MIN)
    }

    /// RFC 4588: the original sequence number, then the payload, on the stream for retransmissions. Returns the datagram's length.
    pub(super) fn seal_repeat(&mut self, slot: SlotIndex, sent: &Sent, now: Instant) -> Option<usize> {
        let session = self.session.as_ref()?;
        let stream = self.streams.get_mut(usize::from(slot.0))?;
        let rtx = stream.config.rtx?;
        let pt = stream.types(sent.packet.codec)?.rtx?;
        let out = Outgoing { session, transport: self.ledger.next(), abs_send_time: abs_send_time(self.epoch.0, now) };
        let payload = &sent.packet.payload[..];
        let place = Place { pt, payload, within: None, ssrc: rtx, index: stream.rtx_index, original: Some(sent.header.seq as u16) };
        let len = out.write(&mut self.outbox, stream, sent, place).ok()?;
        stream.rtx_index += 1;
        let is_numbered = stream.config.ids.transport > 0;
        self.counters.bytes += len as u64;
        self.on_left(len, is_numbered, now);
        Some(len)
    }

    /// RFC 3550 6.4.1: the round trip is now − last report − delay, in 1/65,536 s.
    fn measure(&mut self, last_sr: u32, delay: u32, now: Instant) {
        if last_sr == 0 {
            return;
        }
        let middle = (self.ntp(now) >> 16) as u32;
        let units = middle.wrapping_sub(last_sr).wrapping_sub(delay);
        if units < 10 << 16 {
            let rtt = Duration::from_secs_f64(f64::from(units) / 65_536.0);
            self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
        }
    }

    /// NTP time of a moment, as the sender reports have it.
    pub fn ntp(&self, at: Instant) -> u64 {
        report::ntp_at(self.epoch, at)
    }

    /// Sender report and source description of one slot, by its media SSRC.
    fn report(&mut self, slot: usize, now: Instant) {
        let Some(session) = &self.session else { return };
        let Stream { config, reports, .. } = &mut self.streams[slot];
        let Some(plain) = reports.write(config.ssrc, &config.cname, self.epoch, now) else { return };
        let index = self.srtcp_index;
        // 2^31 reports are decades; after them the connection would be silent rather than unsafe.
        if index < 0x7fff_ffff
            && let Ok(sealed) = session.local.seal_rtcp(&plain, index)
        {
            self.srtcp_index += 1;
            // Without room this one is missing, and the next comes in a second.
            self.outbox.push(&sealed);
        }
    }
}

/// Where one packet goes: a slot's media stream, or its stream for retransmissions.
struct Place<'a> {
    pt: u8,
    payload: &'a [u8],
    /// The payload has redundancy, and this is the receiver's type for the sound in it.
    within: Option<u8>,
    ssrc: u32,
    index: u64,
    original: Option<u16>,
}

/// The connection's side of writing one packet.
struct Outgoing<'a> {
    session: &'a Session,
    transport: u16,
    abs_send_time: u32,
}

impl Outgoing<'_> {
    /// Header, payload from the shared packet, patches, tag. Returns the datagram's length.
    #[inline]
    fn write(&self, outbox: &mut Outbox, stream: &Stream, sent: &Sent, place: Place<'_>) -> Result<usize, DropReason> {
        let packet = &sent.packet;
        let original_len = if place.original.is_some() { 2 } else { 0 };
        let payload = if sent.header.empty { &[][..] } else { place.payload };
        let room = HEADER_BYTES_MAX + original_len + payload.len() + TAG_MAX;
        let buf = outbox.reserve(room).ok_or(DropReason::OutboxFull)?;
        let config = &stream.config;
        let fixed = Fixed {
            pt: place.pt,
            marker: sent.header.marker,
            seq: place.index as u16,
            timestamp: sent.header.timestamp,
            ssrc: place.ssrc,
            csrc: sent.track.0,
        };
        let mid = (stream.reports.packets() < PACKETS_WITH_MID).then_some(config.mid.as_bytes());
        let hop = Hop { mid, transport: self.transport, abs_send_time: self.abs_send_time };
        let mut at = header::write(buf, fixed, &config.ids, hop, &packet.extensions, &sent.header.patch);
        let header_len = at;
        if let Some(seq) = place.original {
            buf[at..at + 2].copy_from_slice(&seq.to_be_bytes());
            at += 2;
        }
        buf[at..at + payload.len()].copy_from_slice(payload);
        sent.header.patch.apply(&mut buf[at..at + payload.len()]);
        if let Some(pt) = place.within.filter(|_| !sent.header.empty) {
            red::renumber(&mut buf[at..at + payload.len()], pt);
        }
        let len = at + payload.len() + self.session.local.tag_len();
        if len > DATAGRAM_BYTES_MAX || self.session.local.seal_rtp(&mut buf[..len], header_len, place.ssrc, place.index).is_err() {
            outbox.commit(0);
            return Err(DropReason::Malformed);
        }
        outbox.commit(len);
        Ok(len)
    }
}

/// 24 bits, 6.18 fixed-point seconds.
#[inline]
pub(super) fn abs_send_time(epoch: Instant, now: Instant) -> u32 {
    let us = now.saturating_duration_since(epoch).as_micros() as u64;
    ((us << 18) / 1_000_000) as u32 & 0xff_ffff
}

/// What a room's [`Forward`] carries belongs to a track; used by tests to make one.
#[cfg(test)]
pub fn forward_to(slot: u16, seq: u64, timestamp: u32) -> Forward {
    let header = crate::rtp::Rewritten { seq, timestamp, marker: false, empty: false, begins: false, patch: crate::rtp::Patch::default() };
    Forward { peer: crate::id::PeerId(1), slot: SlotIndex(slot), track: crate::id::TrackId(7), header }
}

/// A packet for tests.
#[cfg(test)]
pub fn packet_of(codec: Codec, payload: Vec<u8>, now: Instant) -> Packet {
    Packet {
        seq: 1,
        timestamp: 0,
        marker: true,
        codec,
        extensions: Default::default(),
        payload: payload.into(),
        red: None,
        received: now,
        captured: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webrtc::tap::Exported;
    use str0m::crypto::dtls::SrtpProfile;

    fn exported(active: bool) -> Exported {
        Exported { material: (0..88).collect(), profile: SrtpProfile::AEAD_AES_256_GCM, active }
    }

    fn egress(now: Instant) -> Egress {
        let mut e = Egress::new((now, 1 << 32));
        let codecs = vec![PayloadTypes { codec: Codec::Vp8, pt: 96, rtx: Some(97), red: None }];
        e.add_stream(StreamConfig {
            kind: Kind::Video,
            mid: "3".into(),
            ssrc: 10,
            rtx: Some(11),
            codecs,
            ids: ExtensionIds { mid: 4, transport: 3, ..Default::default() },
            cname: "c".into(),
        });
        e
    }

    fn packet(now: Instant, codec: Codec) -> Arc<Packet> {
        Arc::new(packet_of(codec, vec![9u8; 100], now))
    }

    fn datagrams(e: &mut Egress) -> Vec<Vec<u8>> {
        let mut out = vec![];
        e.outbox.drain(64, |bytes, size| out.extend(bytes.chunks(size).map(<[u8]>::to_vec)));
        out
    }

    #[test]
    fn nothing_leaves_before_the_keys_are_there() {
        let now = Instant::now();
        let mut e = egress(now);
        assert_eq!(e.send(&forward_to(0, 5, 0), &packet(now, Codec::Vp8), now), Err(DropReason::NotConnected));
        assert!(e.outbox.is_empty() && e.timeout().is_none());
    }

    #[test]
    fn a_number_leaves_once_and_a_nack_brings_it_again_on_the_other_ssrc() {
        let now = Instant::now();
        let mut e = egress(now);
        e.connect(Session::new(&exported(false)).unwrap());
        assert_eq!(e.send(&forward_to(0, 65_535, 0), &packet(now, Codec::Vp8), now), Ok(()));
        assert_eq!(e.send(&forward_to(0, 65_536, 0), &packet(now, Codec::Vp8), now), Ok(()));
        assert_eq!(e.send(&forward_to(0, 65_536, 0), &packet(now, Codec::Vp8), now), Err(DropReason::Duplicate));
        assert_eq!(e.send(&forward_to(0, 65_537, 0), &packet(now, Codec::Opus), now), Err(DropReason::Codec));
        assert_eq!(e.send(&forward_to(9, 65_537, 0), &packet(now, Codec::Vp8), now), Err(DropReason::NoTrack));
        let out = datagrams(&mut e);
        assert_eq!(out.iter().map(|d| (word(d, 8), u16::from_be_bytes([d[2], d[3]]))).collect::<Vec<_>>(), [(10, 65_535), (10, 0)]);
        assert!(out.iter().all(|d| word(d, 12) == 7), "the track is the CSRC");

        let client = Session::new(&exported(true)).unwrap();
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 10, 0xff, 0xff, 0, 0];
        let sealed = client.local.seal_rtcp(&nack, 1).unwrap();
        assert!(e.handle_rtcp(&sealed, now, |_| panic!("no keyframe was asked for")));
        let out = datagrams(&mut e);
        assert_eq!(out.iter().map(|d| (word(d, 8), u16::from_be_bytes([d[2], d[3]]), d[1] & 127)).collect::<Vec<_>>(), [(11, 1, 97)]);
        assert!(!e.handle_rtcp(&sealed, now, |_| ()), "a replay");
    }

    #[test]
    fn redundancy_goes_to_those_who_take_it_under_their_numbers() {
        let now = Instant::now();
        let whole = Arc::from([0x80 | 111, 15, 0, 1, 111, 1, 2]);
        let sound = Packet { payload: Arc::from([2u8]), red: Some(whole), ..(*packet(now, Codec::Opus)).clone() };
        for (red, pt, body) in [(Some(120), 120, vec![0x80 | 109, 15, 0, 1, 109, 1, 2]), (None, 109, vec![2])] {
            let mut e = egress(now);
            e.connect(Session::new(&exported(false)).unwrap());
            e.renegotiate(SlotIndex(0), vec![PayloadTypes { codec: Codec::Opus, pt: 109, rtx: None, red }], ExtensionIds::default());
            e.send(&forward_to(0, 5, 0), &Arc::new(sound.clone()), now).unwrap();
            let out = datagrams(&mut e);
            // The same keys seal the same to the same.
            let mut expected = [&out[0][..16], &body, &[0; 16]].concat();
            Session::new(&exported(false)).unwrap().local.seal_rtp(&mut expected, 16, 10, 5).unwrap();
            assert_eq!((out[0][1] & 127, &out[0]), (pt, &expected));
        }
    }

    #[test]
    fn reports_begin_with_the_first_packet_and_end_with_silence() {
        let now = Instant::now();
        let mut e = egress(now);
        e.connect(Session::new(&exported(false)).unwrap());
        e.send(&forward_to(0, 1, 90_000), &packet(now, Codec::Vp8), now).unwrap();
        datagrams(&mut e);
        assert_eq!(e.timeout(), Some(now));
        let client = Session::new(&exported(true)).unwrap();
        for (second, rtp) in [(0u64, 90_000), (1, 180_000)] {
            let at = now + Duration::from_secs(second);
            e.handle_timeout(at);
            let out = datagrams(&mut e);
            let (_, plain) = client.remote.open_rtcp(&out[0]).unwrap();
            assert_eq!((word(&plain, 4), word(&plain, 8), word(&plain, 16)), (10, 1 + second as u32, rtp));
        }
        e.handle_timeout(now + Duration::from_secs(9));
        assert!(e.outbox.is_empty() && e.timeout().is_none());
    }

    #[test]
    fn a_keyframe_request_names_its_slot_and_a_report_gives_the_round_trip() {
        let now = Instant::now();
        let mut e = egress(now);
        e.connect(Session::new(&exported(false)).unwrap());
        let client = Session::new(&exported(true)).unwrap();
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 10];
        let mut asked = vec![];
        assert!(e.handle_rtcp(&client.local.seal_rtcp(&pli, 1).unwrap(), now, |slot| asked.push(slot)));
        assert_eq!(asked, [SlotIndex(0)]);
        let mut rr = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        rr.extend(0x1_0000u32.to_be_bytes()); // the report of second 1
        rr.extend(0x8000u32.to_be_bytes()); // half a second ago
        let at = now + Duration::from_millis(600);
        assert!(e.handle_rtcp(&client.local.seal_rtcp(&rr, 2).unwrap(), at, |_| ()));
        assert_eq!(e.rtt.map(|d| d.as_millis()), Some(99));
    }

    /// A receiver that reports all of the last second missing, a hundred times in a second, gets it again once and no more.
    #[test]
    fn a_window_that_is_asked_for_again_and_again_is_repeated_once() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut e = egress(now);
        e.connect(Session::new(&exported(false)).unwrap());
        let client = Session::new(&exported(true)).unwrap();
        let media = Packet { payload: Arc::from(vec![9u8; 1_000]), ..(*packet(now, Codec::Vp8)).clone() };
        for seq in 0..200u64 {
            let packet = Arc::new(Packet { seq, received: at(seq * 5), captured: at(seq * 5), ..media.clone() });
            e.send(&forward_to(0, 5 + seq, 0), &packet, at(seq * 5)).unwrap();
        }
        let media_bytes = e.counters.bytes;
        datagrams(&mut e);
        for round in 0..100u32 {
            let mut nack = vec![0x81, 205, 0, 14, 0, 0, 0, 1, 0, 0, 0, 10];
            (0..12u16).for_each(|i| nack.extend([(5 + i * 17).to_be_bytes(), [0xff, 0xff]].concat()));
            e.handle_rtcp(&client.local.seal_rtcp(&nack, round).unwrap(), at(1_000 + u64::from(round) * 10), |_| ());
        }
        let repeated = e.counters.bytes - media_bytes;
        assert!(e.counters.rtx >= 150 && repeated <= media_bytes * 2, "{:?}, {media_bytes} bytes of media", e.counters);
        assert!(e.counters.repeated_lately > 10_000 && e.counters.repeated_enough > 200, "{:?}", e.counters);
    }

    /// What a packet costs that leaves at once: `cargo nextest run --release --run-ignored only --no-capture cost_of_a_packet`.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_packet() {
        let start = Instant::now();
        let mut e = egress(start);
        e.connect(Session::new(&exported(false)).unwrap());
        // No wish is beyond the estimate of one who tells nothing, so all passes the pacer at once.
        e.estimator.set_blind(true);
        e.estimator.on_remb(100_000_000);
        e.want(50_000_000, start);
        let packet = Arc::new(packet_of(Codec::Vp8, vec![9u8; 1_100], start));
        let (mut rounds, mut seq, mut now) = (vec![], 0u64, start);
        for _ in 0..15 {
            let before = Instant::now();
            for _ in 0..2_000 {
                for _ in 0..10 {
                    e.send(&forward_to(0, seq, seq as u32), &packet, now).unwrap();
                    seq += 1;
                }
                e.outbox.drain(64, |_, _| ());
                now += Duration::from_millis(40);
            }
            rounds.push(before.elapsed().as_nanos() / 20_000);
        }
        rounds.sort_unstable();
        println!("ns per packet: median {}, least {}", rounds[7], rounds[0]);
    }

    /// Two slots, voice and picture, of a receiver that follows the estimate.
    fn paced(now: Instant, wanted: u64) -> (Egress, Session) {
        let mut e = egress(now);
        let video = e.streams[0].config.clone();
        let codecs = vec![PayloadTypes { codec: Codec::Opus, pt: 111, rtx: None, red: None }];
        e.add_stream(StreamConfig { kind: Kind::Audio, ssrc: 20, rtx: None, codecs, ..video });
        e.connect(Session::new(&exported(false)).unwrap());
        // No newcomer any more.
        e.wanted_since = now.checked_sub(crate::limits::NEWCOMER_GRACE);
        e.want(wanted, now);
        (e, Session::new(&exported(true)).unwrap())
    }

    /// (SSRC, transport-wide number, has the P bit) of what left.
    fn left(e: &mut Egress) -> Vec<(u32, u16, bool)> {
        let number = |d: &[u8]| {
            let at = d[20..].iter().position(|b| *b == 0x31).expect("the element with id 3, two bytes long") + 21;
            u16::from_be_bytes([d[at], d[at + 1]])
        };
        datagrams(e).iter().filter(|d| !feedback::is_rtcp(d)).map(|d| (word(d, 8), number(d), d[0] & 0x20 > 0)).collect()
    }

    #[test]
    fn video_waits_and_voice_does_not() {
        let now = Instant::now();
        let (mut e, _) = paced(now, 150_000);
        let picture = Arc::new(packet_of(Codec::Vp8, vec![9; 1_000], now));
        let voice = Arc::new(packet_of(Codec::Opus, vec![9; 100], now));
        (0..20).for_each(|seq| e.send(&forward_to(0, seq, 0), &picture, now).unwrap());
        e.send(&forward_to(1, 0, 0), &voice, now).unwrap();
        let first = left(&mut e);
        assert!(first.len() < 5 && first.last().map(|l| l.0) == Some(20), "{first:?}");
        assert_eq!(e.send(&forward_to(0, 0, 0), &picture, now), Err(DropReason::Duplicate));
        let (mut all, mut at) = (first, now);
        while e.pacer.len() > 0 {
            at = e.timeout().expect("something waits").max(at);
            e.handle_timeout(at);
            all.extend(left(&mut e));
        }
        assert_eq!(all.iter().map(|l| l.1).collect::<Vec<_>>(), (0..21).collect::<Vec<_>>(), "numbered as they leave");
        let taken = at - now;
        assert!((Duration::from_millis(290)..Duration::from_millis(420)).contains(&taken), "1.6 times 300 kbit/s: {taken:?}");
        assert_eq!(e.drops.total(), 0);
    }

    #[test]
    fn video_that_waits_too_long_goes_and_its_keyframe_is_asked_for() {
        let now = Instant::now();
        let (mut e, _) = paced(now, 150_000);
        let picture = Arc::new(packet_of(Codec::Vp8, vec![9; 1_000], now));
        (0..100).for_each(|seq| e.send(&forward_to(0, seq, 0), &picture, now).unwrap());
        let sent = left(&mut e).len() as u64;
        e.handle_timeout(now + Duration::from_secs(1));
        assert_eq!((e.drops.get(DropReason::Paced), e.take_broken(), e.pacer.len()), (100 - sent, 1, 0));
        let later = now + Duration::from_secs(1);
        assert_eq!(e.send(&forward_to(0, 100, 0), &picture, later), Err(DropReason::Paced));
        let key = Arc::new(packet_of(Codec::Vp8, vec![0x10, 0, 0, 0, 0x9d, 1, 0x2a], later));
        assert_eq!(e.send(&forward_to(0, 101, 0), &key, later), Ok(()));
        assert_eq!(e.send(&forward_to(0, 102, 0), &picture, later), Ok(()));
    }

    #[test]
    fn a_probe_is_padded_and_who_wants_nothing_gets_none() {
        let now = Instant::now();
        for (wanted, rtx, pads) in [(2_000_000, true, true), (0, true, false), (2_000_000, false, false)] {
            let (mut e, _) = paced(now, wanted);
            if !rtx {
                e.streams[0].config.rtx = None;
            }
            e.handle_timeout(now + Duration::from_millis(500));
            assert!(left(&mut e).is_empty(), "nothing without media");
            let (voice, from) = (Arc::new(packet_of(Codec::Opus, vec![9; 100], now)), now + Duration::from_secs(1));
            e.send(&forward_to(1, 0, 0), &voice, from).unwrap();
            for ms in 0..100 {
                e.handle_timeout(from + Duration::from_millis(ms));
            }
            let all = left(&mut e);
            let padding = all.iter().filter(|l| (l.0, l.2) == (11, true)).count();
            assert_eq!(padding >= 5, pads, "{all:?}");
            assert_eq!((all.len(), e.counters.padding > 0), (1 + padding, pads));
            assert!(e.counters.padding < 8_000, "25 ms of 900 kbit/s and a little: {}", e.counters.padding);
        }
    }

    /// Transport-wide feedback: so many packets from a number on arrived, `apart` quarters of a millisecond from each other.
    fn feedback_of(base: u16, count: u16, reference: u32, apart: u8) -> Vec<u8> {
        let mut c = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 10];
        c.extend([base.to_be_bytes(), count.to_be_bytes()].concat());
        c.extend((reference << 8).to_be_bytes());
        c.extend((0x2000 | count).to_be_bytes());
        c.extend(vec![apart; count.into()]);
        c.resize(c.len().next_multiple_of(4), 0);
        c[3] = (c.len() / 4 - 1) as u8;
        c
    }

    #[test]
    fn feedback_about_a_probe_raises_the_estimate() {
        let now = Instant::now();
        let (mut e, client) = paced(now, 2_000_000);
        assert_eq!(e.poll_estimate(now), Some(300_000));
        let voice = Arc::new(packet_of(Codec::Opus, vec![9; 100], now));
        e.send(&forward_to(1, 0, 0), &voice, now).unwrap();
        (0..60).for_each(|ms| e.handle_timeout(now + Duration::from_millis(ms)));
        let count = left(&mut e).len() as u16;
        // Packets of 290 bytes, one in 2.5 ms, are 900 kbit/s.
        let told = client.local.seal_rtcp(&feedback_of(0, count, 100, 10), 0).unwrap();
        let later = now + Duration::from_millis(100);
        assert!(e.handle_rtcp(&told, later, |_| ()));
        let estimate = e.poll_estimate(later).expect("it changed");
        assert!((750_000..=950_000).contains(&estimate), "{estimate}");
        assert_eq!(e.estimate().bps, estimate);
        assert!(e.estimate().measured && e.poll_estimate(later).is_none());
    }

    #[test]
    fn who_tells_no_arrivals_is_assumed_or_says_it() {
        let now = Instant::now();
        let mut e = egress(now);
        e.streams[0].config.ids.transport = 0;
        e.connect(Session::new(&exported(false)).unwrap());
        let client = Session::new(&exported(true)).unwrap();
        e.want(9_000_000, now);
        assert_eq!(e.poll_estimate(now), Some(5_000_000));
        e.send(&forward_to(0, 0, 0), &packet(now, Codec::Vp8), now).unwrap();
        e.handle_timeout(now);
        assert_eq!(datagrams(&mut e).len(), 2, "a picture and a report, no probe");
        let mut remb = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        remb.extend(*b"REMB\x01\x0f\xa1\x20\0\0\0\x0a");
        assert!(e.handle_rtcp(&client.local.seal_rtcp(&remb, 0).unwrap(), now, |_| ()));
        assert_eq!((e.estimate().bps, e.estimate().measured), (0x3_a120 << 3, false));
    }
}
