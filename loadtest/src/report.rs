//! What came of a run: a table for people, JSON for programs, and whether the bounds held.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::bad_network::Phase;
use crate::server::Usage;

/// Bots that are later than this may be the reason of a freeze themselves.
const LATE_MS: f64 = 100.0;

/// The result of a run. The names of its fields are a contract.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was run.
    pub preset: &'static str,
    /// In which room.
    pub room: String,
    /// How long it was measured.
    pub duration_s: f64,
    /// What the bots saw.
    pub clients: Clients,
    /// What was received on each of several networks, where a preset has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What the server used.
    pub server: Server,
    /// Why bots are not in the room.
    pub failures: Vec<String>,
}

/// What the bots saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Clients {
    /// Bots that should have been there.
    pub planned: usize,
    /// Bots that were connected and had a picture.
    pub connected: usize,
    /// From opening the WebSocket to connected media.
    pub join_ms: Millis,
    /// From opening the WebSocket to the end of the first frame.
    pub first_frame_ms: Millis,
    /// Packets while it was measured.
    pub packets_received: u64,
    /// Packets that never came.
    pub lost_after_repair: u64,
    /// Pictures that stood still for more than 500 ms.
    pub freezes: u64,
    /// What was wrong: a packet under another's name, a source that begins without a keyframe, a number twice, time that goes back.
    pub faults: u64,
    /// The first of them.
    pub first_faults: Vec<String>,
    /// The latest that a bot made a frame after its time. Where this is large, the bots and not the server are at their end.
    pub late_ms_max: f64,
}

/// Percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Millis {
    /// Median.
    pub p50: f64,
    /// 95 of 100 are not above.
    pub p95: f64,
}

/// What the server used while it was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Server {
    /// Memory at the end.
    pub rss_bytes: u64,
    /// Processor time of the whole process for each forwarded packet. Absent: nothing was forwarded.
    pub cpu_us_per_forwarded_packet: Option<f64>,
    /// Share of one core.
    pub cpu_share: f64,
    /// Packets that it forwarded.
    pub packets_sent: u64,
}

/// One bound and whether it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What is bounded.
    pub what: &'static str,
    /// What was seen and what should have been, where it did not hold.
    pub broken: Option<String>,
}

impl Millis {
    /// Of these.
    pub fn of(mut times: Vec<Duration>) -> Millis {
        times.sort_unstable();
        // Nearest rank: the smallest that so many are not above.
        let rank = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1));
        let millis = |share| rank(share).map_or(0.0, |time: &Duration| (time.as_secs_f64() * 1e4).round() / 10.0);
        Millis { p50: millis(0.5), p95: millis(0.95) }
    }
}

impl Server {
    /// From two readings.
    pub fn between(before: &Usage, after: &Usage, lasted: Duration) -> Server {
        let (cpu, packets) = (after.cpu_seconds - before.cpu_seconds, after.packets_sent - before.packets_sent);
        Server {
            rss_bytes: after.rss_bytes as u64,
            cpu_us_per_forwarded_packet: (packets > 0.0).then(|| (cpu / packets * 1e8).round() / 100.0),
            cpu_share: (cpu / lasted.as_secs_f64() * 1e3).round() / 1e3,
            packets_sent: packets as u64,
        }
    }
}

impl Report {
    /// What had to hold.
    pub fn bounds(&self) -> Vec<Bound> {
        let Clients { planned, connected, lost_after_repair, freezes, faults, .. } = self.clients;
        let none = |what, count: u64| Bound { what, broken: (count > 0).then(|| format!("{count} instead of 0")) };
        let all = (connected < planned).then(|| format!("{connected} of {planned}"));
        let silent = (self.server.packets_sent == 0 && planned > 1).then(|| "none".to_owned());
        let mut bounds = vec![
            Bound { what: "everybody is connected and has a picture", broken: all },
            Bound { what: "packets are forwarded", broken: silent },
            none("faults (wrong face, no keyframe, number twice)", faults),
        ];
        // A bad network takes what nobody can give back; there it counts how the pictures went on.
        if self.phases.is_empty() {
            bounds.extend([none("lost packets after repair", lost_after_repair), none("freezes", freezes)]);
        } else {
            let broken: Vec<String> = self.phases.iter().filter_map(Phase::broken).collect();
            bounds.push(Bound { what: "frozen no longer than a phase allows", broken: (!broken.is_empty()).then(|| broken.join("; ")) });
        }
        bounds
    }

