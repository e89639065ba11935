//! Between the wire types and the door's words: wishes, and what is sent. Pure; the rest is in `translate`.

use super::error::{Code, Error};
use super::protocol as wire;
use super::protocol::ServerMessage;
use crate::id::TrackId;
use crate::limits::SLOTS_PER_PEER_MAX;
use crate::room::{LayerInfo, LayerLimit, SlotLayers, SlotReason, Wish};
use crate::sfu::LayerReport;

/// How slots are shown, by `a=mid`.
pub fn wishes(slots: Vec<wire::Wish>) -> Result<Vec<(String, TrackId, Wish)>, Error> {
    if slots.len() > SLOTS_PER_PEER_MAX {
        return Err(Error::new(Code::BadView, format!("wishes are for at most {SLOTS_PER_PEER_MAX} slots")));
    }
    let wish = |wire::Wish { mid, track, width, height, visible, priority, paused }| {
        (mid, TrackId(track), Wish { size: (width, height), visible, priority, paused })
    };
    Ok(slots.into_iter().map(wish).collect())
}

/// The answer to `layers`.
pub fn wire_layers(id: u32, report: LayerReport) -> ServerMessage {
    let wire::ReceivedLayers { estimate_kbps, slots } = received_layers(report);
    ServerMessage::Layers { id, estimate_kbps, slots }
}

/// What is sent to somebody, as REST shows it.
pub fn received_layers(report: LayerReport) -> wire::ReceivedLayers {
    let LayerReport { estimate, slots } = report;
    wire::ReceivedLayers { estimate_kbps: estimate.map(kbps), slots: slots.into_iter().map(wire_slot_layers).collect() }
}

fn wire_slot_layers((mid, slot): (String, SlotLayers)) -> wire::SlotLayers {
    let SlotLayers { slot: _, track, codec, sent, wished, limit } = slot;
    let layer = |LayerInfo { layer, size, bps }| wire::Layer {
        spatial: layer.spatial,
        temporal: layer.temporal,
        width: size.map(|(width, _)| width.into()),
        height: size.map(|(_, height)| height.into()),
        kbps: kbps(bps),
    };
    wire::SlotLayers {
        mid,
        track: track.0,
        codec: codec.map(|codec| codec.name().to_owned()),
        sent: sent.map(layer),
        wished: wished.map(layer),
        limit: limit.map(wire_limit),
    }
}

fn wire_limit(limit: LayerLimit) -> wire::LayerLimit {
    match limit {
        LayerLimit::NotPublished => wire::LayerLimit::NotPublished,
        LayerLimit::Size => wire::LayerLimit::Size,
        LayerLimit::Bandwidth | LayerLimit::Slot(SlotReason::Bandwidth) => wire::LayerLimit::Bandwidth,
        LayerLimit::Slot(SlotReason::Paused) => wire::LayerLimit::Paused,
        LayerLimit::Slot(SlotReason::Codec) => wire::LayerLimit::Codec,
        LayerLimit::Slot(SlotReason::Muted) => wire::LayerLimit::Muted,
    }
}

/// Rounded, as a person reads it.
fn kbps(bps: u64) -> u32 {
    u32::try_from((bps + 500) / 1_000).unwrap_or(u32::MAX)
}
