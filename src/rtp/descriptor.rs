//! Reads dependency descriptors (AV1 RTP payload format 1.0, appendix A.8): the template structure that a keyframe brings, and what each frame
//! says by it.
//!
//! Total and bounded: whatever does not fit its syntax is no descriptor, and then the payload has to tell. Chains are read over: what a
//! receiver has been sent is known here, frame by frame, and that is stricter (see `select.rs`).

use super::bits::Bits;
use super::targets::{Serving, TARGETS_MAX, Targets};

/// Templates of one structure: their ids have six bits.
const TEMPLATES: u32 = 64;
/// Spatial layers of a structure; their number follows from two bits of an OBU.
const SPATIAL_MAX: u8 = 3;
/// Temporal layers; three bits of an OBU.
const TEMPORAL_MAX: u8 = 7;

/// What a keyframe tells of all frames up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Structure {
    /// Id of the first template.
    offset: u32,
    /// Decode targets.
    targets: u32,
    /// At most 64, by spatial and then temporal layer.
    templates: Vec<Template>,
    /// Width and height of each spatial layer, or of none; at most four.
    sizes: Vec<(u16, u16)>,
}

/// What frames of a kind have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Template {
    /// Spatial and temporal, as they came.
    layer: (u8, u8),
    indications: Indications,
    references: u64,
}

/// For each decode target two bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Indications {
    present: u32,
    discardable: u32,
    switch: u32,
}

/// One frame as its descriptor tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Spatial and temporal, as they came.
    pub layer: (u8, u8),
    pub size: Option<(u16, u16)>,
    /// Without what the reader adds.
    pub targets: Targets,
}

/// The optional part of a descriptor, as far as it can be read without a structure.
pub(super) struct Extended<'a> {
    template: u32,
    rest: Bits<'a>,
    structure: Option<Structure>,
    has_active: bool,
    custom_indications: bool,
    custom_references: bool,
}

impl<'a> Extended<'a> {
    /// The front of a descriptor, and the structure in it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Extended<'a>> {
        let mut rest = Bits::new(bytes);
        rest.skip(2)?;
        let template = rest.take(6)?;
        rest.skip(16)?;
        let mut extended =
            Extended { template, rest, structure: None, has_active: false, custom_indications: false, custom_references: false };
        if bytes.len() > 3 {
            let bits = &mut extended.rest;
            let has_structure = bits.flag()?;
            extended.has_active = bits.flag()?;
            extended.custom_indications = bits.flag()?;
            extended.custom_references = bits.flag()?;
            bits.skip(1)?;
            if has_structure {
                extended.structure = Some(Structure::parse(bits)?);
            }
        }
        Some(extended)
    }

    /// The structure that came with it.
    pub(super) fn take_structure(&mut self) -> Option<Structure> {
        self.structure.take()
    }

    /// Which decode targets are filled from this frame on, if it says so. To be read before the frame.
    pub(super) fn active(&mut self, structure: &Structure) -> Option<u32> {
        if self.has_active { self.rest.take(structure.targets) } else { None }
    }

    /// The frame, by the structure in force. `None` if that is another than the descriptor's.
    pub(super) fn frame(mut self, structure: &Structure) -> Option<Frame> {
        let index = (self.template + TEMPLATES - structure.offset) % TEMPLATES;
        let mut template = *structure.templates.get(index as usize)?;
        if self.custom_indications {
            template.indications = Indications::parse(&mut self.rest, structure.targets)?;
        }
        if self.custom_references {
            template.references = custom_references(&mut self.rest)?;
        }
        let Indications { present, discardable, switch } = template.indications;
        let targets = Targets { present, discardable, switch, references: template.references, ..Targets::default() };
        let size = structure.sizes.get(usize::from(template.layer.0)).copied();
        Some(Frame { layer: template.layer, size, targets })
    }
}

