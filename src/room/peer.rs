//! A peer: what it publishes, the slots it has, and what it wants to see in them.

use super::event::View;
use crate::id::TrackId;

/// Somebody or something in the room.
pub(super) struct Peer {
    /// Place in the order of joining.
    pub(super) joined: u64,
    /// Its media path stands.
    pub(super) connected: bool,
    /// In order of publishing.
    pub(super) tracks: Vec<TrackId>,
    /// Keys of its slots, by slot index.
    pub(super) slots: Vec<usize>,
    pub(super) view: View,
}

impl Peer {
    pub(super) fn new(joined: u64) -> Peer {
        let view = View::Auto { offset: 0, limit: None, pinned: Vec::new() };
        Peer { joined, connected: false, tracks: Vec::new(), slots: Vec::new(), view }
    }
}
