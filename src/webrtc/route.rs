//! Where one client is: which of its addresses media goes to, for how long, and how often it may show up at another.
//!
//! ```text
//! check with USE-CANDIDATE ────────────────┐
//! SRTCP by its keys from another address ──┼→ path      checks from there keep it; without them it ends (RFC 7675)
//! TCP connection closed ───────────────────┘
//! ```
//!
//! str0m, as the controlled side of ICE-lite, follows a changed address late (facts/str0m), so the choice is made here. Only addresses that a
//! check has proven, and that are nobody else's, come here. Firefox nominates once and never again; after a move its SRTCP says where it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::path::{Path, Source, Transport};
use crate::id::ConnectionId;
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
    known: Vec<Known>,
    moves: Bucket,
    /// Transactions of the last authentic checks, and whence they came: sent from elsewhere they are somebody's who overheard them.
    transactions: VecDeque<([u8; 12], Source)>,
    /// Checks from addresses that were proven, and from others.
    checks_known: Bucket,
    checks_unknown: Bucket,
    /// How many addresses str0m was shown since the last ICE restart.
    shown: usize,
}

/// Whence checks came.
#[derive(Clone, Copy, Debug)]
struct Known {
    path: Path,
    /// The last one.
    checked: Instant,
    /// It is this peer's and nobody else's.
    proven: bool,
}

impl Route {
    /// Where everything but answers to checks is sent.
    #[inline]
    pub fn path(&self) -> Option<Path> {
        self.nominated.map(|(path, _)| path)
    }

    /// Whether str0m, which checks its signature, may see this check; if not, why.
    pub fn admit_check(&mut self, source: Source, transaction: Option<[u8; 12]>, now: Instant) -> Result<(), DropReason> {
        if !self.may_check(source, transaction, now) {
            return Err(DropReason::Address);
        }
        // A stranger who has overheard the name takes nothing from the client where it is.
        let checks = if self.find(source).is_some() { &mut self.checks_known } else { &mut self.checks_unknown };
        if checks.take(1.0, CHECKS, now) { Ok(()) } else { Err(DropReason::Rate) }
    }

    /// Whether str0m may see a check from there. It keeps each address that an authentic one came from.
    fn may_check(&self, source: Source, transaction: Option<[u8; 12]>, now: Instant) -> bool {
        if self.find(source).is_some() {
            return true;
        }
        let mut moves = self.moves;
        let overheard = self.transactions.iter().any(|(known, from)| Some(*known) == transaction && *from != source);
        // Where a client is now is not forgotten for where it says it is, too.
        let place = self.known.len() < ADDRESSES_PER_PEER_MAX || self.known.iter().any(|known| !known.is_live(now));
        !overheard && place && self.shown < ADDRESSES_PER_CREDENTIALS_MAX && moves.take(1.0, NEW_ADDRESSES, now)
    }

    /// An authentic check came from there.
    pub fn on_check(&mut self, path: Path, transaction: Option<[u8; 12]>, now: Instant) {
        let source = path.source();
        if let Some(transaction) = transaction.filter(|new| !self.transactions.iter().any(|(known, _)| known == new)) {
            if self.transactions.len() == CHECKS_REMEMBERED {
                self.transactions.pop_front();
            }
            self.transactions.push_back((transaction, source));
        }
        if let Some(known) = self.known.iter_mut().find(|known| known.path.source() == source) {
            (known.path, known.checked) = (path, now);
            return;
        }
        self.shown += 1;
        self.moves.take(1.0, NEW_ADDRESSES, now);
        if self.known.len() == ADDRESSES_PER_PEER_MAX
            && let Some(stalest) = self.known.iter().enumerate().min_by_key(|(_, known)| known.checked).map(|(index, _)| index)
        {
            self.known.swap_remove(stalest);
        }
        self.known.push(Known { path, checked: now, proven: false });
    }