impl Structure {
    fn parse(bits: &mut Bits<'_>) -> Option<Structure> {
        let offset = bits.take(6)?;
        let targets = bits.take(5)? + 1;
        let mut templates = layers(bits)?;
        for template in &mut templates {
            template.indications = Indications::parse(bits, targets)?;
        }
        for template in &mut templates {
            while bits.flag()? {
                template.references |= reference(bits.take(4)? + 1);
            }
        }
        skip_chains(bits, targets, templates.len())?;
        let mut sizes = Vec::new();
        if bits.flag()? {
            for _ in 0..=templates.last()?.layer.0 {
                let mut less_one = || Some((bits.take(16)? + 1).min(0xffff) as u16);
                sizes.push((less_one()?, less_one()?));
            }
        }
        Some(Structure { offset, targets, templates, sizes })
    }

    /// All decode targets.
    pub(super) fn all(&self) -> u32 {
        u32::MAX >> (TARGETS_MAX as u32 - self.targets)
    }

    /// Which of the `active` decode targets serves which layer. The layer of a target is the highest of the templates that belong to it
    /// (appendix A.8.3, `decode_target_layers`).
    pub(super) fn serving(&self, active: u32) -> Serving {
        let mut layers = [None; TARGETS_MAX];
        for template in &self.templates {
            for (target, layer) in layers.iter_mut().enumerate() {
                if (template.indications.present & active) >> target & 1 == 1 {
                    let (spatial, temporal) = layer.unwrap_or_default();
                    *layer = Some((template.layer.0.max(spatial), template.layer.1.max(temporal)));
                }
            }
        }
        Serving::new(layers.iter().enumerate().filter_map(|(target, layer)| Some((target as u8, (*layer)?))))
    }
}

impl Indications {
    fn parse(bits: &mut Bits<'_>, targets: u32) -> Option<Indications> {
        let mut all = Indications::default();
        for target in 0..targets {
            let bit = 1 << target;
            match bits.take(2)? {
                0 => {}
                1 => (all.present, all.discardable) = (all.present | bit, all.discardable | bit),
                2 => (all.present, all.switch) = (all.present | bit, all.switch | bit),
                _ => all.present |= bit,
            }
        }
        Some(all)
    }
}

/// The layers of the templates: each says whether the next one is of the same, one higher in time, one higher in space, or none.
fn layers(bits: &mut Bits<'_>) -> Option<Vec<Template>> {
    let mut templates = Vec::new();
    let mut layer = (0, 0);
    while templates.len() < TEMPLATES as usize {
        templates.push(Template { layer, ..Template::default() });
        layer = match (bits.take(2)?, layer) {
            (0, same) => same,
            (1, (spatial, temporal)) if temporal < TEMPORAL_MAX => (spatial, temporal + 1),
            (2, (spatial, _)) if spatial < SPATIAL_MAX => (spatial + 1, 0),
            (3, _) => return Some(templates),
            _ => return None,
        };
    }
    None
}

fn skip_chains(bits: &mut Bits<'_>, targets: u32, templates: usize) -> Option<()> {
    let chains = bits.non_symmetric(targets + 1)?;
    if chains == 0 {
        return Some(());
    }
    for _ in 0..targets {
        bits.non_symmetric(chains)?;
    }
    bits.skip(4 * chains as usize * templates)
}

/// References of a frame that differ from its template's: differences of 4, 8 or 12 bits. The loop ends with the bytes.
fn custom_references(bits: &mut Bits<'_>) -> Option<u64> {
    let mut references = 0;
    loop {
        let nibbles = bits.take(2)?;
        if nibbles == 0 {
            return Some(references);
        }
        references |= reference(bits.take(4 * nibbles)? + 1);
    }
}

