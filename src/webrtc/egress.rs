//! What one connection's slots send: headers, encryption, transport-wide numbers, history, retransmission, sender reports; and what the
//! receiver says about it. str0m has no part in it (design, "The send side").
//!
//! ```text
//! send(slot, packet) ─┐                              ┌→ outbox (SRTP, SRTCP datagrams)
//! handle_rtcp(bytes) ─┼→ number, seal, keep, answer ──┤
//! handle_timeout(now)─┘                              └→ keyframe requests by slot
//! ```
//!
//! Rules (facts/egress): one writer per SSRC; RTP indexes are used once and belong to the slot for the life of the keys; one SRTCP counter and one
//! transport-wide counter per connection; nothing is sent before the keys are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feedback::{self, Feedback, word};
use super::header::{self, ExtensionIds, Fixed, HEADER_BYTES_MAX, Hop};
use super::history::{History, Sent, TooSoon};
use super::outbox::Outbox;
use super::repeats::Repeats;
use super::report::{self, Epoch, Reports};
use super::srtp::{Session, TAG_MAX};
use crate::id::SlotIndex;
use crate::limits::{DATAGRAM_BYTES_MAX, HISTORY_AUDIO_PACKETS_MAX, HISTORY_PACKETS_MAX, MEDIA_BYTES_MAX, RTCP_SENDERS_MAX};
use crate::metrics::DropReason;
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
struct Stream {
    config: StreamConfig,
    history: History,
    rtx_index: u64,
    reports: Reports,
}

/// What is counted for the metrics; taken once per tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressCounters {
    /// Media packets, repetitions not included.
    pub packets: u64,
    /// Their bytes as datagrams.
    pub bytes: u64,
    /// Sequence numbers that receivers reported missing.
    pub nacks: u64,
    /// Repetitions.
    pub rtx: u64,
    /// Keyframe requests.
    pub plis: u64,
    /// Packets that were asked for again too soon.
    pub repeated_lately: u64,
    /// Packets that were asked for again when too many bytes had been repeated.
    pub repeated_enough: u64,
    /// SRTCP that was not authentic, or had been read before.
    pub refused: u64,
}

