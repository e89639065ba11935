//! One participant with its sockets: a task that carries text between the signalling and the [`Client`], datagrams between it and the network, and
//! the time. Whoever holds the [`Bot`] gives it orders and looks at what it has [`Seen`].
//!
//! ```text
//! Bot ── orders ──► task ◄──► Link (a WebSocket, mostly)
//!  └── looks at ──► Client ◄──► UDP or TCP
//! ```
//!
//! A `Bot` that is dropped vanishes: its sockets are closed without a word.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ninefold::api::protocol::{ClientMessage, ErrorBody, NewSettings, Publishable, ServerMessage, Source, View, Wish};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep_until, timeout};

use crate::carrier::Carrier;
use crate::client::Client;
use crate::media::Camera;
use crate::seen::Seen;
use crate::signal::{Gone, Signal};
use crate::target::{ANSWER_TIMEOUT, Entered, Link};

pub use crate::carrier::Transport;
pub use crate::client::BotKit;
pub use crate::target::{BotError, Entrance, Place};

/// Bytes read at once: more than a datagram has, and many frames.
const READ_BYTES: usize = 16 * 1024;
/// Orders waiting for the task. Full: who gives them waits.
const ORDERS_MAX: usize = 64;

/// A participant.
#[derive(Debug)]
pub struct Bot {
    client: Arc<Mutex<Client>>,
    changed: watch::Receiver<()>,
    orders: mpsc::Sender<Order>,
    next_id: AtomicU32,
    entrance: Entrance,
}

enum Order {
    /// Say something that is answered.
    Ask(u32, ClientMessage, oneshot::Sender<Result<(), ErrorBody>>),
    /// Say goodbye.
    Leave,
    /// The client has something to send.
    Flush,
    /// Lose the WebSocket without a word.
    Cut,
    /// Go on with another WebSocket.
    Attach(Box<Signal>),
    /// Read no media any more, and go on sending.
    Deafen,
    /// Go on with another socket, as behind a NAT that forgot.
    Move(Carrier),
}

impl Bot {
    /// Enters a room. When this returns, the server has answered; media connects from then on.
    pub async fn join(place: &Place, kit: &BotKit) -> Result<Bot, BotError> {
        Bot::enter(&Entrance::Ninefold(place.clone()), kit).await
    }

    /// The same, at any server.
    pub async fn enter(entrance: &Entrance, kit: &BotKit) -> Result<Bot, BotError> {
        let Entered { link, client, carrier } = entrance.enter(kit, Instant::now()).await?;
        let client = Arc::new(Mutex::new(client));
        let (orders, orders_receiver) = mpsc::channel(ORDERS_MAX);
        let (changes, changed) = watch::channel(());
        let task = Task {
            client: Arc::clone(&client),
            changes,
            link: Some(link),
            carrier,
            deaf: false,
            waiting: HashMap::new(),
            buffer: vec![0; READ_BYTES],
        };
        tokio::spawn(task.run(orders_receiver));
        Ok(Bot { client, changed, orders, next_id: AtomicU32::new(2), entrance: entrance.clone() })
    }

