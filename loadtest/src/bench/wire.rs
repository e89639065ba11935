//! `wire`: the real server, one publisher and light viewers on loopback; what the whole process takes for a packet, system calls included. Beside it the
//! floor, in the same run: another process that seals as many packets and sends them in runs of the same number and size, and does nothing else.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::LessSafeKey;
use ninefold::api::protocol::RoomMode;
use tokio::time::sleep;

use super::floor;
use crate::bot::{Bot, BotKit, Place};
use crate::http::Target;
use crate::media::{AUDIO_EVERY, Camera};
use crate::process::Process;
use crate::server::Metrics;

/// Between two joins.
const JOIN_EVERY: Duration = Duration::from_millis(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Estimates rise, the storm of joins is over.
const SETTLE: Duration = Duration::from_secs(6);
/// Of a packet of sound.
const VOICE_BYTES: usize = 80;

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many watch.
    pub viewers: usize,
    /// What they watch.
    pub camera: Camera,
    /// For how long it is measured.
    pub duration: Duration,
    /// The server's threads with rooms.
    pub shards: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// How many watched.
    pub viewers: usize,
    /// Packets in a second.
    pub rate: f64,
    /// Microseconds of the server for each packet.
    pub server: f64,
    /// Of the floor.
    pub floor: f64,
    /// Datagrams that left in one call.
    pub run: f64,
    /// Shares of a core: the server, and those who watched.
    pub cores: (f64, f64),
    /// Packets that viewers missed, before repair and for good.
    pub lost: (u64, u64),
    /// Pictures that stood still.
    pub freezes: u64,
    /// Memory of the server for each viewer, in kB.
    pub memory: f64,
}

/// A server on free ports of the loopback.
pub struct Server {
    process: Child,
    /// Where it listens.
    pub target: Target,
}