    /// All bounds held.
    pub fn held(&self) -> bool {
        self.bounds().iter().all(|bound| bound.broken.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { clients, server, .. } = self;
        let millis = |Millis { p50, p95 }: Millis| format!("p50 {p50:.0} ms   p95 {p95:.0} ms");
        let cpu = server.cpu_us_per_forwarded_packet.map_or("-".into(), |cpu| format!("{cpu:.2} µs"));
        let rows = [
            ("bots connected", format!("{} of {}", clients.connected, clients.planned)),
            ("join (to connected media)", millis(clients.join_ms)),
            ("first frame", millis(clients.first_frame_ms)),
            ("packets received", clients.packets_received.to_string()),
            ("lost after repair", clients.lost_after_repair.to_string()),
            ("freezes", clients.freezes.to_string()),
            ("faults", clients.faults.to_string()),
            ("bots late, at most", format!("{:.1} ms", clients.late_ms_max)),
            ("server: packets forwarded", server.packets_sent.to_string()),
            ("server: CPU per forwarded packet", cpu),
            ("server: CPU", format!("{:.1} % of a core", server.cpu_share * 100.0)),
            ("server: memory", format!("{:.1} MB", server.rss_bytes as f64 / 1e6)),
        ];
        let mut text = format!("{} in room {}, measured for {:.1} s\n", self.preset, self.room, self.duration_s);
        for (name, value) in rows {
            writeln!(text, "  {name:<34}{value}")?;
        }
        if !self.phases.is_empty() {
            let columns = "payload kbit/s (least)   frames/s   freezes   frozen   longest   lost   after repair";
            writeln!(text, "  {:<18}{columns}", "network")?;
        }
        for phase in &self.phases {
            let Phase { name, received_bps, received_bps_least, frames_per_s, freezes, frozen_ms, longest_ms, .. } = phase;
            let (least, lost, after) = (received_bps_least / 1e3, phase.lost_before_repair * 1e2, phase.lost_after_repair * 1e2);
            let rate = received_bps / 1e3;
            writeln!(
                text,
                "  {name:<18}{rate:>12.0} {:>9}{frames_per_s:>11}{freezes:>10}{frozen_ms:>6} ms{longest_ms:>7} ms{lost:>5.1} %{after:>13.1} %",
                format!("({least:.0})")
            )?;
        }
        for line in self.failures.iter().chain(&clients.first_faults) {
            writeln!(text, "  ! {line}")?;
        }
        if clients.late_ms_max > LATE_MS {
            writeln!(text, "  ! this machine is too slow for its bots just now: freezes and times may be theirs and not the server's")?;
        }
        for Bound { what, broken } in self.bounds() {
            match broken {
                None => writeln!(text, "  held    {what}")?,
                Some(broken) => writeln!(text, "  BROKEN  {what}: {broken}")?,
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let clients = Clients { planned: 3, connected: 3, ..Clients::default() };
        let usage = |cpu_seconds, packets_sent| Usage { cpu_seconds, packets_sent, rss_bytes: 2e6 };
        let server = Server::between(&usage(1.0, 0.0), &usage(1.5, 100_000.0), Duration::from_secs(10));
        Report { preset: "conference", room: "x".into(), duration_s: 10.0, clients, phases: vec![], server, failures: vec![] }
    }

    #[test]
    fn percentiles() {
        let times = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(Millis::of(times), Millis { p50: 50.0, p95: 95.0 });
        assert_eq!(Millis::of(vec![Duration::from_millis(7)]), Millis { p50: 7.0, p95: 7.0 });
        assert_eq!(Millis::of(vec![]), Millis::default());
    }

    #[test]
    fn the_names_of_the_contract() {
        let json = serde_json::to_value(report()).expect("JSON");
        for name in
            ["/clients/join_ms/p50", "/clients/first_frame_ms/p95", "/clients/lost_after_repair", "/clients/freezes", "/server/rss_bytes"]
        {
            assert!(json.pointer(name).is_some_and(serde_json::Value::is_number), "{name}");
        }
        assert_eq!(json["server"]["cpu_us_per_forwarded_packet"], 5.0);
        assert_eq!(json["server"]["cpu_share"], 0.05);
    }

    #[test]
    fn each_bound_breaks() {
        assert!(report().held(), "{}", report());
        let breaks: [fn(&mut Report); 5] = [
            |r| r.clients.connected = 2,
            |r| r.clients.lost_after_repair = 1,
            |r| r.clients.freezes = 1,
            |r| r.clients.faults = 1,
            |r| r.server.packets_sent = 0,
        ];
        for spoil in breaks {
            let mut report = report();
            spoil(&mut report);
            assert!(!report.held());
            assert_eq!(report.to_string().matches("BROKEN").count(), 1);
        }
    }
}
