//! Which loss is ours? A radio loses some packets of any rate; a full queue loses what we send too much, and stops when we send less.
//!
//! So little loss says nothing, and much loss is put to the test: the estimate goes down by what is lost beyond the usual, and if the loss stays
//! although less is sent, it was the link's own. Then it becomes the usual, and the estimate is what it was.
//!
//! The question (inherent loss or loss by rate) is that of libwebrtc's `goog_cc/loss_based_bwe_v2.cc`, which answers it by maximum likelihood; the
//! limit of 10 % and the step are those of draft-ietf-rmcat-gcc-02 6.

use std::time::{Duration, Instant};

use super::Fate;

/// A window has at least so many packets and so much time, or very many losses, or lasts long.
const WINDOW_PACKETS: u32 = 60;
const WINDOW_TIME: Duration = Duration::from_millis(200);
const WINDOW_TIME_MAX: Duration = Duration::from_secs(2);
const WINDOW_PACKETS_MIN: u32 = 20;
/// More than half of [`WINDOW_PACKETS_MIN`] packets lost cannot wait.
const CLEARLY: f64 = 0.5;
/// Weight of a window in the share that is told.
const SMOOTHING: f64 = 0.25;
/// Loss beyond the usual that is suspected to be ours.
const SUSPECT: f64 = 0.10;
/// Of packets lost one after the other only so many count: a full queue loses some in between, and where nothing comes through for a while no rate
/// would have.
const RUN_MAX: u32 = 6;
/// Deviations that are put down to chance: of what was lost now, and of what is usual.
const CHANCE: f64 = 1.0;
const CHANCE_USUAL: f64 = 1.5;
/// If the two explanations of a loss differ by less in what they foretell, nothing can be decided.
const CONTRAST: f64 = 0.05;
/// Less was sent: below this share of the rate before.
const LOWERED: f64 = 0.95;
/// After a decrease the sender of media needs time to follow, and the queue to drain.
const SETTLE: Duration = Duration::from_millis(300);
/// The usual falls by this share of what a window is better.
const FORGET: f64 = 0.2;

/// What shall happen to the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// At most so much, in bits a second.
    Lower(u64),
    /// A decrease was a mistake: so much again.
    Restore(u64),
}

/// What is known when a window ends; rates in bits a second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The estimate.
    pub estimate: u64,
    /// What is sent.
    pub sent: u64,
    /// Packets wait in a queue: what is lost is lost there.
    pub queued: bool,
}

#[derive(Debug)]
struct Trial {
    estimate: u64,
    loss: f64,
    sent: u64,
}

/// Tells one's own loss from the link's.
#[derive(Debug, Default)]
pub struct Loss {
    packets: u32,
    lost: u32,
    /// Lost one after the other, up to now.
    run: u32,
    /// Beginning of the window; packets sent before do not count.
    since: Option<Instant>,
    usual: f64,
    smoothed: f64,
    trial: Option<Trial>,
}

impl Loss {
    /// Lost of all, 0 to 1, over the last windows.
    pub fn share(&self) -> f64 {
        self.smoothed
    }

    /// Loss is on trial: now is no time to try more.
    pub fn is_suspected(&self) -> bool {
        self.trial.is_some()
    }

    /// The delay found that the link is full: what was on trial is decided.
    /// `queued`: what was lost of the packets sent until now was lost in a full queue, and is answered by that.
    pub fn on_overuse(&mut self, queued: bool, now: Instant) {
        self.trial = None;
        if queued {
            (self.packets, self.lost, self.run, self.since) = (0, 0, 0, Some(now));
        }
    }

    /// One packet.
    pub fn on_fate(&mut self, fate: &Fate) {
        if fate.sent < *self.since.get_or_insert(fate.sent) {
            return;
        }
        if fate.recovered {
            self.lost = self.lost.saturating_sub(1);
            return;
        }
        self.run = if fate.arrived.is_none() { self.run + 1 } else { 0 };
        if self.run <= RUN_MAX {
            self.packets += 1;
            self.lost += u32::from(self.run > 0);
        }
    }

