//! The presets: who is in the room, with what, and the run itself.
//!
//! ```text
//! join, one after the other ─► all connected, first pictures ─► settle ─► measure for the duration ─► stop sending ─► count ─► leave
//! ```
//!
//! The server is measured only while everybody is there: its processor time and packets between two readings of `/metrics`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ninefold::api::protocol::{Role, RoomMode};
use tokio::time::sleep;

use crate::bad_network::BadNetwork;
use crate::bot::{Bot, BotError, BotKit, Place, Transport};
use crate::http::Target;
use crate::media::Camera;
use crate::report::{Clients, Millis, Report, Server};
use crate::server::{MetricsError, Usage};

/// Time between two joins.
const JOIN_EVERY: Duration = Duration::from_millis(50);
/// Who is not connected and has no picture by then counts as not connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Joins leave work behind (keyframes, first reports); it is not measured.
const SETTLE: Duration = Duration::from_secs(1);
/// Repairs have this long to arrive after the last packet was sent.
const REPAIR: Duration = Duration::from_secs(1);
/// A page of a conference; who comes after them is not seen at once.
const SLOTS_MAX: usize = 9;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Everybody sends and sees up to nine others
    Conference,
    /// A few send, many watch
    Broadcast,
    /// A conference on networks that change: 3 Mbit/s, 500 kbit/s, 3 Mbit/s, and 5 % loss, a quarter of the duration each
    BadNetwork,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server tells no figures.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// There is no bad network.
    #[error("no bad network: {0}")]
    Network(String),
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What.
    pub preset: Preset,
    /// Where.
    pub target: Target,
    /// In which room.
    pub room: String,
    /// Bots that send.
    pub publishers: usize,
    /// Bots that only watch.
    pub viewers: usize,
    /// How long it is measured.
    pub duration: Duration,
    /// How media goes.
    pub transport: Transport,
}

impl Preset {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Conference => "conference",
            Preset::Broadcast => "broadcast",
            Preset::BadNetwork => "bad-network",
        }
    }

    /// How many publishers and viewers it has when nobody says.
    pub fn crowd(self) -> (usize, usize) {
        match self {
            Preset::Conference => (5, 0),
            Preset::Broadcast => (1, 20),
            Preset::BadNetwork => (2, 0),
        }
    }

    fn mode(self) -> RoomMode {
        match self {
            Preset::Conference | Preset::BadNetwork => RoomMode::Conference,
            Preset::Broadcast => RoomMode::Broadcast,
        }
    }

    fn camera(self) -> Camera {
        match self {
            Preset::Conference => Camera { layers: 1, fps: 25, bitrate_bps: 600_000 },
            Preset::Broadcast => Camera { layers: 1, fps: 30, bitrate_bps: 1_500_000 },
            Preset::BadNetwork => Camera { layers: 3, fps: 25, bitrate_bps: 1_700_000 },
        }
    }
}

/// Runs it. An error means that nothing could be measured; bots that could not join or connect are in the report.
pub async fn run(plan: &Plan) -> Result<Report, RunError> {
    // Says what is wrong with the address before any bot starts.
    Usage::read(&plan.target).await?;
    let network = match plan.preset {
        Preset::Conference | Preset::Broadcast => None,
        Preset::BadNetwork => Some(BadNetwork::start(&place(plan)).await.map_err(RunError::Network)?),
    };
    let relay = network.as_ref().map(BadNetwork::address);
    let (bots, failures) = join(plan, relay).await;
    let connected = connect(&bots).await;
    sleep(SETTLE).await;

    let (before, began) = (Usage::read(&plan.target).await?, Instant::now());
    let received_before: u64 = bots.iter().map(|bot| bot.look(|seen| seen.packets())).sum();
    let phases = match &network {
        None => {
            sleep(plan.duration).await;
            vec![]
        }
        Some(network) => network.run(&bots, plan.duration).await.map_err(RunError::Network)?,
    };
    let (after, lasted) = (Usage::read(&plan.target).await?, began.elapsed());
    let received: u64 = bots.iter().map(|bot| bot.look(|seen| seen.packets())).sum();

    let freezes = bots.iter().map(|bot| bot.look(|seen| seen.freezes())).sum();
    bots.iter().for_each(|bot| bot.client().publishing = false);
    sleep(REPAIR).await;
    let clients = Clients {
        planned: plan.publishers + plan.viewers,
        connected,
        packets_received: received - received_before,
        freezes,
        ..look(&bots)
    };
    for bot in &bots {
        bot.leave().await;
    }
    let server = Server::between(&before, &after, lasted);
    let duration_s = lasted.as_secs_f64();
    Ok(Report { preset: plan.preset.name(), room: plan.room.clone(), duration_s, clients, phases, server, failures })
}

