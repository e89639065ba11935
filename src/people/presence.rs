//! Whose signalling is lost, for how long, and what of it the others have to be told. At most one entry for each participant or viewer; the next
//! time is at the front of an ordered set, because it is asked for after each datagram.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::id::PeerId;
use crate::limits::{AWAY_AFTER, AWAY_PERIOD, RESUME_TIME};

/// Those who may come back.
#[derive(Debug, Default)]
pub(super) struct Presence {
    lost: BTreeMap<PeerId, Lost>,
    due: BTreeSet<(Instant, PeerId)>,
    /// Those who came back after the others were told that they are away.
    back: Vec<PeerId>,
    told_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    since: Instant,
    /// The others know.
    told: bool,
}

impl Lost {
    fn due(self) -> Instant {
        self.since + if self.told { RESUME_TIME } else { AWAY_AFTER }
    }
}

impl Presence {
    /// Counts from the first time that it is said.
    pub(super) fn lose(&mut self, peer: PeerId, now: Instant) {
        // Away for the others as before, if they have not been told otherwise yet.
        let told = self.back.iter().position(|back| *back == peer).map(|at| self.back.remove(at)).is_some();
        let lost = *self.lost.entry(peer).or_insert(Lost { since: now, told });
        self.due.insert((lost.due(), peer));
    }

    /// Somebody is back.
    pub(super) fn find(&mut self, peer: PeerId) {
        if let Some(lost) = self.lost.remove(&peer) {
            self.due.remove(&(lost.due(), peer));
            if lost.told {
                self.back.push(peer);
            }
        }
    }

    /// Somebody has left.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.back.retain(|back| *back != peer);
        if let Some(lost) = self.lost.remove(&peer) {
            self.due.remove(&(lost.due(), peer));
        }
    }

    /// When somebody is to be told of, or is gone.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let back = (!self.back.is_empty()).then(|| self.told_at.map(|at| at + AWAY_PERIOD)).flatten();
        // What is to be told waits for its turn; a time that has passed already would be asked for again and again.
        let turn = self.told_at.map(|at| at + AWAY_PERIOD);
        let lost = self.due.first().map(|(at, peer)| match self.lost.get(peer) {
            Some(lost) if !lost.told => turn.map_or(*at, |turn| turn.max(*at)),
            _ => *at,
        });
        [back, lost].into_iter().flatten().min()
    }

    /// Those of whom the others have to be told now: who is away, who is back.
    pub(super) fn news(&mut self, now: Instant) -> (Vec<PeerId>, Vec<PeerId>) {
        if self.told_at.is_some_and(|at| now < at + AWAY_PERIOD) {
            return (vec![], vec![]);
        }
        let due: Vec<(Instant, PeerId)> = self.due.range(..=(now, PeerId(u32::MAX))).copied().collect();
        let mut away = vec![];
        for (at, peer) in due {
            let Some(lost) = self.lost.get_mut(&peer).filter(|lost| !lost.told) else { continue };
            lost.told = true;
            self.due.remove(&(at, peer));
            self.due.insert((lost.due(), peer));
            away.push(peer);
        }
        let back = std::mem::take(&mut self.back);
        if !(away.is_empty() && back.is_empty()) {
            self.told_at = Some(now);
        }
        (away, back)
    }

    /// Those who did not come back in time.
    pub(super) fn gone(&self, now: Instant) -> Vec<PeerId> {
        let due = self.due.range(..=(now, PeerId(u32::MAX)));
        due.filter(|(_, peer)| self.lost.get(peer).is_some_and(|lost| lost.since + RESUME_TIME <= now)).map(|(_, peer)| *peer).collect()
    }
}
