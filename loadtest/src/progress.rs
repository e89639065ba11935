//! What is seen while it runs: a bar with the rates of the last second on a terminal, a plain line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::series::Sample;
use crate::table::{bitrate, number};

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// A display on stderr.
#[derive(Debug)]
pub struct Progress {
    /// None: plain lines.
    bar: Option<ProgressBar>,
    stage: String,
    /// How far the stage goes, and whether seconds bring it forward.
    length: usize,
    timed: bool,
    said_at: Option<Instant>,
}

impl Progress {
    /// A bar where somebody can see it.
    pub fn on_stderr() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(style()));
        Progress { bar, stage: String::new(), length: 0, timed: false, said_at: None }
    }

    /// Something else begins, with so many steps.
    pub fn stage(&mut self, stage: &str, length: usize) {
        (self.stage, self.length, self.timed, self.said_at) = (stage.to_owned(), length, false, None);
        if let Some(bar) = &self.bar {
            bar.set_length(length as u64);
            bar.set_position(0);
            bar.set_prefix(stage.to_owned());
        }
    }

    /// The same, where each look at everybody is one step.
    pub fn timed_stage(&mut self, stage: &str, seconds: u64) {
        self.stage(stage, seconds as usize);
        self.timed = true;
    }

    /// One step of the stage is done.
    pub fn advance(&mut self) {
        if let (Some(bar), false) = (&self.bar, self.timed) {
            bar.inc(1);
        }
    }

    /// Shows the last second.
    pub fn show(&mut self, sample: &Sample) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text(sample));
                if self.timed {
                    bar.inc(1);
                }
            }
            None if self.said_at.is_none_or(|at| at.elapsed() >= PLAIN_EVERY) => {
                self.said_at = Some(Instant::now());
                eprintln!("{:5.0} s  {}: {}", sample.at_s, self.stage, text(sample));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:>12} {bar:24.cyan/dim} {pos:>4}/{len:<4} {elapsed:>4}  {wide_msg}";
    ProgressStyle::with_template(template).expect("the template is right").progress_chars("━╸─")
}

fn text(sample: &Sample) -> String {
    let Sample { bots, packets_per_s, bits_per_s, server_cpu_share, bots_cpu_share, freezes, missed, .. } = sample;
    let (server, own) = (server_cpu_share * 100.0, bots_cpu_share * 100.0);
    let trouble = if freezes + missed > 0 { format!("  missed {missed}, freezes {freezes}") } else { String::new() };
    let rates = format!("{} packets/s, {}", number(*packets_per_s), bitrate(*bits_per_s));
    format!("{bots} bots  {rates}  CPU: server {server:.0} %, bots {own:.0} %{trouble}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_one_line() {
        assert!(!style().get_tick_str(0).contains('\n'));
        let sample = Sample { bots: 51, packets_per_s: 12_345.0, bits_per_s: 1e8, server_cpu_share: 0.5, ..Sample::default() };
        assert_eq!(text(&sample), "51 bots  12,345 packets/s, 100 Mbit/s  CPU: server 50 %, bots 0 %");
        assert!(text(&Sample { missed: 3, ..sample }).ends_with("missed 3, freezes 0"));
    }
}
