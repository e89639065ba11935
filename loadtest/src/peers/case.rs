//! One case at one server: bots go in, settle, are measured, and leave. It runs where the bots' network is.

use std::time::{Duration, Instant};

use ::ninefold::api::protocol::Role;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::bot::{Bot, BotKit, Entrance};
use crate::media::Camera;
use crate::process::Process;
use crate::report::Millis;
use crate::seen::Seen;

/// Time between two joins.
const JOIN_EVERY: Duration = Duration::from_millis(50);
/// Who is not connected and has no picture by then counts as not connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Joins leave work behind (keyframes, first reports); it is not measured.
const SETTLE: Duration = Duration::from_secs(2);
/// Repairs have this long to arrive after the last packet was sent.
const REPAIR: Duration = Duration::from_secs(1);
/// More packets lost than this share, or any freeze: quality breaks.
const LOSS_MAX: f64 = 0.001;

/// Who is in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Who sends a camera and a microphone.
    pub publishers: usize,
    /// Who only watches them. None: those who send watch each other.
    pub viewers: usize,
    /// Of each camera.
    pub bitrate_bps: u32,
    /// Nine of ten viewers count packets without decrypting them, so that the bots take less of the machine.
    pub light: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Processor time of the server, all threads, user and system, for each media packet that came to a bot.
    pub cpu_us: f64,
    /// Share of one core.
    pub cpu_share: f64,
    /// Media packets that came to bots in a second.
    pub packets_per_s: f64,
    /// From opening the signalling to connected media.
    pub join_ms_p50: f64,
    /// Of 100, 95 are not above.
    pub join_ms_p95: f64,
    /// Memory that the server has more for each who watches.
    pub viewer_kb: f64,
    /// Times that threads of the server had to wait, for each packet.
    pub switches: f64,
    /// Share of packets that never came.
    pub lost: f64,
    /// Pictures that stood still.
    pub freezes: u64,
    /// Who could not join or connect.
    pub failures: u64,
    /// They, and packets that should not have come: another's, or a source that begins without a keyframe.
    pub faults: Vec<String>,
    /// How many they are.
    pub faults_count: u64,
    /// The latest that a bot made a frame after its time.
    pub late_ms: f64,
}

impl Case {
    /// In a few words.
    pub fn name(self) -> String {
        let Case { publishers, viewers, bitrate_bps, .. } = self;
        let kbps = bitrate_bps / 1_000;
        if viewers > 0 { format!("{publishers} → {viewers}, {kbps} kbit/s") } else { format!("room of {publishers}, {kbps} kbit/s") }
    }

    /// Everybody is in, no picture stood still, and next to nothing was lost.
    pub fn holds(figures: &Figures) -> bool {
        figures.freezes == 0 && figures.lost <= LOSS_MAX && figures.failures == 0
    }

    /// Who sends, and who goes in after them. Where one connection does not do both, a person of a room is two bots.
    fn kits(self, entrance: &Entrance) -> (Vec<BotKit>, Vec<BotKit>) {
        let is_room = self.viewers == 0;
        let slots = if is_room { self.publishers - 1 } else { self.publishers };
        let joined = is_room && matches!(entrance, Entrance::Ninefold(_));
        let camera = Some(Camera { layers: 1, fps: 30, bitrate_bps: self.bitrate_bps });
        let sender = |index: usize| {
            let slots = if joined { slots } else { 0 };
            BotKit { camera, video_slots: slots, audio_slots: slots, ..BotKit::person(&format!("bot {index}")) }
        };
        let watcher = |name: String| BotKit { name, role: Role::Viewer, video_slots: slots, audio_slots: slots, ..BotKit::viewer() };
        let watchers = match (is_room, joined) {
            (_, true) => vec![],
            (true, false) => (0..self.publishers).map(|index| watcher(format!("bot {index}"))).collect(),
            (false, false) => {
                (0..self.viewers).map(|index| BotKit { light: self.light && index % 10 > 0, ..watcher(String::new()) }).collect()
            }
        };
        ((0..self.publishers).map(sender).collect(), watchers)
    }

