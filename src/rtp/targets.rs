//! Which decode targets need a frame, as its dependency descriptor says (AV1 RTP payload format 1.0, appendix A).
//!
//! A decode target is a set of frames that a receiver may choose; each serves a layer. Here is one frame's row of the table; the table is read
//! by `descriptor.rs`, and `select.rs` decides by it.

use std::cmp::Reverse;

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

/// For each layer the best decode target that has nothing above it, among those that the encoder fills at present; where it makes nothing as
/// small as that, the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serving([Option<Target>; LAYERS]);

impl Serving {
    /// The target for `layer`. `None` if nothing is encoded at all.
    pub fn get(&self, layer: Layer) -> Option<Target> {
        self.0[Self::at(layer.min_each(Layer::MAX))]
    }

    /// `targets` are the targets that are filled, with their layers as the structure tells them, unclamped.
    pub fn new(targets: impl Iterator<Item = (u8, (u8, u8))> + Clone) -> Serving {
        let mut serving = Serving::default();
        for limit in Self::layers() {
            let best =
                targets.clone().filter(|(_, layer)| layer.1.min(LAYER_MAX) <= limit.temporal).max_by_key(|(_, (spatial, temporal))| {
                    let above = (*spatial).min(LAYER_MAX).saturating_sub(limit.spatial);
                    (Reverse(above), *spatial, *temporal)
                });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_served_by_the_best_that_fits() {
        // Targets 1 to 4; of spatial layer 0 there is none, and two of layer 2 are beyond ours in time.
        let serving = Serving::new([(1, (1, 0)), (2, (1, 1)), (3, (2, 0)), (4, (2, 3)), (5, (2, 2))].into_iter());
        let index = |spatial, temporal| serving.get(Layer { spatial, temporal }).map(|target| target.index);
        assert_eq!([index(0, 0), index(0, 2), index(1, 0), index(1, 1), index(1, 2)], [Some(1), Some(2), Some(1), Some(2), Some(2)]);
        assert_eq!([index(2, 0), index(2, 1), index(2, 2), index(9, 9)], [Some(3), Some(3), Some(4), Some(4)]);
        assert_eq!(serving.get(Layer::MAX).unwrap().layer, Layer::MAX);
        assert_eq!(Serving::new(std::iter::empty()).get(Layer::MAX), None);
    }
}
