//! The server under test, and bots in it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ninefold::api::protocol::RoomMode;
use ninefold_loadtest::bot::{Bot, BotKit, Place};
use ninefold_loadtest::http::{Response, Target};
use ninefold_loadtest::seen::Seen;
use ninefold_loadtest::server::Metrics;
use serde_json::Value;
use tokio::time::sleep;

/// For whatever takes no time on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Between two looks at something that cannot tell when it changes.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Audio, cameras and data channels of three people in a room.
pub(crate) const TRIO: [&str; 3] = ["Ada", "Bo", "Cy"];

/// What is tested.
pub(crate) fn binary() -> PathBuf {
    let binary = std::env::var_os("NINEFOLD_BIN").map(PathBuf::from);
    binary.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/ninefold")))
}

/// A running server.
pub(crate) struct Server {
    process: Child,
    pub(crate) target: Target,
}

impl Server {
    /// Starts one on free ports of the loopback.
    pub(crate) fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts one with these settings (`NINEFOLD_…`) in its environment.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Server {
        Server::launch(settings, Stdio::inherit())
    }

    /// The same, with its log in a file.
    pub(crate) fn start_logging(settings: &[(&str, &str)], log: &Path) -> Server {
        Server::launch(settings, File::create(log).expect("a file for the log").into())
    }

    fn launch(settings: &[(&str, &str)], log: Stdio) -> Server {
        let mut command = Command::new(binary());
        command.arg("serve").env("NINEFOLD_HTTP__LISTEN", "127.0.0.1:0").env("NINEFOLD_MEDIA__PORT", "0");
        command.envs(settings.iter().copied()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}; build it first: make build", binary().display()));
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
        let target = line.trim().strip_prefix("listening on ").and_then(|url| url.parse().ok());
        let target = target.unwrap_or_else(|| panic!("the server said {line:?}"));
        Server { process, target }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A room of it.
    pub(crate) fn place(&self, room: &str) -> Place {
        Place { target: self.target.clone(), room: room.to_owned(), mode: RoomMode::Conference }
    }

    /// Somebody joins; returns when media is connected.
    pub(crate) async fn join(&self, room: &str, kit: &BotKit) -> Bot {
        let bot = Bot::join(&self.place(room), kit).await.unwrap_or_else(|error| panic!("{}: {error}", kit.name));
        expect(&bot, "connected", Seen::is_connected).await;
        bot
    }

    /// Three people who see and hear each other.
    pub(crate) async fn trio(&self, room: &str) -> Vec<Bot> {
        let mut bots = vec![];
        for name in TRIO {
            bots.push(self.join(room, &BotKit::person(name)).await);
        }
        for bot in &bots {
            expect(bot, "two others in pictures", |seen| seen.shown().len() == 2).await;
            expect(bot, "two others in sound", |seen| seen.slots.values().filter(|slot| !slot.video && slot.is_right()).count() == 2).await;
        }
        bots
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.target.get(path).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        self.target.request(method, path, body.as_ref()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::read(&self.target).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads the metrics until they are right.
    pub(crate) async fn expect_metrics(&self, what: &str, right: impl Fn(&Metrics) -> bool) -> Metrics {
        let deadline = Instant::now() + SOON;
        loop {
            let metrics = self.metrics().await;
            if right(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "metrics: {what}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let killed = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            sleep(LOOK_EVERY).await;
        }
    }

    /// Stops it in order: a server that cannot is a failure of every test.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        assert_eq!(self.ended().await.code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failed test it still runs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a bot has seen something.
pub(crate) async fn expect(bot: &Bot, what: &str, seen: impl FnMut(&Seen) -> bool) {
    expect_within(SOON, bot, what, seen).await;
}

/// The same with a deadline of one's own.
pub(crate) async fn expect_within(time: Duration, bot: &Bot, what: &str, seen: impl FnMut(&Seen) -> bool) {
    if !bot.wait(time, seen).await {
        let told = bot.look(|seen| {
            let slot = |(mid, slot): (&String, &ninefold_loadtest::slot::Slot)| format!("{mid}: {:?} {:?}", slot.told, slot.last);
            let slots: Vec<_> = seen.slots.iter().map(slot).collect();
            let heard: Vec<_> = seen.heard.iter().rev().take(5).collect();
            format!("faults {:?}\nslots {slots:#?}\nlast messages {heard:#?}", seen.faults)
        });
        panic!("bot {} has not seen this: {what}\n{told}", bot.participant());
    }
}

/// Nothing was wrong and nothing is missing with any of them. A gap is given the time of its repair.
pub(crate) async fn expect_clean(bots: &[Bot]) {
    for bot in bots {
        expect(bot, "no gap", |seen| seen.lost() == 0).await;
        assert_eq!(bot.look(|seen| seen.faults.clone()), Vec::<String>::new(), "bot {}", bot.participant());
    }
}
