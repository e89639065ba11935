//! Forwarding on networks that change: the scenarios, each run for all seeds, ours beside str0m's, and written to `target/report`.
//!
//! One scenario alone: `cargo nextest run --release adapt::step --no-capture`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::client::{Kit, Media};
use super::common::{PERSON, VIEWER};
use super::link::Conditions;
use super::measure::{Run, worst};
use super::plot;
use super::report::{self, Results, shown};
use super::steps::{self, Bar, Change, Check, Scenario};
use super::yardstick;
use crate::room::Filler;

/// A camera and a voice, and nothing to receive.
const SPEAKER: Kit = Kit { layers: 3, video_slots: 0, audio_slots: 0, media: Media::Encoded, ..PERSON };
/// A camera alone.
const SILENT: Kit = Kit { microphone: false, ..SPEAKER };
/// Watches one.
const WATCHER: Kit = Kit { video_slots: 1, audio_slots: 1, ..VIEWER };
/// As they are by default in Chromium; elsewhere no sound is lost, and redundancy is not the point.
const REDUNDANT: Kit = Kit { redundancy: true, ..SPEAKER };
/// Takes part in sound only.
const VOICE: Kit = Kit { layers: 0, video_slots: 0, audio_slots: 6, media: Media::Encoded, ..PERSON };

const fn network(rtt: u64, rate: Option<u64>, loss: f32) -> Conditions {
    Conditions { rate, loss, ..Conditions::delay(Duration::from_millis(rtt / 2)) }
}

const fn check(what: &'static str, unit: &'static str, measure: fn(&Run) -> f64, bar: Bar) -> Check {
    Check { what, unit, measure, bar }
}

const PLAIN: Scenario = Scenario {
    name: "",
    title: "",
    cast: &[(1, SPEAKER)],
    receiver: WATCHER,
    filler: Filler::Conference,
    network: network(40, None, 0.0),
    steps: &[],
    length: 30,
    pictures: 1,
    checks: &[],
    yardstick: true,
    seeds: 20,
};

const STEP: Scenario = Scenario {
    name: "step",
    title: "3 Mbit/s → 500 kbit/s → 3 Mbit/s, 40 ms RTT, queue 200 ms",
    network: network(40, Some(3_000_000), 0.0),
    steps: &[(20_000, Change::Rate(500_000)), (40_000, Change::Rate(3_000_000))],
    length: 60,
    checks: &[
        check("down: longest gap", "ms", |r| r.longest_gap(20.0, 40.0), Bar::AtMost(1_000.0)),
        check("down: frozen in all", "ms", |r| r.frozen(20.0, 40.0), Bar::AtMost(1_500.0)),
        check("down: queue below 100 ms after", "s", |r| r.queue_below(20.0, 100), Bar::AtMost(3.0)),
        check("up: full layer after", "s", |r| r.until_layer(40.0, |l| l == 2), Bar::AtMost(10.0)),
        check("steady at first, of the best", "%", |r| r.of_best(12.0, 20.0, 1), Bar::AtLeast(90.0)),
        check("steady when down, of the best", "%", |r| r.of_best(30.0, 40.0, 1), Bar::AtLeast(90.0)),
        check("steady at last, of the best", "%", |r| r.of_best(52.0, 60.0, 1), Bar::AtLeast(90.0)),
        check("sound made up", "%", |r| r.concealed(2.0, 60.0), Bar::AtMost(3.0)),
    ],
    ..PLAIN
};

const NINE: Scenario = Scenario {
    name: "nine",
    title: "nine slots at 1.7 Mbit/s",
    cast: &[(1, SPEAKER), (8, SILENT)],
    receiver: Kit { video_slots: 9, ..WATCHER },
    network: network(40, Some(1_700_000), 0.0),
    length: 40,
    pictures: 9,
    checks: &[
        check("frames a second, fewest in 5 s", "", |r| r.fewest_frames(8.0, 40.0, 5.0), Bar::AtLeast(7.0)),
        check("layer changes in 10 s", "", |r| r.layer_changes(8.0, 40.0, 10.0), Bar::AtMost(1.0)),
        check("sound made up", "%", |r| r.concealed(2.0, 40.0), Bar::AtMost(0.5)),
    ],
    ..PLAIN
};

