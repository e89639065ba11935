//! What the scenarios printed: one table of all numbers, worst and median of the seeds, ours beside str0m's, and a page with it and the plots.
//!
//! Each scenario is a test in a process of its own and writes its own part; whoever writes puts together what is there. Files are replaced at
//! once, so two at the same time do not spoil them.

use std::fs;
use std::path::PathBuf;

use super::plot::escape;
use super::steps::{Bar, Scenario};

/// What all seeds brought for one scenario: for each check a number for each seed.
pub struct Results {
    pub ours: Vec<Vec<f64>>,
    /// Empty where it cannot be run.
    pub str0m: Vec<Vec<f64>>,
    /// Seconds of CPU for each seed.
    pub cpu: Vec<f64>,
}

impl Results {
    /// The check's values, the worst first.
    pub fn sorted(of: &[Vec<f64>], check: usize, bar: Bar) -> Vec<f64> {
        let mut values: Vec<f64> = of.iter().map(|seed| seed[check]).collect();
        bar.sort(&mut values);
        values
    }
}

/// `target/report`.
pub fn folder() -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/report"));
    fs::create_dir_all(&folder).expect("a folder for the report");
    folder
}

/// Puts a file in the place of another.
pub fn write(name: &str, text: &str) {
    let (path, beside) = (folder().join(name), folder().join(format!("{name}.{}", std::process::id())));
    fs::write(&beside, text).expect("a file of the report");
    fs::rename(beside, path).expect("a file of the report");
}

/// The rows of one scenario.
pub fn rows(scenario: &Scenario, results: &Results) -> String {
    let mut rows = String::new();
    for (n, check) in scenario.checks.iter().enumerate() {
        let ours = Results::sorted(&results.ours, n, check.bar);
        let theirs = Results::sorted(&results.str0m, n, check.bar);
        let bar = match check.bar {
            Bar::AtMost(most) => format!("≤ {}", shown(most)),
            Bar::AtLeast(least) => format!("≥ {}", shown(least)),
        };
        let pair = |values: &[f64]| match values {
            [] => ["–".to_string(), "–".to_string()],
            [worst, ..] => [shown(*worst), shown(values[values.len() / 2])],
        };
        let ([worst, median], [worst_str0m, median_str0m]) = (pair(&ours), pair(&theirs));
        let verdict = if ours.first().is_some_and(|worst| check.bar.holds(*worst)) { "holds" } else { "**fails**" };
        let title = if n == 0 { scenario.title } else { "" };
        let unit = if check.unit.is_empty() { String::new() } else { format!(" {}", check.unit) };
        rows += &format!("| {title} | {} | {bar}{unit} | {worst} | {median} | {worst_str0m} | {median_str0m} | {verdict} |\n", check.what);
    }
    rows
}

/// Writes the part of one scenario, and the whole of what is there; `order` is that of the table.
pub fn publish(scenario: &Scenario, results: &Results, order: &[&str]) {
    write(&format!("{}.rows", scenario.name), &rows(scenario, results));
    let head = "| scenario | measure | bar | worst | median | str0m worst | str0m median | |\n|---|---|---|---:|---:|---:|---:|---|\n";
    let parts: Vec<(&str, String)> =
        order.iter().filter_map(|name| Some((*name, fs::read_to_string(folder().join(format!("{name}.rows"))).ok()?))).collect();
    let table = format!("{head}{}", parts.iter().map(|(_, rows)| rows.as_str()).collect::<String>());
    write("adapt.md", &format!("# Forwarding on networks that change\n\nWorst and median of the seeds.\n\n{table}"));
    write("index.html", &page(&parts));
}

fn page(parts: &[(&str, String)]) -> String {
    let mut page = String::from(
        "<!doctype html><meta charset='utf-8'><title>Forwarding on networks that change</title>\n<style>\n\
         body { font: 14px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }\n\
         table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left }\n\
         td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } .fails { color: #c00000; font-weight: 600 }\n\
         img { max-width: 100%; border: 1px solid #ddd; margin: .5em 0 1.5em }\n</style>\n\
         <h1>Forwarding on networks that change</h1>\n<p>Worst and median of the seeds; the plots are of seed 1.</p>\n",
    );
    page += "<table><tr><th>scenario<th>measure<th class=n>bar<th class=n>worst<th class=n>median<th class=n>str0m worst<th class=n>str0m median<th></tr>\n";
    for row in parts.iter().flat_map(|(_, rows)| rows.lines()) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        page += "<tr>";
        for (n, cell) in cells.iter().enumerate() {
            let class = if (2..7).contains(&n) { " class=n" } else { "" };
            let cell = escape(cell).replace("**fails**", "<span class=fails>fails</span>");
            page += &format!("<td{class}>{cell}");
        }
        page += "</tr>\n";
    }
    page += "</table>\n";
    for (name, _) in parts {
        for file in [format!("{name}.svg"), format!("{name}-str0m.svg")] {
            if folder().join(&file).exists() {
                page += &format!("<p><img src='{file}' alt='{name}'></p>\n");
            }
        }
    }
    page
}

/// As few digits as say something.
pub fn shown(value: f64) -> String {
    match value {
        v if !v.is_finite() => "never".into(),
        v if v.abs() >= 100.0 || v.fract() == 0.0 => format!("{v:.0}"),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(1_234.6, "1235"), (12.34, "12.3"), (1.234, "1.23"), (5.0, "5"), (f64::INFINITY, "never"), (0.0, "0")] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let seeds = [vec![3.0], vec![1.0], vec![2.0]];
        assert_eq!(Results::sorted(&seeds, 0, Bar::AtMost(2.0)), [3.0, 2.0, 1.0]);
        assert_eq!(Results::sorted(&seeds, 0, Bar::AtLeast(2.0)), [1.0, 2.0, 3.0]);
    }
}
