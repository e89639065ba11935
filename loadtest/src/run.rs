//! A run: one loop that lets bots join, do what is due, and leave, and looks at them and at the server each second.
//!
//! ```text
//! who sends joins, then who watches ─► all have a picture ─► settle ─► measure for the duration ─► stop sending ─► count ─► leave
//! ```
//!
//! The server is measured only while everybody is there. Whatever happens after the first join, the bots say goodbye and there is a report of what was
//! seen until then. Steps and their outcomes pass through `Run::go`; what takes time is a task of its own, so nothing holds up anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::bad_network::{BadNetwork, Phase, Received};
use crate::bot::{Bot, BotError, BotKit, Transport};
use crate::crowd::Crowd;
use crate::http::Target;
use crate::process::Process;
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::{Conditions, Scenario};
use crate::schedule::{self, Due, Step};
use crate::series::{Mark, Series};
use crate::server::{MetricsError, Usage};
use crate::step::{self, Outcome};

/// Who is not connected and has no picture by then counts as not connected.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A join that takes longer has failed.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Joins leave work behind (keyframes, first reports); it is not measured.
const SETTLE: Duration = Duration::from_secs(1);
/// Repairs have this long to arrive after the last packet was sent.
const REPAIR: Duration = Duration::from_secs(1);
/// Between two looks at everybody.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// All bots have this long to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(12);
/// Failures that are told. More: counted.
const FAILURES_MAX: usize = 20;

/// Whoever holds the other end stops the run with it.
pub type Stop = watch::Receiver<bool>;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server tells no figures.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// There is no bad network.
    #[error("no bad network: {0}")]
    Network(String),
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// Somebody said so.
    #[error("it was interrupted")]
    Stopped,
    /// The server does not answer any more.
    #[error("the server stopped answering: {0}")]
    ServerGone(String),
    /// There is nothing to measure.
    #[error("no bot is in")]
    NobodyIn,
    /// The network could not be changed.
    #[error("the bad network: {0}")]
    Network(String),
}

/// What is run, where.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What.
    pub scenario: Scenario,
    /// Where.
    pub target: Target,
    /// In which room, or what the names of rooms begin with.
    pub room: String,
    /// How media goes.
    pub transport: Transport,
    /// The server's process, where it runs on this machine.
    pub process: Option<Process>,
}

/// A run that goes on.
#[derive(Debug)]
pub struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) crowd: Crowd,
    /// What is due, in order.
    pub(crate) due: VecDeque<(Instant, Due)>,
    pub(crate) failures: Failures,
    pub(crate) series: Series,
    /// Steps that were done, by name.
    pub(crate) done: BTreeMap<&'static str, u64>,
    pub(crate) phases: Vec<Phase>,
    network: Option<BadNetwork>,
    tasks: JoinSet<Outcome>,
    /// Joins and first pictures that are waited for.
    pending: usize,
    reading: bool,
    tick: Interval,
    progress: Progress,
    stop: Stop,
}

/// What went wrong, in words; the first ones.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    told: Vec<String>,
    more: usize,
}

/// Until when the run goes on.
#[derive(Clone, Copy, Debug)]
enum End {
    /// This moment.
    At(Instant),
    /// Nobody joins any more or waits for a picture, or this moment.
    Quiet(Instant),
}

/// Runs a plan. An error means that nothing could be measured; bots that could not join or connect are in the report.
pub async fn measure(plan: &Plan, progress: Progress, stop: Stop) -> Result<Report, RunError> {
    let mut run = Run::begin(plan, progress, stop).await?;
    let ended = run.stages().await;
    let report = Report::of(&run, ended, None);
    run.leave().await;
    Ok(report)
}

