//! What must hold, and whether it did.

use std::time::Duration;

use serde::Serialize;

use crate::bad_network::Phase;
use crate::report::Clients;
use crate::scenario::Bounds;

/// One bound and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bound {
    /// What is bounded.
    pub what: &'static str,
    /// What was seen and what should have been, where it did not hold.
    pub broken: Option<String>,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What the bots saw.
    pub clients: &'a Clients,
    /// Delay of 99 of 100 packets, where it is known.
    pub delay_p99_ms: Option<f64>,
    /// What the server forwarded.
    pub forwarded: u64,
    /// On bad networks.
    pub phases: &'a [Phase],
}

impl Bound {
    /// One of which this is wrong.
    pub fn new(what: &'static str, broken: Option<String>) -> Bound {
        Bound { what, broken }
    }
}

impl Bounds {
    /// Each of them, with what is wrong.
    pub fn judge(&self, judged: Judged<'_>) -> Vec<Bound> {
        let Judged { clients, delay_p99_ms, forwarded, phases } = judged;
        let Clients { planned, connected, faults, .. } = *clients;
        let all = (connected < planned).then(|| format!("{connected} of {planned}"));
        let silent = (forwarded == 0 && planned > 1).then(|| "none".to_owned());
        let mut bounds = vec![
            Bound::new("everybody is connected and has a picture", all),
            Bound::new("packets are forwarded", silent),
            Bound::new("faults (wrong face, no keyframe, number twice)", above(faults, self.faults)),
        ];
        // A bad network takes what nobody can give back; there it counts how the pictures went on.
        if phases.is_empty() {
            bounds.push(Bound::new("lost packets after repair", self.lost(clients)));
            bounds.extend(self.freezes.map(|max| Bound::new("freezes", above(clients.freezes, max))));
        } else {
            let broken: Vec<String> = phases.iter().filter_map(Phase::broken).collect();
            bounds.push(Bound::new("frozen no longer than a phase allows", (!broken.is_empty()).then(|| broken.join("; "))));
        }
        bounds.extend(self.join_p95.map(|max| slow("time to connected media, p95", clients.join_ms.p95, max)));
        bounds.extend(self.first_frame_p95.map(|max| slow("time to the first frame, p95", clients.first_frame_ms.p95, max)));
        let delay = self.delay_p99.zip(delay_p99_ms);
        bounds.extend(delay.map(|(max, delay)| slow("delay, p99", delay, max)));
        bounds
    }

    fn lost(&self, clients: &Clients) -> Option<String> {
        let lost = clients.lost_after_repair;
        let share = lost as f64 / (clients.packets_received + lost).max(1) as f64;
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        match self.lost_after_repair {
            0.0 => above(lost, 0),
            max => (share > max).then(|| format!("{lost}, which are {} instead of at most {}", percent(share), percent(max))),
        }
    }
}

fn above(count: u64, max: u64) -> Option<String> {
    (count > max).then(|| format!("{count} instead of {}{max}", if max == 0 { "" } else { "at most " }))
}

fn slow(what: &'static str, ms: f64, max: Duration) -> Bound {
    let max = max.as_secs_f64() * 1e3;
    Bound::new(what, (ms > max).then(|| format!("{ms:.0} ms instead of at most {max:.0} ms")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(bounds: &Bounds, clients: &Clients, delay_p99_ms: Option<f64>, forwarded: u64) -> Vec<String> {
        let judged = bounds.judge(Judged { clients, delay_p99_ms, forwarded, phases: &[] });
        judged.into_iter().filter_map(|bound| Some(format!("{}: {}", bound.what, bound.broken?))).collect()
    }

    #[test]
    fn each_bound_breaks_alone() {
        let clients = Clients { planned: 3, connected: 3, packets_received: 1_000, ..Clients::default() };
        let strict = Bounds {
            join_p95: Some(Duration::from_secs(1)),
            first_frame_p95: Some(Duration::from_secs(1)),
            delay_p99: Some(Duration::from_millis(5)),
            ..Bounds::default()
        };
        assert_eq!(broken(&strict, &clients, Some(5.0), 9), Vec::<String>::new());
        type Spoil = fn(&mut Clients);
        let breaks: [(Spoil, &str); 6] = [
            (|clients| clients.connected = 2, "everybody is connected and has a picture: 2 of 3"),
            (|clients| clients.lost_after_repair = 1, "lost packets after repair: 1 instead of 0"),
            (|clients| clients.freezes = 1, "freezes: 1 instead of 0"),
            (|clients| clients.faults = 1, "faults (wrong face, no keyframe, number twice): 1 instead of 0"),
            (|clients| clients.join_ms.p95 = 1_001.0, "time to connected media, p95: 1001 ms instead of at most 1000 ms"),
            (|clients| clients.first_frame_ms.p95 = 1_500.0, "time to the first frame, p95: 1500 ms instead of at most 1000 ms"),
        ];
        for (spoil, said) in breaks {
            let mut clients = clients.clone();
            spoil(&mut clients);
            assert_eq!(broken(&strict, &clients, None, 9), [said]);
        }
        assert_eq!(broken(&strict, &clients, None, 0), ["packets are forwarded: none"]);
        assert_eq!(broken(&strict, &clients, Some(6.0), 9), ["delay, p99: 6 ms instead of at most 5 ms"]);
    }

    #[test]
    fn wide_bounds_allow_what_they_say() {
        let wide = Bounds { lost_after_repair: 0.01, freezes: None, faults: 2, ..Bounds::default() };
        let clients = Clients {
            planned: 1,
            connected: 1,
            packets_received: 990,
            lost_after_repair: 10,
            freezes: 99,
            faults: 2,
            ..Clients::default()
        };
        assert_eq!(broken(&wide, &clients, None, 9), Vec::<String>::new());
        let clients = Clients { lost_after_repair: 20, faults: 3, ..clients };
        assert_eq!(broken(&wide, &clients, None, 9).len(), 2);
    }
}
