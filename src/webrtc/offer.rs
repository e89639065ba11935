//! Offers and answers as text: bounded, stripped of what we do not use, and read for the few things that str0m does not tell.
//!
//! Called on the front runtime; the shard gets the parsed [`Offer`].

use str0m::change::{SdpAnswer, SdpOffer};

use crate::limits::{LAYERS_PER_TRACK_MAX, OFFER_BYTES_MAX, OFFER_SECTIONS_MAX};

/// str0m keeps mids in 16 bytes and rids in 8, and cuts what is longer.
const MID_CHARS_MAX: usize = 16;
const RID_CHARS_MAX: usize = 8;

/// One m-line of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedSection {
    /// `a=mid`.
    pub mid: String,
    /// Simulcast layers that the client sends, in its order: the smallest first by our convention. Empty: one layer without rid.
    pub rids: Vec<String>,
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
            out.push_str(&if is_published { list_first(part, self.publish) } else { part.to_string() });
        }
        out
    }
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
    pub fn parse(text: &str) -> Result<Offer, String> {
        if text.len() > OFFER_BYTES_MAX {
            return Err(format!("it has {} bytes, at most {OFFER_BYTES_MAX} are read", text.len()));
        }
        let sections = scan(text)?;
        let kept: String =
            text.lines().filter(|l| !l.starts_with("a=candidate")).flat_map(|l| [l.trim_end_matches('\r'), "\r\n"]).collect();
        let sdp = SdpOffer::from_sdp_string(&kept).map_err(|e| e.to_string())?;
        Ok(Offer { sdp, sections })
    }
}

/// The m-lines with their mids and layers.
fn scan(text: &str) -> Result<Vec<OfferedSection>, String> {
    let mut sections: Vec<OfferedSection> = vec![];
    let mut open = false;
    for line in text.lines().map(|l| l.trim_end_matches('\r')) {
        if line.starts_with("m=") {
            if sections.len() == OFFER_SECTIONS_MAX {
                return Err(format!("it has more than {OFFER_SECTIONS_MAX} sections"));
            }
            if open && sections.last().is_some_and(|s| s.mid.is_empty()) {
                return Err("a section has no a=mid".into());
            }
            open = true;
            sections.push(OfferedSection { mid: String::new(), rids: vec![] });
        }
        let Some(section) = sections.last_mut() else { continue };
        if let Some(mid) = line.strip_prefix("a=mid:") {
            if mid.is_empty() || mid.len() > MID_CHARS_MAX || !mid.is_ascii() {
                return Err(format!("a=mid has 1 to {MID_CHARS_MAX} ASCII characters"));
            }
            section.mid = mid.to_string();
        } else if let Some(simulcast) = line.strip_prefix("a=simulcast:") {
            section.rids = sent_rids(simulcast)?;
        }
    }
    if sections.last().is_none_or(|s| s.mid.is_empty()) {
        return Err("it has no sections, or one without a=mid".into());
    }
    let mut mids: Vec<&str> = sections.iter().map(|s| s.mid.as_str()).collect();
    mids.sort_unstable();
    if mids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("two sections have the same a=mid".into());
    }
    Ok(sections)
}

/// RFC 8853: `send a;b,c recv d`. Of alternatives (`b,c`) the first counts; `~` marks a paused one.
fn sent_rids(simulcast: &str) -> Result<Vec<String>, String> {
    let mut words = simulcast.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word != "send" {
            continue;
        }
        let list = words.next().unwrap_or_default();
        let rids: Vec<String> = list
            .split(';')
            .filter_map(|alternatives| alternatives.split(',').next())
            .map(|rid| rid.trim_start_matches('~').to_string())
            .collect();
        if rids.iter().any(|rid| rid.is_empty() || rid.len() > RID_CHARS_MAX || !rid.is_ascii()) {
            return Err(format!("a rid has 1 to {RID_CHARS_MAX} ASCII characters"));
        }
        return Ok(rids.into_iter().take(LAYERS_PER_TRACK_MAX).collect());
    }
    Ok(vec![])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_layers_are_found() {
        let text = "v=0\r\nm=audio 9 X 1\r\na=mid:0\r\nm=video 9 X 1\r\na=mid:1\r\na=simulcast:send q;~h,x;f recv z\r\n";
        let sections = scan(text).unwrap();
        assert_eq!(sections.iter().map(|s| s.mid.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(sections[1].rids, ["q", "h", "f"]);
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

    #[test]
    fn bad_offers_are_refused_before_str0m_sees_them() {
        let many = "m=video 9 X 1\r\na=mid:1\r\n".repeat(OFFER_SECTIONS_MAX + 1);
        let table: [(&str, &str); 7] = [
            ("", "no sections"),
            ("v=0\r\nm=video 9 X 1\r\n", "without a=mid"),
            ("m=video 9 X 1\r\nm=video 9 X 1\r\na=mid:1\r\n", "no a=mid"),
            ("m=video 9 X 1\r\na=mid:12345678901234567\r\n", "1 to 16"),
            ("m=video 9 X 1\r\na=mid:1\r\na=simulcast:send 123456789\r\n", "1 to 8"),
            ("m=video 9 X 1\r\na=mid:1\r\nm=video 9 X 1\r\na=mid:1\r\n", "same a=mid"),
            (&many, "more than"),
        ];
        for (text, why) in table {
            let error = Offer::parse(text).err().unwrap_or_default();
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
