//! Sockets and the clock around a [`Wire`]: one task, and one reader for each client's socket.
//!
//! ```text
//! clients ◄──► front ◄──► task with the wire ───► a socket for each client ◄──► server
//!                               ▲                          │
//!                               └── bounded queue ◄── reader
//! ```
//!
//! A full queue makes readers wait; then the system's buffers fill, and what does not fit there is lost. Timers are as exact as those of tokio: a
//! datagram leaves up to about 1 ms after its time.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::conditions::Change;
use super::link::Datagram;
use super::script::Script;
use super::{Figures, Output, Wire};

/// No UDP datagram is longer.
const DATAGRAM_MAX: usize = 65_535;
/// Bytes that the system keeps for a socket while nobody reads; it gives what it allows.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Datagrams read before something else gets its turn.
const READ_AT_ONCE: usize = 256;
/// Datagrams of the server on their way to the task. Full: readers wait.
const FROM_SERVER_MAX: usize = 1_024;
/// Commands waiting for the task. Full: who gives them waits.
const COMMANDS_MAX: usize = 64;

/// A running relay. It ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct Relay {
    address: SocketAddr,
    commands: mpsc::Sender<Command>,
}

/// What a relay has done.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The server.
    pub to: SocketAddr,
    /// The seed of all chance.
    pub seed: u64,
    /// Datagrams that the system did not take.
    pub unsent: u64,
    /// The links.
    #[serde(flatten)]
    pub figures: Figures,
}

#[derive(Debug)]
enum Command {
    Change(Vec<Change>, oneshot::Sender<Result<(), String>>),
    Run(Script, oneshot::Sender<()>),
    Rebind(oneshot::Sender<usize>),
    Report(oneshot::Sender<Box<Report>>),
}

impl Relay {
    /// Relays what comes to `listen` to the server at `to`, and back. Port 0: any that is free.
    pub async fn start(listen: SocketAddr, to: SocketAddr, seed: u64) -> io::Result<Relay> {
        let front = bind(listen).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (from_server, datagrams) = mpsc::channel(FROM_SERVER_MAX);
        let relay = Relay { address: front.local_addr()?, commands };
        let wire = Wire::new(seed, Instant::now());
        let task = Task { wire, front, to, seed, sockets: HashMap::new(), from_server, unsent: 0, buffer: vec![0; DATAGRAM_MAX] };
        tokio::spawn(task.run(inbox, datagrams));
        Ok(relay)
    }

    /// What clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes, one after the other and up to the first that cannot be.
    pub async fn change(&self, changes: Vec<Change>) -> Result<(), String> {
        self.ask(|answer| Command::Change(changes, answer)).await?
    }

    /// Begins a script, which takes the place of the one before.
    pub async fn run(&self, script: Script) -> Result<(), String> {
        self.ask(|answer| Command::Run(script, answer)).await
    }

    /// From now on the server sees everybody at another port, as behind a NAT that forgot; what it sends to the old ones is lost. Gives the number of
    /// clients.
    pub async fn rebind(&self) -> Result<usize, String> {
        self.ask(Command::Rebind).await
    }

