//! The presets: scenarios that are built in, with the numbers that one gives when calling them.

use std::time::Duration;

use ninefold::api::protocol::RoomMode;

use crate::media::Camera;
use crate::scenario::{Action, Bounds, Conditions, Deed, Frozen, Group, Network, RoomKind, Scenario};

const HD: Camera = Camera { layers: 1, fps: 30, bitrate_bps: 1_500_000 };
const TILE: Camera = Camera { layers: 1, fps: 25, bitrate_bps: 600_000 };
const SIMULCAST: Camera = Camera { layers: 3, fps: 25, bitrate_bps: 900_000 };
/// Three layers of about 1.3, 0.3 and 0.1 Mbit/s: not all of them fit through 500 kbit/s.
const WIDE: Camera = Camera { layers: 3, fps: 25, bitrate_bps: 1_700_000 };

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Everybody sends and sees up to nine others
    Conference,
    /// A few send, many watch
    Broadcast,
    /// A few talk and see each other, many watch them
    Webinar,
    /// All viewers of a broadcast come within one second
    Storm,
    /// A conference in which people leave, vanish, come back, mute, turn pages, change sizes and move
    Churn,
    /// Calls, a webinar and a broadcast side by side, for long: what grows?
    Soak,
    /// A conference on networks that change: 3 Mbit/s, 500 kbit/s, 3 Mbit/s, and 5 % loss, a quarter of the duration each
    BadNetwork,
}

/// Numbers given by hand, each in the place of the scenario's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Of every group that sends.
    pub publishers: Option<usize>,
    /// Of every group that only watches.
    pub viewers: Option<usize>,
    /// Of every kind of room.
    pub rooms: Option<usize>,
    /// How long it is measured.
    pub duration: Option<Duration>,
    /// All of a group join within it.
    pub ramp: Option<Duration>,
    /// Share of light ones in every group that only watches.
    pub light: Option<f64>,
}

impl Numbers {
    /// The scenario with them.
    pub fn apply(&self, mut scenario: Scenario) -> Scenario {
        scenario.duration = self.duration.unwrap_or(scenario.duration);
        for room in &mut scenario.rooms {
            room.count = self.rooms.unwrap_or(room.count);
            for group in &mut room.groups {
                let count = if group.publishes() { self.publishers } else { self.viewers };
                group.count = count.unwrap_or(group.count);
                group.ramp = self.ramp.or(group.ramp);
                if !group.publishes() {
                    group.light = self.light.unwrap_or(group.light);
                }
            }
        }
        scenario
    }
}

impl Preset {
    /// It as a scenario.
    pub fn scenario(self) -> Scenario {
        match self {
            Preset::Conference => scenario("conference", vec![room("call", vec![people(5, TILE), viewers(0)])]),
            Preset::Broadcast => scenario("broadcast", vec![broadcast(20)]),
            Preset::Webinar => scenario("webinar", vec![room("webinar", vec![people(3, SIMULCAST), viewers(30)])]),
            Preset::Storm => storm(),
            Preset::Churn => churn(),
            Preset::Soak => soak(),
            Preset::BadNetwork => {
                let calls = vec![room("call", vec![people(2, WIDE), viewers(0)])];
                Scenario { network: Some(networks()), ..scenario("bad-network", calls) }
            }
        }
    }
}

fn scenario(name: &str, rooms: Vec<RoomKind>) -> Scenario {
    Scenario { name: name.into(), duration: Duration::from_secs(10), seed: 1, rooms, bounds: Bounds::default(), network: None }
}

fn room(name: &str, groups: Vec<Group>) -> RoomKind {
    RoomKind { name: name.into(), mode: RoomMode::Conference, count: 1, groups }
}

fn broadcast(watching: usize) -> RoomKind {
    RoomKind { mode: RoomMode::Broadcast, ..room("broadcast", vec![people(1, HD), viewers(watching)]) }
}

fn people(count: usize, camera: Camera) -> Group {
    Group::new("people", count, Some(camera))
}

fn viewers(count: usize) -> Group {
    Group::new("viewers", count, None)
}

/// Measured briefly: what counts are the joins.
fn storm() -> Scenario {
    let mut hall = broadcast(50);
    hall.groups[1].ramp = Some(Duration::from_secs(1));
    Scenario { duration: Duration::from_secs(5), ..scenario("storm", vec![hall]) }
}

