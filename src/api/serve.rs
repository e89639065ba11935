//! The process: start the shards, listen, say so, and stop in order when told to.
//!
//! ```text
//! bind HTTP ─► start shards ─► "listening on …" ─► SIGTERM or SIGINT ─► no new rooms ─► everybody is told and sent out ─► exit
//!                                                                      └─ at most 10 s; a second signal ends it at once
//! ```

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::extract::unix_now;
use super::listen::Edge;
use super::{App, answers, invitation};
use crate::config::{self, Config};
use crate::limits::{CLOSE_TIMEOUT, CONNECTIONS_REFUSED_MAX, STOP_TIMEOUT};
use crate::metrics::Metrics;
use crate::net::crowd::Crowd;
use crate::net::interfaces;
use crate::net::tls::{Tls, TlsError};
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
    /// There is no certificate to be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
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

/// Whether these settings find the files that they name.
pub fn check(config: &Config) -> Result<(), StartError> {
    open_tls(config).map(drop)
}

async fn run(config: &Config) -> Result<(), StartError> {
    let mut signals = Signals::new()?;
    allow_files();
    let tls = open_tls(config)?;
    let address = config.http.listen;
    let listen_error = |error| StartError::Listen { address, error };
    let listener = bind(address).await.map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;

    let metrics = Metrics::new();
    let sfu = Sfu::start(config, &metrics).map_err(|error| StartError::Media { error })?;
    let app = App::new(Arc::new(sfu), metrics, config);

    let crowd = (!config.http.behind_proxy).then(|| Crowd::new(config.limits.connections_per_address));
    let edge = Edge { listener, tls: tls.map(Arc::new), crowd, refused: Crowd::new(CONNECTIONS_REFUSED_MAX) };
    let server = tokio::spawn(edge.serve(answers(app.clone()), app.stop.subscribe()));
    announce(config, bound);

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

fn open_tls(config: &Config) -> Result<Option<Tls>, StartError> {
    match &config.http.tls {
        config::Tls::Off => Ok(None),
        config::Tls::Files { cert, key } => Ok(Some(Tls::from_files(cert, key)?)),
        config::Tls::SelfSigned => Ok(Some(Tls::self_signed(&interfaces::own_addresses()?, unix_now())?)),
    }
}

/// Every socket is a file, and the usual soft limit is 1,024. The hard one is what the operator means.
fn allow_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// `[::]` takes IPv4 too; on a machine without IPv6 it means all that there is.
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    const NO_IPV6: i32 = 97;
    match TcpListener::bind(address).await {
        Err(error)
            if address.ip() == Ipv6Addr::UNSPECIFIED
                && (error.raw_os_error() == Some(NO_IPV6) || error.kind() == io::ErrorKind::AddrNotAvailable) =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// The one line on stdout, for who started the server and waits for it. Persons with other devices read on, on stderr.
fn announce(config: &Config, bound: SocketAddr) {
    let scheme = if config.http.tls == config::Tls::Off { "http" } else { "https" };
    let mut stdout = io::stdout().lock();
    // Nobody may read it.
    let _ = writeln!(stdout, "listening on {scheme}://{bound}").and_then(|()| stdout.flush());
    if config.http.tls == config::Tls::SelfSigned {
        let addresses =
            if bound.ip().is_unspecified() { interfaces::usable_addresses(false).unwrap_or_default() } else { vec![bound.ip()] };
        let addresses: Vec<IpAddr> = addresses.into_iter().filter(|ip| bound.is_ipv6() || ip.is_ipv4()).collect();
        let _ = io::stderr().lock().write_all(invitation::text(&addresses, bound.port()).as_bytes());
    }
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
