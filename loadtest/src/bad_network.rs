//! The preset `bad-network`: the same call on one network after the other, and what was received on each.
//!
//! ```text
//! bots ◄──► wire ◄──► server        3 Mbit/s ─► 500 kbit/s ─► 3 Mbit/s ─► 3 Mbit/s and 5 % loss, a quarter of the time each
//! ```
//!
//! The wire is in this process, and bots are led to it, so the server may be any and need not know. Each bot has a way of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use crate::bot::{Bot, BotKit, Place};
use crate::pictures::Shown;
use crate::wire::relay::Relay;

/// 40 ms there and back, on every network.
const ALWAYS: &str = "delay=20ms down.queue=200ms down.rate=3mbit";
/// Names, what changes, and the longest time that pictures may stand: what the network forces, with one keyframe's way.
const PHASES: [(&str, &str, Frozen); 4] = [
    ("3 Mbit/s", "down.rate=3mbit", Frozen::Share(0.02)),
    ("500 kbit/s", "down.rate=500kbit", Frozen::Once),
    ("3 Mbit/s again", "down.rate=3mbit", Frozen::Once),
    ("5 % loss", "loss=5%", Frozen::Share(0.02)),
];
/// The same losses in each run.
const SEED: u64 = 1;

/// How much of a phase the picture of a slot may stand still.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Frozen {
    /// Such a share of it.
    Share(f64),
    /// 1.5 s in all and 1 s at once, since the network has changed.
    Once,
}

/// One network and what was received on it.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// How long it was measured.
    pub duration_s: f64,
    /// RTP payload, of all slots of the bot that received the least of it.
    pub received_bps_least: f64,
    /// The same on average.
    pub received_bps: f64,
    /// Frames that could be shown, by slot.
    pub frames_per_s: f64,
    /// Times that a picture stood still for longer than 150 ms and three times the usual, over all slots.
    pub freezes: u64,
    /// In the worst slot.
    pub frozen_ms: f64,
    /// Between two frames, in the worst slot.
    pub longest_ms: f64,
    /// Share of video packets that did not come in their turn. Audio is not repaired.
    pub lost_before_repair: f64,
    /// Share of video packets that have not come at all by the end.
    pub lost_after_repair: f64,
    /// What was allowed.
    #[serde(skip)]
    pub frozen: Frozen,
}

impl Phase {
    /// What was more than is allowed.
    pub fn broken(&self) -> Option<String> {
        let Phase { frozen_ms, longest_ms, .. } = *self;
        let is_broken = match self.frozen {
            Frozen::Share(share) => frozen_ms > share * self.duration_s * 1e3,
            Frozen::Once => frozen_ms > 1_500.0 || longest_ms > 1_000.0,
        };
        is_broken.then(|| format!("{}: {frozen_ms:.0} ms, at once {longest_ms:.0} ms", self.name))
    }
}

/// A wire before the media address of a room.
#[derive(Debug)]
pub struct BadNetwork {
    relay: Relay,
    /// Who asked the server for its address keeps the room where it is until others are there.
    scout: Bot,
}

impl BadNetwork {
    /// Begins with the first network.
    pub async fn start(place: &Place) -> Result<BadNetwork, String> {
        let scout = Bot::join(place, &BotKit::viewer()).await.map_err(|error| error.to_string())?;
        let to = scout.look(|seen| seen.media_address).ok_or("the server names no address for media")?;
        let listen: SocketAddr = if to.is_ipv4() { (Ipv4Addr::LOCALHOST, 0).into() } else { (Ipv6Addr::LOCALHOST, 0).into() };
        let relay = Relay::start(listen, to, SEED).await.map_err(|error| format!("no relay: {error}"))?;
        change(&relay, ALWAYS).await?;
        Ok(BadNetwork { relay, scout })
    }

    /// Where bots send their media.
    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// Runs all phases. Losses end with it, so that what can be repaired is.
    pub async fn run(&self, bots: &[Bot], duration: Duration) -> Result<Vec<Phase>, String> {
        self.scout.leave().await;
        let mut phases = vec![];
        for (name, conditions, frozen) in PHASES {
            change(&self.relay, conditions).await?;
            let (before, began) = (Received::take(bots), Instant::now());
            sleep(duration / PHASES.len() as u32).await;
            phases.push(Received::take(bots).since(&before, (name, frozen), began.elapsed()));
        }
        change(&self.relay, "loss=off").await?;
        Ok(phases)
    }
}

