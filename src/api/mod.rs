//! Front ends: what comes over HTTP and WebSockets, put into the door's words. Nothing here knows media, and nothing behind the door knows HTTP.
//!
//! ```text
//! page      the web page inside the binary          protocol   the wire types, protocol.md their text
//! socket    our own signalling                      translate  wire types ↔ the door's words
//! rest      rooms and participants as resources     error      what is refused: code and status
//! openapi   the document about both                 extract    what handlers take from a request
//! serve     the process: start, listen, stop        line       a WebSocket with our times and limits
//! listen    connections, within limits, with TLS    client     where a request comes from
//! invitation  the address for other devices          arriving   what first messages may take of the memory
//! ```

mod arriving;
mod client;
pub mod error;
mod extract;
mod invitation;
mod layers;
mod line;
mod listen;
mod openapi;
mod page;
pub mod protocol;
mod resources;
mod rest;
mod serve;
mod socket;
#[cfg(test)]
mod tests;
mod translate;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use self::error::{Code, Error};
use self::extract::{Caller, ClientAddress, unix_now};
use self::listen::Answers;
pub use self::serve::{StartError, check, serve};
use crate::auth::{Access, Grants, Unknown};
use crate::config::Config;
use crate::id::RoomName;
use crate::limits::{FAILED_TOKEN_COST, FIRST_MESSAGES, JOIN_ADDRESSES_MAX, SOCKETS_MAX};
use crate::metrics::Metrics;
use crate::net::crowd::{self, Crowd};
use crate::rate::{Buckets, Rate};
use crate::sfu::Sfu;

/// What every handler can reach.
#[derive(Clone)]
pub struct App {
    sfu: Arc<Sfu>,
    metrics: Arc<Metrics>,
    /// Who gets in.
    access: Arc<Access>,
    /// Only this machine reaches the server, so it is asked for by this machine's own names only.
    is_local: bool,
    behind_proxy: bool,
    sockets: Arc<Semaphore>,
    /// Sockets by address, where connections cannot be counted by it.
    socket_crowd: Option<Crowd>,
    first_messages: Arc<Mutex<Buckets<IpAddr>>>,
    guest_rate: Rate,
    guest_joins: Arc<Mutex<Buckets<IpAddr>>>,
    stop: watch::Sender<bool>,
}

/// A place for a signalling socket, given back when dropped.
pub struct SocketPlace {
    _of_all: OwnedSemaphorePermit,
    _of_address: Option<crowd::Place>,
}

impl App {
    /// Over a started door.
    pub fn new(sfu: Arc<Sfu>, metrics: Arc<Metrics>, config: &Config) -> App {
        let behind_proxy = config.http.behind_proxy;
        App {
            sfu,
            metrics,
            access: Arc::new(config.access()),
            is_local: config.is_local() && !behind_proxy,
            behind_proxy,
            sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
            socket_crowd: behind_proxy.then(|| Crowd::new(config.limits.connections_per_address)),
            first_messages: Arc::new(Mutex::new(Buckets::new(JOIN_ADDRESSES_MAX))),
            guest_rate: config.limits.guest_joins(),
            guest_joins: Arc::new(Mutex::new(Buckets::new(JOIN_ADDRESSES_MAX))),
            stop: watch::Sender::new(false),
        }
    }

    /// What somebody who wants to join this room may do there. Nobody may ask too often from one address, and guests less often still: whoever
    /// has no token has no other name.
    pub fn admit(&self, token: Option<&str>, address: IpAddr, room: &RoomName) -> Result<Grants, Error> {
        self.take_first_message(address)?;
        let granted = self.access.grants(token, unix_now()).map_err(Error::from).and_then(|grants| {
            let is_here = grants.rooms.include(room);
            if is_here { Ok(grants) } else { Err(Error::new(Code::WrongRoom, "the token is for another room")) }
        });
        if granted.is_err() && self.counts_first_messages() {
            let missing = FAILED_TOKEN_COST - 1.0;
            lock(&self.first_messages).charge(crowd::subscriber(address), missing, FIRST_MESSAGES, Instant::now());
        }
        let is_guest = token.is_none() && self.access.unknown() == Unknown::Guest;
        if is_guest && !lock(&self.guest_joins).take(crowd::subscriber(address), 1.0, self.guest_rate, Instant::now()) {
            return Err(Error::new(Code::TooManyRequests, "too many guests come from this address; try again in a minute"));
        }
        granted
    }

    /// Whether somebody at this address may ask to come back, which costs as much as to join.
    pub fn admit_resume(&self, address: IpAddr) -> Result<(), Error> {
        self.take_first_message(address)
    }

