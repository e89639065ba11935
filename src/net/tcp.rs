//! One TCP port in both families: connections that carry datagrams (ICE-TCP, RFC 6544) in frames (RFC 4571), for clients whose UDP is blocked.
//!
//! The naive way is a task for each connection with queues to and from it. Here the shard's thread owns them all, as it owns its UDP port, and
//! is woken for those only that have something to say:
//!
//! ```text
//! accept ─► Connection ──► receive() ─► frames, each with the connection's number
//!              ▲  └─ out ◄── send()        the shard's answer: that proved whose it is, or not
//!              └───── flush() at the end of a tick: one write for all that a tick brought
//! ```
//!
//! Nothing waits. A client that takes less than it is sent fills `out`, and then what is for it is refused: the sender counts it, and its
//! estimator sees it as loss. The kernel is kept from hiding a longer queue of its own, in which media would only grow old.
//!
//! A connection is nobody's until a check has proven whose it is, and for as long as checks come. Nobody's are few, live shortly, and the oldest
//! makes place for the newest. One that is closed by us is reset: whatever waits in the kernel for it is of no use to anybody.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::crowd::{Crowd, Place};
use super::frames::{self, Frames};
use crate::id::ConnectionId;
use crate::limits::{
    ACCEPT_PAUSE, CONSENT_LIFE, TCP_CONNECTIONS_MAX, TCP_CONNECTIONS_PER_ADDRESS_MAX, TCP_OUT_BYTES_MAX, TCP_PROOF_TIMEOUT,
    TCP_STALL_TIMEOUT, TCP_UNPROVEN_BYTES_MAX, TCP_UNPROVEN_MAX,
};

/// Connections that wait in the kernel to be accepted: a room that comes back at once after its network was gone.
const BACKLOG: i32 = 1_024;
/// What the kernel may hold of one connection, unacknowledged data and all: 20 Mbit/s at a round trip of 100 ms, and no more memory than that for
/// somebody who never acknowledges. The kernel takes twice as much for its own books.
const KERNEL_BUFFER_BYTES: usize = 256 * 1024;
/// What the kernel may hold that it has not sent yet. This is the queue that makes media old: it is 100 ms of 2.5 Mbit/s, enough to fill the line
/// until we come again.
const KERNEL_UNSENT_BYTES: u32 = 32 * 1024;
/// Read from one connection before others have their turn.
const READ_BYTES: usize = 64 * 1024;
/// Connections that are accepted, and again that are read from or written to, before the shard does something else.
const TURNS_MAX: usize = 64;
/// Connections are looked at for those that are over their time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A datagram that came in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// By which connection.
    pub connection: ConnectionId,
    /// Who sent it.
    pub remote: SocketAddr,
    /// Which of our addresses it came to.
    pub local: SocketAddr,
    /// What it says.
    pub bytes: &'a [u8],
}

/// A connection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub connection: ConnectionId,
    /// Who was at the other end.
    pub remote: SocketAddr,
    /// Which of our addresses it was on.
    pub local: SocketAddr,
}

/// A listening port with its connections.
pub struct TcpPort {
    v4: TcpListener,
    /// Absent on machines without IPv6.
    v6: Option<TcpListener>,
    connections: HashMap<ConnectionId, Connection>,
    /// Those that are nobody's, the oldest first.
    unproven: BTreeSet<ConnectionId>,
    crowd: Crowd,
    made: u64,
    accepted: Option<io::Result<(TcpStream, SocketAddr)>>,
    /// The system had no place for one more; nothing is accepted until then.
    accept_again: Option<Instant>,
    waits: FuturesUnordered<Wait>,
    /// At most two of each connection, as there are waits.
    turns: VecDeque<(ConnectionId, Way)>,
    /// Those that were given something to send since the last flush.
    dirty: Vec<ConnectionId>,
    closed: VecDeque<Closed>,
    buffer: Vec<u8>,
    sweep: Instant,
}

