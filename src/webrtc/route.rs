//! Where one client is: which of its addresses media goes to, for how long, and how often it may show up at another.
//!
//! ```text
//! check with USE-CANDIDATE ────────────────┐
//! SRTCP by its keys from another address ──┴→ path      checks from there keep it; without them it ends (RFC 7675)
//! ```
//!
//! str0m, as the controlled side of ICE-lite, follows a changed address late (facts/str0m), so the choice is made here. Only addresses that a
//! check has proven, and that are nobody else's, come here. Firefox nominates once and never again; after a move its SRTCP says where it is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Path;
use crate::limits::{ADDRESS_LIFE, ADDRESSES_PER_CREDENTIALS_MAX, ADDRESSES_PER_PEER_MAX, CHECKS, CONSENT_LIFE, NEW_ADDRESSES};
use crate::metrics::DropReason;
use crate::rate::Bucket;

/// A nomination holds for so long against SRTCP from elsewhere, which may have been on its way when the client moved.
const NOMINATION_HOLDS: Duration = Duration::from_secs(1);

/// Checks of a minute and more; a browser sends one every few seconds on each of its paths.
const CHECKS_REMEMBERED: usize = 32;

/// Of one peer.
#[derive(Debug, Default)]
pub struct Route {
    nominated: Option<(Path, Instant)>,
    /// Addresses that checks came from, with the time of the last one.
    known: Vec<(SocketAddr, Instant)>,
    moves: Bucket,
    /// Transactions of the last authentic checks, and whence they came: sent from elsewhere they are somebody's who overheard them.
    transactions: VecDeque<([u8; 12], SocketAddr)>,
    /// Checks from addresses that were proven, and from others.
    checks_known: Bucket,
    checks_unknown: Bucket,
    /// How many addresses str0m was shown since the last ICE restart.
    shown: usize,
}

impl Route {
    /// Where everything but answers to checks is sent.
    #[inline]
    pub fn path(&self) -> Option<Path> {
        self.nominated.map(|(path, _)| path)
    }

    /// Whether str0m, which checks its signature, may see this check; if not, why.
    pub fn admit_check(&mut self, remote: SocketAddr, transaction: Option<[u8; 12]>, now: Instant) -> Result<(), DropReason> {
        if !self.may_check(remote, transaction, now) {
            return Err(DropReason::Address);
        }
        // A stranger who has overheard the name takes nothing from the client where it is.
        let checks = if self.is_known(remote) { &mut self.checks_known } else { &mut self.checks_unknown };
        if checks.take(1.0, CHECKS, now) { Ok(()) } else { Err(DropReason::Rate) }
    }

    /// Whether str0m may see a check from there. It keeps each address that an authentic one came from.
    fn may_check(&self, remote: SocketAddr, transaction: Option<[u8; 12]>, now: Instant) -> bool {
        if self.is_known(remote) {
            return true;
        }
        let mut moves = self.moves;
        let overheard = self.transactions.iter().any(|(known, from)| Some(*known) == transaction && *from != remote);
        // Where a client is now is not forgotten for where it says it is, too.
        let place = self.known.len() < ADDRESSES_PER_PEER_MAX
            || self.known.iter().any(|(_, at)| now.saturating_duration_since(*at) >= ADDRESS_LIFE);
        !overheard && place && self.shown < ADDRESSES_PER_CREDENTIALS_MAX && moves.take(1.0, NEW_ADDRESSES, now)
    }

    /// An authentic check came from there.
    pub fn on_check(&mut self, remote: SocketAddr, transaction: Option<[u8; 12]>, now: Instant) {
        if let Some(transaction) = transaction.filter(|new| !self.transactions.iter().any(|(known, _)| known == new)) {
            if self.transactions.len() == CHECKS_REMEMBERED {
                self.transactions.pop_front();
            }
            self.transactions.push_back((transaction, remote));
        }
        if let Some((_, at)) = self.known.iter_mut().find(|(known, _)| *known == remote) {
            *at = now;
            return;
        }
        self.shown += 1;
        self.moves.take(1.0, NEW_ADDRESSES, now);
        if self.known.len() == ADDRESSES_PER_PEER_MAX
            && let Some(stalest) = self.known.iter().enumerate().min_by_key(|(_, (_, at))| *at).map(|(index, _)| index)
        {
            self.known.swap_remove(stalest);
        }
        self.known.push((remote, now));
    }

    /// The client nominated this path, and its address is nobody else's.
    pub fn nominate(&mut self, path: Path, now: Instant) {
        self.nominated = Some((path, now));
    }

    /// Authentic SRTCP that was not read before came over this path, whose address is proven.
    pub fn on_feedback(&mut self, path: Path, now: Instant) {
        let holds = |(nominated, at): (Path, Instant)| nominated == path || now.saturating_duration_since(at) < NOMINATION_HOLDS;
        if !self.nominated.is_some_and(holds) && self.consent(path.remote).is_some_and(|end| end > now) {
            self.nominated = Some((path, now));
        }
    }

    /// New credentials: str0m forgets what it knew.
    pub fn on_restart(&mut self) {
        self.shown = 0;
    }

