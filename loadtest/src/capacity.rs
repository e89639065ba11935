//! How much a server carries: more and more bots until quality breaks, then fewer, until it is known where the border is.
//!
//! ```text
//! start ─► half as many more, as long as it holds ─► breaks ─► halfway between what held and what broke ─► … ─► 6 % near
//! ```
//!
//! A step holds if the bounds of the scenario do. Where the bots themselves are late, nothing is known about the server, and the search ends.

use std::fmt;
use std::time::Duration;

use ninefold::api::protocol::RoomMode;
use serde::Serialize;

use crate::bounds::{Bound, Judged};
use crate::crowd::Totals;
use crate::progress::Progress;
use crate::report::{Clients, LATE_MS, LoadGenerator, Millis, Report, Server};
use crate::run::{Cut, Plan, Run, RunError, Stop};
use crate::scenario::{Group, RoomKind, SLOTS_MAX, Scenario, VOICES_MAX};
use crate::schedule;
use crate::series::round;
use crate::table::{cores, number};

/// More in one room: not looked for.
const COUNT_MAX: usize = 20_000;
/// Who has just come disturbs the others, and estimates of bandwidth rise for seconds; none of it says what is carried.
const SETTLE: Duration = Duration::from_secs(4);
/// The border is known when what broke is so near to what held, as one in so many.
const NEAR: usize = 16;

/// What is tried next, by what held and what broke.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    start: usize,
    held: Option<usize>,
    broken: Option<usize>,
}

/// What a step was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "why")]
pub enum Verdict {
    /// All bounds held.
    Held,
    /// One did not.
    Broken(String),
    /// The bots were too late to say anything about the server.
    BotsAtEnd(String),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// So many in each room.
    pub count: usize,
    /// What it was found to be.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Packets that all bots received in a second.
    pub packets_per_s: f64,
    /// Cores that the server used.
    pub server_cpu_share: f64,
    /// Cores that the bots used.
    pub bots_cpu_share: f64,
    /// The latest that a bot made a frame after its time.
    pub late_ms_max: f64,
}

/// What came of the search.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Capacity {
    /// Who became more.
    pub of: String,
    /// In so many rooms.
    pub rooms: usize,
    /// The most that held in each room. 0: not even the first step did.
    pub held: usize,
    /// All that was tried, in order.
    pub steps: Vec<Tried>,
}

impl Search {
    /// Begins with so many.
    pub fn from(start: usize) -> Search {
        Search { start: start.clamp(1, COUNT_MAX), held: None, broken: None }
    }

    /// How many are tried next. None: the border is known.
    pub fn next(&self) -> Option<usize> {
        let held = self.held.unwrap_or(0);
        match (self.held, self.broken) {
            (None, None) => Some(self.start),
            (Some(held), None) => (held < COUNT_MAX).then(|| (held + (held / 2).max(1)).min(COUNT_MAX)),
            (_, Some(broken)) => (broken - held > (held / NEAR).max(1)).then(|| held + (broken - held) / 2),
        }
    }

    /// Says what came of it.
    pub fn tell(&mut self, count: usize, held: bool) {
        if held {
            self.held = self.held.max(Some(count));
        } else {
            self.broken = Some(self.broken.map_or(count, |broken| broken.min(count)));
        }
    }
}

/// Runs the search: the scenario's duration is that of each step.
pub async fn find(plan: &Plan, progress: Progress, stop: Stop) -> Result<Report, RunError> {
    let plan = Plan { scenario: roomy(plan), ..plan.clone() };
    let mut run = Run::begin(&plan, progress, stop).await?;
    let (kind, group) = growing(&plan);
    let group_name = plan.scenario.rooms[kind].groups[group].name.clone();
    let mut capacity = Capacity { of: group_name, rooms: plan.scenario.rooms[kind].count, ..Capacity::default() };
    let ended = search(&mut run, (kind, group), &mut capacity).await;
    let report = Report::of(&run, ended, Some(capacity));
    run.leave().await;
    Ok(report)
}

async fn search(run: &mut Run<'_>, group: (usize, usize), capacity: &mut Capacity) -> Result<u64, Cut> {
    let mut search = Search::from(run.plan.scenario.rooms[group.0].groups[group.1].count);
    run.join().await?;
    let mut lost = 0;
    while let Some(count) = search.next() {
        let (tried, lost_now) = run.attempt(group, count).await?;
        let verdict = tried.verdict.clone();
        capacity.steps.push(tried);
        search.tell(count, verdict == Verdict::Held);
        match verdict {
            Verdict::Held => (capacity.held, lost) = (capacity.held.max(count), lost_now),
            Verdict::Broken(_) => {}
            Verdict::BotsAtEnd(_) => break,
        }
    }
    Ok(lost)
}