struct Connection {
    stream: Arc<TcpStream>,
    remote: SocketAddr,
    local: SocketAddr,
    frames: Frames,
    /// Whole frames, but for the first, of which the kernel may have taken a part.
    out: Vec<u8>,
    /// The kernel took less than there is; when it last took something.
    full: Option<Instant>,
    /// Closed then, unless a check comes before.
    deadline: Instant,
    proven: bool,
    /// Bytes that came before it was proven.
    begging: usize,
    _place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// Waits until a connection can be read from or written to. Ends with the connection, which is shut down when it is closed.
struct Wait {
    stream: Arc<TcpStream>,
    connection: ConnectionId,
    way: Way,
}

impl Future for Wait {
    type Output = (ConnectionId, Way);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<(ConnectionId, Way)> {
        // An error is found again, and handled, by who reads or writes.
        let _ = match self.way {
            Way::In => ready!(self.stream.poll_read_ready(context)),
            Way::Out => ready!(self.stream.poll_write_ready(context)),
        };
        Poll::Ready((self.connection, self.way))
    }
}

impl TcpPort {
    /// Listens on this port of all addresses; `v6`: of both families. Called within a tokio runtime, which will drive it.
    pub fn bind(number: u16, v6: bool, now: Instant) -> io::Result<TcpPort> {
        let v4 = listen((Ipv4Addr::UNSPECIFIED, number).into())?;
        let v6 = if v6 { Some(listen((Ipv6Addr::UNSPECIFIED, number).into())?) } else { None };
        Ok(TcpPort {
            v4,
            v6,
            connections: HashMap::new(),
            unproven: BTreeSet::new(),
            crowd: Crowd::new(TCP_CONNECTIONS_PER_ADDRESS_MAX),
            made: 0,
            accepted: None,
            accept_again: None,
            waits: FuturesUnordered::new(),
            turns: VecDeque::new(),
            dirty: vec![],
            closed: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            sweep: now,
        })
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Waits until there is something to receive, or to write. May be dropped while it waits.
    pub async fn ready(&mut self) {
        if self.accepted.is_some() || !self.turns.is_empty() {
            return;
        }
        let TcpPort { v4, v6, waits, accept_again, .. } = self;
        let accepts = accept_again.is_none();
        tokio::select! {
            accepted = v4.accept(), if accepts => self.accepted = Some(accepted),
            accepted = accept(v6.as_ref()), if accepts => self.accepted = Some(accepted),
            Some(turn) = waits.next(), if !waits.is_empty() => self.turns.push_back(turn),
            () = future::pending() => {}
        }
    }

    /// Accepts and receives what there is, without waiting, some of it at least. `on` says whether a datagram proved whose its connection is.
    pub fn receive(&mut self, now: Instant, mut on: impl FnMut(Received<'_>) -> bool) {
        for _ in 0..TURNS_MAX {
            let Some(accepted) = self.accepted.take().or_else(|| self.poll_accept()) else { break };
            match accepted {
                Ok((stream, remote)) => self.admit(stream, remote, now),
                Err(error) => {
                    // Most likely no more files. It passes when somebody leaves; asking again at once would only burn a core.
                    tracing::debug!(%error, "TCP connections cannot be accepted for now");
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                    break;
                }
            }
        }
        while self.turns.len() < TURNS_MAX
            && let Some(Some(turn)) = self.waits.next().now_or_never()
        {
            self.turns.push_back(turn);
        }
        while let Some((connection, way)) = self.turns.pop_front() {
            match way {
                Way::In => self.read(connection, now, &mut on),
                Way::Out => self.write(connection, now),
            }
        }
    }

    /// Queues datagrams of `segment` bytes each (the last may be shorter), one behind the other, until [`TcpPort::flush`]. Returns how many found
    /// no place.
    pub fn send(&mut self, connection: ConnectionId, bytes: &[u8], segment: usize) -> usize {
        let datagrams = bytes.chunks(segment.max(1));
        let Some(state) = self.connections.get_mut(&connection) else { return datagrams.len() };
        if state.out.is_empty() {
            self.dirty.push(connection);
        }
        let mut refused = 0;
        for datagram in datagrams {
            if state.out.len() + frames::size(datagram) <= TCP_OUT_BYTES_MAX {
                frames::write(datagram, &mut state.out);
            } else {
                refused += 1;
            }
        }
        refused
    }

    /// Writes what was queued, without waiting. Returns the number of system calls.
    pub fn flush(&mut self, now: Instant) -> usize {
        let mut dirty = std::mem::take(&mut self.dirty);
        let calls = dirty.len();
        dirty.drain(..).for_each(|connection| self.write(connection, now));
        self.dirty = dirty;
        calls
    }

    /// A connection that is over.
    pub fn poll_closed(&mut self) -> Option<Closed> {
        self.closed.pop_front()
    }

    /// When [`TcpPort::handle_timeout`] has something to do.
    pub fn timeout(&self) -> Option<Instant> {
        let sweep = (!self.connections.is_empty()).then_some(self.sweep);
        [sweep, self.accept_again].into_iter().flatten().min()
    }

    /// Ends those whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.accept_again.take_if(|at| *at <= now);
        if self.sweep > now {
            return;
        }
        self.sweep = now + SWEEP_EVERY;
        let is_over = |c: &Connection| c.deadline <= now || c.full.is_some_and(|since| since + TCP_STALL_TIMEOUT <= now);
        let over: Vec<ConnectionId> = self.connections.iter().filter(|(_, c)| is_over(c)).map(|(connection, _)| *connection).collect();
        over.into_iter().for_each(|connection| self.close(connection));
        for state in self.connections.values_mut() {
            state.frames.shrink();
            if state.out.is_empty() {
                state.out = vec![];
            }
        }
    }

    fn poll_accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        self.v4.accept().now_or_never().or_else(|| self.v6.as_ref()?.accept().now_or_never())
    }

