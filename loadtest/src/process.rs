//! What the system says of a process on this machine: `/proc`.

use std::fs;

/// The kernel counts in hundredths of a second, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

/// Times that threads were taken off their processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Switches {
    /// They had to wait for something.
    pub voluntary: u64,
    /// Somebody else had to run.
    pub involuntary: u64,
}

impl Process {
    /// This one.
    pub fn own() -> Process {
        Process(std::process::id())
    }

    /// One with this number, if it is there.
    pub fn find(pid: u32) -> Result<Process, String> {
        let process = Process(pid);
        let missing =
            || format!("there is no process {pid} on this machine: --pid is the number of the server's process, where it runs here");
        process.cpu_seconds().map(|_| process).ok_or_else(missing)
    }

    /// Processor time until now.
    pub fn cpu_seconds(self) -> Option<f64> {
        cpu_seconds(&fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?)
    }

    /// Memory that it has in use now.
    pub fn rss_bytes(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        field(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024)
    }

    /// Of all threads that run now, until now.
    pub fn switches(self) -> Option<Switches> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).ok()?;
        let mut all = Switches::default();
        for thread in threads.flatten() {
            // It may have ended since.
            let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
            all.voluntary += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            all.involuntary += field(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        }
        Some(all)
    }
}

impl Switches {
    /// Since it was `before`. Those of threads that have ended are gone.
    pub fn since(self, before: Switches) -> Switches {
        Switches {
            voluntary: self.voluntary.saturating_sub(before.voluntary),
            involuntary: self.involuntary.saturating_sub(before.involuntary),
        }
    }
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name of the program is in parentheses and may have any letters.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds(""), None);
        let status = "Name:\tx\nVmRSS:\t    7 kB\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!((field(status, "voluntary_ctxt_switches:"), field(status, "nonvoluntary_ctxt_switches:")), (Some(12), Some(3)));
        assert_eq!((field(status, "VmRSS:"), field(status, "x")), (Some(7), None));
    }

    #[test]
    fn this_process_and_one_that_is_none() {
        let own = Process::own();
        assert!(
            own.cpu_seconds().is_some()
                && own.rss_bytes().is_some_and(|bytes| bytes > 0)
                && own.switches().is_some_and(|switches| switches.voluntary + switches.involuntary > 0)
        );
        let error = Process::find(u32::MAX).expect_err("there is none");
        assert!(error.contains("there is no process"), "{error}");
    }
}
