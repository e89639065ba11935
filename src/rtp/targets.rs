//! Which decode targets need a frame, as its dependency descriptor says (AV1 RTP payload format 1.0, appendix A).
//!
//! A decode target is a set of frames that a receiver may choose; each serves a layer. Here is one frame's row of the table; the table is read
//! by `descriptor.rs`, and `select.rs` decides by it.

use super::facts::{LAYER_MAX, Layer};

/// Decode targets of one stream; the descriptor's count has five bits.
pub const TARGETS_MAX: usize = 32;

const LAYERS: usize = (LAYER_MAX as usize + 1) * (LAYER_MAX as usize + 1);

/// One frame's place in the decode targets of its stream. Bit n of a mask is decode target n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Counts the structures of the stream: what is known of targets holds within one.
    pub structure: u32,
    /// The frame belongs to them.
    pub present: u32,
    /// It belongs to them and nothing in them refers to it.
    pub discardable: u32,
    /// If it can be decoded, so can all that follows in them.
    pub switch: u32,
    /// Bit n: it refers to the frame n + 1 before it. A reference further back than 64 frames is kept as one to all 64, which is stricter.
    pub references: u64,
    /// Which target serves a layer.
    pub serving: Serving,
}

/// One decode target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its bit.
    pub index: u8,
    /// The highest layer in it.
    pub layer: Layer,
}

impl Target {
    /// Whether its bit is set.
    pub fn is_in(self, mask: u32) -> bool {
        mask >> self.index & 1 == 1
    }
}

/// For each layer the best decode target that has nothing above it, among those that the encoder fills at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serving([Option<Target>; LAYERS]);

impl Serving {
    /// The target for `layer`. `None` if nothing is encoded as low as that.
    pub fn get(&self, layer: Layer) -> Option<Target> {
        self.0[Self::at(layer.min_each(Layer::MAX))]
    }

    /// `targets` are the targets that are filled, with their layers as the structure tells them, unclamped.
    pub(super) fn new(targets: impl Iterator<Item = (u8, (u8, u8))> + Clone) -> Serving {
        let mut serving = Serving::default();
        for limit in Self::layers() {
            let fits = |(_, (spatial, temporal)): &(u8, (u8, u8))| Layer::clamped(*spatial, *temporal).within(limit);
            let best = targets.clone().filter(fits).max_by_key(|(_, layer)| *layer);
            serving.0[Self::at(limit)] =
                best.map(|(index, (spatial, temporal))| Target { index, layer: Layer::clamped(spatial, temporal) });
        }
        serving
    }

    fn layers() -> impl Iterator<Item = Layer> {
        (0..=LAYER_MAX).flat_map(|spatial| (0..=LAYER_MAX).map(move |temporal| Layer { spatial, temporal }))
    }

    fn at(layer: Layer) -> usize {
        usize::from(layer.spatial) * (usize::from(LAYER_MAX) + 1) + usize::from(layer.temporal)
    }
}
