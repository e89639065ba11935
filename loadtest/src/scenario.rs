//! What is run, as a value: rooms, who is in them, what they do, on which network, and what must hold. A file in TOML or a preset, which is the same
//! value built in.
//!
//! ```text
//! Scenario ─► rooms ─► groups ─► actions        bounds        network ─► phases
//! ```
//!
//! Quantities have their units: `"10s"`, `"1.5mbit"`, `"5%"`. A key that does not exist is an error that says which there are.

use std::path::Path;
use std::time::Duration;

use ninefold::api::protocol::{Role, RoomMode};
use serde::Deserialize;

use crate::media::{Camera, RIDS};
use crate::written;

/// Slots of a page; a bigger room has pages.
pub const SLOTS_MAX: usize = 9;
/// Voices that are heard at once.
pub const VOICES_MAX: usize = 3;
/// Between two joins of a group whose ramp is not said.
const JOIN_EVERY: Duration = Duration::from_millis(50);

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScenarioError {
    /// There is no such file.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, String),
    /// It is no TOML, or has a key that does not exist or a value that is none.
    #[error("{0}: {1}")]
    Wrong(String, String),
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name, as reports show it.
    pub name: String,
    /// How long it is measured, when all are in.
    #[serde(deserialize_with = "written::duration")]
    pub duration: Duration,
    /// Decides all chance.
    #[serde(default = "one")]
    pub seed: u64,
    /// Kinds of rooms.
    #[serde(rename = "room")]
    pub rooms: Vec<RoomKind>,
    /// What must hold.
    #[serde(default)]
    pub bounds: Bounds,
    /// A bad network between bots and server.
    pub network: Option<Network>,
}

/// Rooms that are alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomKind {
    /// Part of their names.
    pub name: String,
    /// Who is shown to whom.
    #[serde(default)]
    pub mode: RoomMode,
    /// So many of them.
    #[serde(default = "one")]
    pub count: usize,
    /// Who is in each.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

/// Bots that are alike. Who sends joins first, then who only watches.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Part of their names.
    pub name: String,
    /// So many in each room.
    pub count: usize,
    /// Participants or viewers.
    #[serde(default)]
    pub role: Role,
    /// What they send; absent: no video.
    #[serde(default, deserialize_with = "written::camera")]
    pub camera: Option<Camera>,
    /// Whether they send sound; absent: who has a camera does.
    pub microphone: Option<bool>,
    /// Places for pictures; absent: for all others who send, at most nine.
    pub video_slots: Option<usize>,
    /// Places for voices; absent: for all others who send, at most three.
    pub audio_slots: Option<usize>,
    /// Share of them that count packets without decrypting them.
    #[serde(default, deserialize_with = "written::light")]
    pub light: f64,
    /// All of them join within this time; absent: 50 ms each.
    #[serde(default, deserialize_with = "written::maybe_duration")]
    pub ramp: Option<Duration>,
    /// What they do.
    #[serde(default, rename = "action")]
    pub actions: Vec<Action>,
}

/// What bots of a group do while it is measured: at certain times, or each so often.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What.
    #[serde(rename = "do")]
    pub what: Deed,
    /// A share of the group does it at these times.
    #[serde(default, deserialize_with = "written::durations")]
    pub at: Vec<Duration>,
    /// Which share.
    #[serde(default = "all", deserialize_with = "written::share")]
    pub share: f64,
    /// One bot of the group, chosen by chance, does it each so often.
    #[serde(default, deserialize_with = "written::maybe_duration")]
    pub every: Option<Duration>,
    /// What can be undone is, after this time.
    #[serde(default = "two_seconds", deserialize_with = "written::duration")]
    pub back: Duration,
}

/// What a bot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// Mutes one of its tracks, and unmutes it.
    Mute,
    /// Turns to another page of the pictures.
    View,
    /// Wants other sizes of its pictures.
    Wishes,
    /// Says goodbye, and joins again.
    Leave,
    /// Is gone without a word, and takes over its old place.
    Vanish,
    /// Loses its WebSocket, and resumes with another.
    Cut,
    /// Goes on from another address.
    Move,
}

/// What must hold, beside that everybody gets in and packets flow.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Share of all packets that never came.
    #[serde(deserialize_with = "written::share")]
    pub lost_after_repair: f64,
    /// Pictures that stood still; absent: any number.
    #[serde(deserialize_with = "written::count_or_any")]
    pub freezes: Option<u64>,
    /// Wrong faces, missing keyframes, numbers that come twice.
    pub faults: u64,
    /// Time to connected media of 95 of 100.
    #[serde(deserialize_with = "written::maybe_duration")]
    pub join_p95: Option<Duration>,
    /// Time to the first frame of 95 of 100.
    #[serde(deserialize_with = "written::maybe_duration")]
    pub first_frame_p95: Option<Duration>,
    /// Delay of 99 of 100 packets, where it is known.
    #[serde(deserialize_with = "written::maybe_duration")]
    pub delay_p99: Option<Duration>,
}

