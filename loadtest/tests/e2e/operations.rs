//! What an operator sees: health, metrics, the end.

use ninefold::api::protocol::LeaveReason;
use ninefold_loadtest::bot::{Bot, BotError, BotKit};

use crate::server::{Server, expect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_move_with_a_call() {
    let server = Server::start();
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    let names = ["ninefold_rooms", "ninefold_participants", "ninefold_tracks", "ninefold_rtp_packets_received_total"];
    let names = [&names[..], &["ninefold_rtp_packets_sent_total", "ninefold_rtp_bytes_sent_total", "ninefold_viewers"]].concat();
    let idle = server.metrics().await;
    for name in &names {
        assert_eq!(idle.get(name), Some(0.0), "{name}");
    }
    let bots = server.trio("counted").await;
    let call = server.expect_metrics("500 packets", |metrics| metrics.get("ninefold_rtp_packets_sent_total") > Some(500.0)).await;
    let gauges = ["ninefold_rooms", "ninefold_participants", "ninefold_tracks", "ninefold_viewers"].map(|name| call.get(name));
    assert_eq!(gauges, [Some(1.0), Some(3.0), Some(6.0), Some(0.0)]);
    assert!(call.get("ninefold_rtp_packets_received_total") > Some(200.0));
    assert!(call.get("ninefold_rtp_bytes_sent_total") > Some(50_000.0));
    assert!(call.get("ninefold_plis_sent_total") > Some(0.0));
    assert!(call.get("process_cpu_seconds_total") > Some(0.0) && call.get("process_resident_memory_bytes") > Some(1e6));
    let received: u64 = bots.iter().map(|bot| bot.look(|seen| seen.packets())).sum();
    let counted = server.metrics().await.get("ninefold_rtp_packets_sent_total").unwrap_or_default();
    assert!(counted >= received as f64, "{counted} sent, {received} received");

    for bot in &bots {
        assert!(bot.leave().await);
    }
    server.expect_metrics("nobody is left", |metrics| metrics.get("ninefold_participants") == Some(0.0)).await;
    let left = server.metrics().await;
    assert_eq!((left.get("ninefold_leaves_total{reason=\"left\"}"), left.get("ninefold_tracks")), (Some(3.0), Some(0.0)));
    assert_eq!((left.get("ninefold_peer_panics_total"), left.get("ninefold_room_panics_total")), (Some(0.0), Some(0.0)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_to_stop_tells_everybody() {
    let mut server = Server::start();
    let mut bots = server.trio("end").await;
    bots.push(server.join("end", &BotKit::viewer()).await);
    bots.push(server.join("other", &BotKit::person("Di")).await);
    server.terminate();
    for bot in &bots {
        expect(bot, "told that the server stops", |seen| seen.ended && seen.closed == Some(LeaveReason::ServerStopping)).await;
    }
    assert_eq!(server.ended().await.code(), Some(0));
    let late = Bot::join(&server.place("end"), &BotKit::person("late")).await;
    assert!(matches!(late, Err(BotError::Signal(_))), "{late:?}");
}

#[tokio::test]
async fn two_servers_do_not_take_each_others_ports() {
    let first = Server::start();
    let listen = first.target.authority().to_owned();
    let binary =
        std::env::var("NINEFOLD_BIN").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/ninefold").into());
    let mut command = std::process::Command::new(binary);
    let second = command.env("NINEFOLD_HTTP__LISTEN", &listen).env("NINEFOLD_MEDIA__PORT", "0").output().expect("it starts");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&listen) && said.contains("http.listen"), "{said}");
    first.stop().await;
}
