//! What the server counts. The names are a contract; the table of them is in `deploy/METRICS.md`, which a test compares with this file.

/// Why a packet was not forwarded or not sent. The label `reason` of `ninefold_packets_dropped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Nobody is known at that address, and it was no valid STUN.
    UnknownAddress,
    /// It came from an address that STUN has not proven.
    UnprovenAddress,
    /// Not RTP, RTCP, DTLS or STUN, or one that str0m refused.
    Malformed,
    /// Media that belongs to no track.
    NoTrack,
    /// The track is muted.
    Muted,
    /// It comes before the keyframe that a switch waits for.
    WaitKeyframe,
    /// Older than the slot's current source or than what the slot still accepts.
    Late,
    /// The same packet was sent before.
    Duplicate,
    /// No slot has the track.
    NoReceiver,
    /// A layer that nobody gets.
    Layer,
    /// The receiver cannot decode it.
    Codec,
    /// The receiver is not connected (yet, or any more).
    NotConnected,
    /// The peer's outgoing buffer is full.
    OutboxFull,
    /// The kernel took no more.
    SendFailed,
    /// SRTP or SRTCP of str0m by one of our own SSRCs (the last guard against a nonce used twice).
    Guard,
    /// A data channel message that is too long or goes to nobody.
    Data,
}

impl DropReason {
    /// All of them, in order of their numbers.
    pub const ALL: [DropReason; 16] = [
        DropReason::UnknownAddress,
        DropReason::UnprovenAddress,
        DropReason::Malformed,
        DropReason::NoTrack,
        DropReason::Muted,
        DropReason::WaitKeyframe,
        DropReason::Late,
        DropReason::Duplicate,
        DropReason::NoReceiver,
        DropReason::Layer,
        DropReason::Codec,
        DropReason::NotConnected,
        DropReason::OutboxFull,
        DropReason::SendFailed,
        DropReason::Guard,
        DropReason::Data,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            DropReason::UnknownAddress => "unknown_address",
            DropReason::UnprovenAddress => "unproven_address",
            DropReason::Malformed => "malformed",
            DropReason::NoTrack => "no_track",
            DropReason::Muted => "muted",
            DropReason::WaitKeyframe => "wait_keyframe",
            DropReason::Late => "late",
            DropReason::Duplicate => "duplicate",
            DropReason::NoReceiver => "no_receiver",
            DropReason::Layer => "layer",
            DropReason::Codec => "codec",
            DropReason::NotConnected => "not_connected",
            DropReason::OutboxFull => "outbox_full",
            DropReason::SendFailed => "send_failed",
            DropReason::Guard => "guard",
            DropReason::Data => "data",
        }
    }
}

/// Counts by reason, plain numbers: pure code keeps one and its owner publishes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// How many of this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What was counted since the last call; starts again from nothing.
    pub fn take(&mut self) -> Drops {
        std::mem::take(self)
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Drops) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
