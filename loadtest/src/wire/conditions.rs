//! What a link does to what passes it, and how that is written: `down.rate=500kbit`. One grammar for the command line, scripts and the control
//! endpoint.
//!
//! ```text
//! [shared. | client.N.] [up. | down.] NAME = VALUE      without up or down: both ways; without shared or client: each client for itself
//!
//! delay      40ms | off                of every datagram
//! jitter     20ms | 20ms/free | off    delay ± so much, evenly; in order, or free to overtake
//! loss       5% | off                  each datagram for itself
//! burst      5%/4 | off                Gilbert-Elliott: 5 % of all, in bursts of 4 on average
//! reorder    1%/30ms | off             1 % come so much later, and others pass them
//! duplicate  1% | off                  come twice
//! rate       500kbit | off             UDP payload a second, one datagram after the other
//! queue      200ms | 60kB              what may wait for the rate; what comes when it is full is dropped
//! block      on | off                  nothing passes
//! outage     300ms                     nothing passes for so long from now
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units;

/// No time in a script or a condition is longer.
pub const TIME_MAX: Duration = Duration::from_secs(3_600);
/// Of delay, jitter and what reordering adds: each datagram is kept so long.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// Bits a second. Less is no rate but a block, and more than this is none either.
const RATE_BPS: std::ops::RangeInclusive<u64> = 1_000..=100_000_000_000;
/// Bytes that may wait for a rate.
const QUEUE_BYTES_MAX: usize = 64_000_000;
/// Datagrams in a burst on average.
const BURST_MAX: f64 = 10_000.0;

/// The two ways of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From clients to the server.
    Up,
    /// From the server to clients.
    Down,
}

/// Something for each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Ways<T> {
    /// From clients to the server.
    pub up: T,
    /// From the server to clients.
    pub down: T,
}

impl<T> Ways<T> {
    /// That of one way.
    pub fn of(&mut self, way: Way) -> &mut T {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Of every datagram.
    pub delay: Duration,
    /// Delay plus or minus at most this, each as likely. Never less than none at all.
    pub jitter: Duration,
    /// Jitter may let datagrams overtake others. Else each comes after the one before, so that jitter larger than the gaps between datagrams
    /// adds up to a little more delay.
    pub jitter_overtakes: bool,
    /// Share that is lost, each datagram for itself.
    pub loss: f64,
    /// Loss in bursts, besides.
    pub burst: Option<Burst>,
    /// Datagrams that are held back.
    pub reorder: Option<Reorder>,
    /// Share that comes twice.
    pub duplicate: f64,
    /// Bits of UDP payload a second, if they are limited.
    pub rate_bps: Option<u64>,
    /// What may wait for the rate.
    pub queue: Queue,
    /// Nothing passes.
    pub blocked: bool,
}

/// Loss in bursts: the model of Gilbert and Elliott with nothing lost between bursts and everything in them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Of all datagrams.
    pub share: f64,
    /// Datagrams in a burst on average.
    pub length: f64,
}

impl Burst {
    /// Chance that a datagram ends the burst before it.
    pub fn leave(&self) -> f64 {
        1.0 / self.length
    }

    /// Chance that a datagram begins a burst. In the long run `enter / (enter + leave)` of them are in one.
    pub fn enter(&self) -> f64 {
        self.leave() * self.share / (1.0 - self.share)
    }
}

/// Datagrams that come late, so that others pass them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reorder {
    /// Of all datagrams.
    pub share: f64,
    /// How much later they come.
    pub by: Duration,
}

/// What may wait for the rate. A datagram that comes while nothing waits is always taken, or a small queue would pass nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// As much as the rate carries in this time, whatever the rate is.
    Time(Duration),
    /// So many bytes, whatever time that is.
    Bytes(usize),
}

impl Default for Conditions {
    fn default() -> Conditions {
        Conditions {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            jitter_overtakes: false,
            loss: 0.0,
            burst: None,
            reorder: None,
            duplicate: 0.0,
            rate_bps: None,
            queue: Queue::Time(Duration::from_millis(200)),
            blocked: false,
        }
    }
}

