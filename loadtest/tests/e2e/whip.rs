//! Bots with WHIP and WHEP, at a small server of the test's own that forwards one stream.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use ninefold::api::protocol::RoomMode;
use ninefold_loadtest::bot::{Bot, BotError, BotKit, Entrance};
use ninefold_loadtest::media;
use ninefold_loadtest::seen::Seen;
use ninefold_loadtest::target::Kind;
use str0m::change::SdpOffer;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, broadcast, oneshot};
use tokio::time::sleep_until;

use crate::server::{SOON, expect};

const TOKEN: &str = "sesame";

struct Stage {
    media: broadcast::Sender<(bool, Arc<RtpPacket>)>,
    keyframe: Notify,
    sessions: Mutex<HashMap<u32, oneshot::Sender<()>>>,
}

impl Stage {
    /// Gives the address of the server, which ends with the test.
    async fn open() -> (Arc<Stage>, SocketAddr) {
        let stage = Stage { media: broadcast::channel(1_024).0, keyframe: Notify::new(), sessions: Mutex::default() };
        let stage = Arc::new(stage);
        let whip = post(|stage, head, offer| enter(stage, head, offer, true));
        let whep = post(|stage, head, offer| enter(stage, head, offer, false));
        let routes = Router::new().route("/whip/x", whip).route("/whep/x", whep).route("/Session/{id}", delete(leave));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serve = axum::serve(listener, routes.with_state(Arc::clone(&stage)));
        tokio::spawn(async { serve.await.expect("it serves") });
        (stage, address)
    }

