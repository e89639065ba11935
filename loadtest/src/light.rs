//! A receiver that counts packets without decrypting them, so that one core carries thousands of them and the server is measured and not its clients.
//!
//! ```text
//! SRTP ──► header: which section, number, time, transport-wide number ──► counted
//! SRTCP ◄── receiver reports · transport-wide feedback · NACK · PLI        (what a browser says, as often)
//! ```
//!
//! ICE and DTLS are str0m's and whole; the keys come from there. Retransmissions are decrypted, for their original number stands inside, and so are
//! sender reports. Everything else stays sealed: nobody here knows whose packet it is, and a face is not checked.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use ninefold::webrtc::srtp::Session;
use ninefold::webrtc::tap::KeySlot;

use crate::receipts::Receipts;

/// Time between two packets of transport-wide feedback, as browsers have it at such rates.
const FEEDBACK_EVERY: Duration = Duration::from_millis(100);
/// Time between two receiver reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A missing packet may be late for so long, and is asked for again as often as the way is long at most.
const ASK_AFTER: Duration = Duration::from_millis(10);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Who has asked so often asks for a keyframe instead.
const ASKED_MAX: u32 = 10;
/// Packets that are missing at once. More: a keyframe is needed anyway.
const MISSING_MAX: usize = 512;
/// Numbers in one NACK.
const NACKS_MAX: usize = 32;
/// Behind the header of the extension "transport-wide sequence number".
const TRANSPORT_URI: &str = "transport-wide-cc-extensions-01";

/// A packet as far as its header goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub time: u32,
    /// Last of its frame.
    pub marker: bool,
    /// Of the sealed payload, without its tag.
    pub bytes: usize,
}

/// What a datagram turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A packet of the section with this `a=mid`.
    Packet(String, Counted),
    /// One that was missing in this section has come by a retransmission.
    Repaired(String, u64),
    /// Padding, a retransmission that nobody needed, a packet that cannot be read.
    Nothing,
}

/// The receiving half of one connection.
pub struct Light {
    keys: KeySlot,
    session: Option<Session>,
    transport_id: u8,
    sources: HashMap<u32, Source>,
    receipts: Receipts,
    /// Our SSRC, and how many SRTCP packets it has sent.
    ssrc: u32,
    index: u32,
    feedback_due: Option<Instant>,
    report_due: Option<Instant>,
}

/// One SSRC of the server.
#[derive(Debug)]
struct Source {
    mid: String,
    video: bool,
    /// It repeats this one.
    repeats: Option<u32>,
    highest: Option<u64>,
    missing: BTreeMap<u64, Missing>,
    wants_keyframe: bool,
    /// Middle of the last sender report's NTP time, and when it came.
    reported: Option<(u32, Instant)>,
    /// Since the last report.
    expected_before: u64,
    received: u64,
    received_before: u64,
    first: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    ask_at: Instant,
    asked: u32,
}

impl Light {
    /// `keys`: where DTLS leaves them; `ssrc`: what reports are sent by.
    pub fn new(keys: KeySlot, ssrc: u32) -> Light {
        Light {
            keys,
            session: None,
            transport_id: 0,
            sources: HashMap::new(),
            receipts: Receipts::default(),
            ssrc,
            index: 0,
            feedback_due: None,
            report_due: None,
        }
    }

    /// Learns SSRCs and the number of the extension from what the server says in SDP.
    pub fn learn(&mut self, sdp: &str) {
        let (mut mid, mut video) = ("", false);
        for line in sdp.lines() {
            if let Some(kind) = line.strip_prefix("m=") {
                video = kind.starts_with("video");
            } else if let Some(value) = line.strip_prefix("a=mid:") {
                mid = value.trim();
            } else if let Some(value) = line.strip_prefix("a=extmap:").filter(|value| value.contains(TRANSPORT_URI)) {
                self.transport_id = value.split([' ', '/']).next().and_then(|id| id.parse().ok()).unwrap_or(0);
            } else if let Some(value) = line.strip_prefix("a=ssrc-group:FID ") {
                let mut pair = value.split_ascii_whitespace().filter_map(|ssrc| ssrc.parse().ok());
                if let (Some(media), Some(rtx)) = (pair.next(), pair.next()) {
                    self.sources.insert(rtx, Source::new(mid, video, Some(media)));
                }
            } else if let Some(ssrc) = line.strip_prefix("a=ssrc:").and_then(|value| value.split(' ').next()?.parse().ok()) {
                self.sources.entry(ssrc).or_insert_with(|| Source::new(mid, video, None));
            }
        }
    }

