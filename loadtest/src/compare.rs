//! Two results side by side, and how many times the one the other is.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::report::KIND;
use crate::table::number;

/// What is compared: a name, and where it stands in the file. All of them are better when smaller but those of `+`.
const FIGURES: &[(&str, &str)] = &[
    ("bots connected +", "/clients/connected"),
    ("full viewers", "/clients/full_viewers"),
    ("light viewers", "/clients/light_viewers"),
    ("capacity +", "/capacity/held"),
    ("server CPU µs per forwarded packet", "/server/cpu_us_per_forwarded_packet"),
    ("server CPU, cores", "/server/cpu_share"),
    ("server CPU s while they joined", "/server/joining_cpu_seconds"),
    ("server memory, bytes", "/server/rss_bytes"),
    ("server memory per participant", "/server/rss_bytes_per_participant"),
    ("packets forwarded", "/server/packets_sent"),
    ("packets per send call +", "/server/packets_per_send_call"),
    ("context switches, voluntary", "/server/context_switches/voluntary"),
    ("context switches, involuntary", "/server/context_switches/involuntary"),
    ("bots CPU, cores", "/load_generator/cpu_share"),
    ("join ms p50", "/clients/join_ms/p50"),
    ("join ms p95", "/clients/join_ms/p95"),
    ("first frame ms p50", "/clients/first_frame_ms/p50"),
    ("first frame ms p95", "/clients/first_frame_ms/p95"),
    ("delay ms p50", "/delay_ms/p50"),
    ("delay ms p99", "/delay_ms/p99"),
    ("jitter ms p99", "/jitter_ms/p99"),
    ("lost before repair", "/clients/lost_before_repair"),
    ("lost after repair", "/clients/lost_after_repair"),
    ("freezes", "/clients/freezes"),
    ("keyframe requests", "/clients/keyframe_requests"),
    ("faults", "/clients/faults"),
    ("bots late ms, at most", "/clients/late_ms_max"),
];

/// Two results.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    names: [String; 2],
    /// A name, and what each of them has.
    rows: Vec<(&'static str, [Option<f64>; 2])>,
}

impl Comparison {
    /// Of two files that were written with `--json`.
    pub fn read(paths: [&Path; 2]) -> Result<Comparison, String> {
        let [a, b] = paths.map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            parse(&text).map_err(|why| format!("{}: {why}", path.display()))
        });
        let names = paths.map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        Ok(Comparison::of(names, [&a?, &b?]))
    }

    fn of(names: [String; 2], values: [&Value; 2]) -> Comparison {
        let runs = values.map(|value| (&value["preset"], value["duration_s"].as_f64()));
        let names: [String; 2] = std::array::from_fn(|index| {
            let (preset, duration) = runs[index];
            format!("{} ({}, {:.0} s)", names[index], preset.as_str().unwrap_or("?"), duration.unwrap_or(0.0))
        });
        let both = |pointer: &str| values.map(|value| value.pointer(pointer).and_then(Value::as_f64));
        let rows = FIGURES.iter().map(|(name, pointer)| (*name, both(pointer)));
        Comparison { names, rows: rows.filter(|(_, both)| both.iter().any(Option::is_some)).collect() }
    }
}

fn parse(text: &str) -> Result<Value, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("this is no JSON ({error}): compare takes what --json has written"))?;
    match value["kind"].as_str() {
        Some(KIND) => Ok(value),
        _ => Err("this is no result of ninefold-loadtest: compare takes what --json has written".into()),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.names;
        writeln!(f, "A  {a}\nB  {b}\n")?;
        writeln!(f, "{:<38}{:>14}{:>14}{:>9}", "(+ more is better, else less)", "A", "B", "B/A")?;
        for (name, [a, b]) in &self.rows {
            let text = |value: &Option<f64>| value.map_or("-".to_owned(), figure);
            let ratio = match (a, b) {
                (Some(a), Some(b)) if *a != 0.0 => format!("{:.2}", b / a),
                _ => "-".to_owned(),
            };
            writeln!(f, "{name:<38}{:>14}{:>14}{ratio:>9}", text(a), text(b))?;
        }
        Ok(())
    }
}

fn figure(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1e4 { number(value) } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn ratios_stand_beside_both() {
        let mut other = report();
        other.server.cpu_us_per_forwarded_packet = Some(2.5);
        let [a, b] = [report(), other].map(|report| serde_json::to_value(report).expect("JSON"));
        let comparison = Comparison::of(["old".into(), "new".into()], [&a, &b]);
        let table = comparison.to_string();
        let line = table.lines().find(|line| line.starts_with("server CPU µs")).expect("a line");
        assert_eq!(line.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["0.50", "2.50", "5"]);
        let none = table.lines().find(|line| line.starts_with("freezes")).expect("a line");
        assert!(none.ends_with('-'), "nothing is a multiple of 0: {none}");
        assert!(!table.contains("delay ms"), "neither has it: {table}");
        assert!(table.starts_with("A  old (conference, 10 s)\nB  new"), "{table}");
    }

    #[test]
    fn all_figures_exist() {
        let mut full = report();
        full.delay_ms = Some(crate::report::Millis::default());
        full.jitter_ms = full.delay_ms;
        full.server.context_switches = Some(crate::process::Switches::default());
        full.capacity = Some(crate::capacity::Capacity::default());
        let json = serde_json::to_value(full).expect("JSON");
        for (name, pointer) in FIGURES {
            assert!(json.pointer(pointer).is_some_and(Value::is_number), "{name} {pointer}");
        }
    }

    #[test]
    fn files_of_other_kinds_are_refused() {
        for (text, said) in
            [("", "no JSON"), ("{}", "no result"), ("[1]", "no result"), ("{\"kind\": \"x\"}", "no result"), ("7", "no result")]
        {
            let error = parse(text).expect_err(text);
            assert!(error.contains(said) && error.contains("--json"), "{text}: {error}");
        }
    }
}