    fn take_first_message(&self, address: IpAddr) -> Result<(), Error> {
        let may = !self.counts_first_messages()
            || lock(&self.first_messages).take(crowd::subscriber(address), 1.0, FIRST_MESSAGES, Instant::now());
        let too_many = || Error::new(Code::TooManyRequests, "too many come from this address at once; try again in a few seconds");
        if may { Ok(()) } else { Err(too_many()) }
    }

    /// An open server is reached from its own machine only: whoever is there can take its cores without asking it, and it is where a load
    /// generator runs, whose thousands of participants have one address.
    fn counts_first_messages(&self) -> bool {
        self.access.unknown() != Unknown::Anything
    }

    /// A place for one more signalling socket of a client at this address.
    fn take_socket(&self, address: IpAddr) -> Result<SocketPlace, Error> {
        let of_address = match &self.socket_crowd {
            Some(crowd) => {
                let too_many = || Error::new(Code::TooManyRequests, "this address has too many connections");
                Some(crowd.enter(address).ok_or_else(too_many)?)
            }
            None => None,
        };
        let full = |_| Error::new(Code::TooManySockets, "the server has no place for another connection");
        let of_all = Arc::clone(&self.sockets).try_acquire_owned().map_err(full)?;
        Ok(SocketPlace { _of_all: of_all, _of_address: of_address })
    }

    /// Returns when the process begins to stop.
    async fn stopping(&self) {
        // An error would say that the sender is gone, but this holds one itself.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Sends everybody out, then waits until each socket has said so and is closed.
    async fn stop(&self) {
        self.sfu.drain();
        self.stop.send_replace(true);
        self.sfu.stop().await;
        let all = u32::try_from(SOCKETS_MAX).unwrap_or(u32::MAX);
        // An error would say that the semaphore is closed, which it never is.
        let _ = self.sockets.acquire_many(all).await;
    }
}

/// What a panic left behind counts as well as before.
fn lock(buckets: &Mutex<Buckets<IpAddr>>) -> MutexGuard<'_, Buckets<IpAddr>> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All addresses.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/r/{room}", get(page::index))
        .route("/watch/{room}", get(page::index))
        .route("/assets/{*path}", get(page::asset))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route(socket::PATH, get(socket::connect))
        .route(openapi::PATH, get(openapi::show))
        .merge(rest::router())
        .fallback(page::other)
        .layer(from_fn_with_state(app.clone(), guard))
        .layer(map_response_with_state(app.clone(), finish))
        .with_state(app)
}

/// The same, and what is said to connections of an address that has too many.
fn answers(app: App) -> Answers {
    let refuse = async || Error::new(Code::TooManyRequests, "this address has too many connections");
    let too_many = Router::new().fallback(refuse).layer(map_response_with_state(app.clone(), finish)).with_state(app.clone());
    Answers { all: router(app), too_many }
}

/// For admins, and for whoever is on this machine itself: behind a proxy nobody is known to be.
async fn metrics(
    State(app): State<App>,
    client: ClientAddress,
    headers: HeaderMap,
    caller: Result<Caller, Error>,
) -> Result<Response, Error> {
    let is_here = client.0.is_loopback() && !app.behind_proxy;
    if !is_here || headers.contains_key(AUTHORIZATION) {
        caller?.require_admin()?;
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response())
}

/// The process lives; it says nothing about rooms.
async fn livez() -> &'static str {
    "alive\n"
}

/// Whether new participants are taken.
async fn readyz(State(app): State<App>) -> Response {
    if app.sfu.is_draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response() } else { "ready\n".into_response() }
}

/// Refuses what a browser was led to by a stranger's name for this machine, and what a proxy passes on that the settings do not know of: with it
/// the whole world would come from this machine, to a server that asks nobody here who they are.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.is_local && !client::asks_for_this_machine(request.uri(), request.headers()) {
        let message = "this server is for its own machine: open it as localhost, or see deploy/README.md for other names";
        return Error::new(Code::ForeignHost, message).into_response();
    }
    if app.is_local && client::came_through_a_proxy(request.headers()) {
        let message = "this server is for its own machine, and the request came through a proxy: whom that lets in it cannot know. \
                       If the proxy is yours, set http.behind_proxy = true (or NINEFOLD_HTTP__BEHIND_PROXY); see deploy/README.md";
        return Error::new(Code::ForeignHost, message).into_response();
    }
    next.run(request).await
}

/// What every response carries: no guessing of types, no addresses of rooms to other sites, nothing of the API kept.
async fn finish(State(app): State<App>, mut response: Response) -> Response {
    if let Some(code) = response.extensions().get::<Code>() {
        app.metrics.count_refused(code.text());
    }
    let always: [(HeaderName, &str); 2] = [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
