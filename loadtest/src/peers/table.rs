//! What came of all runs, as a page of Markdown: medians, and what we take of what the other takes.

use std::fmt::Write as _;

use super::case::{Case, Figures};
use super::server::Peer;

/// Runs of one case.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub case: Case,
    /// By whom, with what came of it.
    pub runs: Vec<(Peer, Figures)>,
}

/// One column: its head, how it is read, and its digits.
type Column = (&'static str, fn(&Figures) -> f64, usize);

const COLUMNS: [Column; 9] = [
    ("CPU µs/packet", |f| f.cpu_us, 2),
    ("CPU, % of a core", |f| f.cpu_share * 100.0, 0),
    ("packets/s", |f| f.packets_per_s, 0),
    ("join p50 ms", |f| f.join_ms_p50, 0),
    ("join p95 ms", |f| f.join_ms_p95, 0),
    ("memory a viewer, kB", |f| f.viewer_kb, 0),
    ("switches/packet", |f| f.switches, 2),
    ("lost, %", |f| f.lost * 100.0, 3),
    ("freezes", |f| f.freezes as f64, 0),
];

/// Columns whose ratio says something.
const RATIOS: [usize; 4] = [0, 3, 4, 5];

/// The page.
pub fn page(rows: &[Row], head: &str) -> String {
    let mut text = format!("# Side by side\n\n{head}\n\n| case | server |");
    for (name, _, _) in COLUMNS {
        write!(text, " {name} |").expect("a string takes all");
    }
    text += &format!("\n|---|---|{}\n", "---:|".repeat(COLUMNS.len()));
    for row in rows {
        text += &lines(row);
    }
    for row in rows {
        for peer in [Peer::Ninefold, Peer::Janus] {
            text += &faults(row, peer);
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// What was wrong in all runs of one server, in a line.
fn faults(row: &Row, peer: Peer) -> String {
    let runs = || row.runs.iter().filter(|(of, _)| *of == peer).map(|(_, figures)| figures);
    let count: u64 = runs().map(|figures| figures.faults_count).sum();
    let late = runs().map(|figures| figures.late_ms).fold(0.0, f64::max);
    let first = runs().find_map(|figures| figures.faults.first());
    first.map_or(String::new(), |first| {
        format!("\n- {}, {peer}: {count} faults in all runs, bots at most {late:.0} ms late; the first: {first}", row.case.name())
    })
}

fn lines(row: &Row) -> String {
    let mut text = String::new();
    let of = |peer: Peer| row.runs.iter().filter(move |(of, _)| *of == peer).map(|(_, figures)| figures);
    let medians = |peer: Peer| COLUMNS.map(|(_, read, _)| median(of(peer).map(read).collect()));
    let (ours, theirs) = (medians(Peer::Ninefold), medians(Peer::Janus));
    for (peer, medians) in [(Peer::Ninefold, ours), (Peer::Janus, theirs)] {
        text += &format!("| {} | {peer} ({} runs) |", row.case.name(), of(peer).count());
        for ((_, _, digits), median) in COLUMNS.iter().zip(medians) {
            text += &median.map_or(" - |".into(), |median| format!(" {median:.digits$} |"));
        }
        text.push('\n');
    }
    text += "| | ratio |";
    for index in 0..COLUMNS.len() {
        let ratio = ours[index].zip(theirs[index]).filter(|(_, theirs)| RATIOS.contains(&index) && *theirs > 0.0);
        text += &ratio.map_or(" |".into(), |(ours, theirs)| format!(" **{:.2}** |", ours / theirs));
    }
    text + "\n"
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { Some(values[middle]) } else { values.get(middle).map(|upper| (upper + values[middle - 1]) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_page() {
        let case = Case { publishers: 1, viewers: 20, bitrate_bps: 600_000, light: false };
        let figures = |cpu_us| Figures { cpu_us, join_ms_p50: 20.0, ..Figures::default() };
        let faulty = Figures { faults: vec!["a reason".into()], faults_count: 7, ..figures(10.0) };
        let page = page(&[Row { case, runs: vec![(Peer::Ninefold, figures(4.0)), (Peer::Janus, faulty)] }], "head");
        for part in [
            "\nhead\n",
            "| 1 → 20, 600 kbit/s | Ninefold (1 runs) | 4.00 |",
            "| | ratio | **0.40** | | | **1.00** |",
            "Janus: 7 faults in all runs, bots at most 0 ms late; the first: a reason",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        let alone = super::page(&[Row { case, runs: vec![(Peer::Ninefold, figures(4.0))] }], "");
        assert!(alone.contains("Janus (0 runs) | - |") && alone.contains("| | ratio | | |"), "{alone}");
    }
}
