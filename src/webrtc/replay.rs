//! Which SRTCP packets of a peer were read before (RFC 3711 3.3.2).

use crate::limits::RTCP_SENDERS_MAX;

/// Whether a sender's packet is new. Beyond the senders that a client can have, nobody is listened to: forgetting one would let its past in again.
pub fn admit(windows: &mut Vec<(u32, ReplayWindow)>, sender: u32, index: u32) -> bool {
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
pub struct ReplayWindow {
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

#[cfg(test)]
mod tests {
    use super::*;

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
