//! What the server counts, and the text of `/metrics`. The names are a contract; the table of them is `deploy/METRICS.md`, which a test compares
//! with what is rendered here.
//!
//! ```text
//! packet path: plain numbers      once a tick: atomics          on request: text
//! ShardCounters, Drops  ────────► ShardMetrics::publish ──────► Metrics::render
//! ```
//!
//! A packet never costs an atomic. Each shard has its own [`ShardMetrics`], so what is true now (rooms, participants) adds up over the shards and
//! goes away with a shard that ends. There is no global registry: whoever counts was given the [`Metrics`].

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rooms: IntGauge,
    participants: IntGauge,
    viewers: IntGauge,
    tracks: IntGauge,
    tcp_connections: IntGauge,
    packets_received: IntCounter,
    bytes_received: IntCounter,
    packets_sent: IntCounter,
    bytes_sent: IntCounter,
    dropped: IntCounterVec,
    nacks_received: IntCounter,
    plis_received: IntCounter,
    plis_sent: IntCounter,
    rtx_packets_sent: IntCounter,
    padding_bytes_sent: IntCounter,
    joins: IntCounter,
    leaves: IntCounterVec,
    refused: IntCounterVec,
    peer_panics: IntCounter,
    room_panics: IntCounter,
    datagrams_sent: IntCounter,
    send_calls: IntCounter,
    tick: HistogramVec,
}

/// Upper bounds of the tick's buckets: from a tick that found nothing (50 µs) to one that a listener hears (100 ms).
const TICK_SECONDS: [f64; 11] = [50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3];

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Arc<Metrics> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let by_reason = |name: &str, help: &str| register(&registry, IntCounterVec::new(Opts::new(name, help), &["reason"]));
        let tick = HistogramOpts::new("ninefold_shard_tick_seconds", "Time a shard worked on one tick.").buckets(TICK_SECONDS.to_vec());
        let metrics = Metrics {
            rooms: gauge("ninefold_rooms", "Rooms now."),
            participants: gauge("ninefold_participants", "Participants in all rooms now, viewers not counted."),
            viewers: gauge("ninefold_viewers", "Viewers in all rooms now."),
            tracks: gauge("ninefold_tracks", "Published tracks in all rooms now."),
            tcp_connections: gauge("ninefold_tcp_connections", "TCP connections to the media ports now, whoever made them."),
            packets_received: counter("ninefold_rtp_packets_received_total", "RTP packets of published tracks."),
            bytes_received: counter("ninefold_rtp_bytes_received_total", "Payload bytes of the RTP packets received."),
            packets_sent: counter("ninefold_rtp_packets_sent_total", "RTP packets of slots, repetitions not counted."),
            bytes_sent: counter("ninefold_rtp_bytes_sent_total", "Bytes of the RTP packets sent, as datagrams."),
            dropped: by_reason("ninefold_packets_dropped_total", "Packets that were not forwarded or not sent, by reason."),
            nacks_received: counter("ninefold_nacks_received_total", "Sequence numbers that receivers reported missing."),
            plis_received: counter("ninefold_plis_received_total", "Keyframe requests of receivers (PLI and FIR)."),
            plis_sent: counter("ninefold_plis_sent_total", "Keyframe requests to publishers."),
            rtx_packets_sent: counter("ninefold_rtx_packets_sent_total", "Repetitions of packets that were reported missing."),
            padding_bytes_sent: counter("ninefold_padding_bytes_sent_total", "Bytes of padding in probes of receivers' bandwidth."),
            joins: counter("ninefold_joins_total", "Participants and viewers that joined."),
            leaves: by_reason("ninefold_leaves_total", "Participants and viewers that left, by reason."),
            refused: register(
                &registry,
                IntCounterVec::new(Opts::new("ninefold_refused_total", "Requests that were refused, by the code of the error."), &["code"]),
            ),
            peer_panics: counter("ninefold_peer_panics_total", "Peers closed by a defect of ours."),
            room_panics: counter("ninefold_room_panics_total", "Rooms closed by a defect of ours."),
            datagrams_sent: counter("ninefold_datagrams_sent_total", "Datagrams sent, of all kinds, by UDP or in frames by TCP."),
            send_calls: counter("ninefold_send_calls_total", "System calls that sent them; one call sends many."),
            tick: register(&registry, HistogramVec::new(tick, &["shard"])),
            registry,
        };
        for reason in DropReason::ALL {
            // Every reason is there from the start, so that its first packet is seen as a rise.
            metrics.dropped.with_label_values(&[reason.label()]).inc_by(0);
        }
        Arc::new(metrics)
    }

    /// The face for one shard.
    pub fn shard(self: &Arc<Metrics>, index: usize) -> ShardMetrics {
        let tick = self.tick.with_label_values(&[&index.to_string()]);
        ShardMetrics { metrics: Arc::clone(self), tick, published: Present::default() }
    }

    /// A request of the signalling or of REST was refused, with this code.
    pub fn count_refused(&self, code: &str) {
        self.refused.with_label_values(&[code]).inc();
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Only names that were registered twice or are no names fail here, and `new` would have panicked before.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        render_process(&mut text);
        text
    }
}