impl<'a> Run<'a> {
    /// Begins it. An error means that nothing could be measured.
    pub async fn begin(plan: &'a Plan, progress: Progress, stop: Stop) -> Result<Run<'a>, RunError> {
        // Says what is wrong with the address before any bot starts.
        let usage = Usage::read(&plan.target, plan.process).await?;
        let mut crowd = Crowd::of(&plan.scenario, &plan.target, &plan.room, plan.transport);
        let network = match &plan.scenario.network {
            None => None,
            Some(network) => Some(BadNetwork::start(network, &mut crowd).await.map_err(RunError::Network)?),
        };
        let mut tick = interval_at((Instant::now() + LOOK_EVERY).into(), LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Run {
            plan,
            crowd,
            due: VecDeque::new(),
            failures: Failures::default(),
            series: Series::begin(usage),
            done: BTreeMap::new(),
            phases: vec![],
            network,
            tasks: JoinSet::new(),
            pending: 0,
            reading: false,
            tick,
            progress,
            stop,
        })
    }

    async fn stages(&mut self) -> Result<u64, Cut> {
        self.join().await?;
        self.settle().await?;
        self.measure().await?;
        self.count_lost().await
    }

    /// Everybody joins: who sends first, so that there is something to see.
    pub async fn join(&mut self) -> Result<(), Cut> {
        for publishes in [true, false] {
            let mut wave = vec![];
            for (kind_index, kind) in self.plan.scenario.rooms.iter().enumerate() {
                for (index, group) in kind.groups.iter().enumerate().filter(|(_, group)| group.publishes() == publishes) {
                    let members = (0..kind.count).flat_map(|room| self.crowd.of_group((kind_index, index), room)).collect::<Vec<_>>();
                    wave.extend(schedule::joins(&members, group.ramp_of(members.len())));
                }
            }
            self.progress.stage("joining", wave.len());
            self.enter(wave).await?;
        }
        if self.crowd.bots().next().is_none() { Err(Cut::NobodyIn) } else { Ok(()) }
    }

    /// These join, and have connected and seen something or have failed.
    pub async fn enter(&mut self, wave: Vec<Due>) -> Result<(), Cut> {
        let last = wave.iter().map(|due| due.at).max().unwrap_or_default();
        self.plan_steps(wave);
        self.go(End::Quiet(Instant::now() + last + JOIN_TIMEOUT + CONNECT_TIMEOUT)).await
    }

    /// Lets what joins have left behind be done.
    pub async fn settle(&mut self) -> Result<(), Cut> {
        self.wait(SETTLE).await
    }

    /// Measures for the duration, with all that is done meanwhile.
    pub async fn measure(&mut self) -> Result<(), Cut> {
        let (scenario, mut rng) = (&self.plan.scenario, fastrand::Rng::with_seed(self.plan.scenario.seed));
        let mut steps = vec![];
        for (kind_index, kind) in scenario.rooms.iter().enumerate() {
            for (index, group) in kind.groups.iter().enumerate() {
                for room in 0..kind.count {
                    let members = self.crowd.of_group((kind_index, index), room);
                    steps.extend(schedule::actions(group, &members, scenario.duration, &mut rng));
                }
            }
        }
        self.progress.timed_stage("measuring", scenario.duration.as_secs());
        self.mark().await?;
        self.series.measured_from = self.series.last().clone();
        self.plan_steps(steps);
        if let Some(network) = &scenario.network {
            self.scouts_leave().await;
            for phase in &network.phases {
                self.phase(phase, scenario.duration / network.phases.len() as u32).await?;
            }
            self.change_network("loss=off").await?;
        } else {
            self.wait(scenario.duration).await?;
        }
        self.mark().await?;
        self.series.measured_until = Some(self.series.last().clone());
        Ok(())
    }

    /// Says what is measured now.
    pub fn progress_step(&mut self, count: usize, duration: Duration) {
        self.progress.timed_stage(&format!("with {count}"), duration.as_secs());
    }

    /// Lets so much time pass.
    pub async fn wait(&mut self, time: Duration) -> Result<(), Cut> {
        self.go(End::At(Instant::now() + time)).await
    }

    async fn scouts_leave(&self) {
        if let Some(network) = &self.network {
            network.scouts_leave().await;
        }
    }

    async fn change_network(&self, conditions: &str) -> Result<(), Cut> {
        match &self.network {
            Some(network) => network.change(conditions).await.map_err(Cut::Network),
            None => Ok(()),
        }
    }

    async fn phase(&mut self, phase: &Conditions, lasts: Duration) -> Result<(), Cut> {
        self.change_network(&phase.conditions).await?;
        let (before, began) = (Received::take(self.crowd.bots()), Instant::now());
        self.go(End::At(began + lasts)).await?;
        self.phases.push(Received::take(self.crowd.bots()).since(&before, phase, began.elapsed()));
        Ok(())
    }

    /// Nobody sends any more, and what is on its way arrives. Returns what never came.
    pub async fn count_lost(&mut self) -> Result<u64, Cut> {
        self.crowd.bots().for_each(|bot| bot.client().publishing = false);
        self.wait(REPAIR).await?;
        Ok(self.crowd.totals().lost)
    }

    /// Lets what is missing come, while all goes on. Returns what has not come since the last look.
    pub async fn lost_for_good(&mut self) -> Result<u64, Cut> {
        self.crowd.totals();
        self.wait(REPAIR).await?;
        Ok(self.crowd.lost_since_last_look())
    }

    /// Reads the server and looks at everybody, now and not at the next second.
    pub async fn mark(&mut self) -> Result<(), Cut> {
        let read = Usage::read(&self.plan.target, self.plan.process).await;
        self.looked(read)
    }

    /// All bots say goodbye, those included that are just coming in.
    pub async fn leave(&mut self) {
        self.due.clear();
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        let left = || deadline.saturating_duration_since(Instant::now());
        while self.crowd.members.iter().any(|member| member.joining) {
            match timeout(left(), self.tasks.join_next()).await {
                Ok(Some(Ok(Outcome::Joined(member, joined)))) => self.joined(member, joined),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        self.scouts_leave().await;
        let mut leaving = JoinSet::new();
        for index in 0..self.crowd.members.len() {
            let cut = self.crowd.members[index].cut;
            if let Some(bot) = self.crowd.take(index) {
                leaving.spawn(async move { step::leave(&bot, cut).await });
            }
        }
        // An error says that it takes too long; then they vanish.
        let _ = timeout(left(), async { while leaving.join_next().await.is_some() {} }).await;
        self.progress.end();
    }

    fn plan_steps(&mut self, mut steps: Vec<Due>) {
        let now = Instant::now();
        steps.sort_by_key(|due| due.at);
        self.due = steps.into_iter().map(|due| (now + due.at, due)).collect();
    }

    /// Lets time pass: what is due is begun, what comes of it is noted, and each second everybody is looked at.
    async fn go(&mut self, end: End) -> Result<(), Cut> {
        loop {
            let now = Instant::now();
            while self.due.front().is_some_and(|(at, _)| *at <= now) {
                let (_, due) = self.due.pop_front().expect("it was there");
                self.start(due);
            }
            let (until, quiet) = match end {
                End::At(at) => (at, false),
                End::Quiet(at) => (at, self.due.is_empty() && self.pending == 0),
            };
            if quiet || now >= until {
                return Ok(());
            }
            let wake = self.due.front().map_or(until, |(at, _)| until.min(*at));
            tokio::select! {
                () = sleep_until(wake.into()) => {}
                Some(outcome) = self.tasks.join_next() => self.absorb(outcome.expect("no task panics"))?,
                _ = self.tick.tick() => self.read(),
                () = stopped(&mut self.stop) => return Err(Cut::Stopped),
            }
        }
    }

    /// Begins what is due. Who is not there has nothing to do.
    fn start(&mut self, Due { member: index, step, .. }: Due) {
        let member = &mut self.crowd.members[index];
        match (step, &member.bot) {
            (Step::Join, None) if !member.joining => {
                member.joining = true;
                self.pending += 1;
                // An old place is taken over once.
                let kit = BotKit { rejoin: member.kit.rejoin.take(), ..member.kit.clone() };
                let place = member.place.clone();
                self.tasks.spawn(async move { Outcome::Joined(index, Bot::join(&place, &kit).await) });
            }
            (Step::Vanish, Some(bot)) => {
                member.kit.rejoin = Some(bot.look(|seen| seen.resume.clone()));
                drop(self.crowd.take(index));
                self.count(step);
            }
            (Step::Leave, Some(_)) if !member.cut => {
                if let Some(bot) = self.crowd.take(index) {
                    self.tasks.spawn(async move { Outcome::Done(index, step, step::act(&bot, step).await) });
                }
            }
            (Step::Join, _) | (_, None) => {}
            // Whoever is not heard says nothing.
            (_, Some(_)) if member.cut && !matches!(step, Step::Resume | Step::Move) => {}
            (Step::Resume, Some(_)) if !member.cut => {}
            (_, Some(bot)) => {
                let bot = Arc::clone(bot);
                member.cut |= step == Step::Cut;
                self.tasks.spawn(async move { Outcome::Done(index, step, step::act(&bot, step).await) });
            }
        }
    }

    fn absorb(&mut self, outcome: Outcome) -> Result<(), Cut> {
        match outcome {
            Outcome::Joined(member, joined) => self.joined(member, joined),
            Outcome::Ready(member, ready) => {
                self.pending -= 1;
                self.crowd.members[member].was_ready |= ready;
                self.progress.advance();
            }
            Outcome::Done(member, step, Ok(())) => {
                self.crowd.members[member].cut &= step != Step::Resume;
                self.count(step);
            }
            Outcome::Done(member, step, Err(why)) => self.fail(member, step, &why),
            Outcome::Read(read) => {
                self.reading = false;
                self.looked(*read)?;
            }
        }
        Ok(())
    }

    fn joined(&mut self, index: usize, joined: Result<Bot, BotError>) {
        let member = &mut self.crowd.members[index];
        member.joining = false;
        match joined {
            Ok(bot) => {
                let bot = Arc::new(bot);
                member.bot = Some(Arc::clone(&bot));
                self.count(Step::Join);
                self.tasks.spawn(async move { Outcome::Ready(index, step::ready(&bot, CONNECT_TIMEOUT).await) });
            }
            Err(error) => {
                self.pending -= 1;
                self.progress.advance();
                // Nobody will do better where nobody gets in, or where this process may open nothing more.
                let alone = self.crowd.bots().next().is_none();
                if matches!(error, BotError::Socket(_)) || (alone && matches!(error, BotError::Signal(_))) {
                    self.due.clear();
                }
                self.fail(index, Step::Join, &error.to_string());
            }
        }
    }

    fn count(&mut self, step: Step) {
        *self.done.entry(step.name()).or_default() += 1;
    }

    fn fail(&mut self, member: usize, step: Step, why: &str) {
        self.failures.add(match step {
            Step::Join => format!("bot {}: {why}", member + 1),
            step => format!("bot {}, {}: {why}", member + 1, step.name()),
        });
    }

    fn read(&mut self) {
        if !self.reading {
            self.reading = true;
            let (target, process) = (self.plan.target.clone(), self.plan.process);
            self.tasks.spawn(async move { Outcome::Read(Box::new(Usage::read(&target, process).await)) });
        }
    }

    fn looked(&mut self, read: Result<Usage, MetricsError>) -> Result<(), Cut> {
        let usage = read.map_err(|error| Cut::ServerGone(error.to_string()))?;
        let totals = self.crowd.totals();
        if let Some(sample) = self.series.add(Mark::now(usage, totals), self.crowd.bots().count()) {
            self.progress.show(&sample);
        }
        Ok(())
    }
}

impl Failures {
    /// One more.
    pub fn add(&mut self, failure: String) {
        if self.told.len() < FAILURES_MAX {
            self.told.push(failure);
        } else {
            self.more += 1;
        }
    }

    /// In words.
    pub fn told(&self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("and {} more", self.more));
        self.told.iter().cloned().chain(more).collect()
    }
}

async fn stopped(stop: &mut Stop) {
    // An error says that nobody can stop it any more.
    if stop.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}