    /// Ends the window if it is long enough, and judges.
    pub fn judge(&mut self, rates: Rates, now: Instant) -> Verdict {
        let age = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let share = f64::from(self.lost) / f64::from(self.packets.max(1));
        let long = self.packets >= WINDOW_PACKETS && age >= WINDOW_TIME || age >= WINDOW_TIME_MAX;
        if self.packets < WINDOW_PACKETS_MIN || !long && share < CLEARLY {
            return Verdict::Keep;
        }
        let deviation = |of: f64| (of * (1.0 - of) / f64::from(self.packets)).sqrt();
        let by_chance = CHANCE * deviation(share);
        let usual_by_chance = deviation(self.usual);
        (self.packets, self.lost, self.since) = (0, 0, Some(now));
        self.smoothed += (share - self.smoothed) * SMOOTHING;
        if share + by_chance < self.usual {
            self.usual -= (self.usual - share - by_chance) * FORGET;
        }
        let beyond = share - self.usual;
        let suspicious = beyond - by_chance - CHANCE_USUAL * usual_by_chance > SUSPECT;
        if let Some(trial) = self.trial.take() {
            if let Some(stayed) = trial.has_stayed(share, rates.sent, self.usual).map(|stayed| stayed && !rates.queued) {
                self.usual = if stayed { share } else { self.usual };
                return if stayed { Verdict::Restore(trial.estimate) } else { Verdict::Keep };
            }
            if !suspicious {
                // It went away although no less was sent: it had other reasons.
                let lowered = (rates.sent as f64) < trial.sent as f64 * LOWERED;
                return if lowered || rates.queued { Verdict::Keep } else { Verdict::Restore(trial.estimate) };
            }
            self.trial = Some(trial);
        } else if suspicious {
            self.trial = Some(Trial { estimate: rates.estimate, loss: share, sent: rates.sent });
        } else {
            return Verdict::Keep;
        }
        self.since = Some(now + SETTLE);
        // An estimate far above what is sent is not what made the loss, and cutting it would change nothing.
        let from = rates.estimate.min(rates.sent + rates.sent / 2) as f64;
        Verdict::Lower((from * (1.0 - beyond)) as u64)
    }
}

