//! Offers and answers as text: bounded, stripped of what we do not use, and read for the few things that str0m does not tell.
//!
//! Called on the front runtime; the shard gets the parsed [`Offer`].

use str0m::change::{SdpAnswer, SdpOffer};

use crate::limits::{LAYERS_PER_TRACK_MAX, OFFER_BYTES_MAX, OFFER_SECTIONS_MAX};

/// str0m keeps mids in 16 bytes and rids in 8, and cuts what is longer.
const MID_CHARS_MAX: usize = 16;
const RID_CHARS_MAX: usize = 8;
/// Lines of one section. Chromium with every codec writes about 130.
const SECTION_LINES_MAX: usize = 400;
/// `a=ssrc` and `a=ssrc-group` lines of one section: str0m looks each up among all and keeps a stream for each. Browsers write at most six.
const SSRC_LINES_MAX: usize = 24;

/// One m-line of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedSection {
    /// `a=mid`.
    pub mid: String,
    /// It is video.
    pub video: bool,
    /// It is audio or video, and the client sends there.
    pub publishes: bool,
    /// It is audio or video, and the client receives there.
    pub receives: bool,
    /// Simulcast layers that the client sends, in its order: the smallest first by our convention. Empty: one layer without rid.
    pub rids: Vec<String>,
    /// The payload type of Opus with redundancy (RFC 2198), where the client takes it.
    pub red: Option<u8>,
}

/// Why an offer cannot be used; for the one who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// It is not what it should be.
    #[error("{0}")]
    Bad(String),
    /// It publishes more than one participant may.
    #[error("a participant may publish at most {0} tracks")]
    TooManyTracks(usize),
    /// It receives in more places than one participant may.
    #[error("a participant may have at most {0} slots")]
    TooManySlots(usize),
}

/// A checked and parsed SDP offer.
#[derive(Debug)]
pub struct Offer {
    pub(super) sdp: SdpOffer,
    /// Its m-lines in order.
    pub sections: Vec<OfferedSection>,
}

/// A video codec by name, whatever its profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VideoCodec {
    /// Every browser decodes it.
    #[default]
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1.
    Av1,
}

impl VideoCodec {
    /// As `a=rtpmap` has it.
    fn encoding_name(self) -> &'static str {
        match self {
            VideoCodec::Vp8 => "VP8",
            VideoCodec::Vp9 => "VP9",
            VideoCodec::H264 => "H264",
            VideoCodec::Av1 => "AV1",
        }
    }
}

/// An answer, not yet printed.
#[derive(Debug)]
pub struct Answer {
    pub(super) sdp: SdpAnswer,
    /// Listed first where the client publishes video: clients send the first codec of the answer that they have.
    pub(super) publish: VideoCodec,
    /// The `a=mid` of the sections where the client publishes.
    pub(super) published: Vec<String>,
    /// The `a=mid` of each slot, and how many slots of its kind are before it.
    pub(super) slots: Vec<(String, usize)>,
}

impl Answer {
    /// The SDP text.
    pub fn print(&self) -> String {
        let text = self.sdp.to_sdp_string();
        let mut parts = text.split("\r\nm=");
        let mut out = parts.next().unwrap_or_default().to_string();
        for part in parts {
            out.push_str("\r\nm=");
            let mid = part.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or_default();
            let is_published = part.starts_with("video") && self.published.iter().any(|p| p == mid);
            let part = if is_published { list_first(part, self.publish) } else { part.to_string() };
            let slot = self.slots.iter().find(|(slot, _)| slot == mid);
            out.push_str(&slot.map_or(part.clone(), |(_, number)| name_stream(&part, *number)));
        }
        out
    }
}

/// A section of a slot with a stream id made of the slot's number among its kind. Browsers play in step what shares a stream (RFC 8830), so sound
/// slot k and picture slot k do, whatever offer they came with; a picture slot beyond the sound slots is alone in its stream.
fn name_stream(section: &str, number: usize) -> String {
    let name = |line: &str| -> Option<String> {
        let at = line.find("msid:").filter(|_| line.starts_with("a=msid:") || line.starts_with("a=ssrc:"))? + "msid:".len();
        let (_, track) = line[at..].split_once(' ')?;
        Some(format!("{}pair-{number} {track}", &line[..at]))
    };
    section.split("\r\n").map(|line| name(line).unwrap_or_else(|| line.to_string())).collect::<Vec<_>>().join("\r\n")
}