    /// An SRTP packet.
    pub fn handle_rtp(&mut self, datagram: &[u8], now: Instant) -> Heard {
        let Some(header) = Header::read(datagram, self.transport_id) else { return Heard::Nothing };
        if let Some(number) = header.transport {
            self.receipts.note(number, now);
            self.feedback_due.get_or_insert(now + FEEDBACK_EVERY);
        }
        self.report_due.get_or_insert(now + REPORT_EVERY);
        let Some(source) = self.sources.get_mut(&header.ssrc) else { return Heard::Nothing };
        let seq = source.extend(header.seq);
        source.received += 1;
        if let Some(media) = source.repeats {
            return self.handle_repeated(datagram, &header, seq, media);
        }
        let tag = self.session.as_ref().map_or(0, |session| session.remote.tag_len());
        let counted = Counted { seq, time: header.time, marker: header.marker, bytes: datagram.len().saturating_sub(header.len + tag) };
        source.note(seq, now);
        Heard::Packet(source.mid.clone(), counted)
    }

    /// RFC 4588: the original number stands before the payload.
    fn handle_repeated(&mut self, datagram: &[u8], header: &Header, index: u64, media: u32) -> Heard {
        let Some(session) = self.session() else { return Heard::Nothing };
        let Some(plain) = session.remote.open_rtp(datagram, header.len, header.ssrc, index) else { return Heard::Nothing };
        let (Some(original), Some(source)) = (plain.first_chunk::<2>(), self.sources.get_mut(&media)) else { return Heard::Nothing };
        let seq = source.extend(u16::from_be_bytes(*original));
        if source.missing.remove(&seq).is_none() {
            return Heard::Nothing;
        }
        Heard::Repaired(source.mid.clone(), seq)
    }

    /// An SRTCP packet: of sender reports the time is kept.
    pub fn handle_rtcp(&mut self, datagram: &[u8], now: Instant) {
        let Some((_, plain)) = self.session().and_then(|session| session.remote.open_rtcp(datagram)) else { return };
        if plain.get(1) == Some(&200)
            && let Some(source) = self.sources.get_mut(&word(&plain, 4))
            && plain.len() >= 16
        {
            let middle = word(&plain, 8) << 16 | word(&plain, 12) >> 16;
            source.reported = Some((middle, now));
        }
    }

    /// When [`Light::poll`] has something.
    pub fn timeout(&self) -> Option<Instant> {
        let asks = self.sources.values().flat_map(|source| source.missing.values().map(|missing| missing.ask_at));
        self.feedback_due.into_iter().chain(self.report_due).chain(asks).min()
    }

    /// What is to be said now, sealed.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.timeout().is_none_or(|due| due > now) {
            return None;
        }
        let mut plain = vec![];
        self.write_reports(&mut plain, now);
        self.write_asks(&mut plain, now);
        if self.feedback_due.is_some_and(|due| due <= now) {
            self.feedback_due = None;
            self.receipts.write(self.ssrc, &mut plain);
        }
        let index = self.index;
        let sealed = self.session()?.local.seal_rtcp(&plain, index).ok()?;
        self.index += 1;
        Some(sealed)
    }

    /// The keys, once they are there.
    fn session(&mut self) -> Option<&Session> {
        if self.session.is_none() {
            self.session = self.keys.take().and_then(|exported| Session::new(&exported));
        }
        self.session.as_ref()
    }

    /// A compound packet begins with a receiver report (RFC 3550 6.1), empty between the full ones.
    fn write_reports(&mut self, out: &mut Vec<u8>, now: Instant) {
        let is_due = self.report_due.is_some_and(|due| due <= now);
        let mut blocks = vec![];
        if is_due {
            self.report_due = Some(now + REPORT_EVERY);
            let sources = self.sources.iter_mut().filter(|(_, source)| source.repeats.is_none() && source.received > 0);
            blocks.extend(sources.map(|(ssrc, source)| source.block(*ssrc, now)).take(31));
        }
        out.extend([0x80 | blocks.len() as u8, 201]);
        out.extend((1 + 6 * blocks.len() as u16).to_be_bytes());
        out.extend(self.ssrc.to_be_bytes());
        blocks.iter().for_each(|block| out.extend(block));
    }

    /// NACK for what is missing, PLI for what stays so.
    fn write_asks(&mut self, out: &mut Vec<u8>, now: Instant) {
        for (ssrc, source) in &mut self.sources {
            let numbers = source.asks(now);
            if !numbers.is_empty() {
                out.extend([0x81, 205]);
                out.extend((2 + numbers.len() as u16).to_be_bytes());
                out.extend(self.ssrc.to_be_bytes());
                out.extend(ssrc.to_be_bytes());
                numbers.iter().for_each(|number| out.extend([(number >> 8) as u8, *number as u8, 0, 0]));
            }
            if std::mem::take(&mut source.wants_keyframe) {
                out.extend([0x81, 206, 0, 2]);
                out.extend(self.ssrc.to_be_bytes());
                out.extend(ssrc.to_be_bytes());
            }
        }
    }
}

