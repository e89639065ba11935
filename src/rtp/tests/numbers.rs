//! Numbers without holes that we made: twenty seeds of a receiver that changes its mind, against a model that keeps a list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::made::{Made, Network, Vp8};
use super::svc::{Mode, Svc, Told};
use crate::limits::LATE_PACKETS_MAX;
use crate::rtp::{Choice, Codec, Facts, Head, Kind, Layer, Place, Reader, Refused, Rewriter, Rewritten, Selector, Starts};

const PACKETS: usize = 100_000;

/// What the publishers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    Vp8,
    Svc(Codec, Told),
}

enum Encoder {
    Vp8(Vp8),
    Svc(Box<Svc>),
}

impl Encoder {
    fn new(kinds: Kinds, origin: u32, rng: &mut fastrand::Rng) -> Encoder {
        let structures = [(Mode::Full, 3, 3), (Mode::Key, 3, 3), (Mode::Apart, 3, 3), (Mode::Full, 1, 3), (Mode::Full, 2, 2)];
        match kinds {
            Kinds::Vp8 => Encoder::Vp8(Vp8::new(origin, rng)),
            Kinds::Svc(codec, told) => {
                let structure = structures[rng.usize(0..structures.len())];
                Encoder::Svc(Box::new(Svc::new(origin, codec, told, structure, rng)))
            }
        }
    }

    fn picture(&mut self, key: bool, now: Instant, rng: &mut fastrand::Rng) -> Vec<Made> {
        match self {
            Encoder::Vp8(encoder) => encoder.picture(key, now, rng),
            Encoder::Svc(encoder) => encoder.picture(key, now, rng),
        }
    }
}

/// One publisher's stream, as the room keeps it.
struct Source {
    encoder: Encoder,
    reader: Reader,
    head: Option<Head>,
}

/// What a packet is, over all encoders.
type Name = (u32, u64);

/// One run of a source.
struct Run {
    origin: u32,
    packets: List,
    /// Of VP8.
    pictures: List,
    /// By how much picture ids of VP9 and frame numbers are off, which is always the same.
    offsets: [Option<u16>; 2],
    /// Frames that go out or do not.
    goes: HashMap<u64, bool>,
}

/// Numbers from the first on that are not closed, in order. What each becomes is its place in the list.
struct List {
    first_out: u64,
    open: Vec<u64>,
    newest: u64,
    /// The highest number given out.
    last: u64,
}

impl List {
    fn new(first: u64, first_out: u64) -> List {
        List { first_out, open: vec![first], newest: first, last: first_out }
    }

    fn out(&self, n: u64) -> u64 {
        self.first_out + self.open.partition_point(|open| *open < n) as u64
    }

    fn reach(&mut self, n: u64) {
        self.open.extend(self.newest + 1..=n);
        self.newest = self.newest.max(n);
    }

    fn take(&mut self, n: u64) -> u64 {
        self.reach(n);
        assert!(self.open.binary_search(&n).is_ok(), "{n} was left out");
        self.last = self.last.max(self.out(n));
        self.out(n)
    }

    /// Whether it could be closed: nothing that follows went out.
    fn close(&mut self, n: u64) -> bool {
        self.reach(n);
        let closes = self.out(n) > self.last;
        if let (true, Ok(at)) = (closes, self.open.binary_search(&n)) {
            self.open.remove(at);
        }
        closes
    }
}

/// What went out, and all that must hold of it.
#[derive(Default)]
struct Model {
    run: Option<Run>,
    /// Who has a number; padding goes by the packet that it stands for.
    by_number: BTreeMap<u64, (Name, bool)>,
    by_name: HashMap<Name, (u64, bool)>,
    /// Who came while there was a place for it.
    arrived: HashSet<Name>,
}

impl Model {
    fn begin(&mut self, made: &Made, out: &Rewritten) {
        self.check_holes();
        if let Some(run) = &self.run {
            assert_eq!(out.seq, run.packets.last + 1, "a new source goes on at once");
        }
        let id = u64::from(out.patch.picture_id.map_or(0, |id| id.value));
        let (packets, pictures) = (List::new(made.packet.seq, out.seq), List::new(made.picture, id));
        self.run = Some(Run { origin: made.origin, packets, pictures, offsets: [None; 2], goes: HashMap::new() });
        self.take(made, out, false);
    }