const LOSS: Scenario = Scenario {
    name: "loss",
    title: "5 % random loss, 50 ms RTT",
    network: network(50, Some(5_000_000), 0.05),
    length: 45,
    checks: &[
        check("frozen", "%", |r| r.frozen(2.0, 45.0) / 430.0, Bar::AtMost(2.0)),
        check("pictures of the top layer", "%", |r| r.share_at(2, 15.0, 45.0), Bar::AtLeast(99.0)),
    ],
    ..PLAIN
};

const BAD: Scenario = Scenario {
    name: "bad",
    title: "20 % random loss, 100 ms RTT, sound with redundancy",
    cast: &[(1, REDUNDANT)],
    receiver: Kit { redundancy: true, ..WATCHER },
    network: network(100, Some(5_000_000), 0.2),
    length: 45,
    checks: &[
        check("sound made up", "%", |r| r.concealed(2.0, 45.0), Bar::AtMost(6.0)),
        check("frames a second, fewest in 5 s", "", |r| r.fewest_frames(5.0, 45.0, 5.0), Bar::AtLeast(5.0)),
        check("longest gap", "ms", |r| r.longest_gap(5.0, 45.0), Bar::AtMost(2_000.0)),
    ],
    ..PLAIN
};

const OUTAGES: [f64; 4] = [8.0, 13.0, 18.0, 23.0];
const OUTAGE_MS: u64 = 300;
const OUTAGE: Scenario = Scenario {
    name: "outage",
    title: "burst loss of 300 ms, 40 ms RTT",
    network: network(40, Some(3_000_000), 0.0),
    steps: &[
        (8_000, Change::Outage(OUTAGE_MS)),
        (13_000, Change::Outage(OUTAGE_MS)),
        (18_000, Change::Outage(OUTAGE_MS)),
        (23_000, Change::Outage(OUTAGE_MS)),
    ],
    checks: &[check(
        "picture back after its end",
        "ms",
        |r| worst(&OUTAGES.map(|at| r.back_after(at + OUTAGE_MS as f64 / 1_000.0))),
        Bar::AtMost(340.0),
    )],
    ..PLAIN
};

const TILES: Scenario = Scenario {
    name: "tiles",
    title: "tile shrunk at 10 s, hidden at 20 s",
    cast: &[(1, SILENT)],
    receiver: Kit { audio_slots: 0, ..WATCHER },
    network: network(40, Some(5_000_000), 0.0),
    steps: &[(0, Change::Wish(720)), (10_000, Change::Wish(180)), (20_000, Change::Wish(0))],
    checks: &[
        check("shrunk: low layer after", "s", |r| r.until_layer(10.0, |l| l == 0), Bar::AtMost(1.0)),
        check("hidden: at the socket", "bit/s", |r| Run::rate(&r.down.bits, 21.0, 30.0), Bar::AtMost(5_000.0)),
        check("top encoding stops after", "s", |r| (r.top_sent - 10.0).max(0.0), Bar::AtMost(6.0)),
    ],
    yardstick: false,
    ..PLAIN
};

const ENCODINGS: Scenario = Scenario {
    name: "encodings",
    title: "publisher stops its top encoding at 10 s, begins again at 20 s",
    network: network(40, Some(5_000_000), 0.0),
    steps: &[(10_000, Change::Encodings([true, true, false])), (20_000, Change::Encodings([true, true, true]))],
    checks: &[
        check("longest gap", "ms", |r| r.longest_gap(5.0, 30.0), Bar::AtMost(1_000.0)),
        check("next layer after", "s", |r| r.until_layer(10.2, |l| l == 1), Bar::AtMost(1.0)),
        check("top layer again after", "s", |r| r.until_layer(20.0, |l| l == 2), Bar::AtMost(5.0)),
    ],
    yardstick: false,
    ..PLAIN
};

const NEWCOMERS: Scenario = Scenario {
    name: "newcomers",
    title: "50 newcomers in 1 s",
    filler: Filler::Broadcast,
    network: network(40, None, 0.0),
    steps: &[(3_000, Change::Join(50, 20, WATCHER))],
    length: 14,
    checks: &[
        check("keyframe requests for a layer", "", |r| r.requests(3.0, 14.0), Bar::AtMost(2.0)),
        check("first picture after the connection", "ms", |r| worst(&r.first_frames), Bar::AtMost(300.0)),
    ],
    yardstick: false,
    ..PLAIN
};