impl Server {
    /// Starts it.
    pub fn start(binary: &Path, shards: usize) -> Result<Server, String> {
        let mut command = Command::new(binary);
        command.arg("serve").env("NINEFOLD_HTTP__LISTEN", "127.0.0.1:0").env("NINEFOLD_MEDIA__PORT", "0");
        command
            .env("NINEFOLD_MEDIA__SHARDS", shards.to_string())
            .env("NINEFOLD_LIMITS__CONNECTIONS_PER_ADDRESS", "20000")
            .env("NINEFOLD_LOG__LEVEL", "warn");
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.map_err(|error| format!("cannot start {}: {error}; build it first: make build", binary.display()))?;
        let mut line = String::new();
        let read = process.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let target = line.trim().strip_prefix("listening on ").and_then(|url| url.parse().ok());
        match (read, target) {
            (Some(Ok(_)), Some(target)) => Ok(Server { process, target }),
            _ => {
                let _ = process.kill();
                Err(format!("the server said {line:?} instead of where it listens"))
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Measures one number of viewers.
pub async fn measure(binary: &Path, plan: &Plan) -> Result<Line, String> {
    let server = Server::start(binary, plan.shards)?;
    let process = Process::find(server.pid())?;
    let memory = || process.rss_bytes().ok_or("the server is gone");
    let empty = memory()?;
    let bots = join(&server, plan).await?;
    sleep(SETTLE).await;
    let counted = |bots: &[Bot]| bots.iter().map(|bot| bot.look(|seen| seen.packets())).sum::<u64>();
    let (before, began) = (Reading::take(&server).await?, Instant::now());
    let (packets, freezes) = (counted(&bots), bots.iter().map(|bot| bot.look(|seen| seen.freezes())).sum::<u64>());
    sleep(plan.duration).await;
    let (after, lasted) = (Reading::take(&server).await?, began.elapsed().as_secs_f64());
    let packets = counted(&bots) - packets;
    let sum = |of: fn(&crate::seen::Seen) -> u64| bots.iter().map(|bot| bot.look(of)).sum::<u64>();
    let missed = sum(|seen| seen.slots.values().map(|slot| slot.missed).sum());
    let freezes = sum(|seen| seen.freezes()) - freezes;
    let memory = (memory()? as f64 - empty as f64) / 1e3 / plan.viewers as f64;
    bots.iter().for_each(|bot| bot.client().publishing = false);
    sleep(Duration::from_secs(1)).await;
    let lost = (missed, sum(|seen| seen.lost()));
    drop(bots);
    drop(server);

    let sent = after.packets - before.packets;
    let run = sent / (after.calls - before.calls);
    let calls = (after.calls - before.calls) / lasted / plan.viewers as f64;
    let floor = floor_of(plan, sent / lasted / plan.viewers as f64, calls).await?;
    Ok(Line {
        viewers: plan.viewers,
        rate: packets as f64 / lasted,
        server: (after.server - before.server) / sent * 1e6,
        floor,
        run,
        cores: ((after.server - before.server) / lasted, (after.own - before.own) / lasted),
        lost,
        freezes,
        memory,
    })
}

async fn join(server: &Server, plan: &Plan) -> Result<Vec<Bot>, String> {
    let place = Place { target: server.target.clone(), room: "wire".into(), mode: RoomMode::Broadcast };
    let publisher = BotKit { camera: Some(plan.camera), video_slots: 0, audio_slots: 0, ..BotKit::person("publisher") };
    let mut bots = vec![];
    for index in 0..=plan.viewers {
        let kit = if index == 0 { publisher.clone() } else { BotKit { light: true, ..BotKit::viewer() } };
        bots.push(Bot::join(&place, &kit).await.map_err(|error| format!("bot {}: {error}", index + 1))?);
        sleep(JOIN_EVERY).await;
    }
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    for (index, bot) in bots.iter().enumerate() {
        let ready = |seen: &crate::seen::Seen| seen.is_connected() && (index == 0 || seen.times.first_frame.is_some());
        if !bot.wait(deadline.saturating_duration_since(Instant::now()), ready).await {
            return Err(format!("bot {} has no picture after {} s", index + 1, CONNECT_TIMEOUT.as_secs()));
        }
    }
    Ok(bots)
}

/// Counters at one moment.
struct Reading {
    packets: f64,
    calls: f64,
    server: f64,
    own: f64,
}

impl Reading {
    async fn take(server: &Server) -> Result<Reading, String> {
        let metrics = Metrics::read(&server.target).await.map_err(|error| error.to_string())?;
        let get = |name: &str| metrics.get(name).ok_or_else(|| format!("the server tells no {name}"));
        Ok(Reading {
            packets: get("ninefold_rtp_packets_sent_total")?,
            calls: get("ninefold_send_calls_total")?,
            server: Process::find(server.pid())?.cpu_seconds().ok_or("the server is gone")?,
            own: Process::own().cpu_seconds().unwrap_or_default(),
        })
    }
}

/// Runs the floor as a process of its own: microseconds for each packet.
async fn floor_of(plan: &Plan, packets: f64, calls: f64) -> Result<f64, String> {
    let sockets: Vec<tokio::net::UdpSocket> = (0..plan.viewers).map(|_| drain_socket()).collect::<Result<_, _>>()?;
    let ports: Vec<String> =
        sockets.iter().map(|s| s.local_addr().map(|a| a.port().to_string())).collect::<Result<_, _>>().map_err(text)?;
    let readers: Vec<_> = sockets.into_iter().map(|socket| tokio::spawn(read_for_ever(socket))).collect();
    let payload = plan.camera.bitrate_bps as usize / 8 / plan.camera.fps as usize;
    let parts = payload.div_ceil(1_100);
    let sound = 1.0 / AUDIO_EVERY.as_secs_f64();
    // What of the calls was not for sound was for frames.
    let splits = ((calls - sound) / f64::from(plan.camera.fps)).round().max(1.0);
    let this = std::env::current_exe().map_err(text)?;
    let mut command = Command::new(this);
    let settings = [("--parts", parts), ("--splits", splits as usize), ("--payload", payload / parts), ("--fps", plan.camera.fps as usize)];
    command.arg("floor-of-wire").args(settings.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]));
    command.arg("--seconds").arg(plan.duration.as_secs().max(1).to_string()).arg("--ports").arg(ports.join(","));
    eprintln!("  each viewer: {packets:.0} packets in {calls:.0} calls a second; the floor sends a frame in {splits:.0}");
    let output = tokio::task::spawn_blocking(move || command.stderr(Stdio::inherit()).output()).await.map_err(text)?.map_err(text)?;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    let cost = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>();
    cost.map_err(|_| "the floor could not be measured".to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn drain_socket() -> Result<tokio::net::UdpSocket, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
    socket.set_nonblocking(true).map_err(text)?;
    tokio::net::UdpSocket::from_std(socket).map_err(text)
}

/// Reads as bots do.
async fn read_for_ever(socket: tokio::net::UdpSocket) {
    let mut buffer = vec![0; 2_048];
    while socket.readable().await.is_ok() {
        while socket.try_recv(&mut buffer).is_ok() {}
    }
}

/// What the floor sends.
#[derive(Clone, Debug, clap::Args)]
pub struct FloorArguments {
    /// Packets of a frame
    #[arg(long)]
    parts: usize,
    /// Calls in which a frame leaves
    #[arg(long)]
    splits: usize,
    /// Bytes of a packet's payload
    #[arg(long)]
    payload: usize,
    /// Frames in a second
    #[arg(long)]
    fps: u32,
    /// For how long
    #[arg(long)]
    seconds: u64,
    /// To whom, on loopback
    #[arg(long, value_delimiter = ',')]
    ports: Vec<u16>,
}

/// Seals and sends, and nothing else; returns microseconds of the processor for each packet.
#[expect(clippy::disallowed_methods, reason = "a program of its own, which has nothing to do before its next frame")]
pub fn run_floor(arguments: &FloorArguments) -> Result<f64, String> {
    let FloorArguments { parts, splits, payload, fps, seconds, ports } = arguments;
    let mut sender = Sender::new(ports)?;
    let began = Instant::now();
    let before = Process::own().cpu_seconds().unwrap_or_default();
    let mut frames = Stream {
        every: Duration::from_secs(1) / *fps,
        due: Duration::ZERO,
        parts: *parts,
        at_once: parts.div_ceil(*splits),
        payload: *payload,
    };
    let mut voice = Stream { every: AUDIO_EVERY, due: Duration::ZERO, parts: 1, at_once: 1, payload: VOICE_BYTES };
    while began.elapsed() < Duration::from_secs(*seconds) {
        std::thread::sleep(frames.due.min(voice.due).saturating_sub(began.elapsed()));
        for stream in [&mut frames, &mut voice] {
            if stream.due <= began.elapsed() {
                stream.due += stream.every;
                sender.send(stream);
            }
        }
    }
    let used = Process::own().cpu_seconds().unwrap_or_default() - before;
    Ok(used * 1e6 / sender.packets as f64)
}

/// Frames of so many packets, so many of which leave in one call.
struct Stream {
    every: Duration,
    due: Duration,
    parts: usize,
    at_once: usize,
    payload: usize,
}

/// The floor's socket and those whom it sends to.
struct Sender {
    socket: UdpSocket,
    state: quinn_udp::UdpSocketState,
    receivers: Vec<(SocketAddr, LessSafeKey)>,
    buffer: Vec<u8>,
    packets: u64,
}

impl Sender {
    fn new(ports: &[u16]) -> Result<Sender, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
        let state = quinn_udp::UdpSocketState::new((&socket).into()).map_err(text)?;
        let receiver = |(index, port): (usize, &u16)| (([127, 0, 0, 1], *port).into(), floor::key(index, true));
        let receivers = ports.iter().enumerate().map(receiver).collect();
        Ok(Sender { socket, state, receivers, buffer: vec![7; 64 * 1024], packets: 0 })
    }

    /// One frame to everybody.
    fn send(&mut self, stream: &Stream) {
        let size = floor::OVERHEAD + stream.payload;
        for (address, key) in &self.receivers {
            let mut left = stream.parts;
            while left > 0 {
                let count = stream.at_once.min(left);
                for packet in self.buffer[..count * size].chunks_mut(size) {
                    self.packets += 1;
                    floor::seal_one(key, packet, self.packets);
                }
                let contents = &self.buffer[..count * size];
                let segment_size = (count > 1).then_some(size);
                let transmit = quinn_udp::Transmit { destination: *address, ecn: None, contents, segment_size, src_ip: None };
                // A full buffer costs what a call costs.
                let _ = self.state.try_send((&self.socket).into(), &transmit);
                left -= count;
            }
        }
    }
}

/// The table, in Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut text = "| viewers | packets/s | server, µs a packet | floor | ratio | datagrams a call | server, cores | bots, cores | \
                    missed / lost | freezes | kB a viewer |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for line in lines {
        let Line { viewers, rate, server, floor, run, cores, lost, freezes, memory } = line;
        let _ = writeln!(
            text,
            "| {viewers} | {rate:.0} | {server:.2} | {floor:.2} | {:.2} | {run:.1} | {:.2} | {:.2} | {} / {} | {freezes} | {memory:.0} |",
            server / floor,
            cores.0,
            cores.1,
            lost.0,
            lost.1
        );
    }
    text
}
