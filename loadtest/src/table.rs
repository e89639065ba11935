//! A report as a table for people, and how numbers are written for them.

use std::fmt::{self, Write as _};

use crate::bad_network::Phase;
use crate::bounds::Bound;
use crate::report::{LATE_MS, Millis, Report};

/// Of all rows but phases: a name and a value.
type Rows = Vec<(&'static str, String)>;

/// A number with its thousands apart.
pub fn number(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bits a second.
pub fn bitrate(bps: f64) -> String {
    scaled(bps, 1e3, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// Bytes.
pub fn bytes(bytes: f64) -> String {
    scaled(bytes, 1e3, &["B", "kB", "MB", "GB", "TB"])
}

fn scaled(mut value: f64, factor: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value.abs() >= factor && unit + 1 < units.len() {
        value /= factor;
        unit += 1;
    }
    let places = if unit == 0 || value.abs() >= 100.0 { 0 } else { 1 };
    format!("{value:.places$} {}", units[unit])
}

/// A share of a core.
pub fn cores(share: f64) -> String {
    format!("{:.1} % of a core", share * 100.0)
}

fn millis(Millis { p50, p95, p99 }: Millis) -> String {
    let places = if p99 < 10.0 { 2 } else { 0 };
    format!("p50 {p50:.places$} ms   p95 {p95:.places$} ms   p99 {p99:.places$} ms")
}

impl Report {
    /// Names and values, for people.
    pub fn rows(&self) -> Rows {
        let mut rows = self.client_rows();
        rows.extend(self.server_rows());
        let actions: Vec<String> = self.actions.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if self.actions.keys().any(|name| *name != "join") {
            rows.push(("done", actions.join(", ")));
        }
        rows
    }

    fn client_rows(&self) -> Rows {
        let Report { clients, duration_s, .. } = self;
        let flow = |packets: u64, bytes: u64| {
            let seconds = duration_s.max(1e-3);
            format!("{} ({} a second, {})", number(packets as f64), number(packets as f64 / seconds), bitrate(bytes as f64 * 8.0 / seconds))
        };
        let mut rows = vec![("bots connected", format!("{} of {}", clients.connected, clients.planned))];
        if clients.full_viewers + clients.light_viewers > 0 {
            rows.push(("viewers", format!("{} full, {} light", clients.full_viewers, clients.light_viewers)));
        }
        rows.push(("join (to connected media)", millis(clients.join_ms)));
        rows.push(("first frame", millis(clients.first_frame_ms)));
        rows.push(("packets received", flow(clients.packets_received, clients.bytes_received)));
        rows.push(("packets sent", flow(clients.packets_sent, clients.bytes_sent)));
        rows.extend(self.delay_ms.map(|delay| ("one-way delay", millis(delay))));
        rows.extend(self.jitter_ms.map(|jitter| ("jitter", millis(jitter))));
        rows.push(("lost before repair", number(clients.lost_before_repair as f64)));
        rows.push(("lost after repair", number(clients.lost_after_repair as f64)));
        rows.push(("freezes", number(clients.freezes as f64)));
        rows.push(("keyframe requests", number(clients.keyframe_requests as f64)));
        rows.push(("faults", number(clients.faults as f64)));
        rows.push(("bots late, at most", format!("{:.1} ms", clients.late_ms_max)));
        rows.push(("bots: CPU", cores(self.load_generator.cpu_share)));
        rows
    }

    fn server_rows(&self) -> Rows {
        let server = &self.server;
        let cpu = server.cpu_us_per_forwarded_packet.map_or("-".into(), |cpu| format!("{cpu:.2} µs"));
        let growth = server.rss_bytes as f64 - server.rss_bytes_at_begin as f64;
        let memory = format!("{} ({} since measuring began)", bytes(server.rss_bytes as f64), signed(growth));
        let mut rows = vec![
            ("server: packets forwarded", number(server.packets_sent as f64)),
            ("server: CPU per forwarded packet", cpu),
            ("server: CPU", format!("{} ({:.2} s)", cores(server.cpu_share), server.cpu_seconds)),
            ("server: CPU while they joined", format!("{:.2} s", server.joining_cpu_seconds)),
            ("server: memory", memory),
            ("server: memory per participant", bytes(server.rss_bytes_per_participant as f64)),
        ];
        rows.extend(server.packets_per_send_call.map(|packets| ("server: packets per send call", format!("{packets:.2}"))));
        if let Some(switches) = server.context_switches {
            let (voluntary, involuntary) = (number(switches.voluntary as f64), number(switches.involuntary as f64));
            rows.push(("server: context switches", format!("{voluntary} voluntary, {involuntary} involuntary")));
        }
        rows
    }

    /// What a reader must know beside the figures.
    pub fn warnings(&self) -> Vec<String> {
        let slow = "this machine is too slow for its bots just now: freezes and times may be theirs and not the server's".to_owned();
        let early = self.ended_early.as_ref().map(|why| format!("{why}; what follows is what was seen until then"));
        let late = (self.clients.late_ms_max > LATE_MS).then_some(slow);
        early.into_iter().chain(self.failures.clone()).chain(self.clients.first_faults.clone()).chain(late).collect()
    }
}

fn signed(growth: f64) -> String {
    format!("{}{}", if growth >= 0.0 { "+" } else { "" }, bytes(growth))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rooms = if self.rooms == 1 { String::new() } else { format!(" ({} rooms)", self.rooms) };
        let mut text = format!("{} in room {}{rooms}, measured for {:.1} s\n", self.preset, self.room, self.duration_s);
        for (name, value) in self.rows() {
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
        if let Some(capacity) = &self.capacity {
            write!(text, "{capacity}")?;
        }
        for line in self.warnings() {
            writeln!(text, "  ! {line}")?;
        }
        for Bound { what, broken } in &self.bounds {
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
    use crate::report::tests::report;

    #[test]
    fn numbers_for_people() {
        for (value, text) in [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (-1_234_567.0, "-1,234,567")] {
            assert_eq!(number(value), text);
        }
        assert_eq!((bitrate(950.0), bitrate(1_500_000.0), bitrate(0.0)), ("950 bit/s".into(), "1.5 Mbit/s".into(), "0 bit/s".into()));
        assert_eq!((bytes(105_400.0), bytes(-2_500.0), bytes(1e18)), ("105 kB".into(), "-2.5 kB".into(), "1000000 TB".into()));
    }

    #[test]
    fn the_table_says_what_broke_and_why_it_ended() {
        let mut report = report();
        assert!(report.to_string().contains("held    freezes"), "{report}");
        report.bounds.push(Bound::new("lost", Some("3 instead of 0".into())));
        report.ended_early = Some("the server stopped answering".into());
        report.failures.push("bot 7: refused".into());
        report.clients.late_ms_max = 150.0;
        let table = report.to_string();
        assert_eq!(table.matches("BROKEN").count(), 1);
        for said in ["BROKEN  lost: 3 instead of 0", "! the server stopped", "! bot 7: refused", "! this machine is too slow"] {
            assert!(table.contains(said), "{said}: {table}");
        }
    }
}
