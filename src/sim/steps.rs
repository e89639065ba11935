//! A scenario as a table: who is there, how the network is, what changes when, and which numbers of it must be how good. And how one is run.
//!
//! Time 0 is the join of the receiver that is looked at; the others were there two seconds before. Its network is the scenario's; that of all
//! others is a local one.

use std::time::Duration;

use super::client::Kit;
use super::common::{LAN, seconds};
use super::link::{BIN, Conditions};
use super::measure::{Run, sum};
use super::world::World;
use crate::id::PeerId;
use crate::room::Filler;

/// One row of it.
pub struct Scenario {
    /// Of its files.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Who is there before: how many of each kit.
    pub cast: &'static [(usize, Kit)],
    /// The receiver that is looked at; it joins at time 0.
    pub receiver: Kit,
    pub filler: Filler,
    /// Its network, both ways; the rate is only that of the way down.
    pub network: Conditions,
    /// When what changes, in milliseconds.
    pub steps: &'static [(u64, Change)],
    /// Seconds.
    pub length: u64,
    /// So many pictures the receiver shows.
    pub pictures: usize,
    pub checks: &'static [Check],
    /// Whether str0m's own send path can be run with it: one receiver, and nothing happens but in its network.
    pub yardstick: bool,
    /// How many seeds, from 1.
    pub seeds: u64,
}

/// One thing that changes.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The rate of the way down.
    Rate(u64),
    /// The way down loses everything for so many milliseconds.
    Outage(u64),
    /// So many more join, one each so many milliseconds.
    Join(usize, u64, Kit),
    /// Everybody is so loud from now on, in dBov.
    Murmur(i8),
    /// The n-th of the cast is.
    Loud(usize, i8),
    /// The first of the cast makes these encodings from now on.
    Encodings([bool; 3]),
    /// The receiver wishes pictures of this height; 0: hidden.
    Wish(u16),
}

/// One number and how good it must be.
pub struct Check {
    pub what: &'static str,
    pub unit: &'static str,
    pub measure: fn(&Run) -> f64,
    pub bar: Bar,
}

/// How good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bar::AtMost(most) => value <= most,
            Bar::AtLeast(least) => value >= least,
        }
    }

    /// The worst first.
    pub fn sort(self, values: &mut [f64]) {
        values.sort_by(f64::total_cmp);
        if matches!(self, Bar::AtMost(_)) {
            values.reverse();
        }
    }
}

impl Scenario {
    /// How many of the cast speak.
    pub fn voices(&self) -> usize {
        self.cast.iter().filter(|(_, kit)| kit.microphone).map(|(count, _)| count).sum()
    }

    /// The rate of the way down, from when on, in seconds.
    pub fn capacity(&self) -> Vec<(f64, Option<u64>)> {
        let rates = self.steps.iter().filter_map(|(ms, change)| match change {
            Change::Rate(rate) => Some((*ms as f64 / 1_000.0, Some(*rate))),
            _ => None,
        });
        [(0.0, self.network.rate)].into_iter().chain(rates).collect()
    }
}

/// One run with the server.
struct Stage<'a> {
    scenario: &'a Scenario,
    world: World,
    cast: Vec<usize>,
    receiver: usize,
    /// Who joined later.
    newcomers: Vec<usize>,
    /// Who is still to join: when and as what.
    joins: Vec<(Duration, Kit)>,
    /// Who began to speak when.
    spoke: Vec<(usize, Duration)>,
    estimates: Vec<(f64, u64)>,
    /// When the first of the cast last sent its top encoding.
    top_sent: f64,
}

/// Runs a scenario with the server.
pub fn run(scenario: &Scenario, seed: u64) -> Run {
    let mut world = World::new(seed, LAN);
    // Seconds of large media are more than it should remember, and other scenarios are about it.
    world.audit.off = true;
    let mut cast = vec![];
    for (count, kit) in scenario.cast {
        for _ in 0..*count {
            cast.push(world.join(*kit, scenario.filler).expect("a place"));
            // Nobody's frames are in step with another's.
            let pause = Duration::from_millis(world.rng.u64(1..33));
            world.run(pause);
        }
    }
    world.run(seconds(2));
    let receiver = world.join(scenario.receiver, scenario.filler).expect("a place");
    // A handshake on a bad network may fail, and is not what is measured.
    world.run_until(seconds(3), |w| w.clients[&receiver].connected_at().is_some()).expect("a connection");
    let link = world.links.get_mut(&receiver).expect("a link");
    *link.up.conditions() = Conditions { rate: None, ..scenario.network };
    *link.down.conditions() = scenario.network;
    link.down.watch(world.now);
    let (newcomers, joins, spoke, estimates) = (vec![], vec![], vec![], vec![]);
    let mut stage = Stage { scenario, world, cast, receiver, newcomers, joins, spoke, estimates, top_sent: 0.0 };
    stage.play();
    stage.look()
}