    /// This path's address is this peer's and nobody else's.
    pub fn prove(&mut self, path: Path) {
        if let Some(known) = self.known.iter_mut().find(|known| known.path.source() == path.source()) {
            known.proven = true;
        }
    }

    /// A TCP connection is over. Media that took it takes the proven path that was checked last, until the client nominates another.
    pub fn on_closed(&mut self, connection: ConnectionId, now: Instant) {
        let is_over = |path: &Path| path.transport == Transport::Tcp(connection);
        self.known.retain(|known| !is_over(&known.path));
        if self.nominated.is_some_and(|(path, _)| is_over(&path)) {
            let live = self.known.iter().filter(|known| known.proven && known.is_live(now));
            self.nominated = live.max_by_key(|known| known.checked).map(|known| (known.path, known.checked));
        }
    }

    /// The client nominated this path, and its address is nobody else's.
    pub fn nominate(&mut self, path: Path, now: Instant) {
        self.nominated = Some((path, now));
    }

    /// Authentic SRTCP that was not read before came over this path, whose address is proven.
    pub fn on_feedback(&mut self, path: Path, now: Instant) {
        let holds = |(nominated, at): (Path, Instant)| nominated == path || now.saturating_duration_since(at) < NOMINATION_HOLDS;
        if !self.nominated.is_some_and(holds) && self.consent(path.source()).is_some_and(|end| end > now) {
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
        Some(self.consent(path.source()).unwrap_or(at))
    }

    /// Ends what is not wanted any more. `true`: nothing is sent from now on.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = self.timeout().is_some_and(|end| end <= now);
        if over {
            self.nominated = None;
        }
        over
    }

    fn find(&self, source: Source) -> Option<&Known> {
        self.known.iter().find(|known| known.path.source() == source)
    }

    fn consent(&self, source: Source) -> Option<Instant> {
        self.find(source).map(|known| known.checked + CONSENT_LIFE)
    }
}

