//! The relay's control endpoint: HTTP on loopback, for tests and for `curl`.
//!
//! ```text
//! GET  /         counters and conditions of all links, and their clients
//! POST /         {"down.rate":"500kbit","client.2.loss":"5%"}      changes, all or none if one cannot be read
//! POST /script   at 0s: down.rate=500kbit                          begins it now
//! POST /rebind   another port of the server's view for each client
//! ```
//!
//! Answers are JSON; what is wrong is `{"error":"…"}` with status 400.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::conditions::Change;
use super::relay::{Relay, Report};

type Answer<T> = Result<Json<T>, (StatusCode, Json<Value>)>;

/// A running endpoint. It ends when this is dropped.
#[derive(Debug)]
pub struct Control {
    /// Where it is.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Control {
    /// Begins. Port 0: any that is free.
    pub async fn start(listen: SocketAddr, relay: Relay) -> io::Result<Control> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/", get(report).post(change))
            .route("/script", post(script))
            .route("/rebind", post(rebind))
            .with_state(relay);
        // It ends with an error never: axum goes on after a connection that could not be accepted.
        let task = tokio::spawn(async { axum::serve(listener, router).await.unwrap_or_default() });
        Ok(Control { address, task })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn report(State(relay): State<Relay>) -> Answer<Report> {
    relay.report().await.map(Json).map_err(wrong)
}

async fn change(State(relay): State<Relay>, Json(changes): Json<BTreeMap<String, String>>) -> Answer<Value> {
    let changes = changes.iter().map(|(key, value)| Change::parse(key, value)).collect::<Result<_, _>>().map_err(wrong)?;
    relay.change(changes).await.map_err(wrong)?;
    Ok(Json(json!({})))
}

async fn script(State(relay): State<Relay>, text: String) -> Answer<Value> {
    relay.run(text.parse().map_err(wrong)?).await.map_err(wrong)?;
    Ok(Json(json!({})))
}

async fn rebind(State(relay): State<Relay>) -> Answer<Value> {
    let clients = relay.rebind().await.map_err(wrong)?;
    Ok(Json(json!({ "clients": clients })))
}

fn wrong(error: String) -> (StatusCode, Json<Value>) {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error })))
}
