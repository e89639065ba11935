//! One run as a picture: what the link could carry and what was sent, which layers were shown, how long the queue was. SVG, written by hand.

use std::fmt::Write;

use super::measure::Run;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const RATES: f64 = 230.0;
const QUEUE: f64 = 110.0;
const ROW: f64 = 18.0;
const GAP: f64 = 46.0;
const CAPACITY: &str = "#555555";
const ESTIMATE: &str = "#d55e00";
const MEDIA: &str = "#0072b2";
const WIRE: &str = "#56b4e9";
const WAIT: &str = "#cc79a7";
const FROZEN: &str = "#c00000";
/// Of the layers, the smallest first.
const LAYERS: [(&str, &str); 3] = [("#c7e9c0", "180 lines"), ("#41ab5d", "360 lines"), ("#00501f", "720 lines")];

/// One coordinate system within the picture.
struct Panel {
    top: f64,
    height: f64,
    /// Of the value axis.
    most: f64,
    length: f64,
}

impl Panel {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.length * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }

    /// A frame, a grid, and the numbers on it; `step` between two lines.
    fn axes(&self, svg: &mut String, title: &str, step: f64) {
        text(svg, (LEFT, self.top - 7.0), "start", &format!("<tspan font-weight='600'>{title}</tspan>"));
        let mut value = 0.0;
        while value <= self.most + 1e-9 {
            let y = self.y(value);
            line(svg, (LEFT, y), (WIDTH - RIGHT, y), "#e4e4e4");
            text(svg, (LEFT - 8.0, y + 4.0), "end", &number(value));
            value += step;
        }
        self.times(svg);
    }

    fn times(&self, svg: &mut String) {
        let step = step_of(self.length, 12.0);
        let bottom = self.top + self.height;
        let mut at = 0.0;
        while at <= self.length + 1e-9 {
            line(svg, (self.x(at), self.top), (self.x(at), bottom), "#eeeeee");
            text(svg, (self.x(at), bottom + 16.0), "middle", &format!("{} s", number(at)));
            at += step;
        }
        let (width, height) = (WIDTH - LEFT - RIGHT, self.height);
        let _ = writeln!(svg, "<rect x='{LEFT}' y='{:.1}' width='{width}' height='{height:.1}' fill='none' stroke='#999'/>", self.top);
    }

    /// A line through points.
    fn curve(&self, svg: &mut String, points: &[(f64, f64)], colour: &str, style: &str) {
        let points: Vec<String> = points.iter().map(|(at, value)| format!("{:.1},{:.1}", self.x(*at), self.y(*value))).collect();
        let _ = writeln!(svg, "<polyline points='{}' fill='none' stroke='{colour}' {style}/>", points.join(" "));
    }

    fn bar(&self, svg: &mut String, (from, to): (f64, f64), (y, height): (f64, f64), colour: &str) {
        let (x, width) = (self.x(from), self.x(to) - self.x(from));
        let _ = writeln!(svg, "<rect x='{x:.1}' y='{y:.1}' width='{:.1}' height='{height:.1}' fill='{colour}'/>", width.max(0.4));
    }
}

/// The picture of one run.
pub fn draw(title: &str, run: &Run) -> String {
    let rows = run.video.len() as f64;
    let height = TOP + RATES + GAP + rows * ROW + GAP + QUEUE + 34.0;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' \
         font-family='system-ui, sans-serif' font-size='12' fill='#222'>\n<rect width='100%' height='100%' fill='#fff'/>\n"
    );
    text(&mut svg, (LEFT, 22.0), "start", &format!("<tspan font-size='15' font-weight='600'>{}</tspan>", escape(title)));
    let mut top = TOP;
    rates(&mut svg, run, top);
    top += RATES + GAP;
    if !run.video.is_empty() {
        layers(&mut svg, run, top);
        top += rows * ROW + GAP;
    }
    queue(&mut svg, run, top);
    svg.push_str("</svg>\n");
    svg
}

fn rates(svg: &mut String, run: &Run, top: f64) {
    const M: f64 = 1_000_000.0;
    let wire = smooth(&run.down.bits);
    let media = smooth(&run.media);
    let of_capacity = run.capacity.iter().filter_map(|(_, rate)| rate.map(|r| r as f64 / M));
    let most = of_capacity.chain(wire.iter().map(|(_, v)| v / M)).fold(0.1, f64::max) * 1.1;
    let step = step_of(most, 6.0);
    let panel = Panel { top, height: RATES, most: (most / step).ceil() * step, length: run.length };
    panel.axes(svg, "Mbit/s", step);
    let in_m = |points: &[(f64, f64)]| points.iter().map(|(at, v)| (*at, v / M)).collect::<Vec<_>>();
    panel.curve(svg, &in_m(&wire), WIRE, "stroke-width='1.2'");
    panel.curve(svg, &in_m(&media), MEDIA, "stroke-width='1.8'");
    let estimates: Vec<(f64, f64)> = run.estimates.iter().map(|(at, bps)| (*at, *bps as f64)).collect();
    panel.curve(svg, &in_m(&stairs(&estimates, run.length)), ESTIMATE, "stroke-width='1.4'");
    let capacity: Vec<(f64, f64)> = run.capacity.iter().filter_map(|(at, rate)| rate.map(|r| (*at, r as f64))).collect();
    panel.curve(svg, &in_m(&stairs(&capacity, run.length)), CAPACITY, "stroke-width='1.4' stroke-dasharray='6 3'");
    let none = |empty: bool, name: &str| if empty { format!("{name} (none)") } else { name.to_string() };
    legend(
        svg,
        top - 7.0,
        &[
            (CAPACITY, none(capacity.is_empty(), "capacity")),
            (ESTIMATE, none(estimates.is_empty(), "estimate")),
            (WIRE, "all that was carried".into()),
            (MEDIA, "video shown".into()),
        ],
    );
}

