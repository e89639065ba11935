//! Changes at their times:
//!
//! ```text
//! # a bad evening
//! at 0s: delay=20ms, down.rate=3mbit, down.queue=200ms
//! at 10s: down.rate=500kbit
//! at 20s: down.rate=3mbit, up.outage=300ms
//! ```
//!
//! Times count from when the script begins and never go back. Empty lines and what follows a `#` are nothing.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use super::conditions::{Change, TIME_MAX};
use crate::units;

/// Steps of a script. More are an error.
const STEPS_MAX: usize = 10_000;

/// Changes at their times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    steps: VecDeque<Step>,
}

/// Changes at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// From the beginning of the script.
    pub at: Duration,
    /// One after the other.
    pub changes: Vec<Change>,
}

impl Script {
    /// The time of the next step.
    pub fn next_at(&self) -> Option<Duration> {
        self.steps.front().map(|step| step.at)
    }

    /// The next step, if its time has come.
    pub fn poll_step(&mut self, passed: Duration) -> Option<Step> {
        if self.next_at()? <= passed { self.steps.pop_front() } else { None }
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let mut script = Script::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let step = Step::parse(line, script.steps.back()).map_err(|error| format!("line {}: {error}", number + 1))?;
            if script.steps.len() == STEPS_MAX {
                return Err(format!("more than {STEPS_MAX} steps"));
            }
            script.steps.push_back(step);
        }
        Ok(script)
    }
}

impl Step {
    fn parse(line: &str, before: Option<&Step>) -> Result<Step, String> {
        let wanted = || format!("{line:?} is no step, such as: at 10s: down.rate=500kbit, down.queue=200ms");
        let (at, changes) = line.strip_prefix("at ").and_then(|rest| rest.split_once(':')).ok_or_else(wanted)?;
        let at = units::duration(at.trim())?;
        if at > TIME_MAX {
            return Err(format!("a script ends within {} s", TIME_MAX.as_secs()));
        }
        if before.is_some_and(|before| before.at > at) {
            return Err("time does not go back".into());
        }
        Ok(Step { at, changes: changes.split(',').map(str::parse).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_at_their_times() {
        let text = "# comment\n\nat 0s: delay=20ms, down.rate=3mbit\n  at 10s: down.rate=500kbit # less\nat 10s: up.block=on\n";
        let mut script: Script = text.parse().expect("a script");
        let first = script.poll_step(Duration::ZERO).expect("a step");
        assert_eq!((first.at, first.changes.len()), (Duration::ZERO, 2));
        assert_eq!(first.changes[1], "down.rate=3mbit".parse().expect("a change"));
        assert_eq!(script.poll_step(Duration::from_millis(9_999)), None);
        assert_eq!(script.next_at(), Some(Duration::from_secs(10)));
        assert!(script.poll_step(Duration::from_secs(11)).is_some());
        assert!(script.poll_step(Duration::from_secs(11)).is_some());
        assert_eq!((script.poll_step(Duration::MAX), script.next_at()), (None, None));
        assert_eq!("".parse(), Ok(Script::default()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("10s: delay=1ms", "line 1"),
            ("at 10: delay=1ms", "line 1"),
            ("at 10s delay=1ms", "line 1"),
            ("at 2h: delay=1ms", "line 1: a script ends"),
            ("\nat 10s:", "line 2"),
            ("at 1s: delay=1ms,", "line 1"),
            ("at 2s: delay=1ms\nat 1s: delay=1ms", "line 2: time"),
        ] {
            let error = text.parse::<Script>().expect_err(text);
            assert!(error.starts_with(said), "{text}: {error}");
        }
        assert!("at 1s: delay=1ms\n".repeat(STEPS_MAX + 1).parse::<Script>().is_err());
    }
}