impl Known {
    /// The client is there still.
    fn is_live(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.checked) < ADDRESS_LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path::udp(([192, 0, 2, 1], port).into(), ([198, 51, 100, 1], 10_000).into())
    }

    #[test]
    fn a_nomination_moves_media_and_checks_keep_it() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut r = Route::default();
        r.on_check(path(1), None, at(0));
        assert_eq!((r.path(), r.timeout()), (None, None));
        r.nominate(path(1), at(0));
        r.on_check(path(2), None, at(1_000));
        assert_eq!(r.path(), Some(path(1)), "a check alone moves nothing");
        r.nominate(path(2), at(2_000));
        assert_eq!(r.timeout(), Some(at(31_000)));
        r.on_check(path(2), None, at(20_000));
        assert!(!r.handle_timeout(at(49_999)));
        assert!(r.handle_timeout(at(50_000)));
        assert_eq!((r.path(), r.timeout()), (None, None));
    }

    #[test]
    fn feedback_moves_media_to_a_checked_address_but_not_against_a_fresh_nomination() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut r = Route::default();
        r.on_check(path(1), None, at(0));
        r.nominate(path(1), at(0));
        r.on_feedback(path(2), at(5_000));
        assert_eq!(r.path(), Some(path(1)), "no check came from there");
        r.on_check(path(2), None, at(6_000));
        r.on_feedback(path(2), at(6_000));
        assert_eq!((r.path(), r.timeout()), (Some(path(2)), Some(at(36_000))));
        r.on_feedback(path(1), at(6_500));
        assert_eq!(r.path(), Some(path(2)), "that one was on its way");
        r.on_feedback(path(1), at(7_000));
        assert_eq!(r.path(), Some(path(1)));
    }

    #[test]
    fn a_connection_that_ends_gives_media_back_to_the_path_checked_last() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let tcp = |n: u64| Path::tcp(ConnectionId(n), path(1).remote, path(1).local);
        let mut r = Route::default();
        let check = |r: &mut Route, path: Path, ms| {
            r.on_check(path, None, at(ms));
            r.prove(path);
        };
        check(&mut r, path(1), 0);
        check(&mut r, path(2), 1_000);
        r.on_check(path(3), None, at(2_000)); // somebody else's
        check(&mut r, tcp(1), 2_000);
        check(&mut r, tcp(2), 2_000);
        r.nominate(tcp(1), at(2_000));
        r.on_closed(ConnectionId(2), at(3_000));
        assert_eq!(r.path(), Some(tcp(1)), "another one ended");
        r.on_closed(ConnectionId(1), at(3_000));
        assert_eq!((r.path(), r.timeout()), (Some(path(2)), Some(at(31_000))));
        r.nominate(path(1), at(4_000));
        assert_eq!(r.path(), Some(path(1)), "the client has the last word");

        check(&mut r, tcp(3), 20_000);
        r.nominate(tcp(3), at(20_000));
        r.on_closed(ConnectionId(3), at(20_000));
        assert_eq!((r.path(), r.timeout()), (None, None), "no check came from elsewhere for too long");
        assert_eq!(r.known.len(), 3);
    }

    #[test]
    fn an_overheard_check_says_nothing_of_another_address() {
        let now = Instant::now();
        let mut r = Route::default();
        let id = |n: u8| Some([n; 12]);
        for n in 0..40 {
            assert!(r.may_check(path(1).source(), id(n), now));
            r.on_check(path(1), id(n), now);
        }
        assert!(!r.may_check(path(2).source(), id(39), now));
        assert!(!r.may_check(path(2).source(), id(8), now));
        assert!(r.may_check(path(2).source(), id(7), now), "forgotten");
        assert!(r.may_check(path(2).source(), id(40), now));
        assert_eq!(r.transactions.len(), CHECKS_REMEMBERED);
    }

    #[test]
    fn strangers_checks_take_nothing_from_a_proven_address() {
        let now = Instant::now();
        let mut r = Route::default();
        r.on_check(path(1), None, now);
        let asks = |r: &mut Route, port| (0..1_000).filter(|_| r.admit_check(path(port).source(), None, now).is_ok()).count();
        assert_eq!(asks(&mut r, 2), CHECKS.burst as usize);
        assert_eq!(r.admit_check(path(3).source(), None, now), Err(DropReason::Rate));
        assert_eq!(asks(&mut r, 1), CHECKS.burst as usize);
        assert_eq!(r.admit_check(path(3).source(), None, now + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn whoever_moves_for_ever_is_slowed_and_then_stopped() {
        let now = Instant::now();
        let at = |s: u64| now + Duration::from_secs(s);
        let mut r = Route::default();
        let walk = |r: &mut Route, from: u64, to: u64, every: usize| {
            let moves = (from..to).step_by(every).filter(|second| {
                let path = path(*second as u16);
                let may = r.may_check(path.source(), None, at(*second));
                if may {
                    r.on_check(path, None, at(*second));
                }
                may
            });
            moves.count()
        };
        let fast = ADDRESSES_PER_PEER_MAX * 11 - 1;
        assert_eq!(walk(&mut r, 1, 601, 1), fast, "ten minutes of a new address a second");
        assert!(r.may_check(path(600).source(), None, at(600)) || r.find(path(600).source()).is_none(), "where it is, it stays");
        assert_eq!(walk(&mut r, 1_000, 2_000, 5), 200, "one who moves every five seconds");
        walk(&mut r, 2_000, 20_000, 4);
        assert_eq!(r.shown, ADDRESSES_PER_CREDENTIALS_MAX);
        assert!(!r.may_check(path(30_000).source(), None, at(30_000)));
        r.on_restart();
        assert!(r.may_check(path(30_000).source(), None, at(30_000)));
        assert_eq!(r.known.len(), ADDRESSES_PER_PEER_MAX);
    }
}
