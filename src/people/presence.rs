//! Whose signalling is lost, and for how long. At most one entry for each participant or viewer.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::id::PeerId;
use crate::limits::{AWAY_AFTER, RESUME_TIME};

/// Those who may come back.
#[derive(Debug, Default)]
pub(super) struct Presence(BTreeMap<PeerId, Lost>);

#[derive(Clone, Copy, Debug)]
struct Lost {
    since: Instant,
    /// The others know.
    told: bool,
}

impl Presence {
    /// Counts from the first time that it is said.
    pub(super) fn lose(&mut self, peer: PeerId, now: Instant) {
        self.0.entry(peer).or_insert(Lost { since: now, told: false });
    }

    /// Back or gone. True if the others had been told that they are away.
    pub(super) fn forget(&mut self, peer: PeerId) -> bool {
        self.0.remove(&peer).is_some_and(|lost| lost.told)
    }

    /// When somebody is to be told of, or is gone.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.0.values().map(|lost| lost.since + if lost.told { RESUME_TIME } else { AWAY_AFTER }).min()
    }

    /// Those of whom the others have to be told now.
    pub(super) fn away(&mut self, now: Instant) -> Vec<PeerId> {
        let due = self.0.iter_mut().filter(|(_, lost)| !lost.told && lost.since + AWAY_AFTER <= now);
        due.map(|(peer, lost)| {
            lost.told = true;
            *peer
        })
        .collect()
    }

    /// Those who did not come back in time.
    pub(super) fn gone(&self, now: Instant) -> Vec<PeerId> {
        self.0.iter().filter(|(_, lost)| lost.since + RESUME_TIME <= now).map(|(peer, _)| *peer).collect()
    }
}