    fn take(&mut self, made: &Made, out: &Rewritten, padding: bool) {
        let name = (made.origin, made.packet.seq);
        let run = self.run.as_mut().expect("a run");
        assert_eq!(out.seq, run.packets.take(made.packet.seq), "{name:?}");
        let before = self.by_name.insert(name, (out.seq, padding));
        assert!(before.is_none_or(|before| before == (out.seq, padding) && !padding), "{name:?} had {before:?} and has {out:?}");
        let before = self.by_number.insert(out.seq, (name, padding));
        assert!(before.is_none_or(|before| before == (name, padding)), "{} was {before:?} and is {name:?}", out.seq);
        if padding {
            return;
        }
        if made.packet.codec != Codec::Vp8 {
            let offsets = [(out.patch.picture_id.map(|id| id.value), made.picture, 0x7fff), (out.patch.frame_number, made.frame, 0xffff)];
            for (known, (value, n, mask)) in run.offsets.iter_mut().zip(offsets) {
                let offset = value.map(|value| value.wrapping_sub(n as u16) & mask);
                assert_eq!(*known.get_or_insert(offset.unwrap_or(0)), offset.unwrap_or(0), "gaps stay gaps");
            }
            return;
        }
        let id = out.patch.picture_id.expect("there is one");
        let mask = if id.wide { 0x7fff } else { 0x7f };
        // Who is so late that seven bits say it twice has no number worth checking.
        if id.wide || run.pictures.newest.saturating_sub(made.picture) < 128 {
            assert_eq!(u64::from(id.value), run.pictures.take(made.picture) & mask, "picture {} of {name:?}", made.picture);
        }
    }

    fn close(&mut self, made: &Made, padding: Option<&Rewritten>) {
        let run = self.run.as_mut().expect("a run");
        run.pictures.close(made.picture);
        match padding {
            Some(out) => self.take(made, out, true),
            None => assert!(run.packets.close(made.packet.seq), "others went on"),
        }
    }

    /// Whoever has a place and no packet never came, or too late.
    fn check_holes(&self) {
        let Some(run) = &self.run else { return };
        for seq in &run.packets.open {
            let name = (run.origin, *seq);
            if run.packets.out(*seq) <= run.packets.last && self.arrived.contains(&name) {
                assert!(self.by_name.contains_key(&name), "{name:?} came and is a hole");
            }
        }
    }

    /// It belongs to the run and somebody may wait for it.
    fn awaits(&self, made: &Made) -> bool {
        let seq = made.packet.seq;
        let fits = |run: &Run| run.origin == made.origin && seq >= run.packets.open[0] && seq + LATE_PACKETS_MAX >= run.packets.newest;
        self.run.as_ref().is_some_and(fits)
    }

    /// Nothing became of it yet.
    fn is_open(&self, made: &Made) -> bool {
        let list = &self.run.as_ref().expect("a run").packets;
        let named = self.by_name.contains_key(&(made.origin, made.packet.seq));
        !named && (made.packet.seq > list.newest || list.open.binary_search(&made.packet.seq).is_ok())
    }
}

struct Receiver {
    rng: fastrand::Rng,
    rewriter: Rewriter,
    selector: Selector,
    current: usize,
    wanted: usize,
    model: Model,
    sent: [u64; 3],
    closed: u64,
    filled: u64,
}

impl Receiver {
    fn new(seed: u64) -> Receiver {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rewriter = Rewriter::new(Kind::Video, Starts::random(&mut rng));
        Receiver {
            rng,
            rewriter,
            selector: Selector::default(),
            current: usize::MAX,
            wanted: 0,
            model: Model::default(),
            sent: [0; 3],
            closed: 0,
            filled: 0,
        }
    }

