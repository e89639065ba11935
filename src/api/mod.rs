//! Front ends: what comes over HTTP and WebSockets, put into the door's words. Nothing here knows media, and nothing behind the door knows HTTP.
//!
//! ```text
//! page      the web page inside the binary          protocol   the wire types, protocol.md their text
//! socket    our own signalling                      translate  wire types ↔ the door's words
//! rest      rooms and participants as resources     error      what is refused: code and status
//! openapi   the document about both                 extract    what handlers take from a request
//! serve     the process: start, listen, stop        line       a WebSocket with our times and limits
//! ```

pub mod error;
mod extract;
mod line;
mod openapi;
mod page;
pub mod protocol;
mod rest;
mod serve;
mod socket;
#[cfg(test)]
mod tests;
mod translate;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use self::serve::{StartError, serve};
use crate::limits::SOCKETS_MAX;
use crate::metrics::Metrics;
use crate::sfu::Sfu;

/// What every handler can reach.
#[derive(Clone)]
pub struct App {
    sfu: Arc<Sfu>,
    metrics: Arc<Metrics>,
    sockets: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

impl App {
    /// Over a started door.
    pub fn new(sfu: Arc<Sfu>, metrics: Arc<Metrics>) -> App {
        App { sfu, metrics, sockets: Arc::new(Semaphore::new(SOCKETS_MAX)), stop: watch::Sender::new(false) }
    }

    /// STAND-IN
    fn admit(&self, _: Option<&str>, _: std::net::IpAddr, _: &crate::id::RoomName) -> Result<crate::auth::Grants, error::Error> {
        use crate::auth::{Grants, Rights, Rooms};
        Ok(Grants { identity: None, name: None, metadata: None, rooms: Rooms::Any, rights: Rights::MODERATOR, admin: true })
    }

    /// A place for one more signalling socket, given back when dropped.
    fn take_socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).try_acquire_owned().ok()
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
        .layer(map_response(finish))
        .with_state(app)
}

async fn metrics(State(app): State<App>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render()).into_response()
}

/// The process lives; it says nothing about rooms.
async fn livez() -> &'static str {
    "alive\n"
}

/// Whether new participants are taken.
async fn readyz(State(app): State<App>) -> Response {
    if app.sfu.is_draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response() } else { "ready\n".into_response() }
}

/// What every response carries: no guessing of types, no addresses of rooms to other sites, nothing of the API kept.
async fn finish(mut response: Response) -> Response {
    let always: [(HeaderName, &str); 2] = [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