impl Run<'_> {
    /// Measures with so many of a group in each of its rooms. Returns what was lost too.
    async fn attempt(&mut self, group: (usize, usize), count: usize) -> Result<(Tried, u64), Cut> {
        self.resize(group, count).await?;
        self.wait(SETTLE).await?;
        self.crowd.forget_lateness();
        let duration = self.plan.scenario.duration;
        self.progress_step(count, duration);
        self.mark().await?;
        let from = self.series.last().clone();
        self.wait(duration).await?;
        self.mark().await?;
        let until = self.series.last().clone();
        let lost = self.lost_for_good().await?;

        let measured = Totals { lost, ..until.totals.clone() }.since(&from.totals);
        // What an earlier step has broken is not this one's.
        let clients = Clients::of(&self.crowd, &measured, &measured);
        let server = Server::between(&self.series.began, &from, &until, clients.connected);
        let delay_p99_ms = Millis::of_histogram(&measured.delay_ms).map(|ms| ms.p99);
        let judged = Judged { clients: &clients, delay_p99_ms, forwarded: server.packets_sent, phases: &[] };
        let verdict = verdict(&self.plan.scenario.bounds.judge(judged), clients.late_ms_max);
        if verdict == Verdict::Held {
            // The figures of the report are those of the last step that held.
            (self.series.measured_from, self.series.measured_until) = (from.clone(), Some(until.clone()));
        }
        let tried = Tried {
            count,
            verdict,
            packets_per_s: (measured.packets as f64 / duration.as_secs_f64()).round(),
            server_cpu_share: server.cpu_share,
            bots_cpu_share: LoadGenerator::between(&from, &until).cpu_share,
            late_ms_max: round(clients.late_ms_max, 1),
        };
        Ok((tried, measured.lost))
    }

    /// Brings so many of a group into each of its rooms, or sends some away.
    async fn resize(&mut self, group: (usize, usize), count: usize) -> Result<(), Cut> {
        let kind = &self.plan.scenario.rooms[group.0];
        let mut coming = vec![];
        for room in 0..kind.count {
            let mut members = self.crowd.of_group(group, room);
            let place = self.crowd.members[members[0]].place.clone();
            let more = count.saturating_sub(members.len());
            members.extend(self.crowd.add(&place, kind, (group.0, group.1, room), more, self.plan.transport));
            for (number, index) in members.into_iter().enumerate() {
                let is_wanted = number < count;
                self.crowd.members[index].wanted = is_wanted;
                match (&self.crowd.members[index].bot, is_wanted) {
                    (None, true) => coming.push(index),
                    (Some(_), false) => self.send_away(index).await,
                    _ => {}
                }
            }
        }
        let ramp = kind.groups[group.1].ramp_of(coming.len());
        self.enter(schedule::joins(&coming, ramp)).await
    }

    async fn send_away(&mut self, index: usize) {
        self.crowd.members[index].was_ready = false;
        if let Some(bot) = self.crowd.take(index) {
            bot.leave().await;
        }
    }
}

fn verdict(bounds: &[Bound], late_ms: f64) -> Verdict {
    if late_ms > LATE_MS {
        return Verdict::BotsAtEnd(format!(
            "bots were up to {late_ms:.0} ms late: run them on another machine, or more of them light (--light)"
        ));
    }
    let broken: Vec<String> = bounds.iter().filter_map(|bound| Some(format!("{}: {}", bound.what, bound.broken.as_ref()?))).collect();
    if broken.is_empty() { Verdict::Held } else { Verdict::Broken(broken.join("; ")) }
}

/// Who becomes more: who only watches, or where everybody sends, everybody; in the first kind of room.
fn growing(plan: &Plan) -> (usize, usize) {
    let groups = &plan.scenario.rooms[0].groups;
    let watches = |group: &Group| !group.publishes() && group.count > 0;
    (0, groups.iter().position(watches).or_else(|| groups.iter().position(Group::publishes)).unwrap_or(0))
}

