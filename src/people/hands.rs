//! The raised hands, first first. At most one for each participant, so the list is no longer than the roster.

use crate::id::PeerId;

/// The queue of those who want to speak.
#[derive(Debug, Default)]
pub(super) struct Hands(Vec<PeerId>);

impl Hands {
    pub(super) fn raised(&self) -> &[PeerId] {
        &self.0
    }

    /// Place in the queue, from 1.
    pub(super) fn place(&self, peer: PeerId) -> Option<u32> {
        self.0.iter().position(|other| *other == peer).map(|at| at as u32 + 1)
    }

    /// Raises or lowers a hand. True if that changed anything: raising a raised hand keeps its place.
    pub(super) fn set(&mut self, peer: PeerId, raised: bool) -> bool {
        match (self.0.iter().position(|other| *other == peer), raised) {
            (None, true) => self.0.push(peer),
            (Some(at), false) => drop(self.0.remove(at)),
            (None, false) | (Some(_), true) => return false,
        }
        true
    }
}