const HALL: Scenario = Scenario {
    name: "hall",
    title: "room of 200, everybody sends sound",
    cast: &[(199, VOICE)],
    receiver: VOICE,
    network: network(10, None, 0.0),
    // Everybody murmurs, three speak; the third falls silent and another begins.
    steps: &[
        (0, Change::Murmur(-65)),
        (1_000, Change::Loud(0, -25)),
        (1_200, Change::Loud(1, -25)),
        (1_400, Change::Loud(2, -25)),
        (3_000, Change::Loud(2, -65)),
        (3_000, Change::Loud(100, -25)),
    ],
    length: 5,
    pictures: 0,
    checks: &[
        check("streams at a receiver", "", |r| if r.streams == 0 { f64::INFINITY } else { r.streams as f64 }, Bar::AtMost(3.0)),
        check("new speaker heard after", "ms", |r| worst(&r.heard_after), Bar::AtMost(200.0)),
    ],
    yardstick: false,
    seeds: 5,
    ..PLAIN
};

const ALL: [&Scenario; 9] = [&STEP, &NINE, &LOSS, &BAD, &OUTAGE, &TILES, &ENCODINGS, &NEWCOMERS, &HALL];

/// CPU of this thread so far, in seconds; 0 where the system does not tell.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Runs all seeds, as many at once as there are cores.
fn play(scenario: &Scenario) {
    let next = AtomicU64::new(1);
    let done = Mutex::new(vec![]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > scenario.seeds {
                        return;
                    }
                    let result = play_seed(scenario, seed);
                    done.lock().expect("no panic").push((seed, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(seed, _)| *seed);
    let mut results = Results { ours: vec![], str0m: vec![], cpu: vec![] };
    for (_, (ours, str0m, cpu)) in done {
        results.ours.push(ours);
        results.str0m.extend(str0m);
        results.cpu.push(cpu);
    }
    report::publish(scenario, &results, &ALL.map(|s| s.name));
    let cpu: Vec<String> = results.cpu.iter().map(|s| format!("{s:.1}")).collect();
    println!("{}\nCPU seconds by seed: {}", report::rows(scenario, &results), cpu.join(" "));
    let failed = failures(scenario, &results);
    assert!(failed.is_empty(), "{}:\n{}", scenario.title, failed.join("\n"));
}

/// Our numbers, str0m's, seconds of CPU.
fn play_seed(scenario: &Scenario, seed: u64) -> (Vec<f64>, Option<Vec<f64>>, f64) {
    let before = cpu();
    let measure = |run: &Run, who: &str| {
        if seed == 1 {
            let title = format!("{} · {who}", scenario.title);
            let file = if who == "str0m" { format!("{}-str0m.svg", scenario.name) } else { format!("{}.svg", scenario.name) };
            report::write(&file, &plot::draw(&title, run));
        }
        scenario.checks.iter().map(|check| (check.measure)(run)).collect::<Vec<f64>>()
    };
    let ours = steps::run(scenario, seed);
    assert_eq!(ours.faults, Vec::<String>::new(), "{}, seed {seed}", scenario.title);
    let ours = measure(&ours, "Ninefold");
    let str0m = scenario.yardstick.then(|| measure(&yardstick::run(scenario, seed), "str0m"));
    (ours, str0m, cpu() - before)
}

/// What does not hold, by check and seed.
fn failures(scenario: &Scenario, results: &Results) -> Vec<String> {
    let mut failed = vec![];
    for (n, check) in scenario.checks.iter().enumerate() {
        for (seed, values) in results.ours.iter().enumerate().filter(|(_, values)| !check.bar.holds(values[n])) {
            failed.push(format!("seed {}: {} {} {}, {:?}", seed + 1, check.what, shown(values[n]), check.unit, check.bar));
        }
    }
    failed
}

macro_rules! scenarios {
    ($($name:ident $scenario:ident)*) => {$(
        #[test]
        fn $name() {
            play(&$scenario);
        }
    )*};
}

scenarios! {
    step STEP
    nine NINE
    loss LOSS
    bad BAD
    outage OUTAGE
    tiles TILES
    encodings ENCODINGS
    newcomers NEWCOMERS
    hall HALL
}

#[test]
fn a_bar_that_does_not_hold_is_told_with_its_seed() {
    let results = Results { ours: vec![vec![300.0], vec![900.0]], str0m: vec![], cpu: vec![] };
    assert_eq!(failures(&OUTAGE, &results), ["seed 2: picture back after its end 900 ms, AtMost(340.0)"]);
    assert!(report::rows(&OUTAGE, &results).contains("| ≤ 340 ms | 900 | 300 | – | – | **fails** |"));
}
