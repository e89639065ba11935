//! Plots as inline SVG: lines over time and bars over a logarithmic axis. Colours are classes, so that the page decides.

use std::fmt::Write as _;

use crate::histogram::Bucket;
use crate::table::number;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
/// Points of a line. More: as many are left out as is needed.
const POINTS_MAX: usize = 600;

/// One line of a plot.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// Seconds and values.
    pub points: Vec<(f64, f64)>,
}

/// A plot of lines over seconds.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a> {
    /// What it shows.
    pub title: &'a str,
    /// How a value is written.
    pub unit: fn(f64) -> String,
    /// The lines, at most three.
    pub lines: &'a [Line],
    /// From when to when it was measured.
    pub measured: (f64, f64),
}

impl Plot<'_> {
    /// A figure with its caption.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let end = points().map(|(at, _)| *at).fold(1.0, f64::max);
        let top = nice(points().map(|(_, value)| *value).fold(0.0, f64::max));
        let x = |at: f64| LEFT + at / end * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let mut body = String::new();
        let (from, until) = (x(self.measured.0.min(end)), x(self.measured.1.min(end)));
        let tall = HEIGHT - TOP - BOTTOM;
        let _ = write!(body, r#"<rect class="measured" x="{from:.1}" y="{TOP}" width="{:.1}" height="{tall}"/>"#, until - from);
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            body += &grid(y(value), &(self.unit)(value));
        }
        let every = nice(end / 6.0).max(1.0);
        for step in 0..=(end / every) as usize {
            let at = step as f64 * every;
            body += &label(x(at), &format!("{at:.0} s"));
        }
        for (index, line) in self.lines.iter().enumerate() {
            let skip = line.points.len().div_ceil(POINTS_MAX).max(1);
            let path: Vec<String> = line.points.iter().step_by(skip).map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
            let _ = write!(body, r#"<polyline class="line c{index}" points="{}"/>"#, path.join(" "));
        }
        let key = |(index, line): (usize, &Line)| format!(r#" <span class="key k{index}">{}</span>"#, line.name);
        let keys: String = if self.lines.len() > 1 { self.lines.iter().enumerate().map(key).collect() } else { String::new() };
        figure(self.title, &keys, &body)
    }
}

/// Bars over a logarithmic axis of milliseconds.
pub fn bars(title: &str, buckets: &[Bucket]) -> String {
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return String::new() };
    let (low, high) = (first.from.log10().floor(), last.to.log10().ceil());
    let most = nice(buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0) as f64);
    let x = |value: f64| LEFT + (value.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let y = |count: f64| HEIGHT - BOTTOM - count / most * (HEIGHT - TOP - BOTTOM);
    let mut body = String::new();
    for step in 0..=4 {
        let count = most * f64::from(step) / 4.0;
        body += &grid(y(count), &whole(count));
    }
    for decade in low as i32..=high as i32 {
        let value = 10_f64.powi(decade);
        body += &label(x(value), &format!("{value} ms"));
    }
    for Bucket { from, to, count } in buckets {
        let (left, upper) = (x(*from), y(*count as f64));
        let (width, height) = ((x(*to) - left).max(1.0), HEIGHT - BOTTOM - upper);
        let _ = write!(
            body,
            r#"<rect class="bar" x="{left:.1}" y="{upper:.1}" width="{width:.1}" height="{height:.1}"><title>{from:.2} to {to:.2} ms: {count}</title></rect>"#
        );
    }
    figure(title, "", &body)
}

fn figure(title: &str, keys: &str, body: &str) -> String {
    format!(
        "<figure><figcaption>{title}{keys}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">{body}</svg></figure>\n"
    )
}

fn grid(y: f64, text: &str) -> String {
    let (right, near) = (WIDTH - RIGHT, LEFT - 6.0);
    format!(
        r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="end" x="{near}" y="{:.1}">{text}</text>"#,
        y + 3.5
    )
}

fn label(x: f64, text: &str) -> String {
    format!(r#"<text class="middle" x="{x:.1}" y="{:.1}">{text}</text>"#, HEIGHT - 8.0)
}

/// A count; halves of things are not written.
pub fn whole(count: f64) -> String {
    if count.fract() == 0.0 { number(count) } else { String::new() }
}

/// The next of 1, 2, 4, 5 and 10 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= value * 0.999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in
            [(0.0, 1.0), (1.0, 1.0), (1.2, 2.0), (3.0, 4.0), (4.5, 5.0), (7.0, 10.0), (93_000.0, 100_000.0), (f64::NAN, 1.0)]
        {
            assert_eq!(nice(value), end, "{value}");
        }
    }

    #[test]
    fn plots_have_what_they_show() {
        let line = |name| Line { name, points: (0..2_000).map(|at| (f64::from(at), f64::from(at % 7))).collect() };
        let plot = Plot { title: "CPU", unit: |value| format!("{value:.1}"), lines: &[line("server"), line("bots")], measured: (1.0, 5e9) };
        let svg = plot.svg();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("class=\"key").count()), (2, 2));
        assert!(svg.len() < 40_000 && !svg.contains("NaN") && !svg.contains("inf"), "{}", svg.len());
        let buckets: Vec<Bucket> = Histogram::of([1.0, 1.0, 30.0]).buckets().collect();
        assert_eq!(bars("join", &buckets).matches("class=\"bar\"").count(), 2);
        assert_eq!(bars("join", &[]), "");
        let empty = Plot { lines: &[Line { name: "x", points: vec![] }], ..plot };
        assert!(!empty.svg().contains("NaN"));
    }
}
