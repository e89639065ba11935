//! What is assumed of a receiver that does not tell when packets arrived: its own estimate if it says one, and what it says it lost.
//!
//! draft-alvestrand-rmcat-remb-03; the steps by loss are those of draft-ietf-rmcat-gcc-02 6.

use std::time::{Duration, Instant};

use super::ESTIMATE_MIN_BPS;

/// Taken for the link of one who says nothing: a video of high quality and some small ones, which a common access line carries.
pub const ASSUMED_BPS: u64 = 5_000_000;
/// Of 256: 10 % and 2 %.
const LOST_MUCH: u8 = 26;
const LOST_LITTLE: u8 = 5;
/// Reports come once a second for each stream; one of them counts.
const STEP: Duration = Duration::from_secs(1);
/// Growth of a step.
const GROWTH: f64 = 1.08;

/// The estimate without arrival times.
#[derive(Debug)]
pub struct Blind {
    remb: Option<u64>,
    by_loss: f64,
    stepped: Option<Instant>,
    /// The worst of the reports since the last step.
    worst: u8,
}

impl Default for Blind {
    fn default() -> Blind {
        Blind { remb: None, by_loss: ASSUMED_BPS as f64, stepped: None, worst: 0 }
    }
}

impl Blind {
    /// Bits a second.
    pub fn bps(&self) -> u64 {
        self.remb.unwrap_or(ASSUMED_BPS).min(self.by_loss as u64).max(ESTIMATE_MIN_BPS)
    }

    /// Lost lately, 0 to 1.
    pub fn loss(&self) -> f64 {
        f64::from(self.worst) / 256.0
    }

    /// The receiver's own estimate, in bits a second.
    pub fn on_remb(&mut self, bps: u64) {
        self.remb = Some(bps);
    }

    /// A report of one stream: lost since the last one, of 256.
    pub fn on_report(&mut self, fraction_lost: u8, now: Instant) {
        let stepped = *self.stepped.get_or_insert(now);
        self.worst = self.worst.max(fraction_lost);
        if now.saturating_duration_since(stepped) < STEP {
            return;
        }
        let ceiling = self.remb.unwrap_or(ASSUMED_BPS) as f64;
        if self.worst >= LOST_MUCH {
            self.by_loss = self.by_loss.min(ceiling) * (1.0 - f64::from(self.worst) / 512.0);
        } else if self.worst <= LOST_LITTLE {
            self.by_loss *= GROWTH;
        }
        self.by_loss = self.by_loss.clamp(ESTIMATE_MIN_BPS as f64, ceiling.max(ESTIMATE_MIN_BPS as f64));
        (self.stepped, self.worst) = (Some(now), fraction_lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assumed_said_and_lost() {
        let now = Instant::now();
        let mut b = Blind::default();
        assert_eq!(b.bps(), ASSUMED_BPS);
        b.on_remb(2_000_000);
        assert_eq!(b.bps(), 2_000_000);
        for s in 0..4 {
            b.on_report(64, now + STEP * s);
        }
        assert_eq!(b.bps(), 1_339_843, "three steps of an eighth");
        for s in 4..40 {
            b.on_report(0, now + STEP * s);
        }
        assert_eq!(b.bps(), 2_000_000);
        b.on_remb(0);
        assert_eq!(b.bps(), ESTIMATE_MIN_BPS);
    }
}
