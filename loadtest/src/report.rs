//! What came of a run, as a value: JSON for programs and `compare`, the table (`table`) and the page (`html`) for people.

use std::collections::BTreeMap;
use std::time::Duration;

use ninefold::api::protocol::Role;
use serde::Serialize;

use crate::bad_network::Phase;
use crate::bounds::{Bound, Judged};
use crate::capacity::Capacity;
use crate::crowd::{Crowd, Totals};
use crate::histogram::Histogram;
use crate::process::Switches;
use crate::run::{Cut, Run};
use crate::series::{Mark, Sample, Series, round};

/// What such a file says it is.
pub const KIND: &str = "ninefold-loadtest report";
/// Bots that are later than this may be the reason of a freeze themselves.
pub const LATE_MS: f64 = 100.0;

/// The result of a run. The names of its fields are a contract.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What this file is.
    pub kind: &'static str,
    /// What was run.
    pub preset: String,
    /// In which room, or what the names of rooms begin with.
    pub room: String,
    /// In so many rooms.
    pub rooms: usize,
    /// When measuring began, in seconds since the run did.
    pub measured_from_s: f64,
    /// How long it was measured.
    pub duration_s: f64,
    /// What the bots saw.
    pub clients: Clients,
    /// From sender to receiver by one clock, where packets say when they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<Millis>,
    /// By how much arrivals differ, where it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<Millis>,
    /// What was received on each of several networks, where a scenario has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What the server used.
    pub server: Server,
    /// What the bots used.
    pub load_generator: LoadGenerator,
    /// Steps that bots did, by name.
    pub actions: BTreeMap<&'static str, u64>,
    /// How much the server carries, where that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// What had to hold, and whether it did.
    pub bounds: Vec<Bound>,
    /// Why it ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// What bots could not do.
    pub failures: Vec<String>,
    /// Second by second.
    pub series: Vec<Sample>,
    /// How often which value was seen.
    pub distributions: Distributions,
}

/// What the bots saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Clients {
    /// Bots that should have been there.
    pub planned: usize,
    /// Bots that were connected and had a picture.
    pub connected: usize,
    /// Of these, viewers that decrypt what they get.
    pub full_viewers: usize,
    /// Of these, viewers that only count it.
    pub light_viewers: usize,
    /// From opening the WebSocket to connected media.
    pub join_ms: Millis,
    /// From opening the WebSocket to the end of the first frame.
    pub first_frame_ms: Millis,
    /// Packets while it was measured.
    pub packets_received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// Packets that bots sent meanwhile.
    pub packets_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Packets that did not come in their turn.
    pub lost_before_repair: u64,
    /// Packets that never came.
    pub lost_after_repair: u64,
    /// Pictures that stood still for more than 500 ms.
    pub freezes: u64,
    /// Keyframes that senders were asked for.
    pub keyframe_requests: u64,
    /// What was wrong: a packet under another's name, a source that begins without a keyframe, a number twice, time that goes back.
    pub faults: u64,
    /// The first of them.
    pub first_faults: Vec<String>,
    /// The latest that a bot made a frame after its time. Where this is large, the bots and not the server are at their end.
    pub late_ms_max: f64,
}

/// Percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Millis {
    /// Median.
    pub p50: f64,
    /// 95 of 100 are not above.
    pub p95: f64,
    /// 99 of 100 are not above.
    pub p99: f64,
}

/// What the server used while it was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Server {
    /// Memory at the end.
    pub rss_bytes: u64,
    /// Memory when measuring began.
    pub rss_bytes_at_begin: u64,
    /// What everybody who is in has added to its memory, for each.
    pub rss_bytes_per_participant: u64,
    /// Processor time of the whole process for each forwarded packet. Absent: nothing was forwarded.
    pub cpu_us_per_forwarded_packet: Option<f64>,
    /// Processor time.
    pub cpu_seconds: f64,
    /// Share of one core.
    pub cpu_share: f64,
    /// Processor time from before the first join until measuring began.
    pub joining_cpu_seconds: f64,
    /// Packets that it forwarded.
    pub packets_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Packets that it repeated.
    pub packets_repeated: u64,
    /// Datagrams of all kinds for each system call that sends.
    pub packets_per_send_call: Option<f64>,
    /// Keyframes that it asked senders for.
    pub keyframe_requests: u64,
    /// Times that its threads were taken off their processors. Absent: it is not known which process it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_switches: Option<Switches>,
}

/// What the bots used while it was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LoadGenerator {
    /// Processor time.
    pub cpu_seconds: f64,
    /// Share of one core.
    pub cpu_share: f64,
}

/// How often which value was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Distributions {
    /// From opening the WebSocket to connected media.
    pub join_ms: Histogram,
    /// From opening the WebSocket to the end of the first frame.
    pub first_frame_ms: Histogram,
    /// From sender to receiver.
    pub delay_ms: Histogram,
}