fn every(what: Deed, ms: u64) -> Action {
    let every = Some(Duration::from_millis(ms));
    // Packets may go unexplained for a second at most, and who is cut hears no explanations.
    let back = Duration::from_millis(if what == Deed::Cut { 500 } else { 2_000 });
    Action { what, at: vec![], share: 1.0, every, back }
}

fn churn() -> Scenario {
    let actions = vec![
        every(Deed::View, 900),
        every(Deed::Wishes, 700),
        every(Deed::Mute, 1_500),
        every(Deed::Leave, 5_000),
        every(Deed::Vanish, 7_000),
        every(Deed::Cut, 4_000),
        every(Deed::Move, 6_000),
    ];
    // Fewer places than people, so that there are pages.
    let crowd = Group { video_slots: Some(4), actions, ..people(8, Camera { bitrate_bps: 600_000, ..SIMULCAST }) };
    let calls = vec![room("call", vec![crowd, Group { actions: vec![every(Deed::Leave, 3_000)], ..viewers(2) }])];
    // A picture stands while its sender is gone without a word. What is sent to an address that was left is gone until the next check comes from the
    // new one, seconds later: audio is not repeated, and video not for so long.
    let bounds = Bounds { freezes: None, lost_after_repair: 0.05, ..Bounds::default() };
    Scenario { duration: Duration::from_secs(30), bounds, ..scenario("churn", calls) }
}

fn soak() -> Scenario {
    let restless = vec![every(Deed::Mute, 4_000), every(Deed::Wishes, 3_000), every(Deed::Leave, 20_000), every(Deed::Cut, 15_000)];
    let calls = Group { actions: restless, ..people(4, SIMULCAST) };
    let coming = Group { actions: vec![every(Deed::Leave, 5_000)], ..viewers(8) };
    let rooms = vec![
        RoomKind { count: 2, ..room("call", vec![calls]) },
        room("webinar", vec![people(2, SIMULCAST), coming]),
        RoomKind { name: "hall".into(), ..broadcast(10) },
    ];
    Scenario { duration: Duration::from_secs(600), ..scenario("soak", rooms) }
}

/// 40 ms there and back, on every network.
fn networks() -> Network {
    let phase = |name: &str, conditions: &str, frozen| Conditions { name: name.into(), conditions: conditions.into(), frozen };
    let phases = vec![
        phase("3 Mbit/s", "down.rate=3mbit", Frozen::Share(0.02)),
        phase("500 kbit/s", "down.rate=500kbit", Frozen::Once),
        phase("3 Mbit/s again", "down.rate=3mbit", Frozen::Once),
        phase("5 % loss", "loss=5%", Frozen::Share(0.02)),
    ];
    Network { always: "delay=20ms down.queue=200ms down.rate=3mbit".into(), phases }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn presets_can_be_run_and_bear_their_names() {
        for preset in Preset::value_variants() {
            let scenario = preset.scenario();
            assert_eq!(scenario.check(), Ok(()), "{preset:?}");
            assert_eq!(Some(scenario.name.as_str()), preset.to_possible_value().as_ref().map(|value| value.get_name()));
        }
    }

    #[test]
    fn numbers_given_by_hand_come_first() {
        let second = Some(Duration::from_secs(1));
        let numbers = Numbers { publishers: Some(2), viewers: Some(7), rooms: Some(3), duration: second, ramp: second, light: Some(0.5) };
        let scenario = numbers.apply(Preset::Webinar.scenario());
        let [people, viewers] = &scenario.rooms[0].groups[..] else { panic!("{scenario:?}") };
        assert_eq!((scenario.bots(), Some(scenario.duration)), (27, second));
        assert_eq!((people.count, people.ramp, people.light), (2, second, 0.0));
        assert_eq!((viewers.count, viewers.ramp, viewers.light), (7, second, 0.5));
        assert_eq!(Numbers::default().apply(Preset::Soak.scenario()), Preset::Soak.scenario());
        let nobody = Numbers { publishers: Some(0), ..Numbers::default() };
        assert!(nobody.apply(Preset::Broadcast.scenario()).check().is_err());
    }
}
