//! The little of STUN (RFC 8489, RFC 8445) that routing needs: whom a check is for, and whether it nominates. Nothing here is authenticated.

use crate::limits::STUN_ATTRIBUTES_MAX;

/// Looks like STUN by RFC 7983.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= 20 && datagram[0] < 4 && datagram[4..8] == [0x21, 0x12, 0xa4, 0x42]
}

/// Our half of the USERNAME of a binding request: the ufrag before the colon.
pub fn local_ufrag(datagram: &[u8]) -> Option<&str> {
    if !is_stun(datagram) || datagram[..2] != [0, 1] {
        return None;
    }
    let username = attributes(datagram).find(|(kind, _)| *kind == 0x0006)?.1;
    std::str::from_utf8(username).ok()?.split_once(':').map(|(ours, _)| ours)
}

/// A binding request with USE-CANDIDATE.
pub fn nominates(datagram: &[u8]) -> bool {
    is_stun(datagram) && datagram[..2] == [0, 1] && attributes(datagram).any(|(kind, _)| kind == 0x0025)
}

/// A binding request as ICE sends it (RFC 8445, 7.1), with whatever else its sender adds that may be ignored. str0m's ICE warns of some
/// attributes, each time, before it knows who sent them, so such are not shown to it; nor is what says more attributes than anybody means.
pub fn is_check(datagram: &[u8]) -> bool {
    const USERNAME: u16 = 0x0006;
    const MESSAGE_INTEGRITY: u16 = 0x0008;
    const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    const PRIORITY: u16 = 0x0024;
    const USE_CANDIDATE: u16 = 0x0025;
    /// A server's way to send clients elsewhere.
    const ALTERNATE_SERVER: u16 = 0x8023;
    /// Chromium's, of four bytes.
    const NETWORK_COST: u16 = 0xc057;
    if !is_stun(datagram) || datagram[..2] != [0, 1] {
        return false;
    }
    let (mut count, mut end) = (0, 20);
    let known = attributes(datagram).all(|(kind, value)| {
        count += 1;
        end += (4 + value.len()).next_multiple_of(4);
        let fits = match kind {
            USERNAME | MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 | PRIORITY | USE_CANDIDATE => true,
            ALTERNATE_SERVER => false,
            NETWORK_COST => value.len() == 4,
            // From here on whoever does not know an attribute goes on without it (RFC 8489, 14).
            kind => kind >= 0x8000,
        };
        fits && count <= STUN_ATTRIBUTES_MAX
    });
    let says = 20 + usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
    known && end == says && says == datagram.len()
}

/// What tells one transaction from all others.
pub fn transaction(datagram: &[u8]) -> Option<[u8; 12]> {
    datagram.get(8..20)?.try_into().ok()
}

/// A binding success response.
pub fn is_success(datagram: &[u8]) -> bool {
    is_stun(datagram) && datagram[..2] == [1, 1]
}

fn attributes(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let end = (20 + usize::from(u16::from_be_bytes([datagram[2], datagram[3]]))).min(datagram.len());
    let mut rest = &datagram[20..end];
    std::iter::from_fn(move || {
        let head = rest.get(..4)?;
        let (kind, len) = (u16::from_be_bytes([head[0], head[1]]), usize::from(u16::from_be_bytes([head[2], head[3]])));
        let value = rest.get(4..4 + len)?;
        rest = rest.get((4 + len).next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut d = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        d.extend([7; 12]);
        for (kind, value) in attributes {
            d.extend(kind.to_be_bytes());
            d.extend((value.len() as u16).to_be_bytes());
            d.extend_from_slice(value);
            d.resize(d.len().next_multiple_of(4), 0);
        }
        let len = (d.len() - 20) as u16;
        d[2..4].copy_from_slice(&len.to_be_bytes());
        d
    }

    #[test]
    fn the_check_says_whom_it_is_for_and_whether_it_nominates() {
        let d = request(&[(0x8022, b"abc"), (0x0006, b"ours:theirs"), (0x0025, b"")]);
        assert_eq!(local_ufrag(&d), Some("ours"));
        assert!(nominates(&d));
        assert!(!nominates(&request(&[(0x0006, b"ours:theirs")])));
        assert_eq!(local_ufrag(&request(&[(0x0006, b"no colon")])), None);
        assert_eq!(local_ufrag(&request(&[])), None);
    }

    #[test]
    fn only_what_ice_sends_is_a_check() {
        let name: (u16, &[u8]) = (0x0006, b"ours:theirs");
        let chromium =
            [name, (0xc057, &[0; 4]), (0x802a, &[0; 8]), (0x0025, b""), (0x0024, &[0; 4]), (0x0008, &[0; 20]), (0x8028, &[0; 4])];
        assert!(is_check(&request(&chromium)));
        assert!(is_check(&request(&[name, (0x8022, b"abc"), (0xc001, &[0; 4]), (0xff00, b"")])), "what may be ignored");
        for shouted in [(0x0001, &b""[..]), (0x000a, b""), (0x8023, b""), (0xc057, b"12345"), (0x0020, b""), (0x0014, b"realm")] {
            assert!(!is_check(&request(&[name, shouted])), "{shouted:?}");
        }
        assert!(is_check(&request(&[name; STUN_ATTRIBUTES_MAX])));
        assert!(!is_check(&request(&[name; STUN_ATTRIBUTES_MAX + 1])));
        let whole = request(&chromium);
        assert!(!is_check(&whole[..whole.len() - 4]), "cut off");
        assert!(!is_check(&[&whole[..], &[0; 4]].concat()), "more behind it");
        let mut response = whole;
        response[0] = 1;
        assert!(!is_check(&response), "we ask nobody");
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let mut rng = fastrand::Rng::with_seed(5);
        let base = request(&[(0x0006, b"ours:theirs"), (0x0025, b"")]);
        for _ in 0..20_000 {
            let mut d = base.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..d.len());
                d[at] = rng.u8(..);
            }
            d.truncate(rng.usize(..=d.len()));
            let _ = (is_check(&d), local_ufrag(&d), nominates(&d), is_success(&d), transaction(&d));
        }
    }
}
