//! The load generator itself, as it is called.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::Server;

async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ninefold-loadtest"));
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.expect("it ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presets_measure_and_hold() {
    let server = Server::start();
    let url = server.target.to_string();
    for (preset, crowd) in [("conference", ["3", "1"]), ("broadcast", ["1", "5"])] {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{preset}-{}.json", std::process::id()));
        let path = file.to_str().expect("a path");
        let [publishers, viewers] = crowd;
        let arguments = [preset, "--url", &url, "--publishers", publishers, "--viewers", viewers, "--duration", "1s", "--json", path];
        let output = run(&arguments).await;
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a result")).expect("JSON");
        std::fs::remove_file(&file).expect("it is there");
        let bots = publishers.parse::<u64>().expect("a number") + viewers.parse::<u64>().expect("a number");
        assert_eq!(json["clients"]["connected"], bots, "{table}");
        assert_eq!((&json["clients"]["lost_after_repair"], &json["clients"]["faults"]), (&0.into(), &0.into()), "{table}");
        // A freeze may be the machine's: the exit code says what the result says.
        let held = json["clients"]["freezes"] == 0;
        assert_eq!(output.status.code(), Some(i32::from(!held)), "{table}{}", stderr(&output));
        for name in ["/clients/join_ms/p50", "/clients/join_ms/p95", "/clients/first_frame_ms/p50", "/clients/first_frame_ms/p95"] {
            assert!(json.pointer(name).and_then(Value::as_f64).is_some_and(|value| value > 0.0), "{name} {json}");
        }
        assert!(
            json["server"]["cpu_us_per_forwarded_packet"].is_number() && json["server"]["rss_bytes"].as_u64() > Some(1_000_000),
            "{json}"
        );
        assert!(table.contains("CPU per forwarded packet"), "{table}");
    }
    let rooms = server.get("/metrics").await.body;
    assert!(rooms.contains("ninefold_participants 0\n") && rooms.contains("ninefold_viewers 0\n"), "all bots have left");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_is_told_phase_by_phase() {
    let server = Server::start();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bad-network-{}.json", std::process::id()));
    let path = file.to_str().expect("a path");
    let output = run(&["bad-network", "--url", &server.target.to_string(), "--duration", "8s", "--json", path]).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{table}{}", stderr(&output));
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a result")).expect("JSON");
    std::fs::remove_file(&file).expect("it is there");
    let phases = json["phases"].as_array().expect("phases");
    let figures = |name: &str| phases.iter().map(|phase| phase[name].as_f64().expect("a number")).collect::<Vec<_>>();
    assert_eq!(json["clients"]["connected"], 2, "{table}");
    let (rates, lost) = (figures("received_bps"), figures("lost_before_repair"));
    assert!(rates[0] > 50_000.0 && rates[1] < 510_000.0, "what passes is what the rates let through: {rates:?}");
    assert!(lost[3] > 0.02 && lost[3] < 0.15, "5 % up and 5 % down, of which the server has repaired its part: {lost:?}");
    // What the server makes of it is not this test's: the exit code says what the table says.
    let held = !table.contains("BROKEN");
    assert_eq!(output.status.code(), Some(i32::from(!held)), "{table}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_plain_words() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let nobody = format!("http://127.0.0.1:{port}");
    let output = run(&["conference", "--url", &nobody]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(&format!("nobody answers at {nobody}")), "{}", stderr(&output));
    for (arguments, said) in [
        (vec!["conference", "--url", "https://127.0.0.1"], "https is not supported"),
        (vec!["conference", "--duration", "0s"], "nothing is measured"),
        (vec!["party"], "conference"),
        (vec!["broadcast", "--publishers", "0"], "at least one publisher"),
    ] {
        let output = run(&arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn a_room_that_cannot_be_is_a_refusal() {
    let server = Server::start();
    let output = run(&["conference", "--url", &server.target.to_string(), "--room", "no room", "--duration", "100ms"]).await;
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("refuses (400)") && table.contains("0 of 5"), "{table}");
    server.stop().await;
}