/// The send side of one connection.
pub struct Egress {
    session: Option<Session>,
    streams: Vec<Stream>,
    transport: u16,
    srtcp_index: u32,
    /// By sender SSRC: each of the peer's has a counter of its own (RFC 3711 3.2.1), and browsers use one for each receive section.
    srtcp_replay: Vec<(u32, ReplayWindow)>,
    epoch: Epoch,
    rtt: Option<Duration>,
    repeats: Repeats,
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
            transport: 0,
            srtcp_index: 0,
            srtcp_replay: vec![],
            epoch,
            rtt: None,
            repeats: Repeats::default(),
            outbox: Outbox::default(),
            counters: EgressCounters::default(),
        }
    }

    /// The keys are there: from now on packets leave.
    pub fn connect(&mut self, session: Session) {
        debug_assert!(self.session.is_none(), "one set of keys per connection");
        self.session = Some(session);
    }

    /// Another slot; its number is the count before.
    pub fn add_stream(&mut self, config: StreamConfig) {
        let size = match config.kind {
            Kind::Audio => HISTORY_AUDIO_PACKETS_MAX,
            Kind::Video => HISTORY_PACKETS_MAX,
        };
        let history = History::new(size);
        self.streams.push(Stream { config, history, rtx_index: 1, reports: Reports::default() });
    }

    /// A later offer may number extensions and payloads anew; SSRCs and what was sent stay.
    pub fn renegotiate(&mut self, slot: SlotIndex, codecs: Vec<PayloadTypes>, ids: ExtensionIds) {
        if let Some(stream) = self.streams.get_mut(usize::from(slot.0)) {
            stream.config.codecs = codecs;
            stream.config.ids = ids;
        }
    }

    /// A closed slot keeps its numbers and no pictures.
    pub fn forget(&mut self, slot: SlotIndex) {
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

    /// The last measured round trip.
    #[cfg(test)]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Seals one packet into the outbox and remembers it.
    #[inline]
    pub fn send(&mut self, forward: &Forward, packet: &Arc<Packet>, now: Instant) -> Result<(), DropReason> {
        let Some(session) = &self.session else { return Err(DropReason::NotConnected) };
        let stream = self.streams.get_mut(usize::from(forward.slot.0)).ok_or(DropReason::NoTrack)?;
        let types = stream.config.codecs.iter().find(|c| c.codec == packet.codec).ok_or(DropReason::Codec)?;
        stream.history.admit(forward.header.seq)?;
        let sent = Sent { header: forward.header, track: forward.track, packet: packet.clone(), repeated: None };
        let out = Outgoing { session, transport: self.transport, abs_send_time: abs_send_time(self.epoch.0, now) };
        let (ssrc, index) = (stream.config.ssrc, sent.header.seq);
        let (pt, payload, within) = types.body(packet);
        let len = out.write(&mut self.outbox, stream, &sent, Place { pt, payload, within, ssrc, index, original: None })?;
        self.transport = self.transport.wrapping_add(1);
        stream.reports.on_sent(forward.track, forward.header.timestamp, packet, now);
        stream.history.note(sent);
        self.counters.packets += 1;
        self.counters.bytes += len as u64;
        self.repeats.on_sent(len as u64, now);
        Ok(())
    }

    /// Reads the peer's SRTCP: answers NACKs, measures, and calls `keyframe` for each slot that wants one. `false`: not authentic, or a replay.
    pub fn handle_rtcp(&mut self, datagram: &[u8], now: Instant, mut keyframe: impl FnMut(SlotIndex)) -> bool {
        let Some(session) = &self.session else { return false };
        let opened = session.remote.open_rtcp(datagram).filter(|(index, _)| admit(&mut self.srtcp_replay, word(datagram, 4), *index));
        let Some((_, plain)) = opened else {
            self.counters.refused += 1;
            return false;
        };
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
            Feedback::Report { last_sr, delay, .. } => self.measure(last_sr, delay, now),
            Feedback::Transport { .. } => {}
        });
        true
    }

    /// When [`Egress::handle_timeout`] has something to do.
    pub fn timeout(&self) -> Option<Instant> {
        self.session.as_ref()?;
        self.streams.iter().filter_map(|s| s.reports.due()).min()
    }

    /// Writes the sender reports that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for slot in 0..self.streams.len() {
            if self.streams[slot].reports.due().is_some_and(|due| due <= now) {
                self.report(slot, now);
            }
        }
    }

    /// RFC 4588: the original sequence number, then the payload, on the stream for retransmissions.
    fn repeat(&mut self, ssrc: u32, seq: u16, now: Instant) {
        let Some(session) = &self.session else { return };
        let again = self.rtt.unwrap_or(RTT_UNKNOWN).max(REPEAT_MIN);
        let Some(stream) = self.streams.iter_mut().find(|s| s.config.ssrc == ssrc) else { return };
        let Some(rtx) = stream.config.rtx else { return };
        let sent = match stream.history.repeat(seq, now, again) {
            Ok(Some(sent)) => sent,
            Ok(None) => return,
            Err(TooSoon) => return self.counters.repeated_lately += 1,
        };
        if !self.repeats.admit(sent.packet.payload.len() as u64, now) {
            return self.counters.repeated_enough += 1;
        }
        let types = stream.config.codecs.iter().find(|c| c.codec == sent.packet.codec);
        let Some(pt) = types.and_then(|c| c.rtx) else { return };
        let out = Outgoing { session, transport: self.transport, abs_send_time: abs_send_time(self.epoch.0, now) };
        let payload = &sent.packet.payload;
        let place = Place { pt, payload, within: None, ssrc: rtx, index: stream.rtx_index, original: Some(seq) };
        if let Ok(len) = out.write(&mut self.outbox, stream, &sent, place) {
            stream.rtx_index += 1;
            self.transport = self.transport.wrapping_add(1);
            self.counters.rtx += 1;
            self.counters.bytes += len as u64;
        }
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
        let room = HEADER_BYTES_MAX + original_len + place.payload.len() + TAG_MAX;
        let buf = outbox.reserve(room).ok_or(DropReason::OutboxFull)?;
        let config = &stream.config;
        let fixed = Fixed {
            pt: place.pt,
            marker: packet.marker,
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
        buf[at..at + place.payload.len()].copy_from_slice(place.payload);
        sent.header.patch.apply(&mut buf[at..at + place.payload.len()]);
        if let Some(pt) = place.within {
            red::renumber(&mut buf[at..at + place.payload.len()], pt);
        }
        let len = at + place.payload.len() + self.session.local.tag_len();
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
fn abs_send_time(epoch: Instant, now: Instant) -> u32 {
    let us = now.saturating_duration_since(epoch).as_micros() as u64;
    ((us << 18) / 1_000_000) as u32 & 0xff_ffff
}

/// Whether a sender's packet is new. Beyond the senders that a client can have, nobody is listened to: forgetting one would let its past in again.
fn admit(windows: &mut Vec<(u32, ReplayWindow)>, sender: u32, index: u32) -> bool {
    if let Some((_, window)) = windows.iter_mut().find(|(known, _)| *known == sender) {
        return window.admit(index);
    }
    if windows.len() == RTCP_SENDERS_MAX {
        return false;
    }
    let mut window = ReplayWindow::default();
    let admitted = window.admit(index);
    windows.push((sender, window));
    admitted
}

/// RFC 3711 3.3.2 for one SRTCP stream, 64 packets wide.
#[derive(Debug, Default)]
struct ReplayWindow {
    highest: Option<u32>,
    seen: u64,
}

impl ReplayWindow {
    fn admit(&mut self, index: u32) -> bool {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(index), 1);
            return true;
        };
        if index > highest {
            let ahead = index - highest;
            self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
            self.highest = Some(index);
            return true;
        }
        let behind = highest - index;
        if behind >= 64 || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

/// What a room's [`Forward`] carries belongs to a track; used by tests to make one.
#[cfg(test)]
pub fn forward_to(slot: u16, seq: u64, timestamp: u32) -> Forward {
    let header = crate::rtp::Rewritten { seq, timestamp, patch: crate::rtp::Patch::default() };
    Forward { peer: crate::id::PeerId(1), slot: SlotIndex(slot), track: crate::id::TrackId(7), header }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Extensions;
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
        let payload = Arc::from(vec![9u8; 100]);
        Arc::new(Packet {
            seq: 1,
            timestamp: 0,
            marker: true,
            codec,
            extensions: Extensions::default(),
            payload,
            red: None,
            received: now,
            captured: now,
        })
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
        assert_eq!(e.rtt().map(|d| d.as_millis()), Some(99));
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

    #[test]
    fn each_sender_of_feedback_counts_for_itself() {
        let mut windows = vec![];
        assert!(admit(&mut windows, 1, 5_000));
        assert!(admit(&mut windows, 2, 3), "far behind another sender");
        assert!(!admit(&mut windows, 2, 3) && !admit(&mut windows, 1, 4_000));
        (3..3 + 2 * RTCP_SENDERS_MAX as u32).for_each(|sender| {
            admit(&mut windows, sender, 0);
        });
        assert_eq!(windows.len(), RTCP_SENDERS_MAX);
    }

    #[test]
    fn replay_window() {
        let mut w = ReplayWindow::default();
        let admitted: Vec<bool> = [5, 5, 7, 6, 6, 100, 36, 37, 99, 37].map(|i| w.admit(i)).to_vec();
        assert_eq!(admitted, [true, false, true, true, false, true, false, true, true, false]);
    }
}