impl Source {
    fn new(mid: &str, video: bool, repeats: Option<u32>) -> Source {
        Source {
            mid: mid.to_owned(),
            video,
            repeats,
            highest: None,
            missing: BTreeMap::new(),
            wants_keyframe: false,
            reported: None,
            expected_before: 0,
            received: 0,
            received_before: 0,
            first: 0,
        }
    }

    /// The extended number that is nearest to the highest one so far.
    fn extend(&mut self, seq: u16) -> u64 {
        let Some(highest) = self.highest else {
            self.first = seq.into();
            if self.repeats.is_some() {
                self.highest = Some(seq.into());
            }
            return seq.into();
        };
        let ahead = seq.wrapping_sub(highest as u16) as i16;
        let extended = highest.saturating_add_signed(ahead.into());
        if self.repeats.is_some() {
            self.highest = Some(highest.max(extended));
        }
        extended
    }

    /// It came: what was left out before it is missing.
    fn note(&mut self, seq: u64, now: Instant) {
        if let Some(highest) = self.highest
            && seq <= highest
        {
            self.missing.remove(&seq);
            return;
        }
        let from = self.highest.map_or(seq, |highest| highest + 1);
        self.highest = Some(seq);
        // Sound is not repeated.
        if !self.video {
            return;
        }
        for number in (from..seq).rev().take(MISSING_MAX) {
            self.missing.insert(number, Missing { ask_at: now + ASK_AFTER, asked: 0 });
        }
        while self.missing.len() > MISSING_MAX {
            self.missing.pop_first();
            self.wants_keyframe = true;
        }
    }

    /// The numbers to ask for now.
    fn asks(&mut self, now: Instant) -> Vec<u16> {
        let mut numbers = vec![];
        let wants_keyframe = &mut self.wants_keyframe;
        self.missing.retain(|number, missing| {
            if missing.ask_at <= now && numbers.len() < NACKS_MAX {
                numbers.push(*number as u16);
                *missing = Missing { ask_at: now + ASK_AGAIN, asked: missing.asked + 1 };
            }
            *wants_keyframe |= missing.asked > ASKED_MAX;
            missing.asked <= ASKED_MAX
        });
        numbers
    }

    /// RFC 3550 6.4.1. The jitter is left at 0: nobody here adapts to it.
    fn block(&mut self, ssrc: u32, now: Instant) -> [u8; 24] {
        let highest = self.highest.unwrap_or(0);
        let expected = (highest + 1).saturating_sub(self.first);
        let (due, came) = (expected - self.expected_before.min(expected), self.received - self.received_before);
        let fraction = (due.saturating_sub(came) * 256).checked_div(due).unwrap_or(0).min(255);
        let lost = expected.saturating_sub(self.received).min(0x7f_ffff);
        (self.expected_before, self.received_before) = (expected, self.received);
        let (last, delay) = self.reported.map_or((0, 0), |(middle, at)| (middle, ((now - at).as_secs_f64() * 65_536.0) as u32));
        let words = [ssrc, (fraction as u32) << 24 | lost as u32, highest as u32, 0, last, delay];
        let mut block = [0; 24];
        block.chunks_exact_mut(4).zip(words).for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
        block
    }
}

/// What can be read of an SRTP packet without a key.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    ssrc: u32,
    seq: u16,
    time: u32,
    marker: bool,
    transport: Option<u16>,
    len: usize,
}

impl Header {
    /// RFC 3550 5.1, RFC 8285.
    fn read(datagram: &[u8], transport_id: u8) -> Option<Header> {
        if datagram.len() < 12 || datagram[0] >> 6 != 2 {
            return None;
        }
        let mut len = 12 + 4 * usize::from(datagram[0] & 15);
        let mut transport = None;
        if datagram[0] & 0x10 != 0 {
            let head = datagram.get(len..len + 4)?;
            let end = len + 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            let extensions = datagram.get(len + 4..end)?;
            if head[..2] == [0xbe, 0xde] {
                transport = find_extension(extensions, transport_id);
            }
            len = end;
        }
        let seq = u16::from_be_bytes([datagram[2], datagram[3]]);
        Some(Header { ssrc: word(datagram, 8), seq, time: word(datagram, 4), marker: datagram[1] & 0x80 != 0, transport, len })
    }
}