/// A reference to the frame `back` before, as in [`Targets::references`].
fn reference(back: u32) -> u64 {
    if back <= 64 { 1 << (back - 1) } else { u64::MAX }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Layer;
    use super::*;

    /// What Chrome sent for AV1 in L3T3_KEY (a capture that LiveKit's tests have, too): a keyframe, and frames after it.
    const CHROME: &str = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820ac128250\
                          3157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// Layer, decode targets, switches, references and the targets that are filled.
    type Told = ((u8, u8), u32, u32, u64, Option<u32>);

    fn read(hex: &str, structure: &Structure) -> Option<Told> {
        let bytes = bytes(hex);
        let mut extended = Extended::parse(&bytes)?;
        extended.take_structure();
        let active = extended.active(structure);
        let Frame { layer, targets, .. } = extended.frame(structure)?;
        Some((layer, targets.present, targets.switch, targets.references, active))
    }

    #[test]
    fn what_chrome_writes() {
        let key = bytes(CHROME);
        let structure = Extended::parse(&key).unwrap().take_structure().unwrap();
        assert_eq!((structure.targets, structure.templates.len(), structure.all()), (9, 15, 0b1_1111_1111));
        assert_eq!(structure.sizes, [(120, 67), (240, 135), (480, 270)]);
        let two_layers = Some(0b11_1111);
        for (hex, expected) in [
            (CHROME, ((0, 0), 0o777, 0o777, 0, None)),
            ("86017340fc", ((1, 0), 0o770, 0o770, 0b1, two_layers)),
            ("c3017540fc", ((0, 2), 0o444, 0, 0b100, two_layers)),
            ("88017640fc", ((1, 2), 0o440, 0, 0b101, two_layers)),
            ("c2017840fc", ((0, 1), 0o666, 0o004, 0b10_0000, two_layers)),
            ("8b0174", ((2, 0), 0o700, 0o700, 0b1, None)),
            ("c30175", ((0, 2), 0o444, 0, 0b100, None)),
        ] {
            assert_eq!(read(hex, &structure), Some(expected), "{hex}");
        }
        assert_eq!(read("0f0174", &structure), None, "a template of another structure");
        let index = |active, layer| structure.serving(active).get(layer).map(|target| target.index);
        assert_eq!((index(structure.all(), Layer::MAX), index(0b11_1111, Layer::MAX)), (Some(8), Some(5)));
        assert_eq!(index(structure.all(), Layer { spatial: 1, temporal: 0 }), Some(3));
    }

    #[test]
    fn every_length_and_any_bytes_are_survived() {
        let key = bytes(CHROME);
        let structure = Extended::parse(&key).unwrap().take_structure().unwrap();
        for len in 0..key.len() - 1 {
            assert!(Extended::parse(&key[..len]).is_none_or(|mut extended| extended.take_structure().is_none()), "{len}");
        }
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..50_000 {
            let mut bytes = if rng.bool() { key.clone() } else { (0..rng.usize(0..255)).map(|_| rng.u8(..)).collect() };
            for _ in 0..rng.usize(0..8) {
                let at = rng.usize(0..bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.u8(..);
                }
            }
            let Some(mut extended) = Extended::parse(&bytes) else { continue };
            let own = extended.take_structure();
            let structure = own.as_ref().unwrap_or(&structure);
            let active = extended.active(structure).unwrap_or(structure.all());
            structure.serving(active);
            if let Some(frame) = extended.frame(structure) {
                let Targets { present, discardable, switch, .. } = frame.targets;
                assert!(discardable & !present == 0 && switch & !present == 0 && present & !structure.all() == 0);
            }
        }
    }

    #[test]
    fn references_of_a_frames_own() {
        // Differences of 4, 8 and 12 bits: 1, 64, 65.
        let read = |bytes: &[u8]| custom_references(&mut Bits::new(bytes));
        assert_eq!(read(&[0b0100_0000]), Some(1));
        assert_eq!(read(&[0b1000_1111, 0b1100_0000]), Some(1 << 63));
        assert_eq!(read(&[0b1100_0001, 0b0000_0000]), Some(u64::MAX), "further back than is remembered");
        assert_eq!(read(&[0]), Some(0));
        assert_eq!(read(&[0b0100_0001]), None, "cut off");
    }
}
