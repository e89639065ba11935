//! How loud somebody is and whether that is speech, from the audio level that comes with each packet (RFC 6464).
//!
//! The level rises quickly and falls slowly, so that a click is no speech and a breath no end of it. Nothing here knows tracks or slots:
//! `room/speaker.rs` reads it, and the fillers compare its times.

use std::time::{Duration, Instant};

/// Weight of a rising level: 60 ms of ordinary speech are heard as speech, 20 ms of a beep are not.
const RISE: Duration = Duration::from_millis(40);
/// Weight of a falling level.
const FALL: Duration = Duration::from_millis(250);
/// No packet says more than this about the time before it (DTX sends one in 400 ms).
const STEP_MAX: Duration = Duration::from_millis(100);
/// Loudness at which speech begins (−45 dBov) and under which it ends (−52 dBov).
const BEGIN: f32 = 0.417;
const END: f32 = 0.3;
/// Silence that ends speech.
const PAUSE: Duration = Duration::from_millis(600);
/// Silence after which the next word begins a new turn.
const TURN_PAUSE: Duration = Duration::from_secs(5);

/// One source's loudness over time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Level {
    value: f32,
    at: Option<Instant>,
    heard: Option<Instant>,
    turn: Option<Instant>,
    speaking: bool,
}

impl Level {
    /// A packet came, with its level if it had one (0 is loudest, 127 silence).
    pub fn observe(&mut self, level: u8, now: Instant) {
        let loudness = ((70.0 - f32::from(level)) / 60.0).clamp(0.0, 1.0);
        self.follow(loudness, now);
    }

    /// Time went by: without packets it becomes silent.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) > STEP_MAX) {
            self.follow(0.0, now);
        }
    }

    /// Silent from now on, as after a mute. When it was last heard is kept.
    pub fn silence(&mut self) {
        self.value = 0.0;
        self.speaking = false;
    }

    /// Smoothed loudness from 0 (silence, −70 dBov) to 1 (−10 dBov and above).
    pub fn value(&self) -> f32 {
        self.value
    }

    /// Whether this is speech.
    pub fn speaking(&self) -> bool {
        self.speaking
    }

    /// When it was last heard.
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// When the present turn, or the last one, began: speech after at least 5 s of silence.
    pub fn turn(&self) -> Option<Instant> {
        self.turn
    }

    /// Heard within the last `time`.
    pub fn heard_within(&self, time: Duration, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) <= time)
    }

    fn follow(&mut self, loudness: f32, now: Instant) {
        let passed = self.at.map_or(Duration::from_millis(20), |at| now.saturating_duration_since(at)).min(STEP_MAX);
        let weight = if loudness > self.value { RISE } else { FALL };
        let share = passed.as_secs_f32() / (passed + weight).as_secs_f32();
        self.value += (loudness - self.value) * share;
        self.at = Some(now);
        if self.value >= if self.speaking { END } else { BEGIN } {
            if !self.heard_within(TURN_PAUSE, now) {
                self.turn = Some(now);
            }
            self.heard = Some(now);
            self.speaking = true;
        } else if !self.heard_within(PAUSE, now) {
            self.speaking = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(level: &mut Level, now: &mut Instant, dbov: u8, packets: u32) {
        for _ in 0..packets {
            *now += Duration::from_millis(20);
            level.observe(dbov, *now);
        }
    }

    #[test]
    fn speech_begins_and_ends() {
        let (mut level, mut now) = (Level::default(), Instant::now());
        feed(&mut level, &mut now, 127, 50);
        assert!(!level.speaking());
        feed(&mut level, &mut now, 30, 4);
        assert!(level.speaking(), "80 ms of speech");
        let turn = level.turn();
        feed(&mut level, &mut now, 127, 15);
        assert!(level.speaking(), "a breath");
        feed(&mut level, &mut now, 127, 40);
        assert!(!level.speaking());
        feed(&mut level, &mut now, 30, 10);
        assert_eq!(level.turn(), turn, "the same turn");
        feed(&mut level, &mut now, 127, 300);
        feed(&mut level, &mut now, 30, 10);
        assert_ne!(level.turn(), turn);
    }

    #[test]
    fn a_click_is_no_speech() {
        let (mut level, mut now) = (Level::default(), Instant::now());
        for _ in 0..20 {
            feed(&mut level, &mut now, 127, 24);
            feed(&mut level, &mut now, 0, 1);
            assert!(!level.speaking());
        }
    }

    #[test]
    fn noise_is_no_speech() {
        let (mut level, mut now) = (Level::default(), Instant::now());
        feed(&mut level, &mut now, 55, 500);
        assert!(!level.speaking());
    }

    #[test]
    fn without_packets_it_falls_silent() {
        let (mut level, mut now) = (Level::default(), Instant::now());
        feed(&mut level, &mut now, 20, 20);
        for _ in 0..20 {
            now += Duration::from_millis(200);
            level.handle_timeout(now);
        }
        assert!(!level.speaking());
        assert!(level.value() < 0.01);
    }
}