    /// Looks at what it has seen.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.client().seen)
    }

    /// The client behind it, for as long as nothing is awaited.
    pub fn client(&self) -> MutexGuard<'_, Client> {
        lock(&self.client)
    }

    /// One's own number.
    pub fn participant(&self) -> u32 {
        self.look(|seen| seen.participant)
    }

    /// The number of one's own track.
    pub fn track(&self, source: Source) -> Option<u32> {
        let client = self.client();
        let section = client.sections().into_iter().find(|section| section.source == source)?;
        client.seen.tracks.iter().find(|track| track.mid == section.mid).map(|track| track.track)
    }

    /// Waits until it has seen something. `false`: not within `time`.
    pub async fn wait(&self, time: Duration, mut seen: impl FnMut(&Seen) -> bool) -> bool {
        let mut changed = self.changed.clone();
        let waited = timeout(time, async {
            while !self.look(&mut seen) {
                if changed.changed().await.is_err() {
                    return self.look(&mut seen); // nothing more will change
                }
            }
            true
        });
        waited.await.unwrap_or(false)
    }

    /// Chooses what is shown.
    pub async fn view(&self, view: View) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::View { id, view }).await
    }

    /// Says how slots are shown.
    pub async fn wish(&self, slots: Vec<Wish>) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Wishes { id, slots }).await
    }

    /// Asks what is sent in the own slots: [`Seen::layers`](crate::seen::Seen::layers).
    pub async fn ask_layers(&self) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Layers { id }).await
    }

    /// Mutes or unmutes one's own track. The bot goes on sending: the server must not forward it.
    pub async fn mute(&self, track: u32, muted: bool) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Mute { id, track, muted }).await
    }

    /// Writes to everybody or to one.
    pub async fn chat(&self, text: &str, to: Option<u32>) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Chat { id, text: text.to_owned(), to }).await
    }

    /// Raises or lowers one's hand.
    pub async fn hand(&self, raised: bool) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Hand { id, raised }).await
    }

    /// Changes one's own name or metadata.
    pub async fn update(&self, name: Option<&str>, metadata: Option<&str>) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Update { id, name: name.map(str::to_owned), metadata: metadata.map(str::to_owned) }).await
    }

    /// Publishes one more picture, by a further offer.
    pub async fn publish(&self, source: Source, camera: Camera) -> Result<(), ErrorBody> {
        self.entrance.can_ask()?;
        let (offer, tracks) = {
            let mut client = self.client();
            (client.offer_video(source, camera), client.sections())
        };
        self.ask(|id| ClientMessage::Offer { id, offer, tracks }).await
    }

    /// Sends through a data channel, to one participant or (0) to everybody.
    pub async fn data(&self, reliable: bool, to: u32, payload: &[u8]) -> bool {
        let sent = self.client().send_data(reliable, to, payload, Instant::now());
        // An error says that the bot has ended; then nothing is sent.
        sent && self.orders.send(Order::Flush).await.is_ok()
    }

    /// Sends somebody out.
    pub async fn remove(&self, participant: u32, ban: bool) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Remove { id, participant, ban }).await
    }

    /// Says what somebody may publish.
    pub async fn permit(&self, participant: u32, publish: &[Publishable]) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Permit { id, participant, publish: publish.to_vec() }).await
    }

    /// Changes the room.
    pub async fn settings(&self, change: NewSettings) -> Result<(), ErrorBody> {
        let NewSettings { locked, lobby, publish } = change;
        self.ask(|id| ClientMessage::Settings { id, locked, lobby, publish }).await
    }

    /// Lets somebody in who waits, or sends them away.
    pub async fn admit(&self, participant: u32, admit: bool) -> Result<(), ErrorBody> {
        self.ask(|id| ClientMessage::Admit { id, participant, admit }).await
    }

    /// Loses the WebSocket without a word. Media goes on.
    pub async fn cut(&self) {
        // An error says that the bot has ended.
        let _ = self.orders.send(Order::Cut).await;
    }

    /// Comes back with another WebSocket, the old one lost or not.
    pub async fn resume(&self) -> Result<(), BotError> {
        let Entrance::Ninefold(place) = &self.entrance else { return Err(BotError::Unable(self.entrance.cannot("resume"))) };
        let (resume, seq) = self.look(|seen| (seen.resume.clone(), seen.seq));
        let mut signal = Signal::connect(&place.target, &place.room, None).await?;
        signal.say(&ClientMessage::Resume { id: 1, resume, seq }).await.map_err(BotError::Gone)?;
        match timeout(ANSWER_TIMEOUT, signal.hear()).await.map_err(|_| BotError::Silent)?.map_err(BotError::Gone)? {
            ServerMessage::Resumed { .. } => {}
            ServerMessage::Error { error, .. } => return Err(BotError::Refused(error)),
            other => return Err(BotError::BadAnswer(format!("{other:?} instead of resumed"))),
        }
        let _ = self.orders.send(Order::Attach(Box::new(signal))).await;
        Ok(())
    }

    /// Goes on from another address.
    pub async fn change_address(&self) -> Result<(), BotError> {
        let path = self.client().path().ok_or_else(|| BotError::BadAnswer("there is no media yet".into()))?;
        let carrier = Carrier::open(path.transport, path.remote).await?;
        let _ = self.orders.send(Order::Move(carrier)).await;
        Ok(())
    }

    /// Reads nothing of what carries media any more, as a client that hangs, but goes on sending.
    pub async fn deafen(&self) {
        // An error says that the bot has ended.
        let _ = self.orders.send(Order::Deafen).await;
    }

    /// Says goodbye and waits until the server has closed the socket.
    pub async fn leave(&self) -> bool {
        // An error says that it has ended already.
        let _ = self.orders.send(Order::Leave).await;
        self.wait(ANSWER_TIMEOUT, |seen| seen.ended).await
    }

    async fn ask(&self, message: impl FnOnce(u32) -> ClientMessage) -> Result<(), ErrorBody> {
        self.entrance.can_ask()?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        // If the task has ended, it drops the sender, which is an answer too.
        let _ = self.orders.send(Order::Ask(id, message(id), sender)).await;
        let failure = |message: &str| ErrorBody { code: "no_answer".into(), message: message.into() };
        match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(failure("the bot is not in the room any more")),
            Err(_) => Err(failure("the server does not answer")),
        }
    }
}