/// The names are constants of this file: one that Prometheus refuses ends every start, and every test that makes a [`Metrics`].
fn register<T: prometheus::core::Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<T>) -> T {
    let metric = made.expect("the name is a valid one");
    registry.register(Box::new(metric.clone())).expect("the name is there once");
    metric
}

/// What is true of a shard at the end of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Its rooms.
    pub rooms: u64,
    /// Their participants, without viewers.
    pub participants: u64,
    /// Their viewers.
    pub viewers: u64,
    /// Their published tracks.
    pub tracks: u64,
    /// Connections to its TCP port.
    pub tcp_connections: u64,
}

/// What a shard counted since it last published: plain numbers, so that counting costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// RTP packets of published tracks.
    pub packets_received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// RTP packets of slots, repetitions not counted.
    pub packets_sent: u64,
    /// Their bytes as datagrams.
    pub bytes_sent: u64,
    /// Sequence numbers that receivers reported missing.
    pub nacks_received: u64,
    /// Keyframe requests of receivers.
    pub plis_received: u64,
    /// Keyframe requests to publishers.
    pub plis_sent: u64,
    /// Repetitions.
    pub rtx_packets_sent: u64,
    /// Padding of probes.
    pub padding_bytes_sent: u64,
    /// Participants and viewers that joined.
    pub joins: u64,
    /// Peers closed by a panic.
    pub peer_panics: u64,
    /// Rooms closed by a panic.
    pub room_panics: u64,
    /// Datagrams of all kinds, by UDP and TCP.
    pub datagrams_sent: u64,
    /// System calls that sent them.
    pub send_calls: u64,
    /// What was not forwarded or not sent.
    pub drops: Drops,
}

/// One shard's face of the [`Metrics`].
#[derive(Debug)]
pub struct ShardMetrics {
    metrics: Arc<Metrics>,
    tick: Histogram,
    /// What the gauges hold of this shard.
    published: Present,
}

impl ShardMetrics {
    /// At the end of a tick that took `tick`: adds what was counted, which starts again from nothing, and shows what is true now.
    pub fn publish(&mut self, counters: &mut ShardCounters, present: Present, tick: Duration) {
        let ShardMetrics { metrics, .. } = self;
        let counted = std::mem::take(counters);
        let pairs = [
            (&metrics.packets_received, counted.packets_received),
            (&metrics.bytes_received, counted.bytes_received),
            (&metrics.packets_sent, counted.packets_sent),
            (&metrics.bytes_sent, counted.bytes_sent),
            (&metrics.nacks_received, counted.nacks_received),
            (&metrics.plis_received, counted.plis_received),
            (&metrics.plis_sent, counted.plis_sent),
            (&metrics.rtx_packets_sent, counted.rtx_packets_sent),
            (&metrics.padding_bytes_sent, counted.padding_bytes_sent),
            (&metrics.joins, counted.joins),
            (&metrics.peer_panics, counted.peer_panics),
            (&metrics.room_panics, counted.room_panics),
            (&metrics.datagrams_sent, counted.datagrams_sent),
            (&metrics.send_calls, counted.send_calls),
        ];
        for (counter, count) in pairs.into_iter().filter(|(_, count)| *count > 0) {
            counter.inc_by(count);
        }
        for reason in DropReason::ALL {
            let count = counted.drops.get(reason);
            if count > 0 {
                metrics.dropped.with_label_values(&[reason.label()]).inc_by(count);
            }
        }
        self.tick.observe(tick.as_secs_f64());
        self.show(present);
    }

    /// Somebody left: rare, so it is counted at once.
    pub fn count_leave(&self, reason: &str) {
        self.metrics.leaves.with_label_values(&[reason]).inc();
    }

    fn show(&mut self, present: Present) {
        if present == self.published {
            return;
        }
        let ShardMetrics { metrics, published, .. } = self;
        let pairs = [
            (&metrics.rooms, published.rooms, present.rooms),
            (&metrics.participants, published.participants, present.participants),
            (&metrics.viewers, published.viewers, present.viewers),
            (&metrics.tracks, published.tracks, present.tracks),
            (&metrics.tcp_connections, published.tcp_connections, present.tcp_connections),
        ];
        for (gauge, before, now) in pairs {
            gauge.add(now.cast_signed() - before.cast_signed());
        }
        *published = present;
    }
}

