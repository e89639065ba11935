//! The little of STUN (RFC 8489, RFC 8445) that routing needs: whom a check is for, and whether it nominates. Nothing here is authenticated.

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
            let _ = (local_ufrag(&d), nominates(&d), is_success(&d), transaction(&d));
        }
    }
}
