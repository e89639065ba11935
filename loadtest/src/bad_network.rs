//! A bad network between the bots and the server: one after the other, and what was received on each.
//!
//! ```text
//! bots ◄──► wire ◄──► server        3 Mbit/s ─► 500 kbit/s ─► 3 Mbit/s ─► 3 Mbit/s and 5 % loss, each for the same time
//! ```
//!
//! The wires are in this process, one for each room, and bots are led to them, so the server may be any and need not know. Each bot has a way of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bot::{Bot, BotKit, Place};
use crate::crowd::Crowd;
use crate::pictures::Shown;
use crate::scenario::{Conditions, Frozen, Network};
use crate::wire::relay::Relay;

/// The same losses in each run.
const SEED: u64 = 1;

/// One network and what was received on it.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
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

/// Wires before the media addresses of all rooms.
#[derive(Debug)]
pub struct BadNetwork {
    relays: Vec<Relay>,
    /// Who asked the server for the address of a room keeps the room where it is until others are there.
    scouts: Vec<Bot>,
}

impl BadNetwork {
    /// Begins with what it always does, and leads everybody through it.
    pub async fn start(network: &Network, crowd: &mut Crowd) -> Result<BadNetwork, String> {
        let mut places: Vec<Place> = crowd.members.iter().map(|member| member.place.clone()).collect();
        places.dedup();
        let (mut relays, mut scouts) = (vec![], vec![]);
        for place in places {
            let scout = Bot::join(&place, &BotKit::viewer()).await.map_err(|error| error.to_string())?;
            let to = scout.look(|seen| seen.media_address).ok_or("the server names no address for media")?;
            let listen: SocketAddr = if to.is_ipv4() { (Ipv4Addr::LOCALHOST, 0).into() } else { (Ipv6Addr::LOCALHOST, 0).into() };
            let relay = Relay::start(listen, to, SEED).await.map_err(|error| format!("no relay: {error}"))?;
            let here = crowd.members.iter_mut().filter(|member| member.place == place);
            here.for_each(|member| member.kit.relay = Some(relay.address()));
            relays.push(relay);
            scouts.push(scout);
        }
        let network_now = BadNetwork { relays, scouts };
        network_now.change(&network.always).await?;
        Ok(network_now)
    }

    /// Who asked is not needed any more.
    pub async fn scouts_leave(&self) {
        for scout in &self.scouts {
            scout.leave().await;
        }
    }

    /// Changes all of it.
    pub async fn change(&self, conditions: &str) -> Result<(), String> {
        for relay in &self.relays {
            relay.change(conditions.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?).await?;
        }
        Ok(())
    }
}

/// What all bots have received until now, and what was shown since it was taken last.
#[derive(Debug, Default)]
pub struct Received {
    bytes: Vec<u64>,
    packets: u64,
    missed: u64,
    lost: u64,
    shown: Vec<Shown>,
}

impl Received {
    /// Of these.
    pub fn take<'a>(bots: impl Iterator<Item = &'a Bot>) -> Received {
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

    /// What was received in a phase that lasted so long.
    pub fn since(&self, before: &Received, phase: &Conditions, lasted: Duration) -> Phase {
        let seconds = lasted.as_secs_f64();
        let rates: Vec<f64> =
            self.bytes.iter().zip(&before.bytes).map(|(now, before)| now.saturating_sub(*before) as f64 * 8.0 / seconds).collect();
        let frames = self.shown.iter().map(|shown| shown.frames).sum::<u64>();
        let missed = self.missed.saturating_sub(before.missed);
        // A repair may be of what was missed before.
        let lost = self.lost.saturating_sub(before.lost);
        let packets = (self.packets.saturating_sub(before.packets) + lost).max(1) as f64;
        let worst = |of: fn(&Shown) -> Duration| self.shown.iter().map(of).max().unwrap_or_default().as_secs_f64() * 1e3;
        Phase {
            name: phase.name.clone(),
            duration_s: seconds,
            received_bps_least: rates.iter().copied().reduce(f64::min).unwrap_or(0.0).round(),
            received_bps: (rates.iter().sum::<f64>() / rates.len().max(1) as f64).round(),
            frames_per_s: (frames as f64 / self.shown.len().max(1) as f64 / seconds * 10.0).round() / 10.0,
            freezes: self.shown.iter().map(|shown| shown.freezes).sum(),
            frozen_ms: worst(|shown| shown.frozen).round(),
            longest_ms: worst(|shown| shown.longest).round(),
            lost_before_repair: missed as f64 / packets,
            lost_after_repair: lost as f64 / packets,
            frozen: phase.frozen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let conditions = Conditions { name: "x".into(), conditions: String::new(), frozen: Frozen::Share(0.02) };
        let phase = after.since(&before, &conditions, Duration::from_secs(2));
        assert_eq!((phase.received_bps_least, phase.received_bps), (500_000.0, 750_000.0));
        assert_eq!((phase.frames_per_s, phase.freezes, phase.frozen_ms, phase.longest_ms), (22.5, 2, 50.0, 90.0));
        assert_eq!((phase.lost_before_repair, phase.lost_after_repair), (0.1, 0.05));
        assert_eq!(phase.broken(), Some("x: 50 ms, at once 90 ms".into()));
        assert_eq!(Phase { frozen_ms: 40.0, ..phase.clone() }.broken(), None);
        let once = |frozen_ms, longest_ms| Phase { frozen: Frozen::Once, frozen_ms, longest_ms, ..phase.clone() }.broken().is_some();
        assert!(!once(1_500.0, 1_000.0) && once(1_501.0, 0.0) && once(0.0, 1_001.0));
    }
}
