//! The HTTP edge: takes connections, as many as may be, and gives each to the router.
//!
//! ```text
//! a place free? ─► accept ─► own task: TLS, then HTTP/1.1 until it ends, takes nothing of its answers or becomes a WebSocket
//!                  └─ too many of this address? a few more are told so, once each; what comes beyond is dropped
//! ```
//!
//! A connection holds its places until its socket is closed, also when it has become a WebSocket: they travel with the stream. The loop itself
//! does nothing that a stranger can prolong. Behind a proxy all connections come from one address, so there the count by address is of the
//! clients that the proxy names, where a signalling socket is opened ([`App::take_socket`](super::App::take_socket)). Loopback is counted like
//! any other address: many behind one tunnel are what the limit is for, and who runs a load test raises it.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep};

use super::arriving::Arriving;
use crate::limits::{ACCEPT_PAUSE, ANSWER_TIMEOUT, CONNECTIONS_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_TIMEOUT};
use crate::net::crowd::{Crowd, Place};
use crate::net::tls::Tls;

/// What listens, and on which terms.
pub struct Edge {
    /// Bound already.
    pub listener: TcpListener,
    /// Without it connections are plain.
    pub tls: Option<Arc<Tls>>,
    /// Counts connections by address, unless a proxy makes all of them.
    pub crowd: Option<Crowd>,
    /// Counts those beyond, which are only told so.
    pub refused: Crowd,
}

/// Who answers requests.
#[derive(Clone)]
pub struct Answers {
    /// Everything there is.
    pub all: Router,
    /// Why an address gets nothing.
    pub too_many: Router,
}

impl Edge {
    /// Serves until `stop` says so; returns when the last connection has ended.
    pub async fn serve(self, answers: Answers, stop: watch::Receiver<bool>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let accepting = self.accept(&answers, &stop, &connections);
        tokio::select! {
            () = accepting => {}
            () = stopped(stop.clone()) => {}
        }
        // New connections are refused from now on.
        drop(self.listener);
        // An error would say that the semaphore is closed, which it never is.
        let _ = connections.acquire_many(u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX)).await;
    }

    async fn accept(&self, answers: &Answers, stop: &watch::Receiver<bool>, connections: &Arc<Semaphore>) {
        let arriving = Arc::default();
        let mut is_failing = false;
        while let Ok(permit) = Arc::clone(connections).acquire_owned().await {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // The client has gone before it was its turn.
                Err(error) if is_of_the_client(&error) => continue,
                Err(error) => {
                    // Most likely no more files. It passes when somebody leaves; asking again at once would only burn a core.
                    if !is_failing {
                        tracing::warn!(%error, "connections cannot be accepted for now");
                    }
                    is_failing = true;
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            is_failing = false;
            let Some((place, is_refused)) = self.admit(address.ip()) else {
                tracing::debug!("a connection was dropped: its address has too many");
                continue;
            };
            let router = if is_refused { &answers.too_many } else { &answers.all };
            let places = Places { _permit: permit, _place: place };
            let arriving = Arriving::new(&arriving);
            let terms = Terms { address, router: router.clone(), is_refused, arriving, stop: stop.clone() };
            tokio::spawn(connected(stream, places, self.tls.clone(), terms));
        }
    }

    /// The place of one more connection from there, and whether it is only told that there are too many. `None`: so many are told already.
    fn admit(&self, ip: IpAddr) -> Option<(Option<Place>, bool)> {
        let Some(crowd) = &self.crowd else { return Some((None, false)) };
        let told = || self.refused.enter(ip).map(|place| (Some(place), true));
        crowd.enter(ip).map(|place| (Some(place), false)).or_else(told)
    }
}

/// What a connection is served with.
struct Terms {
    address: SocketAddr,
    router: Router,
    /// One request is answered, then it is closed.
    is_refused: bool,
    arriving: Arriving,
    stop: watch::Receiver<bool>,
}

/// Returns when the server stops; never when nobody can say so any more.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let asked = stop.wait_for(|stop| *stop).await.is_ok();
    if !asked {
        pending::<()>().await;
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

async fn connected(stream: TcpStream, places: Places, tls: Option<Arc<Tls>>, terms: Terms) {
    // Small messages both ways: waiting to fill a packet would cost a join up to 40 ms.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return answer(Counted::new(stream, places, terms.arriving.clone()), terms).await;
    };
    match tls.accept(stream).await {
        Ok(stream) => answer(Counted::new(stream, places, terms.arriving.clone()), terms).await,
        // Scanners, and browsers that ask their user about a certificate first.
        Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
    }
}

async fn answer<S>(stream: Counted<S>, terms: Terms)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Terms { address, router, is_refused, arriving, stop } = terms;
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        request.extensions_mut().insert(arriving.clone());
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST_HEAD_TIMEOUT).max_header_size(REQUEST_HEAD_BYTES_MAX);
    http.keep_alive(!is_refused);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// What a connection takes from others.
struct Places {
    _permit: OwnedSemaphorePermit,
    _place: Option<Place>,
}

/// A stream that gives its places back when it is dropped, whoever has it by then, and that breaks when the other side takes nothing.
struct Counted<S> {
    stream: S,
    _places: Places,
    arriving: Arriving,
    /// Runs since something could not be written.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Counted<S> {
    fn new(stream: S, places: Places, arriving: Arriving) -> Counted<S> {
        Counted { stream, _places: places, arriving, stuck: None }
    }

    /// Passes on how a write went, unless nothing was taken for too long. HTTP has a time for each request to come, but none for an answer to
    /// go, and a client that answers the kernel's probes and reads nothing keeps a socket for ever.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(ANSWER_TIMEOUT)));
        stuck.as_mut().poll(cx).map(|()| Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let is_too_much = !self.arriving.take(buffer.filled().len() - before);
        if is_too_much { Poll::Ready(Err(io::Error::from(io::ErrorKind::OutOfMemory))) } else { read }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}
