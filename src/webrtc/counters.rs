//! What the send side of one connection counts.

use crate::metrics::{DropReason, ShardCounters};

/// What is counted for the metrics; taken once per tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressCounters {
    /// Media packets, repetitions not included.
    pub packets: u64,
    /// Their bytes as datagrams.
    pub bytes: u64,
    /// Sequence numbers that receivers reported missing.
    pub nacks: u64,
    /// Repetitions.
    pub rtx: u64,
    /// Bytes of padding, as datagrams.
    pub padding: u64,
    /// Keyframe requests.
    pub plis: u64,
    /// Packets that were asked for again too soon.
    pub repeated_lately: u64,
    /// Packets that were asked for again when too many bytes had been repeated.
    pub repeated_enough: u64,
    /// SRTCP that was not authentic, or had been read before.
    pub refused: u64,
}

impl EgressCounters {
    /// Moves all into the shard's.
    pub fn add_to(&mut self, sum: &mut ShardCounters) {
        let counted = std::mem::take(self);
        sum.packets_sent += counted.packets;
        sum.bytes_sent += counted.bytes;
        sum.nacks_received += counted.nacks;
        sum.rtx_packets_sent += counted.rtx;
        sum.padding_bytes_sent += counted.padding;
        sum.plis_received += counted.plis;
        sum.drops.count_many(DropReason::Feedback, counted.refused);
        sum.drops.count_many(DropReason::Duplicate, counted.repeated_lately);
        sum.drops.count_many(DropReason::Rate, counted.repeated_enough);
    }
}