impl Millis {
    /// Of these.
    pub fn of(mut times: Vec<Duration>) -> Millis {
        times.sort_unstable();
        // Nearest rank: the smallest that so many are not above.
        let rank = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1));
        let millis = |share| rank(share).map_or(0.0, |time: &Duration| round(time.as_secs_f64() * 1e3, 1));
        Millis { p50: millis(0.5), p95: millis(0.95), p99: millis(0.99) }
    }

    /// The same of a histogram. None: it is empty.
    pub fn of_histogram(histogram: &Histogram) -> Option<Millis> {
        let at = |share| histogram.percentile(share).map(|value| round(value, 3));
        Some(Millis { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)? })
    }
}

impl Clients {
    /// What these bots saw, by what was counted in all and while it was measured.
    pub fn of(crowd: &Crowd, all: &Totals, measured: &Totals) -> Clients {
        let ready = || crowd.members.iter().filter(|member| member.wanted && member.was_ready);
        let viewers = |light| ready().filter(|member| member.kit.role == Role::Viewer && member.kit.light == light).count();
        Clients {
            planned: crowd.members.iter().filter(|member| member.wanted).count(),
            connected: ready().count(),
            full_viewers: viewers(false),
            light_viewers: viewers(true),
            join_ms: Millis::of(all.join.clone()),
            first_frame_ms: Millis::of(all.first_frame.clone()),
            packets_received: measured.packets,
            bytes_received: measured.bytes,
            packets_sent: measured.packets_sent,
            bytes_sent: measured.bytes_sent,
            lost_before_repair: all.missed,
            lost_after_repair: all.lost,
            freezes: all.freezes,
            keyframe_requests: measured.keyframes_asked,
            faults: all.faults,
            first_faults: all.first_faults.clone(),
            late_ms_max: round(all.late.as_secs_f64() * 1e3, 1),
        }
    }
}

impl Server {
    /// From three readings: before anybody was there, when measuring began, and when it ended with so many bots.
    pub fn between(before: &Mark, from: &Mark, until: &Mark, bots: usize) -> Server {
        let lasted = (until.at - from.at).as_secs_f64().max(1e-3);
        let (empty, from, until) = (&before.usage, &from.usage, &until.usage);
        let cpu = until.cpu_seconds - from.cpu_seconds;
        let packets = until.packets_sent - from.packets_sent;
        let (datagrams, calls) = (until.datagrams_sent - from.datagrams_sent, until.send_calls - from.send_calls);
        Server {
            rss_bytes: until.rss_bytes as u64,
            rss_bytes_at_begin: from.rss_bytes as u64,
            rss_bytes_per_participant: ((from.rss_bytes - empty.rss_bytes).max(0.0) / bots.max(1) as f64) as u64,
            cpu_us_per_forwarded_packet: (packets > 0.0).then(|| round(cpu / packets * 1e6, 2)),
            cpu_seconds: round(cpu, 2),
            cpu_share: round(cpu / lasted, 3),
            joining_cpu_seconds: round(from.cpu_seconds - empty.cpu_seconds, 2),
            packets_sent: packets as u64,
            bytes_sent: (until.bytes_sent - from.bytes_sent) as u64,
            packets_repeated: (until.packets_repeated - from.packets_repeated) as u64,
            packets_per_send_call: (calls > 0.0).then(|| round(datagrams / calls, 2)),
            keyframe_requests: (until.keyframes_asked - from.keyframes_asked) as u64,
            context_switches: until.switches.zip(from.switches).map(|(now, before)| now.since(before)),
        }
    }
}

impl LoadGenerator {
    /// From two readings.
    pub fn between(from: &Mark, until: &Mark) -> LoadGenerator {
        let cpu = until.own_cpu_seconds - from.own_cpu_seconds;
        let lasted = (until.at - from.at).as_secs_f64().max(1e-3);
        LoadGenerator { cpu_seconds: round(cpu, 2), cpu_share: round(cpu / lasted, 3) }
    }
}