/// What runs a bot.
struct Task {
    client: Arc<Mutex<Client>>,
    changes: watch::Sender<()>,
    /// `None`: lost.
    link: Option<Link>,
    carrier: Carrier,
    deaf: bool,
    waiting: HashMap<u32, oneshot::Sender<Result<(), ErrorBody>>>,
    buffer: Vec<u8>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let wake = self.flush();
            let goes_on = tokio::select! {
                heard = hear(&mut self.link) => self.on_heard(heard),
                ready = self.carrier.ready(), if !self.deaf => ready.is_ok() && self.read(),
                () = sleep_until(wake.into()) => true,
                order = orders.recv() => match order {
                    Some(order) => self.on_order(order).await,
                    None => return, // dropped: vanishes
                },
            };
            if !goes_on {
                break;
            }
        }
        let mut client = lock(&self.client);
        client.seen.ended = true;
        drop(client);
        self.changes.send_replace(());
    }

    /// Lets time pass and sends what waits. Returns when to come again.
    fn flush(&mut self) -> Instant {
        let mut client = lock(&self.client);
        client.handle_timeout(Instant::now());
        while let Some(datagram) = client.poll_datagram() {
            self.carrier.send(&datagram);
        }
        self.carrier.flush();
        let wake = client.timeout();
        drop(client);
        self.changes.send_replace(());
        wake
    }

    /// `false`: nothing more will come.
    fn read(&mut self) -> bool {
        let mut client = lock(&self.client);
        let carries = self.carrier.read(&mut self.buffer, |from, datagram| client.handle_datagram(from, datagram, Instant::now()));
        if !carries {
            client.seen.fault("the server closed the TCP connection".into());
        }
        carries
    }

    fn on_heard(&mut self, heard: Result<ServerMessage, Gone>) -> bool {
        let mut client = lock(&self.client);
        let message = match heard {
            Ok(message) => message,
            Err(Gone::Closed(_)) => return false,
            Err(gone) => {
                client.seen.fault(gone.to_string());
                return false;
            }
        };
        let answered = match &message {
            ServerMessage::Done { id } | ServerMessage::Layers { id, .. } => Some((*id, Ok(()))),
            ServerMessage::Error { id: Some(id), error } => Some((*id, Err(error.clone()))),
            ServerMessage::Answered { id, answer, .. } => {
                let bad = |message| ErrorBody { code: "bad_answer".into(), message };
                Some((*id, client.handle_answer(answer, None, Instant::now()).map_err(bad)))
            }
            ServerMessage::Error { id: None, error } => {
                client.seen.fault(format!("an error that belongs to nothing: {}", error.message));
                None
            }
            _ => None,
        };
        client.handle_message(message, Instant::now());
        if let Some((id, answer)) = answered {
            match self.waiting.remove(&id) {
                // Nobody may be waiting for it any more.
                Some(sender) => drop(sender.send(answer)),
                None => client.seen.fault(format!("an answer to {id}, which nobody asked")),
            }
        }
        true
    }

    async fn on_order(&mut self, order: Order) -> bool {
        let said = match order {
            Order::Ask(id, message, answer) => {
                self.waiting.insert(id, answer);
                say(&mut self.link, &message).await
            }
            Order::Leave => match &mut self.link {
                Some(link) => link.leave().await,
                None => Err(Gone::Lost("it was cut".into())),
            },
            Order::Flush => Ok(()),
            Order::Cut => {
                self.link = None;
                self.waiting.clear();
                Ok(())
            }
            Order::Attach(signal) => {
                self.link = Some(Link::Ninefold(signal));
                Ok(())
            }
            Order::Deafen => {
                self.deaf = true;
                Ok(())
            }
            Order::Move(carrier) => {
                self.carrier = carrier;
                Ok(())
            }
        };
        if let Err(Gone::Refused(why)) = &said {
            lock(&self.client).seen.fault(format!("the server refuses: {why}"));
        }
        said.is_ok()
    }
}

async fn hear(link: &mut Option<Link>) -> Result<ServerMessage, Gone> {
    match link {
        Some(link) => link.hear().await,
        None => std::future::pending().await,
    }
}

async fn say(link: &mut Option<Link>, message: &ClientMessage) -> Result<(), Gone> {
    match link {
        Some(link) => link.say(message).await,
        None => Err(Gone::Lost("it was cut".into())),
    }
}

fn lock(client: &Mutex<Client>) -> MutexGuard<'_, Client> {
    // A panic in a test must not hide behind another one.
    client.lock().unwrap_or_else(PoisonError::into_inner)
}