impl Conditions {
    /// One of them becomes another. An outage is no condition but an event: the link keeps it.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Delay(delay) => self.delay = delay,
            Setting::Jitter { by, overtakes } => (self.jitter, self.jitter_overtakes) = (by, overtakes),
            Setting::Loss(share) => self.loss = share,
            Setting::Burst(burst) => self.burst = burst,
            Setting::Reorder(reorder) => self.reorder = reorder,
            Setting::Duplicate(share) => self.duplicate = share,
            Setting::Rate(rate_bps) => self.rate_bps = rate_bps,
            Setting::Queue(queue) => self.queue = queue,
            Setting::Block(blocked) => self.blocked = blocked,
            Setting::Outage(_) => {}
        }
    }

    /// Bits that may wait at this rate.
    pub fn queue_bits_max(&self, rate_bps: u64) -> u64 {
        match self.queue {
            Queue::Time(time) => (u128::from(rate_bps) * time.as_nanos() / 1_000_000_000) as u64,
            Queue::Bytes(bytes) => bytes as u64 * 8,
        }
    }
}

/// One thing that changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Delay.
    Delay(Duration),
    /// Jitter.
    Jitter {
        /// At most so much.
        by: Duration,
        /// Out of order too.
        overtakes: bool,
    },
    /// Random loss.
    Loss(f64),
    /// Loss in bursts.
    Burst(Option<Burst>),
    /// Reordering.
    Reorder(Option<Reorder>),
    /// Duplication.
    Duplicate(f64),
    /// Rate in bits a second.
    Rate(Option<u64>),
    /// The queue before the rate.
    Queue(Queue),
    /// Nothing passes until it is turned off.
    Block(bool),
    /// Nothing passes for so long.
    Outage(Duration),
}

/// Whose links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each client's own, of those to come too.
    Clients,
    /// That of one client.
    Client(u32),
    /// The one that all clients share.
    Shared,
}

/// A change as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Whose links.
    pub scope: Scope,
    /// `None`: both.
    pub way: Option<Way>,
    /// What.
    pub setting: Setting,
}