impl Trial {
    /// Whether the loss is now nearer to what it was than to what a full queue would have left of it. `None`: it is too early to tell.
    fn has_stayed(&self, share: f64, sent: u64, usual: f64) -> Option<bool> {
        let carried = self.sent as f64 * (1.0 - (self.loss - usual).max(0.0));
        let if_ours = usual + (1.0 - carried / sent.max(1) as f64).max(0.0);
        let decidable = (sent as f64) < self.sent as f64 * LOWERED && self.loss - if_ours >= CONTRAST;
        decidable.then_some(share > (self.loss + if_ours) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 packets, of which so many were lost, in 250 ms; then the verdict.
    fn window(loss: &mut Loss, now: &mut Instant, lost: u32, rates: Rates) -> Verdict {
        for i in 0..100 {
            let arrived = (i * lost % 100 + lost < 100 || lost == 0).then_some(Duration::ZERO);
            loss.on_fate(&Fate { sent: *now + SETTLE, bytes: 1_000, unnumbered: 0, probe: 0, arrived, recovered: false });
        }
        *now += Duration::from_millis(250) + SETTLE;
        loss.judge(rates, *now)
    }

    #[test]
    fn loss_that_goes_away_with_the_rate_was_ours() {
        let (mut l, mut now) = (Loss::default(), Instant::now());
        let rates = Rates { estimate: 1_000_000, sent: 1_000_000, queued: false };
        assert_eq!(window(&mut l, &mut now, 5, rates), Verdict::Keep, "5 % is nothing");
        assert_eq!(window(&mut l, &mut now, 30, rates), Verdict::Lower(700_000));
        assert!(l.is_suspected());
        assert_eq!(window(&mut l, &mut now, 0, Rates { sent: 700_000, ..rates }), Verdict::Keep);
        assert!(!l.is_suspected() && l.usual < 0.01);
    }

    #[test]
    fn loss_that_stays_is_the_links_own() {
        let (mut l, mut now) = (Loss::default(), Instant::now());
        let rates = Rates { estimate: 1_000_000, sent: 1_000_000, queued: false };
        assert_eq!(window(&mut l, &mut now, 20, rates), Verdict::Lower(800_000));
        assert_eq!(window(&mut l, &mut now, 20, Rates { sent: 800_000, ..rates }), Verdict::Restore(1_000_000));
        assert_eq!(window(&mut l, &mut now, 22, rates), Verdict::Keep, "that is usual here");
        assert!(matches!(window(&mut l, &mut now, 60, rates), Verdict::Lower(590_000..=610_000)), "this is not");
        let full = window(&mut l, &mut now, 60, Rates { sent: 500_000, queued: true, ..rates });
        assert_eq!(full, Verdict::Keep, "with a queue it is ours, whatever it did");
        for _ in 0..20 {
            window(&mut l, &mut now, 0, Rates { sent: 500_000, ..rates });
        }
        assert!(l.usual < 0.01, "a better link is learnt, too");
    }

    #[test]
    fn a_gap_is_no_matter_of_rate() {
        let mut l = Loss::default();
        let now = Instant::now();
        for i in 0..200 {
            let arrived = (!(60..160).contains(&i)).then_some(Duration::ZERO);
            l.on_fate(&Fate { sent: now, bytes: 1_000, unnumbered: 0, probe: 0, arrived, recovered: false });
        }
        assert_eq!((l.packets, l.lost), (106, 6));
        assert_eq!(l.judge(Rates { estimate: 1_000_000, sent: 1_000_000, queued: false }, now + WINDOW_TIME), Verdict::Keep);
    }

    #[test]
    fn an_estimate_far_above_what_is_sent_is_not_taken_down_for_its_loss_at_once() {
        let (mut l, mut now) = (Loss::default(), Instant::now());
        let rates = Rates { estimate: 3_000_000, sent: 200_000, queued: false };
        assert_eq!(window(&mut l, &mut now, 20, rates), Verdict::Lower(240_000));
        assert_eq!(window(&mut l, &mut now, 20, Rates { sent: 150_000, ..rates }), Verdict::Restore(3_000_000));
    }

    #[test]
    fn what_came_and_went_while_as_much_was_sent_was_not_ours() {
        let (mut l, mut now) = (Loss::default(), Instant::now());
        let rates = Rates { estimate: 3_000_000, sent: 1_000_000, queued: false };
        assert_eq!(window(&mut l, &mut now, 30, rates), Verdict::Lower(1_050_000));
        assert_eq!(window(&mut l, &mut now, 3, rates), Verdict::Restore(3_000_000));
    }

    #[test]
    fn what_was_lost_in_a_long_queue_is_no_second_reason() {
        let (mut l, now) = (Loss::default(), Instant::now());
        let lost = |l: &mut Loss, sent| {
            (0..100).for_each(|i| {
                l.on_fate(&Fate { sent, bytes: 1_000, unnumbered: 0, probe: 0, arrived: (i % 2 == 0).then_some(SETTLE), recovered: false })
            });
        };
        lost(&mut l, now);
        l.on_overuse(true, now + SETTLE);
        lost(&mut l, now + SETTLE / 2);
        let rates = Rates { estimate: 500_000, sent: 500_000, queued: true };
        assert_eq!(l.judge(rates, now + SETTLE * 4), Verdict::Keep, "it was sent before");
        lost(&mut l, now + SETTLE * 2);
        assert!(matches!(l.judge(rates, now + SETTLE * 4), Verdict::Lower(_)));
    }
}