    /// What it has done.
    pub async fn report(&self) -> Result<Report, String> {
        self.ask(Command::Report).await.map(|report| *report)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, String> {
        let (sender, answer) = oneshot::channel();
        // A task that has ended drops the sender, which is an answer too.
        let _ = self.commands.send(command(sender)).await;
        answer.await.map_err(|_| "the relay has ended".to_owned())
    }
}

struct Task {
    wire: Wire,
    front: UdpSocket,
    to: SocketAddr,
    seed: u64,
    sockets: HashMap<u32, ClientSocket>,
    from_server: mpsc::Sender<Datagram>,
    unsent: u64,
    buffer: Vec<u8>,
}

/// What the server sees of a client.
struct ClientSocket {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl Drop for ClientSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut datagrams: mpsc::Receiver<Datagram>) {
        let mut batch = Vec::with_capacity(READ_AT_ONCE);
        loop {
            self.wire.handle_timeout(Instant::now());
            self.flush().await;
            let wake = self.wire.poll_timeout();
            tokio::select! {
                // An error is that of one datagram, and reading has taken it.
                _ = self.front.readable() => self.read(),
                _ = datagrams.recv_many(&mut batch, READ_AT_ONCE) => {
                    let now = Instant::now();
                    batch.drain(..).for_each(|datagram| self.wire.handle_down(datagram, now));
                }
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => return,
                },
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    fn read(&mut self) {
        let now = Instant::now();
        for _ in 0..READ_AT_ONCE {
            match self.front.try_recv_from(&mut self.buffer) {
                Ok((length, from)) => self.wire.handle_up(from, self.buffer[..length].to_vec(), now),
                Err(_) => return,
            }
        }
    }

    async fn flush(&mut self) {
        while let Some(output) = self.wire.poll_output() {
            let sent = match output {
                Output::ToClient(address, datagram) => self.front.try_send_to(&datagram.bytes, address).is_ok(),
                Output::ToServer(datagram) => match self.socket(datagram.client).await {
                    Ok(socket) => socket.try_send(&datagram.bytes).is_ok(),
                    Err(_) => false,
                },
                Output::Forgotten(client) => {
                    self.sockets.remove(&client);
                    true
                }
                Output::Complaint(text) => {
                    eprintln!("{text}");
                    true
                }
            };
            self.unsent += u64::from(!sent);
        }
    }

    async fn on_command(&mut self, command: Command) {
        let now = Instant::now();
        self.wire.handle_timeout(now);
        // Nobody may be waiting for the answer any more.
        match command {
            Command::Change(changes, answer) => {
                let changed = changes.into_iter().try_for_each(|change| self.wire.change(change, now));
                let _ = answer.send(changed);
            }
            Command::Run(script, answer) => {
                self.wire.run(script, now);
                let _ = answer.send(());
            }
            Command::Rebind(answer) => {
                let clients = self.sockets.drain().count();
                let _ = answer.send(clients);
            }
            Command::Report(answer) => {
                let report = Report { to: self.to, seed: self.seed, unsent: self.unsent, figures: self.wire.figures(now) };
                let _ = answer.send(Box::new(report));
            }
        }
    }

    /// The socket of a client, which may have none yet, or none any more.
    async fn socket(&mut self, client: u32) -> io::Result<Arc<UdpSocket>> {
        if let Some(known) = self.sockets.get(&client) {
            return Ok(Arc::clone(&known.socket));
        }
        let any = if self.to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = Arc::new(bind(any).await?);
        socket.connect(self.to).await?;
        let reader = tokio::spawn(read(client, Arc::clone(&socket), self.from_server.clone()));
        self.sockets.insert(client, ClientSocket { socket: Arc::clone(&socket), reader });
        Ok(socket)
    }
}

/// Reads what the server sends to one client.
async fn read(client: u32, socket: Arc<UdpSocket>, task: mpsc::Sender<Datagram>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        // An error says that the server's port is closed just now.
        let Ok(length) = socket.recv(&mut buffer).await else { continue };
        if task.send(Datagram { client, bytes: buffer[..length].to_vec() }).await.is_err() {
            return;
        }
    }
}

async fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address).await?;
    // It is a wish; what the system gives is enough for some clients.
    let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES);
    let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER_BYTES);
    // Before the first poll nobody knows that it can be written to, and the first datagram would be lost.
    socket.writable().await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets, and a relay before it.
    async fn echo(conditions: &str) -> Relay {
        let server = bind(([127, 0, 0, 1], 0).into()).await.expect("a socket");
        let to = server.local_addr().expect("an address");
        let relay = Relay::start(([127, 0, 0, 1], 0).into(), to, 1).await.expect("a relay");
        let changes = conditions.split_ascii_whitespace().map(|word| word.parse().expect("a change")).collect();
        relay.change(changes).await.expect("they can be");
        tokio::spawn(async move {
            let mut buffer = vec![0; DATAGRAM_MAX];
            loop {
                let (length, from) = server.recv_from(&mut buffer).await.expect("a datagram");
                // In front of the payload: the port that it came from.
                let answer = [&from.port().to_be_bytes(), &buffer[..length]].concat();
                server.send_to(&answer, from).await.expect("it can be sent");
            }
        });
        relay
    }

    async fn client(relay: &Relay) -> UdpSocket {
        let socket = bind(([127, 0, 0, 1], 0).into()).await.expect("a socket");
        socket.connect(relay.address()).await.expect("it can");
        socket
    }

    /// Sends a datagram and gives the port that the server saw, and what came back.
    async fn ask(socket: &UdpSocket, payload: &[u8]) -> (u16, Vec<u8>) {
        socket.send(payload).await.expect("it can be sent");
        let mut buffer = vec![0; DATAGRAM_MAX];
        let length = timeout(SOON, socket.recv(&mut buffer)).await.expect("in time").expect("a datagram");
        (u16::from_be_bytes([buffer[0], buffer[1]]), buffer[2..length].to_vec())
    }

    #[tokio::test]
    async fn each_client_has_a_socket_of_its_own_until_it_gets_another() {
        let relay = echo("").await;
        let (ada, bo) = (client(&relay).await, client(&relay).await);
        let (ada_port, answer) = ask(&ada, b"Ada").await;
        assert_eq!(answer, b"Ada");
        let (bo_port, answer) = ask(&bo, &[7; 9_000]).await;
        assert_eq!(answer, [7; 9_000]);
        assert!(ada_port != bo_port && ada_port != ada.local_addr().expect("one").port());
        assert_eq!(ask(&ada, b"again").await.0, ada_port);
        assert_eq!(relay.rebind().await, Ok(2));
        let (moved, answer) = ask(&ada, b"moved").await;
        assert_eq!(answer, b"moved");
        assert_ne!(moved, ada_port);
        let report = relay.report().await.expect("figures");
        assert_eq!((report.figures.up.packets_out, report.figures.down.packets_out, report.unsent), (4, 4, 0));
        assert_eq!(report.figures.clients[0].address, ada.local_addr().expect("one"));
    }

    #[tokio::test]
    async fn delay_is_there_and_not_much_more_of_it() {
        let relay = echo("up.delay=20ms down.delay=30ms").await;
        let socket = client(&relay).await;
        ask(&socket, b"first").await;
        let mut times = vec![];
        for _ in 0..20 {
            let start = Instant::now();
            ask(&socket, b"x").await;
            times.push(start.elapsed());
        }
        times.sort();
        assert!(times[0] >= Duration::from_millis(50), "{times:?}");
        // The fastest of many: the machine may have other things to do.
        assert!(times[0] < Duration::from_millis(55), "{times:?}");
    }

    #[tokio::test]
    async fn a_rate_is_what_arrives() {
        let relay = echo("up.rate=2mbit up.queue=2s").await;
        let socket = client(&relay).await;
        let start = Instant::now();
        for _ in 0..400 {
            socket.send(&[0; 1_000]).await.expect("it can be sent");
        }
        let mut buffer = vec![0; DATAGRAM_MAX];
        for _ in 0..400 {
            timeout(SOON, socket.recv(&mut buffer)).await.expect("in time").expect("a datagram");
        }
        let rate = 400.0 * 8_000.0 / start.elapsed().as_secs_f64();
        // Never more. A busy machine may look at the end too late; how exact the rate is shows on a virtual clock.
        assert!(rate <= 2e6 && rate > 1.6e6, "{rate}");
    }

    #[tokio::test]
    async fn changes_and_scripts_come_while_it_runs() {
        let relay = echo("").await;
        let socket = client(&relay).await;
        ask(&socket, b"first").await;
        relay.change(vec!["down.block=on".parse().expect("one")]).await.expect("it can be");
        relay.run("at 200ms: down.block=off".parse().expect("one")).await.expect("it can be");
        socket.send(b"lost").await.expect("it can be sent");
        let blocked = async {
            while relay.report().await.expect("figures").figures.down.blocked == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, blocked).await.expect("it is blocked");
        let passes = async {
            while !relay.report().await.expect("figures").figures.clients[0].down.conditions.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, passes).await.expect("the script opens it");
        assert_eq!(ask(&socket, b"second").await.1, b"second");
        let refused = relay.change(vec!["client.9.loss=1%".parse().expect("one")]).await;
        assert_eq!(refused, Err("there is no client 9".into()));
    }

    #[tokio::test]
    async fn a_server_that_is_away_for_a_while_is_found_again() {
        let (listen, to) = (([127, 0, 0, 1], 0).into(), std::net::UdpSocket::bind("127.0.0.1:0").expect("one").local_addr().expect("one"));
        let relay = Relay::start(listen, to, 1).await.expect("a relay");
        let socket = client(&relay).await;
        for _ in 0..5 {
            socket.send(b"nobody").await.expect("it can be sent");
            relay.report().await.expect("it goes on");
        }
        let server = bind(to).await.expect("the port is free");
        let mut buffer = [0; 100];
        let heard = async {
            while buffer[0] != b'x' {
                socket.send(b"x").await.expect("it can be sent");
                let _ = timeout(Duration::from_millis(50), server.recv(&mut buffer)).await;
            }
        };
        timeout(SOON, heard).await.expect("it is found");
    }
}