impl Report {
    /// Of a run that has ended: well, with what never came, or before its time.
    pub fn of(run: &Run<'_>, ended: Result<u64, Cut>, capacity: Option<Capacity>) -> Report {
        let Series { began, measured_from: from, measured_until, samples, .. } = &run.series;
        let until = measured_until.as_ref().unwrap_or(run.series.last());
        let (lost, cut) = match ended {
            Ok(lost) => (lost, None),
            Err(cut) => (until.totals.lost, Some(cut)),
        };
        let all = Totals { lost, ..until.totals.clone() };
        let measured = all.clone().since(&from.totals);
        let clients = Clients::of(&run.crowd, &all, &measured);
        let server = Server::between(began, from, until, clients.connected);
        let delay_ms = Millis::of_histogram(&measured.delay_ms);
        let judged =
            Judged { clients: &clients, delay_p99_ms: delay_ms.map(|ms| ms.p99), forwarded: server.packets_sent, phases: &run.phases };
        // Where it is looked for what is too much, what breaks is no failure.
        let mut bounds = match &capacity {
            None => run.plan.scenario.bounds.judge(judged),
            Some(capacity) => vec![Bound::new("some step holds", (capacity.held == 0).then(|| "none".to_owned()))],
        };
        let ended_early = cut.map(|cut| cut.to_string());
        bounds.push(Bound::new("it goes on to its end", ended_early.clone()));
        let until_s = until.at.duration_since(began.at).as_secs_f64() + 0.5;
        let ms = |times: &[Duration]| Histogram::of(times.iter().map(|time| time.as_secs_f64() * 1e3));
        Report {
            kind: KIND,
            preset: run.plan.scenario.name.clone(),
            room: run.plan.room.clone(),
            rooms: run.plan.scenario.rooms.iter().map(|room| room.count).sum(),
            measured_from_s: round(from.at.duration_since(began.at).as_secs_f64(), 2),
            duration_s: round((until.at - from.at).as_secs_f64(), 2),
            delay_ms,
            jitter_ms: Millis::of_histogram(&measured.jitter_ms),
            phases: run.phases.clone(),
            server,
            load_generator: LoadGenerator::between(from, until),
            actions: run.done.clone(),
            capacity,
            bounds,
            ended_early,
            failures: run.failures.told(),
            series: samples.iter().filter(|sample| sample.at_s <= until_s).copied().collect(),
            distributions: Distributions {
                join_ms: ms(&all.join),
                first_frame_ms: ms(&all.first_frame),
                delay_ms: measured.delay_ms.clone(),
            },
            clients,
        }
    }

    /// All bounds held.
    pub fn held(&self) -> bool {
        self.bounds.iter().all(|bound| bound.broken.is_none())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::server::Usage;

    pub(crate) fn report() -> Report {
        let series = Series::begin(Usage { cpu_seconds: 1.0, ..Usage::default() });
        let (from, mut until) = (series.began.clone(), series.began.clone());
        until.at += Duration::from_secs(10);
        until.usage =
            Usage { cpu_seconds: 1.5, packets_sent: 1e5, rss_bytes: 2e6, datagrams_sent: 9.0, send_calls: 3.0, ..Usage::default() };
        let clients = Clients { planned: 3, connected: 3, ..Clients::default() };
        let sample = Sample { at_s: 1.0, bots: 3, packets_per_s: 10_000.0, ..Sample::default() };
        Report {
            kind: KIND,
            preset: "conference".into(),
            room: "x".into(),
            rooms: 1,
            measured_from_s: 0.5,
            duration_s: 10.0,
            clients,
            delay_ms: None,
            jitter_ms: None,
            phases: vec![],
            server: Server::between(&from, &from, &until, 2),
            load_generator: LoadGenerator::between(&from, &until),
            actions: BTreeMap::from([("join", 3)]),
            capacity: None,
            bounds: vec![Bound::new("freezes", None)],
            ended_early: None,
            failures: vec![],
            series: vec![sample, Sample { at_s: 2.0, ..sample }],
            distributions: Distributions { join_ms: Histogram::of([20.0, 30.0, 31.0]), ..Distributions::default() },
        }
    }

    #[test]
    fn percentiles() {
        let times = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(Millis::of(times), Millis { p50: 50.0, p95: 95.0, p99: 99.0 });
        assert_eq!(Millis::of(vec![Duration::from_millis(7)]), Millis { p50: 7.0, p95: 7.0, p99: 7.0 });
        assert_eq!(Millis::of(vec![]), Millis::default());
        assert_eq!(Millis::of_histogram(&Histogram::default()), None);
    }

    #[test]
    fn the_names_of_the_contract() {
        let delay_ms = Some(Millis::default());
        let json = serde_json::to_value(Report { delay_ms, ..report() }).expect("JSON");
        for name in [
            "/clients/join_ms/p50",
            "/clients/join_ms/p95",
            "/clients/first_frame_ms/p50",
            "/clients/first_frame_ms/p95",
            "/clients/lost_after_repair",
            "/clients/freezes",
            "/server/rss_bytes",
            "/delay_ms/p50",
            "/delay_ms/p99",
        ] {
            assert!(json.pointer(name).is_some_and(serde_json::Value::is_number), "{name}");
        }
        assert_eq!(json["server"]["cpu_us_per_forwarded_packet"], 5.0);
        assert_eq!(json["server"]["cpu_share"], 0.05);
        assert_eq!(json["server"]["packets_per_send_call"], 3.0);
    }

    #[test]
    fn one_broken_bound_is_enough() {
        assert!(report().held());
        let mut broken = report();
        broken.bounds.push(Bound::new("x", Some("1 instead of 0".into())));
        assert!(!broken.held());
    }
}
