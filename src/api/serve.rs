//! The process: start the shards, listen, say so, and stop in order when told to.
//!
//! ```text
//! bind HTTP ─► start shards ─► "listening on …" ─► SIGTERM or SIGINT ─► no new rooms ─► everybody is told and sent out ─► exit
//!                                                                      └─ at most 10 s; a second signal ends it at once
//! ```

use std::future::IntoFuture;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::{App, router};
use crate::config::Config;
use crate::limits::{CLOSE_TIMEOUT, STOP_TIMEOUT};
use crate::metrics::Metrics;
use crate::sfu::Sfu;

/// Why the server could not start. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address for HTTP cannot be had.
    #[error("cannot listen on {address}: {error}{}", advice(error, "http.listen", "NINEFOLD_HTTP__LISTEN"))]
    Listen {
        /// As it was set.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The media sockets cannot be had.
    #[error("cannot open the media sockets: {error}{}", advice(error, "media.port", "NINEFOLD_MEDIA__PORT"))]
    Media {
        /// What the system says, and of which port.
        error: io::Error,
    },
    /// The system refuses threads or signals.
    #[error("the system does not let the server start: {0}")]
    System(#[from] io::Error),
}

fn advice(error: &io::Error, key: &str, variable: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("\nAnother program has that port, perhaps another Ninefold. Stop it, or set {key} (or {variable}) to another.")
        }
        io::ErrorKind::AddrNotAvailable => format!("\nThis machine has no such address. Set {key} (or {variable}) to one it has."),
        io::ErrorKind::PermissionDenied => format!("\nPorts below 1024 need more rights. Set {key} (or {variable}) to a higher one."),
        _ => format!("\nThe setting is {key} (or {variable})."),
    }
}

/// Serves until a signal says to stop. Returns when everybody is out.
pub fn serve(config: &Config) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("front").build()?;
    let served = runtime.block_on(run(config));
    // What still hangs after the deadline is not waited for.
    runtime.shutdown_background();
    served
}

async fn run(config: &Config) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    let address = config.http.listen;
    let listen_error = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;

    let metrics = Metrics::new();
    let sfu = Sfu::start(config, &metrics).map_err(|error| StartError::Media { error })?;
    let app = App::new(Arc::new(sfu), metrics);

    // Small messages both ways: waiting to fill a packet would cost a join up to 40 ms.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let stopping = app.clone();
    let server = axum::serve(listener, router(app.clone())).with_graceful_shutdown(async move { stopping.stopping().await });
    let server = tokio::spawn(server.into_future());
    announce(bound);

    signals.next().await;
    tracing::info!("stopping");
    let stopped = async {
        app.stop().await;
        // Requests are answered in milliseconds: whoever is not done by now has sent half of one, and is not waited for.
        let _ = timeout(CLOSE_TIMEOUT, server).await;
    };
    tokio::select! {
        ended = timeout(STOP_TIMEOUT, stopped) => match ended {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!(seconds = STOP_TIMEOUT.as_secs(), "stopped, though not everything ended in time"),
        },
        () = signals.next() => tracing::warn!("stopped at once by a second signal"),
    }
    Ok(())
}

/// The one line on stdout; who started the server waits for it.
fn announce(address: SocketAddr) {
    let mut stdout = io::stdout().lock();
    // Nobody may read it.
    let _ = writeln!(stdout, "listening on http://{address}").and_then(|()| stdout.flush());
}

/// The signals that mean to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_says_what_to_do() {
        let error = io::Error::from(io::ErrorKind::AddrInUse);
        let text = StartError::Listen { address: SocketAddr::from(([127, 0, 0, 1], 8080)), error }.to_string();
        assert!(text.starts_with("cannot listen on 127.0.0.1:8080: "), "{text}");
        assert!(text.ends_with("Stop it, or set http.listen (or NINEFOLD_HTTP__LISTEN) to another."), "{text}");
    }
}