/// With places for as many as there may be.
fn roomy(plan: &Plan) -> Scenario {
    let mut scenario = plan.scenario.clone();
    let (kind, group) = growing(plan);
    let RoomKind { mode, groups, .. } = &mut scenario.rooms[kind];
    let group = &mut groups[group];
    if group.publishes() && *mode == RoomMode::Conference {
        group.video_slots.get_or_insert(SLOTS_MAX);
        group.audio_slots.get_or_insert(VOICES_MAX);
    }
    scenario
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Capacity { of, rooms, held, steps } = self;
        let in_rooms = if *rooms == 1 { String::new() } else { format!(" in each of {rooms} rooms") };
        writeln!(f, "  {:>10}{:>12}{:>12}{:>10}{:>11}   verdict", of, "packets/s", "server CPU", "bots CPU", "late")?;
        for Tried { count, verdict, packets_per_s, server_cpu_share, bots_cpu_share, late_ms_max } in steps {
            let said = match verdict {
                Verdict::Held => "held".to_owned(),
                Verdict::Broken(why) => format!("broke: {why}"),
                Verdict::BotsAtEnd(why) => format!("unknown: {why}"),
            };
            let (server, bots) = (server_cpu_share * 100.0, bots_cpu_share * 100.0);
            writeln!(f, "  {count:>10}{:>12}{server:>10.0} %{bots:>8.0} %{late_ms_max:>8.1} ms   {said}", number(*packets_per_s))?;
        }
        let last = steps.iter().rev().find(|tried| tried.count == *held && tried.verdict == Verdict::Held);
        match last {
            None => writeln!(f, "  capacity: not even the first step held"),
            Some(tried) => writeln!(f, "  capacity: {held} {of}{in_rooms}, with the server at {}", cores(tried.server_cpu_share)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up server that carries so many.
    fn find(start: usize, carries: usize) -> (usize, Vec<usize>) {
        let (mut search, mut tried, mut best) = (Search::from(start), vec![], 0);
        while let Some(count) = search.next() {
            assert!(tried.len() < 40, "it ends: {tried:?}");
            tried.push(count);
            search.tell(count, count <= carries);
            best = best.max(if count <= carries { count } else { 0 });
        }
        (best, tried)
    }

    #[test]
    fn the_border_is_found() {
        for (start, carries) in [(20, 137), (50, 1_000), (10, 9), (10, 10), (1, 1), (1, 3), (100, 12), (7, 5_000)] {
            let (best, tried) = find(start, carries);
            assert!(best <= carries && best as f64 >= carries as f64 * 0.93 - 1.0, "{start} {carries}: {best} by {tried:?}");
            assert!(tried.len() < 30, "{tried:?}");
        }
        assert_eq!(find(20, 137).1, [20, 30, 45, 67, 100, 150, 125, 137, 143]);
    }

    #[test]
    fn it_ends_where_nothing_holds_and_where_everything_does() {
        assert_eq!(find(16, 0), (0, vec![16, 8, 4, 2, 1]));
        assert_eq!(find(100, usize::MAX).0, COUNT_MAX);
    }

    #[test]
    fn late_bots_say_nothing_about_the_server() {
        let broken = [Bound::new("freezes", Some("3 instead of 0".into())), Bound::new("faults", None)];
        assert_eq!(verdict(&broken, 10.0), Verdict::Broken("freezes: 3 instead of 0".into()));
        assert!(matches!(verdict(&broken, 101.0), Verdict::BotsAtEnd(_)));
        assert!(matches!(verdict(&[], 101.0), Verdict::BotsAtEnd(_)));
        assert_eq!(verdict(&broken[1..], 10.0), Verdict::Held);
    }

    #[test]
    fn the_table_says_what_held_and_what_broke() {
        let tried =
            |count, verdict| Tried { count, verdict, packets_per_s: 1e4, server_cpu_share: 0.8, bots_cpu_share: 0.9, late_ms_max: 3.0 };
        let steps = vec![tried(20, Verdict::Held), tried(30, Verdict::Broken("freezes: 1 instead of 0".into()))];
        let capacity = Capacity { of: "viewers".into(), rooms: 2, held: 20, steps };
        let table = capacity.to_string();
        assert!(table.contains("broke: freezes") && table.contains("20 viewers in each of 2 rooms, with the server at 80.0 %"), "{table}");
        let json = serde_json::to_value(&capacity).expect("JSON");
        assert_eq!((&json["steps"][0]["verdict"], &json["steps"][1]["verdict"]), (&"held".into(), &"broken".into()));
        assert!(Capacity::default().to_string().contains("not even the first"));
    }
}