    fn admit(&mut self, stream: TcpStream, remote: SocketAddr, now: Instant) {
        let Some(place) = self.crowd.enter(remote.ip()) else {
            return tracing::debug!("a TCP connection was dropped: its address has too many");
        };
        // Who has gone already, or cannot be set up, is no loss.
        let Ok(local) = set_up(&stream).and_then(|()| stream.local_addr()) else { return };
        if self.unproven.len() == TCP_UNPROVEN_MAX || self.connections.len() == TCP_CONNECTIONS_MAX {
            let Some(oldest) = self.unproven.first().copied() else { return };
            self.close(oldest);
        }
        self.made += 1;
        let connection = ConnectionId(self.made);
        let stream = Arc::new(stream);
        self.waits.push(Wait { stream: Arc::clone(&stream), connection, way: Way::In });
        self.unproven.insert(connection);
        let deadline = now + TCP_PROOF_TIMEOUT;
        let state = Connection {
            stream,
            remote,
            local,
            frames: Frames::default(),
            out: vec![],
            full: None,
            deadline,
            proven: false,
            begging: 0,
            _place: place,
        };
        self.connections.insert(connection, state);
    }

    fn read(&mut self, connection: ConnectionId, now: Instant, on: &mut impl FnMut(Received<'_>) -> bool) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let read = match state.stream.try_read(&mut self.buffer) {
            Ok(0) => return self.close(connection),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.close(connection),
        };
        let Connection { remote, local, .. } = *state;
        let mut proven = false;
        let framed = state.frames.handle(&self.buffer[..read], |bytes| proven |= on(Received { connection, remote, local, bytes }));
        if proven {
            state.proven = true;
            state.deadline = now + CONSENT_LIFE;
            self.unproven.remove(&connection);
        }
        if !state.proven {
            state.begging += read;
        }
        if framed.is_err() || state.begging > TCP_UNPROVEN_BYTES_MAX {
            return self.close(connection);
        }
        self.waits.push(Wait { stream: Arc::clone(&state.stream), connection, way: Way::In });
    }

