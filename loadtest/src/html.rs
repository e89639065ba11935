//! A report as one page that needs nothing beside it: figures, plots as inline SVG, no script.

use std::fmt::Write as _;

use crate::bad_network::Phase;
use crate::capacity::{Tried, Verdict};
use crate::report::Report;
use crate::series::Sample;
use crate::svg::{Line, Plot, bars, whole};
use crate::table::{bitrate, bytes, number};

const STYLE: &str = include_str!("report.css");

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        let title = format!("{}: {}", escape(&self.preset), escape(&self.room));
        let held = if self.held() { r#"<b class="held">held</b>"# } else { r#"<b class="broken">not held</b>"# };
        let rooms = if self.rooms == 1 { "one room".to_owned() } else { format!("{} rooms", self.rooms) };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
             <p>{rooms}, measured for {:.1} s (the shaded part of the plots). Bounds: {held}</p>\n",
            self.duration_s
        );
        for warning in self.warnings() {
            let _ = writeln!(page, "<p class=\"warning\">{}</p>", escape(&warning));
        }
        page += &self.tiles();
        page += &self.bound_list();
        page += &self.capacity_table();
        page += &self.phase_table();
        page += &format!("<h2>Second by second</h2>\n<div class=\"plots\">\n{}</div>\n", self.plots());
        let distributions = self.distribution_plots();
        if !distributions.is_empty() {
            page += &format!("<h2>How often</h2>\n<div class=\"plots\">\n{distributions}</div>\n");
        }
        page += "<h2>All figures</h2>\n<table>\n";
        for (name, value) in self.rows() {
            let _ = writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value));
        }
        page + "</table>\n</body>\n</html>\n"
    }

    fn tiles(&self) -> String {
        let (clients, server) = (&self.clients, &self.server);
        let tiles = [
            ("bots connected", format!("{} of {}", clients.connected, clients.planned)),
            ("server CPU per packet", server.cpu_us_per_forwarded_packet.map_or("-".into(), |cpu| format!("{cpu:.2} µs"))),
            ("server CPU, of a core", format!("{:.1} %", server.cpu_share * 100.0)),
            ("bots' CPU, of a core", format!("{:.1} %", self.load_generator.cpu_share * 100.0)),
            ("server memory", bytes(server.rss_bytes as f64)),
            ("join, p95", format!("{:.0} ms", clients.join_ms.p95)),
            ("first frame, p95", format!("{:.0} ms", clients.first_frame_ms.p95)),
            ("lost after repair", number(clients.lost_after_repair as f64)),
            ("freezes", number(clients.freezes as f64)),
        ];
        let tile = |(name, value): (&str, String)| format!("<div class=\"tile\"><b>{value}</b><span>{name}</span></div>\n");
        format!("<div class=\"tiles\">\n{}</div>\n", tiles.into_iter().map(tile).collect::<String>())
    }

    fn bound_list(&self) -> String {
        let row = |bound: &crate::bounds::Bound| match &bound.broken {
            None => format!("<tr><td class=\"held\">held</td><td>{}</td><td></td></tr>\n", escape(bound.what)),
            Some(why) => format!("<tr><td class=\"broken\">broken</td><td>{}</td><td>{}</td></tr>\n", escape(bound.what), escape(why)),
        };
        format!("<h2>Bounds</h2>\n<table>\n{}</table>\n", self.bounds.iter().map(row).collect::<String>())
    }

    fn plots(&self) -> String {
        let line = |name, value: fn(&Sample) -> f64| Line { name, points: self.series.iter().map(|s| (s.at_s, value(s))).collect() };
        let measured = (self.measured_from_s, self.measured_from_s + self.duration_s);
        let plot = |title, unit: fn(f64) -> String, lines: &[Line]| Plot { title, unit, lines, measured }.svg();
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        [
            plot("Packets a second, received by bots", number, &[line("packets", |s| s.packets_per_s)]),
            plot("Bits a second, received by bots", bitrate, &[line("bits", |s| s.bits_per_s)]),
            plot("CPU, of a core", percent, &[line("server", |s| s.server_cpu_share), line("bots", |s| s.bots_cpu_share)]),
            plot("Bots", whole, &[line("in their rooms", |s| s.bots as f64), line("connected in this second", |s| s.joins as f64)]),
            plot("Losses before repair, and freezes", whole, &[line("lost", |s| s.missed as f64), line("freezes", |s| s.freezes as f64)]),
            plot("Server memory", bytes, &[line("memory", |s| s.server_rss_bytes)]),
        ]
        .concat()
    }

    fn distribution_plots(&self) -> String {
        let of = |title, histogram: &crate::histogram::Histogram| bars(title, &histogram.buckets().collect::<Vec<_>>());
        let all = &self.distributions;
        [of("Join, to connected media", &all.join_ms), of("First frame", &all.first_frame_ms), of("One-way delay", &all.delay_ms)].concat()
    }

    fn capacity_table(&self) -> String {
        let Some(capacity) = &self.capacity else { return String::new() };
        let row = |tried: &Tried| {
            let (class, said) = match &tried.verdict {
                Verdict::Held => ("held", "held".to_owned()),
                Verdict::Broken(why) => ("broken", format!("broke: {why}")),
                Verdict::BotsAtEnd(why) => ("warning", format!("unknown: {why}")),
            };
            let (server, bots) = (tried.server_cpu_share * 100.0, tried.bots_cpu_share * 100.0);
            let numbers = [number(tried.count as f64), number(tried.packets_per_s), format!("{server:.0} %"), format!("{bots:.0} %")];
            let cells: String = numbers.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
            format!("<tr>{cells}<td class=\"{class}\">{}</td></tr>\n", escape(&said))
        };
        let head = format!(
            "<tr><th class=\"n\">{}</th><th class=\"n\">packets/s</th><th class=\"n\">server CPU</th><th class=\"n\">bots CPU</th><th></th></tr>",
            escape(&capacity.of)
        );
        let rows: String = capacity.steps.iter().map(row).collect();
        format!(
            "<h2>Capacity: {} {}</h2>\n<div class=\"scroll\"><table>\n{head}\n{rows}</table></div>\n",
            capacity.held,
            escape(&capacity.of)
        )
    }

    fn phase_table(&self) -> String {
        if self.phases.is_empty() {
            return String::new();
        }
        let row = |phase: &Phase| {
            let numbers = [
                bitrate(phase.received_bps),
                bitrate(phase.received_bps_least),
                format!("{:.1}", phase.frames_per_s),
                phase.freezes.to_string(),
                format!("{:.0} ms", phase.frozen_ms),
                format!("{:.0} ms", phase.longest_ms),
                format!("{:.1} %", phase.lost_before_repair * 100.0),
                format!("{:.1} %", phase.lost_after_repair * 100.0),
            ];
            let cells: String = numbers.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
            format!("<tr><td>{}</td>{cells}</tr>\n", escape(&phase.name))
        };
        let names = ["payload", "least", "frames/s", "freezes", "frozen", "longest", "lost", "after repair"];
        let head: String = names.iter().map(|name| format!("<th class=\"n\">{name}</th>")).collect();
        let rows: String = self.phases.iter().map(row).collect();
        format!("<h2>Networks</h2>\n<div class=\"scroll\"><table>\n<tr><th></th>{head}</tr>\n{rows}</table></div>\n")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::report::tests::report;

    #[test]
    fn the_page_needs_nothing_beside_it_and_trusts_no_text() {
        let mut report = report();
        report.room = "<script>alert(1)</script>".into();
        report.failures.push("bot 1: <img src=x>".into());
        let page = report.html();
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("http"), "{page}");
        assert_eq!(page.matches("<svg").count(), 7, "six over time and one distribution");
        assert!(page.contains("&lt;script&gt;") && page.contains("5.00 µs"));
    }
}