impl Drop for ShardMetrics {
    fn drop(&mut self) {
        self.show(Present::default());
    }
}

/// What the system knows about this process, under the names that Prometheus clients share. Nothing where `/proc` is not there.
fn render_process(text: &mut String) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fds = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64).ok();
    let rows = [
        ("process_resident_memory_bytes", "gauge", "Memory of the process in RAM.", resident_bytes(&status)),
        ("process_cpu_seconds_total", "counter", "Processor time of the process.", cpu_seconds(&stat)),
        ("process_open_fds", "gauge", "Open files and sockets.", fds),
    ];
    for (name, kind, help, value) in rows {
        if let Some(value) = value {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    }
}

fn resident_bytes(status: &str) -> Option<f64> {
    let kilobytes: f64 = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// User and system time: fields 14 and 15 of `/proc/self/stat`, in ticks of 10 ms on every Linux (proc(5), `USER_HZ`). Field 2 is the program's
/// name in parentheses and may hold spaces, so the count begins behind it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Why a packet was not forwarded or not sent. The label `reason` of `ninefold_packets_dropped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Nobody is known at that address, and it was no valid STUN.
    UnknownAddress,
    /// It came from an address that STUN has not proven.
    UnprovenAddress,
    /// Not RTP, RTCP, DTLS or STUN, or one that str0m refused.
    Malformed,
    /// Media that belongs to no track.
    NoTrack,
    /// The track is muted.
    Muted,
    /// It comes before the keyframe that a switch waits for.
    WaitKeyframe,
    /// Older than the slot's current source or than what the slot still accepts.
    Late,
    /// The same packet was sent before, or sent again a moment ago.
    Duplicate,
    /// No slot has the track.
    NoReceiver,
    /// A layer that nobody gets.
    Layer,
    /// The receiver cannot decode it.
    Codec,
    /// The receiver is not connected (yet, or any more).
    NotConnected,
    /// The peer's outgoing buffer is full.
    OutboxFull,
    /// The kernel took no more.
    SendFailed,
    /// The receiver's TCP connection takes less than it is sent, or has just ended.
    TcpFull,
    /// SRTP or SRTCP of str0m by one of our own SSRCs (the last guard against a nonce used twice).
    Guard,
    /// A data channel message that is too long or goes to nobody.
    Data,
    /// SRTCP of a receiver that was not authentic, or was read before.
    Feedback,
    /// More than one participant may send, or may have sent again.
    Rate,
    /// A check that would make one address too many of a participant's, or somebody else's address its own.
    Address,
    /// Video that waited too long for its receiver's bandwidth, and what followed it up to the next keyframe.
    Paced,
}

impl DropReason {
    /// All of them, in order of their numbers.
    pub const ALL: [DropReason; 21] = [
        DropReason::UnknownAddress,
        DropReason::UnprovenAddress,
        DropReason::Malformed,
        DropReason::NoTrack,
        DropReason::Muted,
        DropReason::WaitKeyframe,
        DropReason::Late,
        DropReason::Duplicate,
        DropReason::NoReceiver,
        DropReason::Layer,
        DropReason::Codec,
        DropReason::NotConnected,
        DropReason::OutboxFull,
        DropReason::SendFailed,
        DropReason::TcpFull,
        DropReason::Guard,
        DropReason::Data,
        DropReason::Feedback,
        DropReason::Rate,
        DropReason::Address,
        DropReason::Paced,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            DropReason::UnknownAddress => "unknown_address",
            DropReason::UnprovenAddress => "unproven_address",
            DropReason::Malformed => "malformed",
            DropReason::NoTrack => "no_track",
            DropReason::Muted => "muted",
            DropReason::WaitKeyframe => "wait_keyframe",
            DropReason::Late => "late",
            DropReason::Duplicate => "duplicate",
            DropReason::NoReceiver => "no_receiver",
            DropReason::Layer => "layer",
            DropReason::Codec => "codec",
            DropReason::NotConnected => "not_connected",
            DropReason::OutboxFull => "outbox_full",
            DropReason::SendFailed => "send_failed",
            DropReason::TcpFull => "tcp_full",
            DropReason::Guard => "guard",
            DropReason::Data => "data",
            DropReason::Feedback => "feedback",
            DropReason::Rate => "rate",
            DropReason::Address => "address",
            DropReason::Paced => "paced",
        }
    }
}