/// A section (without its `m=`) whose payload types of `codec`, and their retransmissions, come first. Unchanged where it has none of them.
fn list_first(section: &str, codec: VideoCodec) -> String {
    let Some((line, rest)) = section.split_once("\r\n") else { return section.to_string() };
    let attribute = |name: &'static str| rest.lines().filter_map(move |l| l.strip_prefix(name)?.split_once(' '));
    let media: Vec<&str> = attribute("a=rtpmap:")
        .filter(|(_, encoding)| encoding.split('/').next().is_some_and(|name| name.eq_ignore_ascii_case(codec.encoding_name())))
        .map(|(pt, _)| pt)
        .collect();
    let repeats = |parameters: &str| parameters.split(';').filter_map(|p| p.trim().strip_prefix("apt=")).any(|apt| media.contains(&apt));
    let rtx: Vec<&str> = attribute("a=fmtp:").filter(|(_, parameters)| repeats(parameters)).map(|(pt, _)| pt).collect();
    let mut words: Vec<&str> = line.split(' ').collect();
    // The first three words are kind, port and protocol.
    if let Some(types) = words.get_mut(3..) {
        types.sort_by_key(|pt| !(media.contains(pt) || rtx.contains(pt)));
    }
    format!("{}\r\n{rest}", words.join(" "))
}

impl Offer {
    /// Checks and parses `text`. The error says what is wrong, for a programmer.
    ///
    /// Remote candidates are left out: the server is ICE-lite and learns addresses from authenticated checks only, so nobody can name it a target.
    pub fn parse(text: &str) -> Result<Offer, OfferError> {
        if text.len() > OFFER_BYTES_MAX {
            return Err(OfferError::Bad(format!("it has {} bytes, at most {OFFER_BYTES_MAX} are read", text.len())));
        }
        let sections = scan(text).map_err(OfferError::Bad)?;
        let kept: String =
            text.lines().filter(|l| !l.starts_with("a=candidate")).flat_map(|l| [l.trim_end_matches('\r'), "\r\n"]).collect();
        let sdp = SdpOffer::from_sdp_string(&kept).map_err(|e| OfferError::Bad(e.to_string()))?;
        Ok(Offer { sdp, sections })
    }
}

/// The m-lines with their mids, directions and layers.
fn scan(text: &str) -> Result<Vec<OfferedSection>, String> {
    let mut parts: Vec<Vec<&str>> = vec![];
    for line in text.lines().map(|l| l.trim_end_matches('\r')) {
        if line.starts_with("m=") {
            if parts.len() == OFFER_SECTIONS_MAX {
                return Err(format!("it has more than {OFFER_SECTIONS_MAX} sections"));
            }
            parts.push(vec![]);
        }
        if let Some(part) = parts.last_mut() {
            if part.len() == SECTION_LINES_MAX {
                return Err(format!("a section has more than {SECTION_LINES_MAX} lines"));
            }
            part.push(line);
        }
    }
    if parts.is_empty() {
        return Err("it has no sections".into());
    }
    let sections: Vec<OfferedSection> = parts.iter().map(|lines| section(lines)).collect::<Result<_, _>>()?;
    let mut mids: Vec<&str> = sections.iter().map(|s| s.mid.as_str()).collect();
    mids.sort_unstable();
    if mids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("two sections have the same a=mid".into());
    }
    Ok(sections)
}

fn section(lines: &[&str]) -> Result<OfferedSection, String> {
    if lines.iter().filter(|l| l.starts_with("a=ssrc")).count() > SSRC_LINES_MAX {
        return Err(format!("a section has more than {SSRC_LINES_MAX} lines of a=ssrc"));
    }
    if lines.iter().filter(|l| l.starts_with("a=rid:")).count() > 2 * LAYERS_PER_TRACK_MAX {
        return Err(format!("a section has more than {} lines of a=rid", 2 * LAYERS_PER_TRACK_MAX));
    }
    let mid = lines.iter().find_map(|l| l.strip_prefix("a=mid:")).ok_or("a section has no a=mid")?;
    if mid.is_empty() || mid.len() > MID_CHARS_MAX || !mid.is_ascii() {
        return Err(format!("a=mid has 1 to {MID_CHARS_MAX} ASCII characters"));
    }
    let rids = lines.iter().find_map(|l| l.strip_prefix("a=simulcast:")).map_or(Ok(vec![]), sent_rids)?;
    let has = |attribute: &str| lines.contains(&attribute);
    let media = lines.first().is_some_and(|l| l.starts_with("m=audio ") || l.starts_with("m=video ")) && !has("a=inactive");
    let video = lines.first().is_some_and(|l| l.starts_with("m=video "));
    let (publishes, receives) = (media && !has("a=recvonly"), media && !has("a=sendonly"));
    Ok(OfferedSection { mid: mid.to_string(), video, publishes, receives, rids, red: redundancy(lines) })
}

