//! A shard's thread: one select, one tick. Gives [`Core`] a clock, a port (UDP, and TCP on the same number) and the queue of commands.
//!
//! ```text
//! wait for: a command · a datagram · a connection · a time
//! tick: commands → timers → datagrams in → datagrams out → notices
//! ```
//!
//! `now` is read once per tick. The thread never waits for a socket to take a datagram or for a reader to take a notice.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::command::{Command, Notice};
use super::core::Core;
use crate::id::{PeerId, RoomName};
use crate::limits::{Limits, SHARD_COMMANDS_MAX};
use crate::metrics::{DropReason, Present, ShardMetrics};
use crate::net::tcp::TcpPort;
use crate::net::udp::{Received, Run, UdpPort};
use crate::people::{Doorway, LeaveReason};
use crate::webrtc::{Path, Transport};

/// Batches read before anything is sent: reading first keeps publishers' packets from overflowing the kernel's buffer.
const BATCHES_PER_TICK_MAX: usize = 16;
/// Commands carried out before media is looked at again.
const COMMANDS_PER_TICK_MAX: usize = 64;
/// The process's exit code when a shard's thread ends unasked (sysexits' EX_SOFTWARE).
const EXIT_SHARD_ENDED: i32 = 70;
/// Tries to find a number that is free for UDP and TCP.
const PORT_TRIES_MAX: usize = 20;
/// With nothing to wait for, look again after this time.
const IDLE: Duration = Duration::from_secs(3600);

/// What a shard is made from.
pub struct ShardConfig {
    /// Its number, for logs.
    pub index: usize,
    /// UDP port; 0: any.
    pub port: u16,
    /// TCP too, on the same number.
    pub tcp: bool,
    /// The machine's addresses that clients may send to.
    pub addresses: Vec<IpAddr>,
    /// What is announced instead of them, if anything: an address and a port, or the port that is bound.
    pub advertised: Vec<(IpAddr, Option<u16>)>,
    /// A moment and its NTP time.
    pub epoch: (Instant, u64),
    /// What an operator allows.
    pub limits: Limits,
    /// Seed of everything random that is not a secret.
    pub seed: u64,
    /// Where it counts.
    pub metrics: ShardMetrics,
    /// Where it says that a room is over, and which of its name it was.
    pub ended: mpsc::Sender<(RoomName, u64)>,
}

/// The way to a running shard.
#[derive(Debug)]
pub struct ShardHandle {
    /// Bounded: who asks waits.
    pub commands: mpsc::Sender<Command>,
    /// The addresses for answers.
    pub announced: Vec<SocketAddr>,
}

/// Binds the port and starts the thread.
pub fn spawn(config: ShardConfig) -> io::Result<ShardHandle> {
    let (commands, receiver) = mpsc::channel(SHARD_COMMANDS_MAX);
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name(format!("shard-{}", config.index)).spawn(move || {
        let _span = tracing::info_span!("shard", index = config.index).entered();
        let ended = catch_unwind(AssertUnwindSafe(|| live(config, receiver, &ready)));
        if let Ok(Ok(())) = ended {
            return;
        }
        // Its rooms are gone and its port is dead, while the rest looks healthy: better that whoever watches the process starts it anew.
        tracing::error!(?ended, "a shard ended, and with it the server");
        #[expect(clippy::disallowed_methods, reason = "there is no order left to end in")]
        std::process::exit(EXIT_SHARD_ENDED);
    })?;
    let announced = is_ready.recv().map_err(io::Error::other)??;
    Ok(ShardHandle { commands, announced })
}

/// The life of the thread: binds, says so, and runs until it is stopped. An error before it has said so is the starter's.
fn live(config: ShardConfig, commands: mpsc::Receiver<Command>, ready: &SyncSender<io::Result<Vec<SocketAddr>>>) -> io::Result<()> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let _ = ready.send(Err(e));
            return Ok(());
        }
    };
    runtime.block_on(async {
        match bind(config.port, config.tcp) {
            Ok((port, tcp)) => {
                let shard = Shard::new(config, port, tcp, commands);
                let _ = ready.send(Ok(shard.announced.clone()));
                shard.run().await
            }
            Err(e) => {
                let _ = ready.send(Err(e));
                Ok(())
            }
        }
    })
}

