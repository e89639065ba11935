//! `forward`: a shard without sockets, one publisher and its viewers. Datagrams in, sealed datagrams out, with estimator, transport-wide numbers, history and
//! sender reports; the viewers' feedback is read, too. Beside it the floor, and str0m's own send path.

use std::fmt::Write as _;
use std::time::Duration;

use super::hall::{Crowd, Hall};
use super::{floor, median, stock};
use crate::media::Camera;

/// As the figures of others have it: 1.5 Mbit/s, about six packets in a frame.
pub const CAMERA: Camera = Camera { layers: 1, fps: 30, bitrate_bps: 1_500_000 };
/// The estimates have risen by then, and histories begin to fill.
const WARM_UP: Duration = Duration::from_secs(10);
/// Of one round; there are so many.
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 9;
/// Sealed for one figure of the floor.
const FLOOR_PACKETS: usize = 60_000;

/// One line of the table, in nanoseconds a packet.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// How many watch.
    pub receivers: usize,
    /// All that the shard does.
    pub forward: f64,
    /// The cipher alone.
    pub floor: f64,
    /// str0m's own send path, where it was run.
    pub stock: Option<f64>,
    /// Datagrams that leave in one call.
    pub run: f64,
}

/// Measures one number of receivers.
pub fn measure(receivers: usize) -> Result<Line, String> {
    let mut hall = Hall::new(Crowd { publishers: 1, viewers: receivers, camera: CAMERA, sees: 0 })?;
    hall.run(WARM_UP);
    let (mut costs, mut floors, mut runs, mut packets, mut bytes) = (vec![], vec![], 0, 0, 0);
    for _ in 0..ROUNDS {
        hall.take_work();
        hall.run(ROUND);
        let work = hall.take_work();
        costs.push(work.cost());
        runs += work.runs;
        packets += work.packets;
        bytes += work.bytes;
        let payload = (work.bytes / work.packets.max(1)) as usize;
        floors.push(floor::seal(receivers, payload.saturating_sub(52), 6, FLOOR_PACKETS, true));
    }
    let complaints = hall.complaints();
    if !complaints.is_empty() {
        return Err(format!("what was forwarded was wrong: {}", complaints.join("; ")));
    }
    let stock = (receivers == 100).then(|| stock::measure(receivers, (bytes / packets.max(1)) as usize)).transpose()?;
    Ok(Line { receivers, forward: median(costs), floor: median(floors), stock, run: packets as f64 / runs as f64 })
}

/// The table, in Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut text = "| receivers | forward, ns a packet | floor | ratio | str0m's own path | ratio | datagrams in a run |\n".to_owned();
    text += "|---|---|---|---|---|---|---|\n";
    for Line { receivers, forward, floor, stock, run } in lines {
        let stock = stock.map_or("| – | – ".into(), |stock| format!("| {stock:.0} | {:.2} ", forward / stock));
        let _ = writeln!(text, "| {receivers} | {forward:.0} | {floor:.0} | {:.2} {stock}| {run:.1} |", forward / floor);
    }
    text
}