    /// When [`Route::handle_timeout`] has something to do.
    pub fn timeout(&self) -> Option<Instant> {
        let (path, at) = self.nominated?;
        // A nominated address that was forgotten among many others was not heard from for longer than they.
        Some(self.consent(path.remote).unwrap_or(at))
    }

    /// Ends what is not wanted any more. `true`: nothing is sent from now on.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = self.timeout().is_some_and(|end| end <= now);
        if over {
            self.nominated = None;
        }
        over
    }

    fn is_known(&self, remote: SocketAddr) -> bool {
        self.known.iter().any(|(known, _)| *known == remote)
    }

    fn consent(&self, remote: SocketAddr) -> Option<Instant> {
        self.known.iter().find(|(known, _)| *known == remote).map(|(_, at)| *at + CONSENT_LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path { remote: ([192, 0, 2, 1], port).into(), local: ([198, 51, 100, 1], 10_000).into() }
    }

    #[test]
    fn a_nomination_moves_media_and_checks_keep_it() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut r = Route::default();
        r.on_check(path(1).remote, None, at(0));
        assert_eq!((r.path(), r.timeout()), (None, None));
        r.nominate(path(1), at(0));
        r.on_check(path(2).remote, None, at(1_000));
        assert_eq!(r.path(), Some(path(1)), "a check alone moves nothing");
        r.nominate(path(2), at(2_000));
        assert_eq!(r.timeout(), Some(at(31_000)));
        r.on_check(path(2).remote, None, at(20_000));
        assert!(!r.handle_timeout(at(49_999)));
        assert!(r.handle_timeout(at(50_000)));
        assert_eq!((r.path(), r.timeout()), (None, None));
    }

    #[test]
    fn feedback_moves_media_to_a_checked_address_but_not_against_a_fresh_nomination() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut r = Route::default();
        r.on_check(path(1).remote, None, at(0));
        r.nominate(path(1), at(0));
        r.on_feedback(path(2), at(5_000));
        assert_eq!(r.path(), Some(path(1)), "no check came from there");
        r.on_check(path(2).remote, None, at(6_000));
        r.on_feedback(path(2), at(6_000));
        assert_eq!((r.path(), r.timeout()), (Some(path(2)), Some(at(36_000))));
        r.on_feedback(path(1), at(6_500));
        assert_eq!(r.path(), Some(path(2)), "that one was on its way");
        r.on_feedback(path(1), at(7_000));
        assert_eq!(r.path(), Some(path(1)));
    }

    #[test]
    fn an_overheard_check_says_nothing_of_another_address() {
        let now = Instant::now();
        let mut r = Route::default();
        let id = |n: u8| Some([n; 12]);
        for n in 0..40 {
            assert!(r.may_check(path(1).remote, id(n), now));
            r.on_check(path(1).remote, id(n), now);
        }
        assert!(!r.may_check(path(2).remote, id(39), now));
        assert!(!r.may_check(path(2).remote, id(8), now));
        assert!(r.may_check(path(2).remote, id(7), now), "forgotten");
        assert!(r.may_check(path(2).remote, id(40), now));
        assert_eq!(r.transactions.len(), CHECKS_REMEMBERED);
    }

    #[test]
    fn strangers_checks_take_nothing_from_a_proven_address() {
        let now = Instant::now();
        let mut r = Route::default();
        r.on_check(path(1).remote, None, now);
        let asks = |r: &mut Route, port| (0..1_000).filter(|_| r.admit_check(path(port).remote, None, now).is_ok()).count();
        assert_eq!(asks(&mut r, 2), CHECKS.burst as usize);
        assert_eq!(r.admit_check(path(3).remote, None, now), Err(DropReason::Rate));
        assert_eq!(asks(&mut r, 1), CHECKS.burst as usize);
        assert_eq!(r.admit_check(path(3).remote, None, now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn whoever_moves_for_ever_is_slowed_and_then_stopped() {
        let now = Instant::now();
        let at = |s: u64| now + Duration::from_secs(s);
        let mut r = Route::default();
        let walk = |r: &mut Route, from: u64, to: u64, every: usize| {
            let moves = (from..to).step_by(every).filter(|second| {
                let remote = path(*second as u16).remote;
                let may = r.may_check(remote, None, at(*second));
                if may {
                    r.on_check(remote, None, at(*second));
                }
                may
            });
            moves.count()
        };
        assert_eq!(walk(&mut r, 1, 601, 1), 16 + 160 - 1, "ten minutes of a new address a second");
        assert!(r.may_check(path(600).remote, None, at(600)) || !r.is_known(path(600).remote), "where it is, it stays");
        assert_eq!(walk(&mut r, 1_000, 2_000, 5), 200, "one who moves every five seconds");
        walk(&mut r, 2_000, 20_000, 4);
        assert_eq!(r.shown, ADDRESSES_PER_CREDENTIALS_MAX);
        assert!(!r.may_check(path(30_000).remote, None, at(30_000)));
        r.on_restart();
        assert!(r.may_check(path(30_000).remote, None, at(30_000)));
        assert_eq!(r.known.len(), ADDRESSES_PER_PEER_MAX);
    }
}