/// Binds UDP and TCP on one number. Where any will do, it is one that both have free.
fn bind(number: u16, tcp: bool) -> io::Result<(UdpPort, Option<TcpPort>)> {
    let mut tries = 0;
    loop {
        let udp = UdpPort::bind(number).map_err(|e| io::Error::new(e.kind(), format!("UDP: {e}")))?;
        if !tcp {
            return Ok((udp, None));
        }
        match TcpPort::bind(udp.number(), udp.has_v6(), Instant::now()) {
            Ok(tcp) => return Ok((udp, Some(tcp))),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && number == 0 && tries < PORT_TRIES_MAX => tries += 1,
            Err(e) => return Err(io::Error::new(e.kind(), format!("TCP: {e} (media.tcp = false does without)"))),
        }
    }
}

struct Shard {
    core: Core,
    port: UdpPort,
    /// Absent where it is turned off.
    tcp: Option<TcpPort>,
    commands: mpsc::Receiver<Command>,
    announced: Vec<SocketAddr>,
    /// The announced addresses are the machine's own, so answers can leave from them.
    own_addresses: bool,
    readers: HashMap<PeerId, mpsc::Sender<Notice>>,
    metrics: ShardMetrics,
    ended: mpsc::Sender<(RoomName, u64)>,
    stopped: Option<oneshot::Sender<()>>,
}

