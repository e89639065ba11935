//! A bad network between real clients and the server: a UDP relay on one address that delays, loses, reorders and limits what passes it. The server
//! announces the relay's address (`media.advertise`), so browsers and bots use it as they are. It needs no rights and no netem.
//!
//! ```text
//! client ─► own link up ──┐                    ┌─► server: one socket for each client, as behind a NAT
//! client ─► own link up ──┴─► shared link up ──┘
//! client ◄─ own link down ◄── shared link down ◄── server
//! ```
//!
//! | file | what |
//! |---|---|
//! | `conditions` | what a link does, and how that is written: `down.rate=500kbit` |
//! | `link` | one way of one path |
//! | `script` | changes at their times |
//! | this one | clients and their links; sans-IO like the two above |
//! | `relay` | sockets and the clock |
//! | `tcp` | connections that pass as they are |
//! | `control` | HTTP on loopback: changes in, counters out |
//! | `command` | `ninefold-loadtest wire`, with examples |
//!
//! Order: `handle_*` with a `now` that never goes back, then [`Wire::poll_output`] until there is none, then sleep until [`Wire::poll_timeout`].

pub mod command;
pub mod conditions;
pub mod control;
pub mod link;
pub mod relay;
pub mod script;
pub mod tcp;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;

use conditions::{Change, Conditions, Scope, Setting, Way, Ways};
use link::{Counters, Datagram, Link};
use script::Script;

/// Clients at once. What comes from further addresses is dropped and counted.
pub const CLIENTS_MAX: usize = 1_024;
/// A client that says nothing for so long is forgotten. Browsers check their paths every few seconds.
pub const IDLE_MAX: Duration = Duration::from_secs(60);
/// Between two looks for idle clients.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// All clients and their links.
#[derive(Debug)]
pub struct Wire {
    began: Instant,
    rng: Rng,
    /// Of clients to come.
    conditions: Ways<Conditions>,
    shared: Ways<Link>,
    clients: BTreeMap<u32, Client>,
    numbers: HashMap<SocketAddr, u32>,
    newest: u32,
    swept_at: Instant,
    script: Option<(Instant, Script)>,
    /// Of clients that were forgotten.
    gone: Ways<Counters>,
    forgotten: u64,
    refused: u64,
    stray: u64,
    /// Emptied by whoever calls, after each call.
    outputs: VecDeque<Output>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send it to the server, through the client's socket.
    ToServer(Datagram),
    /// Send it to the client.
    ToClient(SocketAddr, Datagram),
    /// Close the client's socket.
    Forgotten(u32),
    /// Tell who runs the relay.
    Complaint(String),
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    heard_at: Instant,
    links: Ways<Link>,
}

/// What all links do and have done.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Since the beginning.
    pub elapsed_ms: u64,
    /// All clients together, the forgotten ones too.
    pub up: Counters,
    /// All clients together, the forgotten ones too.
    pub down: Counters,
    /// The links that all share.
    pub shared: Ways<LinkFigures>,
    /// Who is there now.
    pub clients: Vec<ClientFigures>,
    /// Clients that were idle and are gone.
    pub forgotten: u64,
    /// Datagrams of further clients than there may be.
    pub refused: u64,
    /// Datagrams for clients that are gone.
    pub stray: u64,
}

/// One client.
#[derive(Clone, Debug, Serialize)]
pub struct ClientFigures {
    /// Its number, as in `client.3.down.rate=500kbit`. Numbers are given once.
    pub client: u32,
    /// Where it is.
    pub address: SocketAddr,
    /// Since something came from it.
    pub idle_ms: u64,
    /// To the server.
    pub up: LinkFigures,
    /// From the server.
    pub down: LinkFigures,
}

/// One link.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkFigures {
    /// As they are written.
    pub conditions: String,
    /// What has become of all that came.
    #[serde(flatten)]
    pub counters: Counters,
    /// Datagrams that are inside.
    pub inside: usize,
    /// How long one that comes now would wait for the rate.
    pub queued_ms: f64,
}

impl LinkFigures {
    fn of(link: &Link) -> LinkFigures {
        LinkFigures {
            conditions: link.conditions().to_string(),
            counters: *link.counters(),
            inside: link.inside(),
            queued_ms: link.queue_delay().as_secs_f64() * 1e3,
        }
    }
}