/// One-byte headers: a number and a length, 0 for padding.
fn find_extension(mut extensions: &[u8], id: u8) -> Option<u16> {
    while let Some((head, rest)) = extensions.split_first() {
        if *head == 0 {
            extensions = rest;
            continue;
        }
        let (value, after) = rest.split_at_checked(usize::from(head & 15) + 1)?;
        if head >> 4 == id && id != 0 {
            return value.first_chunk::<2>().map(|number| u16::from_be_bytes(*number));
        }
        extensions = after;
    }
    None
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ninefold::webrtc::tap::Exported;
    use str0m::crypto::dtls::SrtpProfile;

    use super::*;

    const ANSWER: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ssrc:5 cname:x\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\n\
                          a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=ssrc-group:FID 10 11\r\n\
                          a=ssrc:10 cname:x\r\na=ssrc:11 cname:x\r\n";

    fn session(active: bool) -> Session {
        let exported = Exported { material: (0..88).collect(), profile: SrtpProfile::AEAD_AES_256_GCM, active };
        Session::new(&exported).expect("the material is long enough")
    }

    fn light() -> Light {
        let mut light = Light::new(KeySlot::default(), 77);
        light.session = Some(session(true));
        light.learn(ANSWER);
        light
    }

    /// A packet of the server; `number` is the transport-wide one.
    fn packet(ssrc: u32, seq: u16, number: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 96 | 0x80];
        packet.extend(seq.to_be_bytes());
        packet.extend(9_000u32.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xbe, 0xde, 0, 1, 0x31]);
        packet.extend(number.to_be_bytes());
        packet.push(0);
        let header = packet.len();
        packet.extend(payload);
        packet.resize(packet.len() + 16, 0);
        session(false).local.seal_rtp(&mut packet, header, ssrc, seq.into()).expect("a short packet");
        packet
    }

    fn said(light: &mut Light, now: Instant) -> Vec<(u8, u8, Vec<u8>)> {
        let Some(sealed) = light.poll(now) else { return vec![] };
        let (_, plain) = session(false).remote.open_rtcp(&sealed).expect("sealed with the client's keys");
        let (mut rest, mut out) = (&plain[..], vec![]);
        while rest.len() >= 4 {
            let end = 4 * (1 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            out.push((rest[1], rest[0] & 31, rest[8..end].to_vec()));
            rest = &rest[end..];
        }
        out
    }

    #[test]
    fn packets_are_counted_by_their_sections() {
        let (mut light, now) = (light(), Instant::now());
        let counted = Counted { seq: 7, time: 9_000, marker: true, bytes: 100 };
        assert_eq!(light.handle_rtp(&packet(10, 7, 1, &[1; 100]), now), Heard::Packet("1".into(), counted));
        assert_eq!(light.handle_rtp(&packet(99, 7, 2, &[1; 100]), now), Heard::Nothing, "nobody's");
        for bad in [&[][..], &[0x80; 11][..], &[0x9f; 40][..]] {
            assert_eq!(light.handle_rtp(bad, now), Heard::Nothing);
        }
        let feedback = said(&mut light, now + FEEDBACK_EVERY);
        let kinds: Vec<_> = feedback.iter().map(|(kind, format, _)| (*kind, *format)).collect();
        assert_eq!(kinds, [(201, 0), (205, 15)], "what came is told, the report is not due");
        let report = said(&mut light, now + REPORT_EVERY);
        assert_eq!((report[0].0, report[0].1, word(&report[0].2, 0), word(&report[0].2, 8)), (201, 1, 10, 7));
    }

    #[test]
    fn what_is_missing_is_asked_for_until_it_comes_again() {
        let (mut light, now) = (light(), Instant::now());
        let ms = Duration::from_millis;
        for seq in [5, 8] {
            light.handle_rtp(&packet(10, seq, seq, &[1; 10]), now);
        }
        assert_eq!(light.poll(now), None, "they may be late");
        let asked = said(&mut light, now + ASK_AFTER);
        assert_eq!((asked[1].0, asked[1].1, &asked[1].2[..]), (205, 1, &[0, 0, 0, 10, 0, 6, 0, 0, 0, 7, 0, 0][..]));
        let mut again = vec![0, 6];
        again.extend([1; 10]);
        assert_eq!(light.handle_rtp(&packet(11, 1, 9, &again), now + ms(30)), Heard::Repaired("1".into(), 6));
        assert_eq!(light.handle_rtp(&packet(11, 2, 10, &again), now + ms(30)), Heard::Nothing, "nobody needed it twice");
        let mut changed = packet(11, 3, 11, &[0, 7]);
        changed[25] ^= 1;
        assert_eq!(light.handle_rtp(&changed, now + ms(30)), Heard::Nothing, "not authentic");
        let mut at = now + ms(30);
        let mut kinds = vec![];
        while let Some(next) = light.timeout().filter(|next| *next < now + ms(1_500)) {
            at = at.max(next);
            kinds.extend(said(&mut light, at).into_iter().map(|(kind, format, _)| (kind, format)));
        }
        assert_eq!(kinds.iter().filter(|kind| **kind == (205, 1)).count() as u32, ASKED_MAX);
        assert_eq!(kinds.iter().filter(|kind| **kind == (206, 1)).count(), 1, "then a keyframe is asked for");
    }
}