    /// As a slot does it.
    fn handle(&mut self, from: usize, made: &Made, facts: &Facts, newest: bool, now: Instant) {
        let begins = from == self.wanted && newest && facts.keyframe;
        if from == self.wanted && self.current != self.wanted {
            if begins {
                self.begin(from, made, facts, now);
            }
            return;
        }
        if from != self.current {
            return;
        }
        let awaited = self.model.awaits(made);
        if awaited {
            self.model.arrived.insert((made.origin, made.packet.seq));
        }
        let choice = self.selector.choose(facts, &made.packet);
        if awaited && let Some(run) = &mut self.model.run {
            let goes = matches!(choice, Choice::Send { .. });
            let before = *run.goes.entry(made.frame).or_insert(goes);
            assert_eq!(before, goes, "all of a frame or nothing: {made:?}");
        }
        match choice {
            Choice::Send { marker } => match self.rewriter.rewrite(&made.packet, facts, now) {
                Ok(out) => {
                    assert!(marker >= made.packet.marker);
                    self.sent[usize::from(made.layer.temporal)] += 1;
                    self.model.take(made, &out, false);
                }
                Err(Refused::WaitKeyframe) if begins => self.begin(from, made, facts, now),
                Err(Refused::WaitKeyframe) => assert!(!awaited, "it goes on"),
                Err(Refused::Late) => {}
            },
            Choice::Skip => {
                let padding = self.rewriter.skip(&made.packet, facts);
                if !awaited || !self.model.is_open(made) {
                    assert_eq!(padding, None, "it has no place, or not any more");
                    return;
                }
                self.closed += 1;
                self.filled += u64::from(padding.is_some());
                self.model.close(made, padding.as_ref());
            }
        }
    }

    fn begin(&mut self, from: usize, made: &Made, facts: &Facts, now: Instant) {
        let aim = layer(&mut self.rng);
        self.selector.begin(facts, aim);
        assert!(matches!(self.selector.choose(facts, &made.packet), Choice::Send { .. }));
        let out = self.rewriter.switch(&made.packet, facts, now);
        self.current = from;
        self.model.begin(made, &out);
    }
}

fn layer(rng: &mut fastrand::Rng) -> Layer {
    Layer { spatial: rng.u8(0..3), temporal: rng.u8(0..3) }
}

fn run(kinds: Kinds, seed: u64, count: usize) -> Receiver {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut origin = 0;
    let mut source = |rng: &mut fastrand::Rng| {
        origin += 1;
        Source { encoder: Encoder::new(kinds, origin, rng), reader: Reader::default(), head: None }
    };
    let mut sources: Vec<Source> = (0..3).map(|_| source(&mut rng)).collect();
    let mut networks: Vec<Network> = (0..3).map(|_| Network::default()).collect();
    let mut receiver = Receiver::new(seed);
    let (mut now, mut packets) = (Instant::now(), 0);
    while packets < count {
        now += Duration::from_millis(33);
        match rng.u32(0..2_000) {
            0..20 => receiver.selector.aim(layer(&mut rng)),
            20..24 => receiver.wanted = rng.usize(0..3),
            // The same track once more, as after another layer of it: it begins at a later keyframe of itself.
            24..26 => receiver.current = usize::MAX,
            // A publisher starts anew under the same name: another encoder, other numbers.
            26 => {
                let index = rng.usize(0..3);
                sources[index].encoder = source(&mut rng).encoder;
            }
            _ => {}
        }
        for (index, (source, network)) in sources.iter_mut().zip(&mut networks).enumerate() {
            let key = rng.u8(0..60) == 0;
            for made in source.encoder.picture(key, now, &mut rng) {
                packets += 1;
                network.send(made, now, &mut rng);
            }
            while let Some((at, mut made)) = network.poll(now) {
                made.packet.received = at;
                let facts = source.reader.read(&made.packet);
                let place = source.head.map(|head| head.place(&made.packet, at));
                let newest = matches!(place, None | Some(Place::Newer | Place::Restart));
                if newest {
                    source.head = Some(Head::of(&made.packet, at));
                }
                receiver.handle(index, &made, &facts, newest, at);
            }
        }
    }
    receiver.model.check_holes();
    receiver
}

#[test]
fn no_number_twice_and_none_missing() {
    for seed in 1..=20 {
        let Receiver { sent, closed, filled, .. } = run(Kinds::Vp8, seed, PACKETS);
        assert!(sent.iter().all(|n| *n > 500) && closed > 500 && filled > 5, "{sent:?} {closed} {filled}");
    }
}

#[test]
fn nor_of_svc() {
    let (av1, vp9) = (Codec::Av1 { profile: 0 }, Codec::Vp9 { profile: 0 });
    for seed in 1..=20 {
        for (codec, told) in [(av1, Told::Descriptor), (vp9, Told::Descriptor), (vp9, Told::Payload)] {
            let Receiver { sent, closed, filled, .. } = run(Kinds::Svc(codec, told), seed, PACKETS / 4);
            assert!(sent[0] > 300 && closed > 300 && filled > 5, "{sent:?} {closed} {filled}");
        }
    }
}