/// A row for each slot, coloured by what it shows.
fn layers(svg: &mut String, run: &Run, top: f64) {
    let panel = Panel { top, height: run.video.len() as f64 * ROW, most: 1.0, length: run.length };
    text(svg, (LEFT, top - 7.0), "start", "<tspan font-weight='600'>layer shown, by slot</tspan>");
    for (row, shown) in run.video.iter().enumerate() {
        let (y, height) = (top + row as f64 * ROW + 1.5, ROW - 3.0);
        text(svg, (LEFT - 8.0, y + height - 3.0), "end", &format!("{}", row + 1));
        let mut from = 0;
        for next in 1..=shown.len() {
            if next == shown.len() || shown[next].layer != shown[from].layer {
                let to = shown.get(next).map_or(run.length, |s| run.seconds(s.at));
                panel.bar(svg, (run.seconds(shown[from].at), to), (y, height), LAYERS[usize::from(shown[from].layer.min(2))].0);
                from = next;
            }
        }
        for freeze in run.freezes(shown) {
            panel.bar(svg, freeze, (y, height), FROZEN);
        }
    }
    panel.times(svg);
    let names = LAYERS.iter().map(|(colour, name)| (*colour, (*name).to_string()));
    legend(svg, top - 7.0, &names.chain([(FROZEN, "frozen".into())]).collect::<Vec<_>>());
}

fn queue(svg: &mut String, run: &Run, top: f64) {
    let waits: Vec<(f64, f64)> = run.down.queue.iter().enumerate().map(|(n, w)| (n as f64 / 10.0, w.as_secs_f64() * 1_000.0)).collect();
    let most = waits.iter().map(|(_, ms)| *ms).fold(50.0, f64::max);
    let step = step_of(most, 4.0);
    let panel = Panel { top, height: QUEUE, most: (most / step).ceil() * step, length: run.length };
    panel.axes(svg, "longest wait in the queue, ms", step);
    panel.curve(svg, &waits, WAIT, "stroke-width='1.4'");
}

/// Bits in bins as bits per second, each the mean of half a second.
fn smooth(bins: &[u64]) -> Vec<(f64, f64)> {
    let mean = |n: usize| {
        let window = &bins[n.saturating_sub(4)..=n];
        window.iter().sum::<u64>() as f64 * 10.0 / window.len() as f64
    };
    (0..bins.len()).map(|n| (n as f64 / 10.0, mean(n))).collect()
}

/// A value stays until the next one.
fn stairs(points: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    let ends = points.iter().skip(1).map(|(at, _)| *at).chain([end]);
    points.iter().zip(ends).flat_map(|((at, value), end)| [(*at, *value), (end, *value)]).collect()
}

/// A round number so that about `lines` of it make the whole.
fn step_of(whole: f64, lines: f64) -> f64 {
    let raw = whole / lines;
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= raw).unwrap_or(raw)
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(svg, "<line x1='{:.1}' y1='{:.1}' x2='{:.1}' y2='{:.1}' stroke='{colour}'/>", from.0, from.1, to.0, to.1);
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x='{:.1}' y='{:.1}' text-anchor='{anchor}'>{text}</text>", at.0, at.1);
}

/// Names with their colours, on the right.
fn legend(svg: &mut String, y: f64, names: &[(&str, String)]) {
    let width = |name: &str| 26.0 + 6.4 * name.len() as f64;
    let mut x = WIDTH - RIGHT - names.iter().map(|(_, name)| width(name)).sum::<f64>();
    for (colour, name) in names {
        let _ = writeln!(svg, "<rect x='{x:.1}' y='{:.1}' width='14' height='8' fill='{colour}'/>", y - 8.0);
        text(svg, (x + 18.0, y), "start", name);
        x += width(name);
    }
}

/// As text inside XML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_numbers_short() {
        for (whole, lines, step) in [(3.3, 6.0, 1.0), (60.0, 12.0, 5.0), (200.0, 4.0, 50.0), (0.7, 6.0, 0.2)] {
            assert!((step_of(whole, lines) - step).abs() < 1e-9, "{whole}");
        }
        assert_eq!((number(1.50), number(20.0), number(0.0)), ("1.5".into(), "20".into(), "0".into()));
    }

    #[test]
    fn stairs_hold_their_value() {
        assert_eq!(stairs(&[(0.0, 3.0), (2.0, 1.0)], 5.0), [(0.0, 3.0), (2.0, 3.0), (2.0, 1.0), (5.0, 1.0)]);
        assert_eq!(stairs(&[], 5.0), []);
    }
}