impl Change {
    /// The ways that it is about.
    pub fn ways(&self) -> &'static [Way] {
        match self.way {
            Some(Way::Up) => &[Way::Up],
            Some(Way::Down) => &[Way::Down],
            None => &[Way::Up, Way::Down],
        }
    }

    /// From its two halves.
    pub fn parse(key: &str, value: &str) -> Result<Change, String> {
        let (scope, key) = match key.split_once('.') {
            Some(("shared", rest)) => (Scope::Shared, rest),
            Some(("client", rest)) => {
                let (number, rest) = rest.split_once('.').ok_or_else(|| format!("{key:?} names nothing of the client"))?;
                (Scope::Client(number.parse().map_err(|_| format!("{number:?} is no number of a client"))?), rest)
            }
            _ => (Scope::Clients, key),
        };
        let (way, name) = match key.split_once('.') {
            Some(("up", name)) => (Some(Way::Up), name),
            Some(("down", name)) => (Some(Way::Down), name),
            _ => (None, key),
        };
        let setting = Setting::parse(name, value).map_err(|error| format!("{name}: {error}"))?;
        Ok(Change { scope, way, setting })
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Change, String> {
        let (key, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE, such as down.rate=500kbit"))?;
        Change::parse(key.trim(), value.trim())
    }
}

impl Setting {
    fn parse(name: &str, value: &str) -> Result<Setting, String> {
        let off = value == "off";
        Ok(match name {
            "delay" if off => Setting::Delay(Duration::ZERO),
            "delay" => Setting::Delay(delay(value)?),
            "jitter" if off => Setting::Jitter { by: Duration::ZERO, overtakes: false },
            "jitter" => match value.strip_suffix("/free") {
                Some(by) => Setting::Jitter { by: delay(by)?, overtakes: true },
                None => Setting::Jitter { by: delay(value)?, overtakes: false },
            },
            "loss" if off => Setting::Loss(0.0),
            "loss" => Setting::Loss(units::share(value)?),
            "burst" if off => Setting::Burst(None),
            "burst" => Setting::Burst(Some(burst(value)?)),
            "reorder" if off => Setting::Reorder(None),
            "reorder" => {
                let (share, by) = value.split_once('/').ok_or("a share and a time, such as 1%/30ms")?;
                Setting::Reorder(Some(Reorder { share: units::share(share)?, by: delay(by)? }))
            }
            "duplicate" if off => Setting::Duplicate(0.0),
            "duplicate" => Setting::Duplicate(units::share(value)?),
            "rate" if off => Setting::Rate(None),
            "rate" => {
                let rate_bps = units::bitrate(value)?;
                let good = RATE_BPS.contains(&rate_bps);
                Setting::Rate(Some(good.then_some(rate_bps).ok_or("a rate is 1kbit to 100gbit; where nothing passes it is block=on")?))
            }
            "queue" => Setting::Queue(queue(value)?),
            "block" => match value {
                "on" => Setting::Block(true),
                "off" => Setting::Block(false),
                _ => return Err(format!("{value:?} is neither on nor off")),
            },
            "outage" => Setting::Outage(at_most(units::duration(value)?, TIME_MAX)?),
            _ => return Err("there is no such condition".into()),
        })
    }
}

fn delay(text: &str) -> Result<Duration, String> {
    at_most(units::duration(text)?, DELAY_MAX)
}

fn at_most(time: Duration, max: Duration) -> Result<Duration, String> {
    if time <= max { Ok(time) } else { Err(format!("at most {} s", max.as_secs())) }
}

fn burst(text: &str) -> Result<Burst, String> {
    let wanted = "a share and a number of datagrams, such as 5%/4";
    let (share, length) = text.split_once('/').ok_or(wanted)?;
    let burst = Burst { share: units::share(share)?, length: length.parse().map_err(|_| wanted)? };
    if !(1.0..=BURST_MAX).contains(&burst.length) {
        return Err(format!("a burst has 1 to {BURST_MAX} datagrams"));
    }
    // There is at least one datagram between two bursts.
    if burst.share >= 1.0 || burst.enter() > 1.0 {
        return Err("so much cannot be lost in bursts that short".into());
    }
    Ok(burst)
}

fn queue(text: &str) -> Result<Queue, String> {
    if text.ends_with('B') {
        let bytes = units::bytes(text)?;
        return if bytes <= QUEUE_BYTES_MAX { Ok(Queue::Bytes(bytes)) } else { Err(format!("at most {} MB", QUEUE_BYTES_MAX / 1_000_000)) };
    }
    delay(text).map(Queue::Time).map_err(|error| format!("{error}; or bytes, such as 60kB"))
}

/// As it is written.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{}%", (share * 1e6).round() / 1e4);
        let millis = |time: Duration| format!("{}ms", time.as_secs_f64() * 1e3);
        let jitter = || format!("jitter={}{}", millis(self.jitter), if self.jitter_overtakes { "/free" } else { "" });
        let queue = || match self.queue {
            Queue::Time(time) => millis(time),
            Queue::Bytes(bytes) => format!("{bytes}B"),
        };
        let words = [
            (!self.delay.is_zero()).then(|| format!("delay={}", millis(self.delay))),
            (!self.jitter.is_zero()).then(jitter),
            (self.loss > 0.0).then(|| format!("loss={}", percent(self.loss))),
            self.burst.map(|burst| format!("burst={}/{}", percent(burst.share), burst.length)),
            self.reorder.map(|reorder| format!("reorder={}/{}", percent(reorder.share), millis(reorder.by))),
            (self.duplicate > 0.0).then(|| format!("duplicate={}", percent(self.duplicate))),
            self.rate_bps.map(|rate_bps| format!("rate={}kbit queue={}", rate_bps as f64 / 1e3, queue())),
            self.blocked.then(|| "block=on".to_owned()),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_as_they_are_written() {
        let ms = Duration::from_millis;
        let cases = [
            ("delay=40ms", Scope::Clients, None, Setting::Delay(ms(40))),
            ("up.jitter=20ms", Scope::Clients, Some(Way::Up), Setting::Jitter { by: ms(20), overtakes: false }),
            ("down.jitter=20ms/free", Scope::Clients, Some(Way::Down), Setting::Jitter { by: ms(20), overtakes: true }),
            (" loss = 5% ", Scope::Clients, None, Setting::Loss(0.05)),
            ("burst=5%/4", Scope::Clients, None, Setting::Burst(Some(Burst { share: 0.05, length: 4.0 }))),
            ("reorder=1%/30ms", Scope::Clients, None, Setting::Reorder(Some(Reorder { share: 0.01, by: ms(30) }))),
            ("duplicate=1%", Scope::Clients, None, Setting::Duplicate(0.01)),
            ("shared.down.rate=3mbit", Scope::Shared, Some(Way::Down), Setting::Rate(Some(3_000_000))),
            ("client.7.rate=off", Scope::Client(7), None, Setting::Rate(None)),
            ("client.7.up.queue=60kB", Scope::Client(7), Some(Way::Up), Setting::Queue(Queue::Bytes(60_000))),
            ("queue=200ms", Scope::Clients, None, Setting::Queue(Queue::Time(ms(200)))),
            ("shared.block=on", Scope::Shared, None, Setting::Block(true)),
            ("down.outage=300ms", Scope::Clients, Some(Way::Down), Setting::Outage(ms(300))),
        ];
        for (text, scope, way, setting) in cases {
            assert_eq!(text.parse(), Ok(Change { scope, way, setting }), "{text}");
        }
        for name in ["delay", "jitter", "loss", "burst", "reorder", "duplicate", "rate", "block"] {
            assert!(Change::parse(name, "off").is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_change() {
        let cases = [
            "",
            "=",
            "delay",
            "delay=",
            "delay=40",
            "delay=11s",
            "speed=1mbit",
            "up=1ms",
            "up.up.delay=1ms",
            "client.delay=1ms",
            "client.x.delay=1ms",
            "client.1=1ms",
            "shared.client.1.delay=1ms",
            "jitter=20ms/x",
            "loss=5",
            "loss=101%",
            "burst=5%",
            "burst=5%/0",
            "burst=100%/4",
            "burst=90%/1",
            "burst=5%/inf",
            "burst=5%/NaN",
            "reorder=1%",
            "reorder=30ms/1%",
            "rate=0kbit",
            "rate=999gbit",
            "rate=500",
            "queue=off",
            "queue=60",
            "queue=60GB",
            "queue=100MB",
            "block=yes",
            "outage=off",
            "outage=2h",
        ];
        for text in cases {
            assert!(text.parse::<Change>().is_err(), "{text}");
        }
    }

    #[test]
    fn conditions_are_told_as_they_are_written() {
        let text = "delay=40ms jitter=20ms/free loss=5% burst=5%/4 reorder=1%/30ms duplicate=0.5% rate=500kbit queue=200ms block=on";
        let mut conditions = Conditions::default();
        for word in text.split(' ') {
            conditions.set(word.parse::<Change>().expect("a change").setting);
        }
        assert_eq!(conditions.to_string(), text);
        assert_eq!(Conditions::default().to_string(), "");
    }

    #[test]
    fn bursts_have_the_share_that_was_asked_for() {
        for (share, length) in [(0.05, 4.0), (0.5, 1.0), (0.2, 10.0)] {
            let burst = Burst { share, length };
            let (enter, leave) = (burst.enter(), burst.leave());
            assert!((enter / (enter + leave) - share).abs() < 1e-9);
        }
    }
}