/// A bad network between bots and server: what it always does, and what it does in turn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Conditions as `wire` takes them.
    #[serde(default)]
    pub always: String,
    /// Each has the same part of the duration.
    #[serde(rename = "phase")]
    pub phases: Vec<Conditions>,
}

/// One network after the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// Its name.
    pub name: String,
    /// What changes when it begins.
    pub conditions: String,
    /// How much of it a picture may stand still: a share such as `"2%"`, or `"once"` for 1.5 s in all and 1 s at once.
    #[serde(deserialize_with = "written::frozen")]
    pub frozen: Frozen,
}

/// How much of a phase the picture of a slot may stand still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frozen {
    /// Such a share of it.
    Share(f64),
    /// 1.5 s in all and 1 s at once, since the network has changed.
    Once,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { lost_after_repair: 0.0, freezes: Some(0), faults: 0, join_p95: None, first_frame_p95: None, delay_p99: None }
    }
}

impl Scenario {
    /// Reads it from a file.
    pub fn read(path: &Path) -> Result<Scenario, ScenarioError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable(name.clone(), error.to_string()))?;
        Scenario::parse(&text).map_err(|why| ScenarioError::Wrong(name, why))
    }

    /// Reads it from text. What is wrong is said with its line.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        scenario.check()?;
        Ok(scenario)
    }

    /// What no single key says.
    pub fn check(&self) -> Result<(), String> {
        if self.duration.is_zero() {
            return Err("nothing is measured in no time: let `duration` be longer".into());
        }
        for room in &self.rooms {
            if room.publishers() == 0 {
                return Err(format!("room {}: there must be at least one publisher, or nothing is forwarded", room.name));
            }
            for group in &room.groups {
                group.check().map_err(|why| format!("room {}, group {}: {why}", room.name, group.name))?;
            }
        }
        if self.bots() == 0 {
            return Err("there is nobody: let there be a room with a group whose `count` is not 0".into());
        }
        self.network.as_ref().map_or(Ok(()), Network::check)
    }

    /// Bots in all rooms.
    pub fn bots(&self) -> usize {
        self.rooms.iter().map(|room| room.count * room.groups.iter().map(|group| group.count).sum::<usize>()).sum()
    }
}

impl RoomKind {
    /// Bots that send, in each room.
    pub fn publishers(&self) -> usize {
        self.groups.iter().filter(|group| group.publishes()).map(|group| group.count).sum()
    }

    /// Places for pictures and for voices of a bot.
    pub fn slots(&self, group: &Group) -> (usize, usize) {
        let others = self.publishers() - usize::from(group.publishes() && group.count > 0);
        // In a broadcast those who send do not look at each other.
        let watches = !(group.publishes() && self.mode == RoomMode::Broadcast);
        let slots = |said: Option<usize>, max: usize| said.unwrap_or(if watches { others.min(max) } else { 0 });
        (slots(group.video_slots, SLOTS_MAX), slots(group.audio_slots, VOICES_MAX))
    }
}

impl Group {
    /// Bots without actions that join 50 ms after each other and send both or nothing.
    pub fn new(name: &str, count: usize, camera: Option<Camera>) -> Group {
        Group {
            name: name.to_owned(),
            count,
            role: if camera.is_some() { Role::Participant } else { Role::Viewer },
            camera,
            microphone: None,
            video_slots: None,
            audio_slots: None,
            light: 0.0,
            ramp: None,
            actions: vec![],
        }
    }

    /// They send something.
    pub fn publishes(&self) -> bool {
        self.camera.is_some() || self.speaks()
    }

    /// They send sound.
    pub fn speaks(&self) -> bool {
        self.microphone.unwrap_or(self.camera.is_some())
    }

    /// So many of them join within this time.
    pub fn ramp_of(&self, count: usize) -> Duration {
        self.ramp.unwrap_or(JOIN_EVERY * count as u32)
    }