impl Wire {
    /// Nobody there, no conditions.
    pub fn new(seed: u64, now: Instant) -> Wire {
        let mut rng = Rng::with_seed(seed);
        let mut link = || Link::new(Conditions::default(), rng.fork(), now);
        let shared = Ways { up: link(), down: link() };
        Wire {
            began: now,
            rng,
            conditions: Ways::default(),
            shared,
            clients: BTreeMap::new(),
            numbers: HashMap::new(),
            newest: 0,
            swept_at: now,
            script: None,
            gone: Ways::default(),
            forgotten: 0,
            refused: 0,
            stray: 0,
            outputs: VecDeque::new(),
        }
    }

    /// A client sent something.
    pub fn handle_up(&mut self, from: SocketAddr, bytes: Vec<u8>, now: Instant) {
        let Some(number) = self.number(from, now) else {
            self.refused += 1;
            return;
        };
        if let Some(client) = self.clients.get_mut(&number) {
            client.heard_at = now;
            client.links.up.handle_datagram(Datagram { client: number, bytes }, now);
        }
    }

    /// The server sent something through a client's socket.
    pub fn handle_down(&mut self, datagram: Datagram, now: Instant) {
        self.shared.down.handle_datagram(datagram, now);
    }

    /// Time passes: steps of the script at their times, datagrams that have gone through, clients that are idle.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((began, script)) = &mut self.script
            && let Some(step) = script.poll_step(now - *began)
        {
            let at = *began + step.at;
            self.pass(at);
            for change in step.changes {
                if let Err(error) = self.change(change, at) {
                    self.outputs.push_back(Output::Complaint(format!("at {} s of the script: {error}", step.at.as_secs_f64())));
                }
            }
        }
        self.pass(now);
        if now - self.swept_at >= SWEEP_EVERY {
            self.swept_at = now;
            self.sweep(now);
        }
    }

    /// One thing changes.
    pub fn change(&mut self, change: Change, now: Instant) -> Result<(), String> {
        for way in change.ways() {
            match change.scope {
                Scope::Shared => self.shared.of(*way).change(change.setting, now),
                Scope::Clients => self.change_all(*way, change.setting, now),
                Scope::Client(number) => {
                    let client = self.clients.get_mut(&number).ok_or_else(|| format!("there is no client {number}"))?;
                    client.links.of(*way).change(change.setting, now);
                }
            }
        }
        Ok(())
    }

    /// A script begins now and takes the place of the one before.
    pub fn run(&mut self, script: Script, now: Instant) {
        self.script = Some((now, script));
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When there is something to do.
    pub fn poll_timeout(&self) -> Instant {
        let links = self.clients.values().map(|client| &client.links).chain([&self.shared]);
        let links = links.flat_map(|links| [&links.up, &links.down]).filter_map(Link::poll_timeout);
        let step = self.script.as_ref().and_then(|(began, script)| Some(*began + script.next_at()?));
        links.chain(step).fold(self.swept_at + SWEEP_EVERY, Instant::min)
    }

    /// What all links do and have done.
    pub fn figures(&self, now: Instant) -> Figures {
        let (mut up, mut down) = (self.gone.up, self.gone.down);
        let mut clients = vec![];
        for (number, client) in &self.clients {
            up.add(client.links.up.counters());
            down.add(client.links.down.counters());
            clients.push(ClientFigures {
                client: *number,
                address: client.address,
                idle_ms: (now - client.heard_at).as_millis() as u64,
                up: LinkFigures::of(&client.links.up),
                down: LinkFigures::of(&client.links.down),
            });
        }
        Figures {
            elapsed_ms: (now - self.began).as_millis() as u64,
            up,
            down,
            shared: Ways { up: LinkFigures::of(&self.shared.up), down: LinkFigures::of(&self.shared.down) },
            clients,
            forgotten: self.forgotten,
            refused: self.refused,
            stray: self.stray,
        }
    }

    /// The client at an address, who may be new.
    fn number(&mut self, from: SocketAddr, now: Instant) -> Option<u32> {
        if let Some(number) = self.numbers.get(&from) {
            return Some(*number);
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        self.newest += 1;
        let links =
            Ways { up: Link::new(self.conditions.up, self.rng.fork(), now), down: Link::new(self.conditions.down, self.rng.fork(), now) };
        self.clients.insert(self.newest, Client { address: from, heard_at: now, links });
        self.numbers.insert(from, self.newest);
        Some(self.newest)
    }

    fn change_all(&mut self, way: Way, setting: Setting, now: Instant) {
        self.conditions.of(way).set(setting);
        self.clients.values_mut().for_each(|client| client.links.of(way).change(setting, now));
    }

    /// Whatever has gone through by `now` goes on, in the order of the times at which it did.
    fn pass(&mut self, now: Instant) {
        for (at, datagram) in self.through(Way::Up, now) {
            self.shared.up.handle_datagram(datagram, at);
        }
        while let Some((_, datagram)) = self.shared.up.poll_datagram(now) {
            self.outputs.push_back(Output::ToServer(datagram));
        }
        while let Some((at, datagram)) = self.shared.down.poll_datagram(now) {
            match self.clients.get_mut(&datagram.client) {
                Some(client) => client.links.down.handle_datagram(datagram, at),
                None => self.stray += 1,
            }
        }
        for (_, datagram) in self.through(Way::Down, now) {
            if let Some(client) = self.clients.get(&datagram.client) {
                self.outputs.push_back(Output::ToClient(client.address, datagram));
            }
        }
    }

    fn through(&mut self, way: Way, now: Instant) -> Vec<(Instant, Datagram)> {
        let mut passed = vec![];
        for client in self.clients.values_mut() {
            let link = client.links.of(way);
            while let Some(next) = link.poll_datagram(now) {
                passed.push(next);
            }
        }
        passed.sort_by_key(|(at, _)| *at);
        passed
    }

    fn sweep(&mut self, now: Instant) {
        let Wire { clients, numbers, gone, forgotten, outputs, .. } = self;
        clients.retain(|number, client| {
            if now - client.heard_at < IDLE_MAX {
                return true;
            }
            numbers.remove(&client.address);
            gone.up.add(client.links.up.counters());
            gone.down.add(client.links.down.counters());
            *forgotten += 1;
            outputs.push_back(Output::Forgotten(*number));
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A wire, a clock and what came out of it: whether to the server, whose, and when.
    struct Bench {
        wire: Wire,
        start: Instant,
        now: Instant,
        out: Vec<(bool, u32, Duration)>,
        news: Vec<Output>,
    }

    impl Bench {
        fn new(script: &str) -> Bench {
            let now = Instant::now();
            let mut wire = Wire::new(1, now);
            wire.run(script.parse().expect("a script"), now);
            let mut bench = Bench { wire, start: now, now, out: vec![], news: vec![] };
            bench.pass(Duration::ZERO);
            bench
        }

        fn change(&mut self, change: &str) -> Result<(), String> {
            self.wire.change(change.parse().expect("a change"), self.now)
        }

        fn up(&mut self, port: u16, bytes: usize) {
            self.wire.handle_up(([127, 0, 0, 1], port).into(), vec![0; bytes], self.now);
        }

        fn down(&mut self, client: u32, bytes: usize) {
            self.wire.handle_down(Datagram { client, bytes: vec![0; bytes] }, self.now);
        }

        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            loop {
                self.now = self.wire.poll_timeout().min(end).max(self.now);
                self.wire.handle_timeout(self.now);
                while let Some(output) = self.wire.poll_output() {
                    let at = self.now - self.start;
                    match output {
                        Output::ToServer(datagram) => self.out.push((true, datagram.client, at)),
                        Output::ToClient(_, datagram) => self.out.push((false, datagram.client, at)),
                        news => self.news.push(news),
                    }
                }
                if self.now >= end {
                    return;
                }
            }
        }
    }

    #[test]
    fn a_datagram_goes_through_its_own_link_and_the_shared_one() {
        let mut bench = Bench::new("at 0s: up.delay=10ms, shared.up.delay=5ms, down.delay=20ms, shared.down.delay=2ms");
        bench.up(7, 100);
        bench.pass(50 * MS);
        bench.down(1, 100);
        bench.down(2, 100);
        bench.pass(50 * MS);
        assert_eq!(bench.out, [(true, 1, 15 * MS), (false, 1, 72 * MS)]);
        assert_eq!(bench.wire.figures(bench.now).stray, 1);
    }

    #[test]
    fn a_shared_rate_is_shared_and_an_own_one_is_not() {
        for (script, expected) in [("at 0s: rate=80kbit", [10, 10]), ("at 0s: shared.rate=80kbit", [10, 20])] {
            let mut bench = Bench::new(script);
            bench.up(7, 100);
            bench.up(8, 100);
            bench.pass(100 * MS);
            bench.down(1, 100);
            bench.down(2, 100);
            bench.pass(100 * MS);
            let came: Vec<Duration> = bench.out.iter().map(|(_, _, at)| *at).collect();
            assert_eq!(came, [expected[0] * MS, expected[1] * MS, (100 + expected[0]) * MS, (100 + expected[1]) * MS], "{script}");
        }
    }

    #[test]
    fn one_client_may_have_a_worse_network() {
        let mut bench = Bench::new("");
        bench.up(7, 100);
        assert_eq!(bench.change("client.2.block=on"), Err("there is no client 2".into()));
        bench.up(8, 100);
        assert_eq!(bench.change("client.2.down.block=on"), Ok(()));
        bench.down(1, 100);
        bench.down(2, 100);
        bench.pass(MS);
        assert_eq!(bench.out, [(true, 1, Duration::ZERO), (true, 2, Duration::ZERO), (false, 1, Duration::ZERO)]);
        assert_eq!(bench.change("block=off"), Ok(()));
        bench.down(2, 100);
        bench.pass(MS);
        assert_eq!(bench.out.len(), 4, "what is said of all holds for each");
    }

    #[test]
    fn conditions_hold_for_clients_to_come_and_scripts_keep_their_times() {
        let mut bench = Bench::new("at 10ms: delay=30ms\nat 20ms: client.9.delay=1ms\nat 60ms: delay=5ms");
        bench.up(7, 100);
        bench.pass(11 * MS);
        bench.up(8, 100);
        // Nobody looks for a long time: the step is at its time all the same, and before it what came before it.
        bench.now += 200 * MS;
        bench.pass(Duration::ZERO);
        bench.up(9, 100);
        bench.pass(50 * MS);
        assert_eq!(bench.out, [(true, 1, Duration::ZERO), (true, 2, 211 * MS), (true, 3, 216 * MS)]);
        assert_eq!(bench.news, [Output::Complaint("at 0.02 s of the script: there is no client 9".into())]);
        let figures = bench.wire.figures(bench.now);
        assert_eq!((figures.up.packets_in, figures.up.packets_out, figures.clients[0].up.conditions.as_str()), (3, 3, "delay=5ms"));
    }

    #[test]
    fn idle_clients_are_forgotten_and_their_numbers_not_given_again() {
        let mut bench = Bench::new("");
        bench.up(7, 100);
        bench.pass(IDLE_MAX / 2);
        bench.up(8, 100);
        bench.pass(IDLE_MAX / 2 + SWEEP_EVERY);
        assert_eq!(bench.news, [Output::Forgotten(1)]);
        bench.up(7, 100);
        bench.pass(MS);
        assert_eq!(bench.out.last().map(|(_, client, _)| *client), Some(3));
        let figures = bench.wire.figures(bench.now);
        assert_eq!((figures.forgotten, figures.clients.len(), figures.up.packets_out), (1, 2, 3));
    }

    #[test]
    fn there_are_only_so_many_clients() {
        let mut bench = Bench::new("");
        (0..CLIENTS_MAX as u16 + 3).for_each(|port| bench.up(1_000 + port, 10));
        bench.pass(MS);
        let figures = bench.wire.figures(bench.now);
        assert_eq!((figures.clients.len(), figures.refused, bench.out.len()), (CLIENTS_MAX, 3, CLIENTS_MAX));
    }

    #[test]
    fn figures_are_flat_json() {
        let mut bench = Bench::new("at 0s: down.rate=80kbit, down.queue=1s");
        bench.up(7, 100);
        (0..5).for_each(|_| bench.down(1, 100));
        bench.pass(MS);
        let json = serde_json::to_value(bench.wire.figures(bench.now)).expect("JSON");
        assert_eq!(json["clients"][0]["address"], "127.0.0.1:7");
        assert_eq!(json["clients"][0]["down"]["packets_in"], 5);
        assert_eq!((&json["clients"][0]["down"]["queued_ms"], &json["clients"][0]["down"]["inside"]), (&49.0.into(), &5.into()));
        assert_eq!((&json["up"]["bytes_out"], &json["shared"]["up"]["bytes_out"]), (&100.into(), &100.into()));
    }
}
