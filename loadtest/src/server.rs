//! What a Ninefold server says of itself: `/metrics`, read as numbers; and what the system says of it, where it runs on this machine.

use std::collections::HashMap;

use crate::http::{HttpError, Target};
use crate::process::{Process, Switches};

/// Why there are no figures of the server.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// It does not answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It answers something else.
    #[error("{target}/metrics is no page of metrics (status {status}). Is it a Ninefold server?")]
    Strange {
        /// The address.
        target: Target,
        /// HTTP status.
        status: u16,
    },
    /// A figure is missing.
    #[error("{target}/metrics has no {name}")]
    Missing {
        /// The address.
        target: Target,
        /// Of the figure.
        name: String,
    },
}

/// All figures at one moment, by name with labels, as they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    values: HashMap<String, f64>,
}

impl Metrics {
    /// Reads them.
    pub async fn read(target: &Target) -> Result<Metrics, MetricsError> {
        let response = target.get("/metrics").await?;
        let metrics = Metrics::parse(&response.body);
        if response.status != 200 || metrics.values.is_empty() {
            return Err(MetricsError::Strange { target: target.clone(), status: response.status });
        }
        Ok(metrics)
    }

    /// One of them: `name` or `name{label="value"}`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// Packets that were dropped for a reason.
    pub fn dropped(&self, reason: &str) -> f64 {
        self.get(&format!("ninefold_packets_dropped_total{{reason=\"{reason}\"}}")).unwrap_or(0.0)
    }

    fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' ')).filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Metrics { values: pairs.collect() }
    }
}

/// What the process has used and done until now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor time, in steps of 10 ms.
    pub cpu_seconds: f64,
    /// Memory.
    pub rss_bytes: f64,
    /// Packets that were forwarded.
    pub packets_sent: f64,
    /// Their bytes, as datagrams.
    pub bytes_sent: f64,
    /// Packets that were repeated.
    pub packets_repeated: f64,
    /// Datagrams of all kinds.
    pub datagrams_sent: f64,
    /// System calls that sent them.
    pub send_calls: f64,
    /// Keyframes that publishers were asked for.
    pub keyframes_asked: f64,
    /// Known where the process is on this machine.
    pub switches: Option<Switches>,
}

impl Usage {
    /// Reads it, of the process too where that is known.
    pub async fn read(target: &Target, process: Option<Process>) -> Result<Usage, MetricsError> {
        let metrics = Metrics::read(target).await?;
        let get = |name: &str| {
            let missing = || MetricsError::Missing { target: target.clone(), name: name.to_owned() };
            metrics.get(name).ok_or_else(missing)
        };
        Ok(Usage {
            cpu_seconds: get("process_cpu_seconds_total")?,
            rss_bytes: get("process_resident_memory_bytes")?,
            packets_sent: get("ninefold_rtp_packets_sent_total")?,
            bytes_sent: get("ninefold_rtp_bytes_sent_total")?,
            packets_repeated: get("ninefold_rtx_packets_sent_total")?,
            datagrams_sent: get("ninefold_datagrams_sent_total")?,
            send_calls: get("ninefold_send_calls_total")?,
            keyframes_asked: get("ninefold_plis_sent_total")?,
            switches: process.and_then(Process::switches),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let metrics = Metrics::parse("# HELP a b\n# TYPE a gauge\na 5\nninefold_packets_dropped_total{reason=\"late\"} 2\nb 1.5e3\n");
        assert_eq!((metrics.get("a"), metrics.get("b"), metrics.get("c")), (Some(5.0), Some(1_500.0), None));
        assert_eq!((metrics.dropped("late"), metrics.dropped("muted")), (2.0, 0.0));
    }
}