    fn check(&self) -> Result<(), String> {
        if self.role == Role::Viewer && self.publishes() {
            return Err("viewers send nothing: leave `camera` and `microphone` out, or let `role` be \"participant\"".into());
        }
        if self.publishes() && self.light > 0.0 {
            return Err("who sends is never light: leave `light` out".into());
        }
        if let Some(Camera { layers, fps, bitrate_bps }) = self.camera
            && !((1..=RIDS.len()).contains(&layers) && (1..=120).contains(&fps) && (10_000..=50_000_000).contains(&bitrate_bps))
        {
            return Err("a camera has 1 to 3 layers, 1 to 120 frames a second, and 10kbit to 50mbit".into());
        }
        for Action { what, at, every, .. } in &self.actions {
            match (at.is_empty(), every) {
                (true, None) | (false, Some(_)) => return Err(format!("action {what:?}: say either `at` or `every`").to_lowercase()),
                (true, Some(every)) if every.is_zero() => return Err("`every` is a time that is not 0".into()),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Network {
    fn check(&self) -> Result<(), String> {
        if self.phases.is_empty() {
            return Err("network: there must be at least one [[network.phase]]".into());
        }
        let all = self.phases.iter().map(|phase| &phase.conditions).chain([&self.always]);
        all.flat_map(|conditions| conditions.split_ascii_whitespace())
            .try_for_each(|word| word.parse::<crate::wire::conditions::Change>().map(|_| ()).map_err(|why| format!("network: {why}")))
    }
}

fn one<T: From<u8>>() -> T {
    T::from(1)
}

fn all() -> f64 {
    1.0
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
name = "x"
duration = "3s"
[[room]]
name = "a"
count = 2
[[room.group]]
name = "people"
count = 3
camera = { layers = 3, fps = 25, bitrate = "1.5mbit" }
[[room.group.action]]
do = "mute"
every = "500ms"
[[room.group]]
name = "viewers"
count = 4
role = "viewer"
light = "50%"
ramp = "1s"
[bounds]
freezes = "any"
lost_after_repair = "0.5%"
join_p95 = "1s"
"#;

    #[test]
    fn a_file_is_what_it_says() {
        let scenario = Scenario::parse(SMALL).expect("a scenario");
        assert_eq!((scenario.bots(), scenario.seed, scenario.duration), (14, 1, Duration::from_secs(3)));
        let room = &scenario.rooms[0];
        let [people, viewers] = &room.groups[..] else { panic!("{room:?}") };
        assert_eq!(people.camera, Some(Camera { layers: 3, fps: 25, bitrate_bps: 1_500_000 }));
        assert_eq!((room.slots(people), room.slots(viewers)), ((2, 2), (3, 3)));
        assert_eq!((viewers.light, viewers.ramp_of(4), people.ramp_of(3)), (0.5, Duration::from_secs(1), Duration::from_millis(150)));
        assert_eq!(people.actions[0].what, Deed::Mute);
        assert_eq!((scenario.bounds.freezes, scenario.bounds.lost_after_repair), (None, 0.005));
        assert_eq!(scenario.bounds.join_p95, Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (right, wrong, said) in [
            ("fps = 25", "fsp = 25", vec!["line 10", "fsp", "`fps`", "`bitrate`"]),
            ("ramp = \"1s\"", "romp = \"1s\"", vec!["line 19", "romp", "`ramp`", "`light`"]),
            ("duration = \"3s\"", "duration = 3", vec!["line 3", "expected a string"]),
            ("duration = \"3s\"", "duration = \"3\"", vec!["line 3", "such as 200ms"]),
            ("duration = \"3s\"", "duration = \"0s\"", vec!["nothing is measured"]),
            ("\"50%\"", "\"50\"", vec!["line 18", "such as 5%"]),
            ("\"any\"", "\"some\"", vec!["line 21", "a number or \"any\""]),
            ("\"mute\"", "\"mate\"", vec!["line 12", "mate", "`mute`", "`vanish`"]),
            ("every = \"500ms\"", "at = [\"1s\"]\nevery = \"1s\"", vec!["group people", "either `at` or `every`"]),
            ("layers = 3", "layers = 4", vec!["1 to 3 layers"]),
            ("role = \"viewer\"", "role = \"viewer\"\nmicrophone = true", vec!["viewers send nothing"]),
            ("count = 3", "count = 0", vec!["at least one publisher"]),
            ("count = 3", "count = -3", vec!["line 9"]),
            ("name = \"x\"", "name = ", vec!["line 2"]),
        ] {
            assert!(SMALL.contains(right), "{right}");
            let error = Scenario::parse(&SMALL.replacen(right, wrong, 1)).expect_err(wrong);
            for word in said {
                assert!(error.contains(word), "{wrong}: {error}");
            }
        }
        let error = Scenario::read(Path::new("/nonexistent.toml")).expect_err("there is none").to_string();
        assert!(error.starts_with("cannot read /nonexistent.toml: "), "{error}");
    }

    #[test]
    fn networks_are_understood_before_anybody_joins() {
        let network =
            "[network]\nalways = \"delay=20ms\"\n[[network.phase]]\nname = \"bad\"\nconditions = \"loss=5%\"\nfrozen = \"once\"\n";
        let scenario = Scenario::parse(&format!("{SMALL}{network}")).expect("a scenario");
        assert_eq!(scenario.network.expect("one").phases[0].frozen, Frozen::Once);
        for (right, wrong, said) in
            [("loss=5%", "lost=5%", "there is no such condition"), ("\"once\"", "\"2\"", "\"once\""), ("loss=5%", "loss=5", "such as 5%")]
        {
            let error = Scenario::parse(&format!("{SMALL}{}", network.replace(right, wrong))).expect_err(wrong);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_examples_can_be_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files: Vec<_> = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("a file").path()).collect();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            Scenario::read(&file).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
