//! A bad network between bots and the server: the relay in this process, and as it is called.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ninefold::api::protocol::Source;
use ninefold_loadtest::bot::{Bot, BotKit};
use ninefold_loadtest::http::Target;
use ninefold_loadtest::media::Camera;
use ninefold_loadtest::seen::Seen;
use ninefold_loadtest::wire::relay::{Relay, Report};
use serde_json::json;
use tokio::time::sleep;

use crate::server::{LOOK_EVERY, SOON, Server, expect, expect_within};

/// A server that can be reached through a relay only.
async fn behind_a_wire() -> (Server, Relay) {
    let port = free_port();
    let relay = Relay::start(([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], port).into(), 9).await.expect("a relay");
    let (port, advertise) = (port.to_string(), relay.address().to_string());
    let settings = [
        ("NINEFOLD_MEDIA__PORT", port.as_str()),
        ("NINEFOLD_MEDIA__SHARDS", "1"),
        ("NINEFOLD_MEDIA__TCP", "false"),
        ("NINEFOLD_MEDIA__ADVERTISE", &advertise),
    ];
    (Server::start_with(&settings), relay)
}

/// A UDP port that is free now.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    socket.expect("there is one").port()
}

async fn change(relay: &Relay, conditions: &str) {
    let changes = conditions.split(' ').map(|word| word.parse().expect("a change")).collect();
    relay.change(changes).await.expect("it can be");
}

async fn report(relay: &Relay) -> Report {
    relay.report().await.expect("it runs")
}

fn video_packets(seen: &Seen) -> u64 {
    seen.slots.values().filter(|slot| slot.video).map(|slot| slot.packets).sum()
}