    fn sessions(&self) -> usize {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn enter(State(stage): State<Arc<Stage>>, head: HeaderMap, offer: String, sends: bool) -> Response {
    if head.get("authorization").is_none_or(|token| token != &format!("Bearer {TOKEN}")) {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    assert_eq!(head["content-type"], "application/sdp");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let config = RtcConfig::new().set_rtp_mode(true).set_ice_lite(true).clear_codecs().enable_opus(true, false).enable_vp8(true);
    let mut rtc = config.build(Instant::now());
    let local = socket.local_addr().expect("an address");
    rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
    let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer).expect("SDP")).expect("it is right");
    let (id, (end, ended)) = (fastrand::u32(..), oneshot::channel());
    stage.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(id, end);
    tokio::spawn(session(rtc, socket, Arc::clone(&stage), sends, ended));
    let head = [("location", format!("/Session/{id}")), ("content-type", "application/sdp".into())];
    (StatusCode::CREATED, head, answer.to_sdp_string()).into_response()
}

async fn leave(State(stage): State<Arc<Stage>>, Path(id): Path<u32>) -> StatusCode {
    let end = stage.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    end.map_or(StatusCode::NOT_FOUND, |_| StatusCode::OK)
}

async fn session(mut rtc: Rtc, socket: UdpSocket, stage: Arc<Stage>, sends: bool, mut ended: oneshot::Receiver<()>) {
    let (local, mut buffer) = (socket.local_addr().expect("an address"), vec![0; 2_000]);
    let (mut media, mut mids) = (stage.media.subscribe(), HashMap::<bool, Mid>::new());
    let mut firsts = HashMap::<bool, u64>::new();
    loop {
        let wake = loop {
            match rtc.poll_output().expect("it goes on") {
                Output::Timeout(at) => break at,
                Output::Transmit(out) => drop(socket.send_to(&out.contents, out.destination).await),
                Output::Event(Event::MediaAdded(added)) => drop(mids.insert(added.kind == MediaKind::Video, added.mid)),
                Output::Event(Event::Connected) if !sends => stage.keyframe.notify_one(),
                Output::Event(Event::RtpPacket(packet)) => {
                    let mid = rtc.direct_api().stream_rx(&packet.header.ssrc).map(|stream| stream.mid());
                    // Nobody may be watching.
                    let _ = stage.media.send((mid == mids.get(&true).copied(), Arc::new(packet)));
                }
                Output::Event(_) => {}
            }
        };
        tokio::select! {
            _ = &mut ended => return,
            () = sleep_until(wake.into()) => rtc.handle_input(Input::Timeout(Instant::now())).expect("it takes it"),
            read = socket.recv_from(&mut buffer) => if let Ok((length, from)) = read {
                let receive = Receive::new(Protocol::Udp, from, local, &buffer[..length]).expect("it is readable");
                rtc.handle_input(Input::Receive(Instant::now(), receive)).expect("it takes it");
            },
            () = stage.keyframe.notified(), if sends => {
                let stream = mids.get(&true).and_then(|mid| rtc.direct_api().stream_rx_by_mid(*mid, None).map(|s| s.request_keyframe(KeyframeRequestKind::Pli)));
                stream.expect("there is a picture");
            }
            packet = media.recv() => if let (false, true, Ok((video, packet))) = (sends, rtc.is_connected(), packet) {
                forward(&mut rtc, &mids, &mut firsts, video, &packet);
            },
        }
    }
}

/// From a keyframe on.
fn forward(rtc: &mut Rtc, mids: &HashMap<bool, Mid>, firsts: &mut HashMap<bool, u64>, video: bool, packet: &RtpPacket) {
    let begins = !video || media::read(true, &packet.payload).is_some_and(|read| read.start && read.keyframe);
    if begins {
        firsts.entry(video).or_insert(*packet.seq_no);
    }
    let (Some(first), Some(mid)) = (firsts.get(&video), mids.get(&video)) else { return };
    let Some(seq) = packet.seq_no.checked_sub(*first) else { return };
    let write =
        RtpWrite::new(packet.header.payload_type, (seq + 1).into(), packet.header.timestamp, Instant::now(), packet.payload.to_vec());
    let mut direct = rtc.direct_api();
    let stream = direct.stream_tx_by_mid(*mid, None).expect("it sends");
    stream.write_rtp(write.marker(packet.header.marker).nackable(video));
}

fn publisher() -> BotKit {
    BotKit { video_slots: 0, audio_slots: 0, token: Some(TOKEN.into()), ..BotKit::person("Ada") }
}

fn viewer() -> BotKit {
    BotKit { token: Some(TOKEN.into()), ..BotKit::viewer() }
}

fn entrance(address: SocketAddr) -> Entrance {
    let (whip, whep) = (format!("http://{address}/whip/x"), format!("http://{address}/whep/x"));
    Kind::Whip.entrance(&whip, Some(&whep), "x", RoomMode::Broadcast).expect("addresses")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bots_send_by_whip_and_watch_by_whep() {
    let (stage, address) = Stage::open().await;
    let entrance = entrance(address);
    let enter = async |kit: BotKit| Bot::enter(&entrance, &kit).await.unwrap_or_else(|error| panic!("{error}"));
    let ada = enter(publisher()).await;
    expect(&ada, "connected", Seen::is_connected).await;
    let viewers = [enter(viewer()).await, enter(viewer()).await];
    for viewer in &viewers {
        expect(viewer, "pictures and sound", |seen| seen.slots.values().all(|slot| slot.packets > 50 && slot.is_right())).await;
        assert_eq!(
            viewer.look(|seen| seen.slots.values().filter_map(|slot| slot.last).map(|last| last.owner).collect::<Vec<_>>()),
            [ada.participant(); 2]
        );
        assert_eq!(viewer.look(|seen| (seen.lost(), seen.faults.clone())), (0, vec![]));
    }
    let error = ada.chat("hello", None).await.expect_err("nobody could read it");
    assert!(error.message.contains("with WHIP"), "{error:?}");
    assert_eq!(stage.sessions(), 3);
    for bot in viewers.iter().chain([&ada]) {
        assert!(bot.leave().await);
        assert!(bot.look(|seen| seen.faults.is_empty()));
    }
    assert_eq!(stage.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_said_plainly() {
    let (stage, address) = Stage::open().await;
    let error = async |entrance: &Entrance, kit: &BotKit| Bot::enter(entrance, kit).await.expect_err("it is refused");
    let strange = error(&entrance(address), &BotKit { token: Some("wrong".into()), ..viewer() }).await;
    assert!(matches!(&strange, BotError::Refused(error) if error.code == "401"), "{strange}");
    assert!(strange.to_string().ends_with("it wants another token: who are you?"), "{strange}");
    let both = error(&entrance(address), &BotKit::person("Ada")).await;
    assert!(both.to_string().contains("make two of it"), "{both}");
    let nowhere = Kind::Whip.entrance(&format!("http://{address}/nowhere"), None, "x", RoomMode::Broadcast).expect("an address");
    let missing = error(&nowhere, &viewer()).await;
    assert!(missing.to_string().contains("is the path right?"), "{missing}");
    // A session that has gone refuses the DELETE, and the bot says so.
    let ada = Bot::enter(&entrance(address), &publisher()).await.expect("she is in");
    stage.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    assert!(ada.leave().await);
    assert!(ada.wait(SOON, |seen| seen.faults.iter().any(|fault| fault.contains("DELETE"))).await);
}
