//! The load generator itself, as it is called.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::server::Server;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ninefold-loadtest"));
    command.args(arguments);
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.expect("it ends")
}

async fn run(arguments: &[&str]) -> Output {
    output(command(arguments)).await
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

fn take(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a result");
    std::fs::remove_file(path).expect("it is there");
    text
}

fn take_json(path: &Path) -> Value {
    serde_json::from_str(&take(path)).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

/// What every run must show whose bots have all got in. Returns the result.
async fn expect_run(server: &Server, preset: &str, crowd: &[&str], bots: u64) -> Value {
    let (json, url) = (file(&format!("{preset}.json")), server.target.to_string());
    let output = run(&[&[preset, "--url", &url, "--json", text(&json)], crowd].concat()).await;
    let (table, json) = (stdout(&output), take_json(&json));
    assert_eq!(json["clients"]["connected"], bots, "{table}");
    assert_eq!(json["clients"]["faults"], 0, "{table}");
    // A freeze may be the machine's: the exit code says what the result says.
    let broken = json["bounds"].as_array().expect("bounds").iter().any(|bound| !bound["broken"].is_null());
    assert_eq!((output.status.code(), table.contains("BROKEN")), (Some(i32::from(broken)), broken), "{table}{}", stderr(&output));
    for name in ["/clients/join_ms/p50", "/clients/join_ms/p95", "/clients/first_frame_ms/p50", "/clients/first_frame_ms/p95"] {
        assert!(json.pointer(name).and_then(Value::as_f64).is_some_and(|value| value > 0.0), "{name} {json}");
    }
    assert!(json["server"]["cpu_us_per_forwarded_packet"].is_number() && json["server"]["rss_bytes"].as_u64() > Some(1_000_000), "{json}");
    server.expect_metrics("all bots have left", |metrics| metrics.get("ninefold_participants") == Some(0.0)).await;
    server.expect_metrics("all viewers have left", |metrics| metrics.get("ninefold_viewers") == Some(0.0)).await;
    json
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presets_measure_and_hold() {
    let server = Server::start();
    for (preset, crowd, bots) in [
        ("conference", vec!["--publishers", "3", "--viewers", "1", "--duration", "1s"], 4),
        ("broadcast", vec!["--viewers", "5", "--duration", "1s"], 6),
        ("webinar", vec!["--publishers", "2", "--viewers", "4", "--duration", "1s", "--rooms", "2"], 12),
        ("storm", vec!["--viewers", "8", "--duration", "1s"], 9),
    ] {
        let json = expect_run(&server, preset, &crowd, bots).await;
        assert_eq!((&json["clients"]["lost_after_repair"], &json["preset"]), (&0.into(), &preset.into()), "{json}");
        assert!(json["server"]["packets_per_send_call"].as_f64() >= Some(1.0), "{json}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_does_all_that_people_do() {
    let server = Server::start();
    let json = expect_run(&server, "churn", &["--duration", "12s"], 10).await;
    for step in ["join", "leave", "vanish", "cut", "resume", "move", "mute", "unmute", "view", "wishes"] {
        assert!(json["actions"][step].as_u64() > Some(0), "{step}: {}", json["actions"]);
    }
    assert_eq!(json["failures"], Value::Array(vec![]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_has_rooms_of_several_kinds_and_tells_memory_and_switches() {
    let server = Server::start();
    let pid = server.pid().to_string();
    let json = expect_run(&server, "soak", &["--publishers", "2", "--viewers", "2", "--duration", "2s", "--pid", &pid], 12).await;
    assert_eq!(json["rooms"], 4);
    assert!(json["server"]["rss_bytes_at_begin"].as_u64() > Some(1_000_000), "{json}");
    assert!(json["server"]["context_switches"]["voluntary"].as_u64() > Some(0), "{json}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_says_who_was_light_and_is_a_page_too() {
    let server = Server::start();
    let page = file("light.html");
    let json = expect_run(&server, "broadcast", &["--viewers", "6", "--light", "50%", "--duration", "1s", "--html", text(&page)], 7).await;
    assert_eq!((&json["clients"]["full_viewers"], &json["clients"]["light_viewers"]), (&3.into(), &3.into()));
    let page = take(&page);
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg") && page.contains("3 full, 3 light"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_network_is_told_phase_by_phase() {
    let server = Server::start();
    let file = file("bad-network.json");
    let output = run(&["bad-network", "--url", &server.target.to_string(), "--duration", "8s", "--json", text(&file)]).await;
    let table = stdout(&output);
    println!("{table}{}", stderr(&output));
    let json = take_json(&file);
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

/// A server that takes six viewers is a server that carries six viewers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_is_what_held_before_it_broke() {
    let server = Server::start_with(&[("NINEFOLD_LIMITS__VIEWERS", "6")]);
    let file = file("capacity.json");
    let url = server.target.to_string();
    let arguments = ["broadcast", "--url", &url, "--find-capacity", "--viewers", "4", "--duration", "300ms", "--json", text(&file)];
    let output = run(&arguments).await;
    let (table, json) = (stdout(&output), take_json(&file));
    let tried: Vec<_> = json["capacity"]["steps"].as_array().expect("steps").iter().map(|step| step["count"].as_u64()).collect();
    // A slow machine may end the search with late bots; what was tried until then is the same.
    let all = [Some(4), Some(6), Some(9), Some(7)];
    assert!(!tried.is_empty() && all.starts_with(&tried), "{table}");
    if tried.len() == all.len() && !table.contains("unknown: ") {
        assert_eq!((&json["capacity"]["held"], output.status.code()), (&6.into(), Some(0)), "{table}");
        assert!(table.contains("broke: everybody is connected and has a picture: 7 of 8"), "{table}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scenario_is_run_and_two_results_are_compared() {
    let server = Server::start();
    let (scenario, a, b) = (file("small.toml"), file("a.json"), file("b.json"));
    let small = "name = \"small\"\nduration = \"500ms\"\n[[room]]\nname = \"a\"\n[[room.group]]\nname = \"people\"\ncount = 2\n\
                 camera = { bitrate = \"300kbit\" }\n";
    std::fs::write(&scenario, small).expect("a file");
    let url = server.target.to_string();
    for json in [&a, &b] {
        let output = run(&["run", text(&scenario), "--url", &url, "--json", text(json)]).await;
        assert!(stdout(&output).contains("2 of 2"), "{}{}", stdout(&output), stderr(&output));
    }
    let output = run(&["compare", text(&a), text(&b)]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("server CPU µs per forwarded packet") && stdout(&output).contains("(small, "), "{}", stdout(&output));
    let output = run(&["compare", text(&a), text(&scenario)]).await;
    assert_eq!((output.status.code(), stderr(&output).contains("this is no JSON")), (Some(2), true), "{}", stderr(&output));
    std::fs::write(&scenario, small.replace("camera", "kamera")).expect("a file");
    let output = run(&["run", text(&scenario), "--url", &url]).await;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("line 8") && said.contains("kamera") && said.contains("`camera`"), "{said}");
    [a, b, scenario].iter().for_each(|path| drop(take(path)));
    server.stop().await;
}

/// A run that goes on.
fn start(arguments: &[&str]) -> Child {
    command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

async fn ended(child: Child) -> Output {
    tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_until_the_server_died_is_told() {
    let server = Server::start();
    let file = file("died.json");
    let child = start(&["conference", "--url", &server.target.to_string(), "--duration", "100s", "--json", text(&file)]);
    server.expect_metrics("it goes on", |metrics| metrics.get("ninefold_rtp_packets_sent_total") > Some(1_000.0)).await;
    drop(server);
    let output = ended(child).await;
    let (table, json) = (stdout(&output), take_json(&file));
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.contains("the server stopped answering") && table.contains("BROKEN  it goes on to its end"), "{table}");
    assert!(json["ended_early"].as_str().is_some_and(|why| why.contains("nobody answers")), "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bots_leave_when_it_is_interrupted() {
    let server = Server::start();
    let file = file("interrupted.json");
    let child = start(&["conference", "--url", &server.target.to_string(), "--duration", "100s", "--json", text(&file)]);
    server.expect_metrics("it goes on", |metrics| metrics.get("ninefold_participants") == Some(5.0)).await;
    let killed = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()), "kill");
    let output = ended(child).await;
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert_eq!(take_json(&file)["ended_early"], "it was interrupted");
    let left = server.metrics().await;
    assert_eq!(left.get("ninefold_leaves_total{reason=\"left\"}"), Some(5.0), "they said goodbye");
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
        (vec!["broadcast", "--light", "2"], "such as 5%"),
        (vec!["broadcast", "--pid", "4294967295"], "there is no process"),
        (vec!["bad-network", "--find-capacity"], "stays as it is"),
        (vec!["broadcast", "--json", "/nonexistent/x.json"], "cannot write /nonexistent/x.json"),
        (vec!["run", "/nonexistent.toml"], "cannot read /nonexistent.toml"),
        (vec!["compare", "/nonexistent.json", "b"], "cannot read /nonexistent.json"),
    ] {
        let output = run(&arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn what_answers_garbage_is_told_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let garbage = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        stream.write_all(b"SSH-2.0-x\r\n").expect("it can");
    });
    let output = run(&["conference", "--url", &url]).await;
    garbage.join().expect("it answers");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is no HTTP server") || stderr(&output).contains("nobody answers"), "{}", stderr(&output));
}

#[tokio::test]
async fn more_bots_than_files_are_refused_before_they_start() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 150; exec \"$0\" broadcast --viewers 100", env!("CARGO_BIN_EXE_ninefold-loadtest")]);
    let output = output(shell).await;
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("101 bots need 302 open files") && said.contains("at most 25 bots") && said.contains("ulimit -Hn 302"), "{said}");
}

#[tokio::test]
async fn a_room_that_cannot_be_is_a_refusal() {
    let server = Server::start();
    let output = run(&["conference", "--url", &server.target.to_string(), "--room", "no room", "--duration", "100ms"]).await;
    assert_eq!(output.status.code(), Some(1));
    let table = stdout(&output);
    assert!(table.contains("refuses (400)") && table.contains("0 of 5"), "{table}");
    server.stop().await;
}