/// Counts by reason, plain numbers: pure code keeps one and its owner publishes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; DropReason::ALL.len()],
    /// Something was counted: most have nothing to add, thousands of times a second.
    any: bool,
}

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: DropReason) {
        self.count_many(reason, 1);
    }

    /// Counts several.
    pub fn count_many(&mut self, reason: DropReason, count: u64) {
        self.counts[reason as usize] += count;
        self.any |= count > 0;
    }

    /// How many of this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.counts[reason as usize]
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What was counted since the last call; starts again from nothing.
    pub fn take(&mut self) -> Drops {
        std::mem::take(self)
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Drops) {
        if other.any {
            self.any = true;
            self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        }
    }

    /// Adds them to another's, and starts again from nothing.
    pub fn move_to(&mut self, other: &mut Drops) {
        if self.any {
            other.add(&self.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Name, type, labels and help of every metric in a text of `/metrics`.
    fn families(text: &str) -> BTreeSet<[String; 4]> {
        let lines_of = |name: &str| text.lines().filter(move |line| line.starts_with(name)).collect::<Vec<_>>();
        let mut families = BTreeSet::new();
        for line in lines_of("# HELP ") {
            let (name, help) = line["# HELP ".len()..].split_once(' ').expect("a help line");
            let kind = lines_of(&format!("# TYPE {name} "))[0].rsplit(' ').next().expect("a type line");
            let labels: BTreeSet<&str> = lines_of(name)
                .iter()
                .filter_map(|line| line.split_once('{')?.1.split_once('}'))
                .flat_map(|(labels, _)| labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label))
                .filter(|label| *label != "le")
                .collect();
            let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
            families.insert([name.to_owned(), kind.to_owned(), labels, help.to_owned()]);
        }
        families
    }

    /// The rows of the tables that begin with a name in backticks.
    fn rows(part: &str) -> impl Iterator<Item = Vec<String>> {
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect();
        part.lines().filter(|line| line.starts_with("| `")).map(cells)
    }

    #[test]
    fn the_table_names_every_metric() {
        let metrics = Metrics::new();
        let mut shard = metrics.shard(0);
        shard.count_leave("left");
        metrics.count_refused("no_room");
        shard.publish(&mut ShardCounters::default(), Present::default(), Duration::ZERO);

        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/METRICS.md");
        let document = std::fs::read_to_string(path).expect("the document is there");
        let (metrics_part, reasons_part) = document.split_once("## Why a packet was dropped").expect("both tables");
        let names = rows(metrics_part).map(|cells| <[String; 4]>::try_from(cells).expect("four columns")).collect::<BTreeSet<_>>();
        assert_eq!(names, families(&metrics.render()));

        let listed: BTreeSet<String> = rows(reasons_part).map(|cells| cells[0].clone()).collect();
        let labels = DropReason::ALL.iter().map(|reason| reason.label().to_owned()).collect();
        assert_eq!(listed, labels);
    }

    #[test]
    fn counters_add_up_and_start_again() {
        let metrics = Metrics::new();
        let mut shard = metrics.shard(3);
        let mut counters = ShardCounters { packets_sent: 7, ..ShardCounters::default() };
        counters.drops.count(DropReason::Muted);
        shard.publish(&mut counters, Present::default(), Duration::from_micros(60));
        assert_eq!(counters, ShardCounters::default());
        shard.publish(&mut ShardCounters { packets_sent: 1, ..ShardCounters::default() }, Present::default(), Duration::from_millis(2));

        let text = metrics.render();
        for line in [
            "ninefold_rtp_packets_sent_total 8",
            "ninefold_packets_dropped_total{reason=\"muted\"} 1",
            "ninefold_packets_dropped_total{reason=\"late\"} 0",
            "ninefold_shard_tick_seconds_bucket{shard=\"3\",le=\"0.00005\"} 0",
            "ninefold_shard_tick_seconds_bucket{shard=\"3\",le=\"0.0001\"} 1",
            "ninefold_shard_tick_seconds_count{shard=\"3\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn gauges_add_up_over_shards() {
        let metrics = Metrics::new();
        let (mut one, mut two) = (metrics.shard(0), metrics.shard(1));
        let rooms = |count| Present { rooms: count, ..Present::default() };
        one.publish(&mut ShardCounters::default(), rooms(5), Duration::ZERO);
        two.publish(&mut ShardCounters::default(), rooms(2), Duration::ZERO);
        one.publish(&mut ShardCounters::default(), rooms(3), Duration::ZERO);
        assert_eq!(metrics.rooms.get(), 5);
        drop(one);
        assert_eq!(metrics.rooms.get(), 2);
    }

    #[test]
    fn the_process_is_read_from_proc() {
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    12 kB\n"), Some(12_288.0));
        let stat = "42 (a (strange) name) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!((resident_bytes(""), cpu_seconds("")), (None, None));
    }
}