/// Everybody joins, publishers first. Returns who is in, and why the others are not.
async fn join(plan: &Plan, relay: Option<SocketAddr>) -> (Vec<Bot>, Vec<String>) {
    let place = place(plan);
    let (mut bots, mut failures) = (vec![], vec![]);
    for index in 0..plan.publishers + plan.viewers {
        let kit = BotKit { relay, ..kit(plan, index) };
        match Bot::join(&place, &kit).await {
            Ok(bot) => bots.push(bot),
            Err(error) => {
                // Nobody will do better where nobody answers.
                let hopeless = matches!(error, BotError::Signal(_) | BotError::Socket(_));
                failures.push(format!("bot {}: {error}", index + 1));
                if hopeless {
                    break;
                }
            }
        }
        sleep(JOIN_EVERY).await;
    }
    (bots, failures)
}

fn place(plan: &Plan) -> Place {
    Place { target: plan.target.clone(), room: plan.room.clone(), mode: plan.preset.mode() }
}

fn kit(plan: &Plan, index: usize) -> BotKit {
    let publishes = index < plan.publishers;
    let others = if publishes { plan.publishers - 1 } else { plan.publishers };
    // In a broadcast those who send do not look at each other.
    let watches = !publishes || plan.preset != Preset::Broadcast;
    BotKit {
        name: if publishes { format!("bot {}", index + 1) } else { String::new() },
        role: if publishes { Role::Participant } else { Role::Viewer },
        camera: publishes.then(|| plan.preset.camera()),
        microphone: publishes,
        video_slots: if watches { others.min(SLOTS_MAX) } else { 0 },
        audio_slots: if watches { others.min(3) } else { 0 },
        transport: plan.transport,
        ..BotKit::person("")
    }
}

/// Waits until all are connected and have a picture where there is one. Returns how many are.
async fn connect(bots: &[Bot]) -> usize {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let mut connected = 0;
    for bot in bots {
        let left = deadline.saturating_duration_since(Instant::now());
        let ready = |seen: &crate::seen::Seen| {
            let watches = seen.slots.values().any(|slot| slot.video);
            seen.is_connected() && (!watches || seen.times.first_frame.is_some())
        };
        connected += usize::from(bot.wait(left, ready).await);
    }
    connected
}

fn look(bots: &[Bot]) -> Clients {
    let mut clients = Clients::default();
    let (mut join, mut first_frame) = (vec![], vec![]);
    for bot in bots {
        bot.look(|seen| {
            join.extend(seen.times.connected);
            first_frame.extend(seen.times.first_frame);
            clients.lost_after_repair += seen.lost();
            clients.faults += seen.faults_count;
            clients.first_faults.extend(seen.faults.iter().take(3).map(|fault| format!("bot {}: {fault}", seen.participant)));
            clients.late_ms_max = clients.late_ms_max.max(seen.late_max.as_secs_f64() * 1e3);
        });
    }
    clients.first_faults.truncate(10);
    (clients.join_ms, clients.first_frame_ms) = (Millis::of(join), Millis::of(first_frame));
    clients
}