impl Shard {
    fn new(config: ShardConfig, port: UdpPort, tcp: Option<TcpPort>, commands: mpsc::Receiver<Command>) -> Shard {
        let number = port.number();
        let usable = |ip: &IpAddr| ip.is_ipv4() || port.has_v6();
        let own_addresses = config.advertised.is_empty();
        let announced = if own_addresses {
            config.addresses.iter().filter(|ip| usable(ip)).map(|ip| SocketAddr::new(*ip, number)).collect()
        } else {
            config.advertised.iter().map(|(ip, port)| SocketAddr::new(*ip, port.unwrap_or(number))).collect()
        };
        let core = Core::new(config.epoch, config.limits, fastrand::Rng::with_seed(config.seed));
        Shard {
            core,
            port,
            tcp,
            commands,
            announced,
            own_addresses,
            readers: HashMap::new(),
            metrics: config.metrics,
            ended: config.ended,
            stopped: None,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        tracing::debug!(port = self.port.number(), addresses = self.announced.len(), "started");
        loop {
            let timeouts = [self.core.timeout(), self.tcp.as_ref().and_then(TcpPort::timeout)];
            let wait = timeouts.into_iter().flatten().min().map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            let mut command = None;
            tokio::select! {
                received = self.commands.recv() => match received {
                    Some(received) => command = Some(received),
                    None => return Ok(()), // the door is gone, and with it everybody who could ask
                },
                ready = self.port.readable() => ready?,
                () = ready(&mut self.tcp) => {}
                () = tokio::time::sleep(wait) => {}
            }
            self.tick(command);
            if let Some(stopped) = self.stopped.take() {
                let _ = stopped.send(());
                return Ok(());
            }
        }
    }

    fn tick(&mut self, command: Option<Command>) {
        let now = Instant::now();
        let mut next = command;
        for _ in 0..COMMANDS_PER_TICK_MAX {
            let Some(command) = next.take().or_else(|| self.commands.try_recv().ok()) else { break };
            self.obey(command, now);
        }
        self.core.handle_timeout(now);
        self.receive(now);
        self.receive_tcp(now);
        self.send(now);
        self.notify(now);
        // What finds no place now is said in a later tick.
        while let Ok(place) = self.ended.try_reserve() {
            let Some(room) = self.core.poll_ended() else { break };
            place.send(room);
        }
        let tcp_connections = self.tcp.as_ref().map_or(0, TcpPort::len) as u64;
        let present = Present { tcp_connections, ..self.core.present() };
        self.metrics.publish(&mut self.core.counters, present, now.elapsed());
    }

    fn receive(&mut self, now: Instant) {
        let Shard { core, port, announced, .. } = self;
        for _ in 0..BATCHES_PER_TICK_MAX {
            let received = port.receive(|Received { remote, local, bytes }| {
                let path = Path::udp(remote, announced_as(announced, local));
                core.handle_datagram(path, bytes, now);
            });
            match received {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "receive failed");
                    break;
                }
            }
        }
    }

    fn receive_tcp(&mut self, now: Instant) {
        let Shard { core, tcp: Some(tcp), announced, .. } = self else { return };
        tcp.handle_timeout(now);
        tcp.receive(now, |received| {
            let path = Path::tcp(received.connection, received.remote, announced_as(announced, received.local));
            core.handle_datagram(path, received.bytes, now);
            core.take_proven() == Some(received.connection)
        });
        self.close_tcp(now);
    }

    /// Tells the core which connections are over.
    fn close_tcp(&mut self, now: Instant) {
        let Shard { core, tcp: Some(tcp), announced, .. } = self else { return };
        while let Some(closed) = tcp.poll_closed() {
            core.handle_closed(Path::tcp(closed.connection, closed.remote, announced_as(announced, closed.local)), now);
        }
    }

    fn send(&mut self, now: Instant) {
        let Shard { core, port, tcp, own_addresses, .. } = self;
        let (mut datagrams, mut calls, mut failed, mut full) = (0u64, 0u64, 0u64, 0u64);
        core.take_datagrams(port.run_max(), |path, bytes, segment| {
            let count = bytes.len().div_ceil(segment.max(1)) as u64;
            match path.transport {
                Transport::Udp => {
                    let run = Run { remote: path.remote, local: own_addresses.then_some(path.local.ip()), bytes, segment };
                    calls += 1;
                    let sent = port.send(run).is_ok();
                    *(if sent { &mut datagrams } else { &mut failed }) += count;
                }
                Transport::Tcp(connection) => {
                    let refused = tcp.as_mut().map_or(count, |tcp| tcp.send(connection, bytes, segment) as u64);
                    datagrams += count - refused;
                    full += refused;
                }
            }
        });
        calls += tcp.as_mut().map_or(0, |tcp| tcp.flush(now)) as u64;
        let counters = &mut core.counters;
        counters.datagrams_sent += datagrams;
        counters.send_calls += calls;
        counters.drops.count_many(DropReason::SendFailed, failed);
        counters.drops.count_many(DropReason::TcpFull, full);
        self.close_tcp(now);
    }

    /// Hands notices to their readers. One who does not read is sent out, which makes notices in turn.
    fn notify(&mut self, now: Instant) {
        while let Some((peer, notice)) = self.core.poll_notice() {
            let is_last = match &notice {
                Notice::Closed(reason) => {
                    self.metrics.count_leave(reason.label());
                    true
                }
                // One who is let in brings the way to them anew when they enter.
                Notice::Admitted | Notice::NotAdmitted => true,
                Notice::Event(_) | Notice::Slots(_) | Notice::Encodings(_) | Notice::Speakers(_) => false,
            };
            // Who has none is lost and may come back: then what was missed is told again.
            let Some(reader) = self.readers.get(&peer) else { continue };
            let sent = reader.try_send(notice);
            if is_last {
                self.readers.remove(&peer);
            } else if let Err(refused) = sent {
                self.readers.remove(&peer);
                match refused {
                    mpsc::error::TrySendError::Full(_) => self.core.drop_reader(peer, LeaveReason::TooSlow, now),
                    mpsc::error::TrySendError::Closed(_) => self.core.lost_reader(peer, now),
                }
            }
        }
        self.send(now);
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Create { room, options, reply } => {
                let created = self.core.create(room.clone(), options, now);
                // Who asked has gone and will not put it on the map: nobody could ever close it.
                if let Err(Ok(_)) = reply.send(created) {
                    let _ = self.core.close(&room, LeaveReason::RoomClosed, now);
                }
            }
            Command::Close { room, reply } => drop(reply.send(self.core.close(&room, LeaveReason::RoomClosed, now))),
            Command::Knock { room, knock, earlier, notices, reply } => {
                let answered = self.core.knock(&room, &knock, earlier.as_ref(), now);
                if answered.as_ref().is_ok_and(|answered| answered.doorway == Doorway::Lobby) {
                    self.readers.insert(knock.peer, notices);
                }
                let _ = reply.send(answered);
            }
            Command::Join { room, peer, entry, arrival, notices, reply } => {
                let joined = self.core.join(&room, peer, entry, arrival, now);
                if joined.is_ok() {
                    self.readers.insert(peer, notices);
                }
                // Who asked and went away is found by the first notice that cannot be handed over.
                let _ = reply.send(joined);
            }
            Command::Offer { room, peer, offer, declared, reply } => {
                let _ = reply.send(self.core.offer(&room, peer, offer, &declared, now));
            }
            Command::Act { room, peer, action, reply } => drop(reply.send(self.core.act(&room, peer, action, now))),
            Command::Resume { room, earlier, seq, notices, reply } => {
                let resumed = self.core.resume(&room, &earlier, seq, now);
                if resumed.is_ok()
                    && let Some(old) = self.readers.insert(earlier.peer, notices)
                {
                    // It need not be read any more; who still reads it shall know.
                    let _ = old.try_send(Notice::Closed(LeaveReason::Replaced));
                }
                let _ = reply.send(resumed);
            }
            Command::Lost { room, peer, attachment, reply } => drop(reply.send(self.core.lost(&room, peer, attachment, now))),
            Command::Moderate { room, by, what, reply } => drop(reply.send(self.core.moderate(&room, by, what, now))),
            Command::Leave { room, peer, attachment, reason, reply } => {
                let _ = reply.send(self.core.leave(&room, peer, attachment, reason, now));
            }
            Command::Layers { room, peer, reply } => drop(reply.send(self.core.layers(&room, peer, now))),
            Command::Inspect { room, reply } => drop(reply.send(self.core.inspect(&room))),
            Command::Roster { room, reply } => drop(reply.send(self.core.roster(&room))),
            Command::Stop { reply } => {
                self.core.close_all(LeaveReason::ServerStopping, now);
                self.stopped = Some(reply);
            }
        }
    }
}