/// `a=rtpmap:63 red/48000/2` with `a=fmtp:63 111/111`, where 111 is Opus.
fn redundancy(lines: &[&str]) -> Option<u8> {
    let maps = || lines.iter().filter_map(|l| l.strip_prefix("a=rtpmap:")?.split_once(' '));
    let is = |pt: &str, name: &str| maps().any(|(known, encoding)| known == pt && encoding.eq_ignore_ascii_case(name));
    let wraps_opus = |parameters: &str| parameters.split('/').all(|pt| is(pt, "opus/48000/2"));
    let mut formats = lines.iter().filter_map(|l| l.strip_prefix("a=fmtp:")?.split_once(' '));
    formats.find(|(pt, parameters)| is(pt, "red/48000/2") && wraps_opus(parameters)).and_then(|(pt, _)| pt.parse().ok())
}

/// RFC 8853: `send a;b,c`. Of alternatives (`b,c`) the first counts; `~` marks a paused one. Nobody is sent simulcast, so none may be wished.
fn sent_rids(simulcast: &str) -> Result<Vec<String>, String> {
    let mut words = simulcast.split_ascii_whitespace();
    let (Some("send"), Some(list), None) = (words.next(), words.next(), words.next()) else {
        return Err("a=simulcast is not of the form \"send a;b;c\"".into());
    };
    if list.split([';', ',']).count() > 2 * LAYERS_PER_TRACK_MAX {
        return Err(format!("a=simulcast has more than {} rids", 2 * LAYERS_PER_TRACK_MAX));
    }
    let rids: Vec<String> = list
        .split(';')
        .filter_map(|alternatives| alternatives.split(',').next())
        .map(|rid| rid.trim_start_matches('~').to_string())
        .collect();
    if rids.iter().any(|rid| rid.is_empty() || rid.len() > RID_CHARS_MAX || !rid.is_ascii()) {
        return Err(format!("a rid has 1 to {RID_CHARS_MAX} ASCII characters"));
    }
    Ok(rids.into_iter().take(LAYERS_PER_TRACK_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_layers_are_found() {
        let text = "v=0\r\nm=audio 9 X 1\r\na=mid:0\r\nm=video 9 X 1\r\na=mid:1\r\na=simulcast:send q;~h,x;f\r\na=sendonly\r\n";
        let sections = scan(text).unwrap();
        assert_eq!(sections.iter().map(|s| s.mid.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(sections[1].rids, ["q", "h", "f"]);
        assert_eq!(sections.iter().map(|s| (s.publishes, s.receives)).collect::<Vec<_>>(), [(true, true), (true, false)]);
    }

    /// Found by the fuzzer: str0m gives one payload type to two codecs of ours, and panics over it.
    #[test]
    fn an_offer_that_breaks_str0m_is_refused() {
        let text = include_str!("../../loadtest/fuzz/corpus/offer/h264-without-parameters");
        let config = crate::webrtc::PeerConfig {
            certificate: crate::webrtc::certificate().unwrap(),
            addresses: vec![],
            tcp: true,
            limits: crate::limits::Limits::default(),
        };
        let now = std::time::Instant::now();
        let accepted = crate::webrtc::Peer::accept(&config, Offer::parse(text).unwrap(), VideoCodec::Vp8, (now, 0), now);
        assert_eq!(accepted.err().map(|e| e.to_string()).as_deref(), Some("no answer to it could be made"));
        let whole = include_str!("../../loadtest/fuzz/corpus/offer/chromium");
        let accepted = crate::webrtc::Peer::accept(&config, Offer::parse(whole).unwrap(), VideoCodec::Vp8, (now, 0), now);
        let (_, _, negotiated) = accepted.unwrap();
        assert_eq!((negotiated.published.len(), negotiated.new_slots.len()), (2, 2));
    }

    #[test]
    fn redundancy_is_taken_where_it_wraps_opus() {
        let section = |lines: &str| scan(&format!("m=audio 9 X 63 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n{lines}")).unwrap()[0].red;
        assert_eq!(section("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"), Some(63));
        assert_eq!(section("a=rtpmap:63 RED/48000/2\r\na=fmtp:63 111/111/111\r\n"), Some(63));
        for other in
            ["a=rtpmap:63 red/48000/2\r\n", "a=rtpmap:63 red/48000/2\r\na=fmtp:63 0/0\r\n", "a=rtpmap:63 red/8000\r\na=fmtp:63 111/111\r\n"]
        {
            assert_eq!(section(other), None, "{other}");
        }
        // As Chromium offers it, it is answered, and before plain Opus: so Chromium sends it.
        let config = crate::webrtc::PeerConfig {
            tcp: false,
            certificate: crate::webrtc::certificate().unwrap(),
            addresses: vec![],
            limits: crate::limits::Limits::default(),
        };
        let now = std::time::Instant::now();
        let offer = Offer::parse(include_str!("../../loadtest/fuzz/corpus/offer/chromium")).unwrap();
        let (peer, answer, negotiated) = crate::webrtc::Peer::accept(&config, offer, VideoCodec::Vp8, (now, 0), now).unwrap();
        let text = answer.print();
        assert_eq!(text.matches(" 63 111\r\n").count(), 2, "{text}");
        assert_eq!(text.matches("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n").count(), 2, "{text}");
        let sound = negotiated.new_slots.iter().position(|slot| slot.kind == crate::rtp::Kind::Audio).unwrap();
        let types = &peer.egress.config(crate::id::SlotIndex(sound as u16)).unwrap().codecs;
        assert_eq!(types.iter().map(|t| (t.pt, t.red)).collect::<Vec<_>>(), [(111, Some(63))]);
    }

    #[test]
    fn the_wanted_codec_is_listed_first_with_its_retransmissions() {
        let section = "video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n\
            a=fmtp:97 apt=96\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\na=rtpmap:100 H264/90000\r\n";
        let first = |codec| list_first(section, codec).lines().next().map(str::to_string);
        assert_eq!(first(VideoCodec::Vp8).as_deref(), Some("video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100"));
        assert_eq!(first(VideoCodec::Vp9).as_deref(), Some("video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 100"));
        assert_eq!(first(VideoCodec::H264).as_deref(), Some("video 9 UDP/TLS/RTP/SAVPF 100 96 97 98 99"));
        assert_eq!(list_first(section, VideoCodec::Av1), section);
        assert_eq!(list_first(section, VideoCodec::Vp9).lines().count(), section.lines().count());
        assert_eq!(list_first("video", VideoCodec::Vp9), "video");
    }

    /// The stream ids of an answer's sections with their kinds; each line of a section that has one has the same.
    fn streams(answer: &str) -> Vec<(String, String)> {
        let id = |line: &str| Some(line.split_once("msid:")?.1.split(' ').next()?.to_string());
        let sections = answer.split("\r\nm=").skip(1).filter(|s| !s.starts_with("application"));
        let named = sections.map(|section| {
            let ids: Vec<String> = section.lines().filter_map(id).collect();
            assert!(ids.len() > 1 && ids.iter().all(|other| *other == ids[0]), "{ids:?}");
            (section[..5].to_string(), ids[0].clone())
        });
        named.collect()
    }

    #[test]
    fn slots_of_equal_number_share_a_stream_through_further_offers_and_restarts() {
        let lines = |kind: &str, mid: usize| {
            let codec = if kind == "audio" { "111 opus/48000/2" } else { "96 VP8/90000" };
            let pt = codec.split(' ').next().unwrap_or_default();
            format!(
                "m={kind} 9 UDP/TLS/RTP/SAVPF {pt}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:{codec}\r\n"
            )
        };
        let offer = |ufrag: &str, kinds: &[&str]| {
            let mids: Vec<String> = (0..kinds.len()).map(|mid| mid.to_string()).collect();
            let fingerprint = ["AB"; 32].join(":");
            let head = format!(
                "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{}\r\n\
                 a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n",
                mids.join(" "),
                ufrag.repeat(6)
            );
            let sections: String = kinds.iter().enumerate().map(|(mid, kind)| lines(kind, mid)).collect();
            Offer::parse(&(head + &sections)).unwrap()
        };
        let config = crate::webrtc::PeerConfig {
            tcp: false,
            certificate: crate::webrtc::certificate().unwrap(),
            addresses: vec![],
            limits: crate::limits::Limits::default(),
        };
        let now = std::time::Instant::now();
        let (mut peer, answer, _) =
            crate::webrtc::Peer::accept(&config, offer("abcd", &["audio", "video", "video"]), VideoCodec::Vp8, (now, 0), now).unwrap();
        let pair = |kind: &str, number: usize| (kind.to_string(), format!("pair-{number}"));
        let mut expected = vec![pair("audio", 0), pair("video", 0), pair("video", 1)];
        assert_eq!(streams(&answer.print()), expected);
        let (answer, _) = peer.offer(offer("abcd", &["audio", "video", "video", "audio", "audio"]), VideoCodec::Vp8, now).unwrap();
        expected.extend([pair("audio", 1), pair("audio", 2)]);
        assert_eq!(streams(&answer.print()), expected);
        let (answer, _) = peer.offer(offer("efgh", &["audio", "video", "video", "audio", "audio"]), VideoCodec::Vp8, now).unwrap();
        assert_eq!(streams(&answer.print()), expected);
        let text = answer.print();
        let cnames: std::collections::BTreeSet<&str> = text.lines().filter_map(|l| l.split_once("cname:").map(|(_, name)| name)).collect();
        assert!(!cnames.is_empty() && text.contains("a=msid-semantic:"), "{cnames:?}");
    }

    #[test]
    fn bad_offers_are_refused_before_str0m_sees_them() {
        let many = "m=video 9 X 1\r\na=mid:1\r\n".repeat(OFFER_SECTIONS_MAX + 1);
        let ssrcs = format!("m=video 9 X 1\r\na=mid:1\r\n{}", "a=ssrc:1 cname:x\r\n".repeat(SSRC_LINES_MAX + 1));
        let lines = format!("m=video 9 X 1\r\na=mid:1\r\n{}", "a=x\r\n".repeat(SECTION_LINES_MAX));
        let table: [(&str, &str); 11] = [
            (&ssrcs, "a=ssrc"),
            (&lines, "lines"),
            ("m=video 9 X 1\r\na=mid:1\r\na=simulcast:recv a;b\r\n", "not of the form"),
            ("m=video 9 X 1\r\na=mid:1\r\na=simulcast:send a,b,c,d,e,f,g\r\n", "more than 6 rids"),
            ("", "no sections"),
            ("v=0\r\nm=video 9 X 1\r\n", "no a=mid"),
            ("m=video 9 X 1\r\nm=video 9 X 1\r\na=mid:1\r\n", "no a=mid"),
            ("m=video 9 X 1\r\na=mid:12345678901234567\r\n", "1 to 16"),
            ("m=video 9 X 1\r\na=mid:1\r\na=simulcast:send 123456789\r\n", "1 to 8"),
            ("m=video 9 X 1\r\na=mid:1\r\nm=video 9 X 1\r\na=mid:1\r\n", "same a=mid"),
            (&many, "more than"),
        ];
        for (text, why) in table {
            let error = Offer::parse(text).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(why), "{why:?} is not in {error:?}");
        }
        let long = "a".repeat(OFFER_BYTES_MAX + 1);
        assert!(Offer::parse(&long).is_err());
    }

    #[test]
    fn any_text_is_parsed_without_panic() {
        let words = [
            "v=0",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "a=mid:1",
            "a=simulcast:send",
            "a=ice-ufrag:x",
            "\r\n",
            "\u{0}",
            "a=rid:q send",
            "=",
            "a=group:BUNDLE 1",
        ];
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let text: String =
                (0..rng.usize(..20)).flat_map(|_| [words[rng.usize(..words.len())], ["\r\n", "\n", " "][rng.usize(..3)]]).collect();
            let _ = Offer::parse(&text);
        }
    }
}