async fn change(relay: &Relay, conditions: &str) -> Result<(), String> {
    relay.change(conditions.split(' ').map(str::parse).collect::<Result<_, _>>()?).await
}

/// What all bots have received until now, and what was shown since it was taken last.
#[derive(Default)]
struct Received {
    bytes: Vec<u64>,
    packets: u64,
    missed: u64,
    lost: u64,
    shown: Vec<Shown>,
}

impl Received {
    fn take(bots: &[Bot]) -> Received {
        let (mut all, now) = (Received::default(), Instant::now());
        for bot in bots {
            let slots = &mut bot.client().seen.slots;
            if !slots.values().any(|slot| slot.video) {
                continue; // watches nobody
            }
            all.bytes.push(slots.values().map(|slot| slot.bytes).sum());
            for slot in slots.values_mut().filter(|slot| slot.video && slot.last.is_some()) {
                all.packets += slot.packets;
                all.missed += slot.missed;
                all.lost += slot.lost();
                all.shown.push(slot.pictures.take(now));
            }
        }
        all
    }

    fn since(&self, before: &Received, (name, frozen): (&'static str, Frozen), lasted: Duration) -> Phase {
        let seconds = lasted.as_secs_f64();
        let rates: Vec<f64> = self.bytes.iter().zip(&before.bytes).map(|(now, before)| (now - before) as f64 * 8.0 / seconds).collect();
        let frames = self.shown.iter().map(|shown| shown.frames).sum::<u64>();
        let missed = self.missed - before.missed;
        // A repair may be of what was missed before.
        let lost = self.lost.saturating_sub(before.lost);
        let packets = (self.packets - before.packets + lost).max(1) as f64;
        let worst = |of: fn(&Shown) -> Duration| self.shown.iter().map(of).max().unwrap_or_default().as_secs_f64() * 1e3;
        Phase {
            name,
            duration_s: seconds,
            received_bps_least: rates.iter().copied().reduce(f64::min).unwrap_or(0.0).round(),
            received_bps: (rates.iter().sum::<f64>() / rates.len().max(1) as f64).round(),
            frames_per_s: (frames as f64 / self.shown.len().max(1) as f64 / seconds * 10.0).round() / 10.0,
            freezes: self.shown.iter().map(|shown| shown.freezes).sum(),
            frozen_ms: worst(|shown| shown.frozen).round(),
            longest_ms: worst(|shown| shown.longest).round(),
            lost_before_repair: missed as f64 / packets,
            lost_after_repair: lost as f64 / packets,
            frozen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conditions::Change;

    #[test]
    fn all_conditions_can_be_read() {
        for conditions in PHASES.iter().map(|(_, conditions, _)| *conditions).chain([ALWAYS]) {
            for word in conditions.split(' ') {
                assert!(word.parse::<Change>().is_ok(), "{word}");
            }
        }
    }

    #[test]
    fn a_phase_is_the_difference_of_two_looks() {
        let ms = Duration::from_millis;
        let shown = |frames, frozen, longest| Shown { frames, freezes: 1, frozen: ms(frozen), longest: ms(longest) };
        let before = Received { bytes: vec![1_000, 0], packets: 100, missed: 10, lost: 4, shown: vec![] };
        let after = Received {
            bytes: vec![126_000, 250_000],
            packets: 290,
            missed: 30,
            lost: 14,
            shown: vec![shown(40, 30, 90), shown(50, 50, 60)],
        };
        let phase = after.since(&before, ("x", Frozen::Share(0.02)), Duration::from_secs(2));
        assert_eq!((phase.received_bps_least, phase.received_bps), (500_000.0, 750_000.0));
        assert_eq!((phase.frames_per_s, phase.freezes, phase.frozen_ms, phase.longest_ms), (22.5, 2, 50.0, 90.0));
        assert_eq!((phase.lost_before_repair, phase.lost_after_repair), (0.1, 0.05));
        assert_eq!(phase.broken(), Some("x: 50 ms, at once 90 ms".into()));
        assert_eq!(Phase { frozen_ms: 40.0, ..phase.clone() }.broken(), None);
        let once = |frozen_ms, longest_ms| Phase { frozen: Frozen::Once, frozen_ms, longest_ms, ..phase.clone() }.broken().is_some();
        assert!(!once(1_500.0, 1_000.0) && once(1_501.0, 0.0) && once(0.0, 1_001.0));
    }
}