fn video_lost(seen: &Seen) -> u64 {
    seen.slots.values().filter(|slot| slot.video).map(|slot| slot.lost()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn video_is_repaired_where_one_of_twenty_is_lost() {
    let (server, relay) = behind_a_wire().await;
    let bots = server.trio("lossy").await;
    for bot in &bots {
        assert_eq!(bot.look(|seen| seen.media_address), Some(relay.address()), "there is no other way");
    }
    change(&relay, "delay=20ms loss=5%").await;
    let before = bots.iter().map(|bot| bot.look(video_packets)).collect::<Vec<_>>();
    for (bot, before) in bots.iter().zip(before) {
        expect_within(SOON * 3, bot, "500 packets of video", |seen| video_packets(seen) > before + 500).await;
    }
    let figures = report(&relay).await.figures;
    let share = figures.down.lost as f64 / figures.down.packets_in as f64;
    assert!(figures.down.lost > 50 && share < 0.07, "{} of {}", figures.down.lost, figures.down.packets_in);
    change(&relay, "loss=off").await;
    for bot in &bots {
        // The last loss shows when something comes after it.
        let packets = bot.look(video_packets);
        expect(bot, "all video", |seen| video_packets(seen) > packets + 20 && video_lost(seen) == 0).await;
        let faults = bot.look(|seen| seen.faults.clone());
        assert_eq!(faults, Vec::<String>::new(), "bot {}", bot.participant());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_arrives_than_the_rate() {
    const TIME: Duration = Duration::from_secs(4);
    let (server, relay) = behind_a_wire().await;
    let camera = Camera { layers: 1, fps: 25, bitrate_bps: 1_500_000 };
    let kit = BotKit { camera: Some(camera), video_slots: 0, audio_slots: 0, ..BotKit::person("Ada") };
    let ada = server.join("narrow", &kit).await;
    let bo = server.join("narrow", &BotKit::viewer()).await;
    expect(&bo, "a picture", |seen| seen.shown() == [ada.participant()]).await;
    // Ada came first.
    let received = |report: &Report| report.figures.clients[1].down.counters.bytes_out;
    let rate = async || {
        let (before, start) = (received(&report(&relay).await), Instant::now());
        sleep(TIME).await;
        let bytes = received(&report(&relay).await) - before;
        bytes as f64 * 8.0 / start.elapsed().as_secs_f64()
    };
    let free = rate().await;
    assert!(free > 1_000_000.0, "there is more than the rate will be: {free}");
    change(&relay, "client.2.down.rate=300kbit client.2.down.queue=100ms").await;
    sleep(Duration::from_millis(100)).await; // what may wait in the queue
    let limited = rate().await;
    assert!(limited < 300_000.0 * 1.02 && limited > 10_000.0, "{limited}");
    let bytes = bo.look(|seen| seen.slots.values().map(|slot| slot.bytes).sum::<u64>());
    assert!(bytes < received(&report(&relay).await), "payloads are a part of what arrives");
    assert!(report(&relay).await.figures.clients[1].down.queued_ms <= 100.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_survives_another_port_of_a_nat() {
    let (server, relay) = behind_a_wire().await;
    let bots = server.trio("nat").await;
    assert_eq!(relay.rebind().await, Ok(3));
    for bot in &bots {
        let packets = bot.look(Seen::packets);
        expect_within(SOON * 2, bot, "packets at the new port", |seen| seen.packets() > packets + 200).await;
    }
    server.stop().await;
}

/// The relay as it is called.
struct Wire {
    process: Child,
    control: Target,
    address: SocketAddr,
}

impl Wire {
    fn start(arguments: &[&str]) -> Wire {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ninefold-loadtest"));
        let mut process = command.arg("wire").args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("a line");
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let ["wire", "on", address, "control", control] = words[..] else { panic!("the wire said {line:?}") };
        Wire { process, control: control.parse().expect("an address"), address: address.parse().expect("an address") }
    }

    async fn stop(mut self) {
        let killed = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill");
        assert_eq!(self.ended().await, Some(0));
    }

    async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the wire does not end");
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // After a failed test it still runs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_changed_and_tells_its_counters_over_http() {
    let port = free_port().to_string();
    let wire = Wire::start(&["--to", &format!("127.0.0.1:{port}"), "--seed", "7", "delay=20ms", "down.rate=3mbit"]);
    let advertise = wire.address.to_string();
    let settings = [
        ("NINEFOLD_MEDIA__PORT", port.as_str()),
        ("NINEFOLD_MEDIA__SHARDS", "1"),
        ("NINEFOLD_MEDIA__TCP", "false"),
        ("NINEFOLD_MEDIA__ADVERTISE", &advertise),
    ];
    let server = Server::start_with(&settings);
    let bots: Vec<Bot> = server.trio("called").await;
    let look = async || wire.control.get("/").await.expect("it answers").json();
    let before = look().await;
    assert_eq!((&before["seed"], &before["unsent"], before["clients"].as_array().map(Vec::len)), (&7.into(), &0.into(), Some(3)));
    assert_eq!(before["clients"][2]["down"]["conditions"], "delay=20ms rate=3000kbit queue=200ms");
    assert!(before["up"]["packets_out"].as_u64() > Some(30), "{before}");

    let change = async |body| wire.control.request("POST", "/", Some(&body)).await.expect("it answers");
    assert_eq!(change(json!({ "down.loss": "5%", "client.3.down.rate": "off" })).await.status, 200);
    let after = look().await;
    let conditions = |index: usize| after["clients"][index]["down"]["conditions"].clone();
    assert_eq!((conditions(0), conditions(2)), ("delay=20ms loss=5% rate=3000kbit queue=200ms".into(), "delay=20ms loss=5%".into()));
    for (body, said) in [
        (json!({ "down.speed": "5%" }), "speed: there is no such condition"),
        (json!({ "down.loss": "5" }), "loss: \"5\" is not a share in percent, such as 5%"),
        (json!({ "client.9.loss": "5%" }), "there is no client 9"),
    ] {
        let answer = change(body).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &said.into()));
    }
    assert_eq!(wire.control.request("POST", "/rebind", None).await.expect("it answers").json()["clients"], 3);
    let script = wire.control.request("POST", "/script", Some(&json!("at 1s: delay=1ms"))).await.expect("it answers");
    assert_eq!(script.status, 400, "a script is text and no JSON");
    // A share of the camera's own, which the wire carries as any other.
    let ada = &bots[0];
    ada.publish(Source::Screen, Camera::default()).await.expect("it may");
    expect_within(SOON * 2, &bots[1], "three pictures", |seen| seen.shown().len() == 3).await;
    server.stop().await;
    wire.stop().await;
}

#[tokio::test]
async fn tcp_passes_where_udp_is_blocked() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let to = server.local_addr().expect("an address").to_string();
    let wire = Wire::start(&["--to", &to, "--tcp", "block=on"]);
    let mut client = TcpStream::connect(wire.address).expect("the same number");
    client.write_all(b"x").expect("it can");
    let (mut accepted, _) = server.accept().expect("the other end");
    let mut byte = [0];
    accepted.read_exact(&mut byte).expect("it comes");
    assert_eq!(&byte, b"x");
    wire.stop().await;
}

#[tokio::test]
async fn it_ends_after_its_duration_and_says_what_it_does_not_understand() {
    let mut wire = Wire::start(&["--to", "127.0.0.1:9", "--duration", "100ms", "block=on"]);
    assert_eq!(wire.ended().await, Some(0));
    for (arguments, said) in [
        (vec!["--to", "127.0.0.1:9", "speed=1mbit"], "there is no such condition"),
        (vec!["--to", "nowhere"], "invalid socket address"),
        (vec!["--to", "127.0.0.1:9", "--script", "/nonexistent"], "/nonexistent: "),
        (vec!["--to", "127.0.0.1:9", "client.1.loss=5%"], "there is no client 1"),
        (vec![], "--to"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ninefold-loadtest")).arg("wire").args(&arguments).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