    /// Runs it.
    pub async fn measure(self, entrance: &Entrance, server: Process, duration: Duration) -> Result<Figures, String> {
        let gone = || "the server has ended while it was measured".to_owned();
        let mut figures = Figures::default();
        let empty = server.rss_bytes().ok_or_else(gone)?;
        let (senders, watchers) = self.kits(entrance);
        let people = if self.viewers > 0 { self.viewers } else { self.publishers };
        let mut bots = enter(entrance, &senders, &mut figures).await;
        connect(&bots, &mut figures).await;
        sleep(SETTLE).await;
        let alone = if self.viewers > 0 { server.rss_bytes().ok_or_else(gone)? } else { empty };
        bots.extend(enter(entrance, &watchers, &mut figures).await);
        connect(&bots, &mut figures).await;
        sleep(SETTLE).await;

        let read = || Some((server.cpu_seconds()?, server.switches()?, packets(&bots), Instant::now()));
        let before = read().ok_or_else(gone)?;
        sleep(duration).await;
        let after = read().ok_or_else(gone)?;
        let (cpu, seconds) = (after.0 - before.0, (after.3 - before.3).as_secs_f64());
        let (switches, came) = (after.1.since(before.1), (after.2 - before.2) as f64);
        figures.cpu_share = cpu / seconds;
        figures.packets_per_s = came / seconds;
        figures.cpu_us = cpu * 1e6 / came;
        figures.switches = (switches.voluntary + switches.involuntary) as f64 / came;
        figures.viewer_kb = (server.rss_bytes().ok_or_else(gone)?.saturating_sub(alone)) as f64 / 1e3 / people as f64;
        figures.freezes = bots.iter().map(|bot| bot.look(Seen::freezes)).sum();
        bots.iter().for_each(|bot| bot.client().publishing = false);
        sleep(REPAIR).await;
        look(&bots, senders.len(), &mut figures);
        // Who came last leaves first: at Janus the room ends with who made it.
        for bot in bots.iter().rev() {
            bot.leave().await;
        }
        if came > 0.0 { Ok(figures) } else { Err(format!("no packet came to any bot: {}", figures.faults.join("; "))) }
    }
}

async fn enter(entrance: &Entrance, kits: &[BotKit], figures: &mut Figures) -> Vec<Bot> {
    let mut bots = vec![];
    for kit in kits {
        match Bot::enter(entrance, kit).await {
            Ok(bot) => bots.push(bot),
            Err(error) => figures.fail(error.to_string()),
        }
        sleep(JOIN_EVERY).await;
    }
    bots
}

/// Waits until all are connected and have their pictures.
async fn connect(bots: &[Bot], figures: &mut Figures) {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    for (index, bot) in bots.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let ready = |seen: &Seen| seen.is_connected() && seen.slots.values().all(|slot| !slot.video || slot.frames > 0);
        if !bot.wait(left, ready).await {
            figures.fail(format!("bot {index} of {} has not all its pictures", bots.len()));
        }
    }
}

fn look(bots: &[Bot], senders: usize, figures: &mut Figures) {
    let (mut joins, mut lost) = (vec![], 0);
    for (index, bot) in bots.iter().enumerate() {
        bot.look(|seen| {
            if index >= senders || bots.len() == senders {
                joins.extend(seen.times.connected);
            }
            lost += seen.lost();
            seen.faults.iter().for_each(|fault| figures.fault(fault.clone()));
            figures.late_ms = figures.late_ms.max(seen.late_max.as_secs_f64() * 1e3);
        });
    }
    let Millis { p50, p95, .. } = Millis::of(joins);
    (figures.join_ms_p50, figures.join_ms_p95) = (p50, p95);
    figures.lost = lost as f64 / (lost + packets(bots)).max(1) as f64;
}

fn packets(bots: &[Bot]) -> u64 {
    bots.iter().map(|bot| bot.look(Seen::packets)).sum()
}

impl Figures {
    fn fail(&mut self, failure: String) {
        self.failures += 1;
        self.fault(failure);
    }

    fn fault(&mut self, fault: String) {
        self.faults_count += 1;
        if self.faults.len() < 5 {
            self.faults.push(fault);
        }
    }
}