impl Stage<'_> {
    fn play(&mut self) {
        let (start, end) = (self.world.now, seconds(self.scenario.length));
        let mut steps = self.scenario.steps.iter().peekable();
        while self.world.now - start < end {
            let time = self.world.now - start;
            while let Some((_, change)) = steps.next_if(|(at, _)| Duration::from_millis(*at) <= time) {
                self.apply(*change, time);
            }
            for (_, kit) in self.joins.extract_if(.., |(at, _)| *at <= time) {
                self.newcomers.push(self.world.join(kit, self.scenario.filler).expect("a place"));
            }
            if (time.as_millis()).is_multiple_of(BIN.as_millis()) {
                let estimate = self.world.estimate(self.receiver);
                self.estimates.extend(estimate.map(|bps| (time.as_secs_f64(), bps)));
            }
            if let Some(at) = self.world.clients[&self.cast[0]].sent_at(2) {
                self.top_sent = at.saturating_duration_since(start).as_secs_f64();
            }
            self.world.run(Duration::from_millis(10));
        }
    }

    fn apply(&mut self, change: Change, time: Duration) {
        let now = self.world.now;
        let down = &mut self.world.links.get_mut(&self.receiver).expect("a link").down;
        match change {
            Change::Rate(rate) => down.conditions().rate = Some(rate),
            Change::Outage(ms) => down.cut(now + Duration::from_millis(ms)),
            Change::Join(count, each, kit) => {
                let times = (0..count as u64).map(|n| time + Duration::from_millis(n * each));
                self.joins.extend(times.map(|at| (at, kit)));
            }
            Change::Murmur(level) => self.world.clients.values_mut().for_each(|client| client.level = level),
            Change::Loud(who, level) => {
                let who = self.cast[who];
                if level > self.world.clients[&who].level {
                    self.spoke.push((who, time));
                }
                self.world.clients.get_mut(&who).expect("a client").level = level;
            }
            Change::Encodings(on) => self.world.clients.get_mut(&self.cast[0]).expect("a client").set_encodings(&on, now),
            Change::Wish(height) => self.world.wish(self.receiver, height),
        }
    }

    /// What it was like.
    fn look(&mut self) -> Run {
        let world = &mut self.world;
        let down = world.links.get_mut(&self.receiver).and_then(|link| link.down.traffic.take()).expect("a watched link");
        let start = down.since;
        let since = |at: std::time::Instant| at.saturating_duration_since(start).as_secs_f64();
        let publisher = &world.clients[&self.cast[0]];
        let first_frame = |index: &usize| {
            let newcomer = &world.clients[index];
            let shown = newcomer.receives().iter().filter_map(|(_, slot)| slot.decoder.shown.first().map(|s| s.at)).min();
            newcomer.connected_at().zip(shown).map_or(f64::INFINITY, |(connected, at)| (at - connected).as_secs_f64() * 1_000.0)
        };
        Run {
            estimates: std::mem::take(&mut self.estimates),
            requests: publisher.keyframe_requests.iter().map(|(at, layer)| (since(*at), *layer)).collect(),
            first_frames: self.newcomers.iter().map(first_frame).collect(),
            streams: world.clients.values().map(|client| streams(&client.receives())).max().unwrap_or(0),
            heard_after: self.spoke.iter().flat_map(|(who, time)| heard_after(world, *who, start + *time)).collect(),
            top_sent: self.top_sent,
            ..Run::of(&world.clients[&self.receiver], self.scenario, down)
        }
    }
}

/// Audio slots in which something came within one bin, at most.
fn streams(slots: &[(str0m::media::Mid, &super::slot::Slot)]) -> usize {
    let active = sum(slots.iter().map(|(_, slot)| &slot.listener.came[..]), |a, b| a + b);
    active.into_iter().max().unwrap_or(0)
}

/// How long each of the others waited for the first packet of somebody who began to speak, in milliseconds.
fn heard_after(world: &World, who: usize, since: std::time::Instant) -> Vec<f64> {
    let owner = PeerId(who as u32);
    let others = world.clients.iter().filter(|(index, _)| **index != who);
    let first = others.map(|(_, client)| {
        let turns = client.receives().into_iter().filter(|(_, slot)| !slot.video).flat_map(|(_, slot)| {
            let voices = &slot.listener.voices;
            let ends = voices.iter().skip(1).map(|(at, _)| *at).chain([world.now]);
            voices.iter().zip(ends).filter(|((_, voice), _)| *voice == owner).map(|((at, _), end)| (*at, end)).collect::<Vec<_>>()
        });
        turns.filter(|(_, end)| *end > since).map(|(at, _)| at.max(since)).min()
    });
    first.map(|at| at.map_or(f64::INFINITY, |at| (at - since).as_secs_f64() * 1_000.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_or_do_not() {
        for (bar, value, holds) in [
            (Bar::AtMost(1.0), 1.0, true),
            (Bar::AtMost(1.0), 1.1, false),
            (Bar::AtMost(1.0), f64::INFINITY, false),
            (Bar::AtMost(1.0), f64::NAN, false),
            (Bar::AtLeast(1.0), 1.0, true),
            (Bar::AtLeast(1.0), 0.9, false),
            (Bar::AtLeast(1.0), f64::NAN, false),
        ] {
            assert_eq!(bar.holds(value), holds, "{bar:?} {value}");
        }
        let mut values = [1.0, f64::INFINITY, 0.5];
        Bar::AtMost(1.0).sort(&mut values);
        assert_eq!(values[0], f64::INFINITY);
        Bar::AtLeast(1.0).sort(&mut values);
        assert_eq!(values[0], 0.5);
    }
}