    fn write(&mut self, connection: ConnectionId, now: Instant) {
        let Some(state) = self.connections.get_mut(&connection).filter(|state| !state.out.is_empty()) else { return };
        match state.stream.try_write(&state.out) {
            Ok(written) => {
                drop(state.out.drain(..written));
                state.full = (!state.out.is_empty()).then_some(now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(state.full.get_or_insert(now)),
            Err(_) => return self.close(connection),
        }
        if state.full.is_some() {
            self.waits.push(Wait { stream: Arc::clone(&state.stream), connection, way: Way::Out });
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        let Some(Connection { stream, remote, local, .. }) = self.connections.remove(&connection) else { return };
        self.unproven.remove(&connection);
        self.closed.push_back(Closed { connection, remote, local });
        let socket = SockRef::from(&*stream);
        // Both fail where the other side was faster. The socket is closed when its waits have seen the end.
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => future::pending().await,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a server that was here before linger in the kernel for a minute.
    socket.set_reuse_address(true)?;
    // What is accepted has them too, and the window of its handshake fits.
    socket.set_recv_buffer_size(KERNEL_BUFFER_BYTES)?;
    socket.set_send_buffer_size(KERNEL_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    // A packet that waits for the next one to fill a segment is late.
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    struct World {
        port: TcpPort,
        now: Instant,
        got: Vec<(ConnectionId, Vec<u8>)>,
    }

    impl World {
        fn new() -> World {
            let now = Instant::now();
            World { port: TcpPort::bind(0, false, now).unwrap(), now, got: vec![] }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.v4.local_addr().unwrap().port())).await.unwrap()
        }

        /// Lives until `done`; a datagram that begins with `!` proves its connection.
        async fn until(&mut self, done: impl Fn(&World) -> bool) {
            timeout(SOON, async {
                while !done(self) {
                    // The condition may be another task's.
                    let _ = timeout(Duration::from_millis(10), self.port.ready()).await;
                    let got = &mut self.got;
                    self.port.receive(self.now, |received| {
                        got.push((received.connection, received.bytes.to_vec()));
                        received.bytes[0] == b'!'
                    });
                }
            })
            .await
            .expect("it comes to that");
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.port.handle_timeout(self.now);
        }

        fn closed(&mut self) -> Vec<ConnectionId> {
            std::iter::from_fn(|| self.port.poll_closed()).map(|closed| closed.connection).collect()
        }
    }

    fn framed(datagrams: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![];
        datagrams.iter().for_each(|datagram| frames::write(datagram, &mut out));
        out
    }

    async fn expect_end(client: &mut TcpStream) {
        let end = timeout(SOON, client.read(&mut [0; 100])).await.expect("it ends");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }

    #[tokio::test]
    async fn datagrams_go_both_ways() {
        let mut w = World::new();
        let (mut a, mut b) = (w.connect().await, w.connect().await);
        a.write_all(&framed(&[b"one", b"two"])).await.unwrap();
        b.write_all(&framed(&[b"three"])[..4]).await.unwrap();
        w.until(|w| w.got.len() == 2 && w.port.len() == 2).await;
        b.write_all(&framed(&[b"three"])[4..]).await.unwrap();
        w.until(|w| w.got.len() == 3).await;
        let (first, second) = (w.got[0].0, w.got[2].0);
        assert_ne!(first, second);
        assert_eq!(w.got.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
        let state = &w.port.connections[&first];
        assert_eq!((state.remote, state.local), (a.local_addr().unwrap(), a.peer_addr().unwrap()));
        assert!(state.stream.nodelay().unwrap());

        assert_eq!(w.port.send(first, b"aaaabbbbcc", 4), 0);
        assert_eq!(w.port.send(second, b"x", 1), 0);
        assert_eq!(w.port.send(first, b"d", 1), 0);
        assert_eq!(w.port.send(ConnectionId(9), b"aaaabbbbcc", 4), 3, "nobody");
        assert_eq!(w.port.flush(w.now), 2, "one write for each");
        let wanted = framed(&[b"aaaa", b"bbbb", b"cc", b"d"]);
        let mut read = vec![0; wanted.len()];
        // What could not be written at once, since the system had not said yet that it may be, is written when it does.
        let (_, ()) = tokio::join!(a.read_exact(&mut read), w.until(|w| w.port.connections.values().all(|c| c.out.is_empty())));
        assert_eq!(read, wanted);
    }

    #[tokio::test]
    async fn whoever_brings_no_check_is_sent_away_and_whoever_does_stays_as_long_as_checks_come() {
        let mut w = World::new();
        let (mut silent, mut known) = (w.connect().await, w.connect().await);
        w.until(|w| w.port.len() == 2).await;
        known.write_all(&framed(&[b"!"])).await.unwrap();
        w.until(|w| !w.got.is_empty()).await;
        w.pass(TCP_PROOF_TIMEOUT - Duration::from_millis(1));
        assert_eq!(w.closed(), []);
        w.pass(SWEEP_EVERY);
        assert_eq!((w.closed().len(), w.port.len(), w.port.unproven.len()), (1, 1, 0));
        expect_end(&mut silent).await;
        known.write_all(&framed(&[b"media", b"!"])).await.unwrap();
        w.until(|w| w.got.len() == 3).await;
        let proven_at = w.now;
        w.pass(CONSENT_LIFE - Duration::from_millis(1));
        assert_eq!(w.closed(), []);
        known.write_all(&framed(&[b"media"])).await.unwrap();
        w.until(|w| w.got.len() == 4).await;
        w.pass(SWEEP_EVERY);
        assert!(w.now < proven_at + CONSENT_LIFE + SWEEP_EVERY);
        assert_eq!((w.closed(), w.port.len()), (vec![w.got[0].0], 0));
        expect_end(&mut known).await;
        assert_eq!(w.port.timeout(), None);
    }

    #[tokio::test]
    async fn garbage_and_floods_end_the_connection_that_brings_them() {
        let mut w = World::new();
        let (mut garbage, mut flood) = (w.connect().await, w.connect().await);
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        w.until(|w| w.port.closed.len() == 1).await;
        expect_end(&mut garbage).await;
        let one = framed(&[&[b'x'; 1_000]]);
        let sent = async {
            for _ in 0..TCP_UNPROVEN_BYTES_MAX / one.len() + 1 {
                flood.write_all(&one).await.unwrap();
            }
        };
        tokio::join!(sent, w.until(|w| w.port.closed.len() == 2));
        assert_eq!(w.port.len(), 0);
        assert!(w.got.len() > TCP_UNPROVEN_BYTES_MAX / one.len());
        expect_end(&mut flood).await;
    }

    #[tokio::test]
    async fn a_client_that_goes_is_noticed() {
        let mut w = World::new();
        let client = w.connect().await;
        w.until(|w| w.port.len() == 1).await;
        drop(client);
        w.until(|w| w.port.is_empty()).await;
        assert_eq!(w.closed().len(), 1);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_sent_no_more_than_fits_and_then_away() {
        let mut w = World::new();
        let mut client = w.connect().await;
        client.write_all(&framed(&[b"!"])).await.unwrap();
        w.until(|w| !w.got.is_empty()).await;
        let (connection, datagram) = (w.got[0].0, vec![7; 1_200]);
        let (mut sent, mut refused) = (0, 0);
        for _ in 0..10_000 {
            refused += w.port.send(connection, &datagram, datagram.len());
            w.port.flush(w.now);
            sent += 1;
            tokio::task::yield_now().await;
        }
        let state = &w.port.connections[&connection];
        assert!(refused > 0 && state.full.is_some() && state.out.len() <= TCP_OUT_BYTES_MAX);
        // It reads again: what was queued comes whole and in order, and there is place again.
        let wanted = sent - refused;
        let reader = tokio::spawn(async move {
            let (mut frames, mut got, mut buffer) = (Frames::default(), 0, vec![0; READ_BYTES]);
            while got < wanted {
                let read = client.read(&mut buffer).await.unwrap();
                frames.handle(&buffer[..read], |bytes| got += usize::from(bytes == [7; 1_200])).unwrap();
            }
            client
        });
        w.until(|_| reader.is_finished()).await;
        let _client = reader.await.unwrap();
        assert!(w.port.connections[&connection].full.is_none());
        // And then never again. Checks come, so that it is this that ends it.
        while w.port.send(connection, &datagram, datagram.len()) == 0 {
            w.port.flush(w.now);
            tokio::task::yield_now().await;
        }
        for _ in 0..2 {
            w.pass(TCP_STALL_TIMEOUT / 2);
        }
        assert_eq!((w.closed(), w.port.len()), (vec![connection], 0));
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let w = World::new();
        let number = w.port.v4.local_addr().unwrap().port();
        assert_eq!(TcpPort::bind(number, false, w.now).err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse));
    }
}