async fn ready(tcp: &mut Option<TcpPort>) {
    match tcp {
        Some(tcp) => tcp.ready().await,
        None => std::future::pending().await,
    }
}

/// Which announced address a datagram came to. Behind an address translation the socket sees another one; then it is the first of the family.
fn announced_as(announced: &[SocketAddr], local: SocketAddr) -> SocketAddr {
    let same_family = || announced.iter().find(|a| a.is_ipv4() == local.is_ipv4());
    announced.iter().find(|a| **a == local).or_else(same_family).copied().unwrap_or(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_number_is_taken_for_both_or_not_at_all() {
        let (udp, tcp) = bind(0, true).unwrap();
        assert!(tcp.is_some());
        let error = bind(udp.number(), true).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with("UDP: "), "{error}");
        drop(udp);
        let number = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let error = bind(number.local_addr().unwrap().port(), true).err().unwrap();
        assert!(error.to_string().starts_with("TCP: ") && error.to_string().contains("media.tcp = false"), "{error}");
        assert!(bind(number.local_addr().unwrap().port(), false).unwrap().1.is_none());
    }

    #[test]
    fn a_translated_address_is_the_announced_one_of_its_family() {
        let list: Vec<SocketAddr> =
            ["198.51.100.1:10000", "[2001:db8::1]:10000", "192.0.2.7:10000"].iter().map(|a| a.parse().unwrap()).collect();
        let table = [("192.0.2.7:10000", 2), ("10.0.0.1:10000", 0), ("[fd00::1]:10000", 1)];
        for (local, index) in table {
            assert_eq!(announced_as(&list, local.parse().unwrap()), list[index]);
        }
        assert_eq!(announced_as(&[], list[0]), list[0]);
    }
}
