//! What a process has used, as Linux counts it.

use std::fs;
use std::path::Path;

/// Seconds of the processor, over all threads that live.
pub fn seconds(pid: u32) -> Result<f64, String> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}; is the process still there?"))?;
    let nanos: u64 = tasks.flatten().filter_map(|task| on_cpu(&task.path())).sum();
    Ok(nanos as f64 / 1e9)
}

/// The first number of `schedstat`: nanoseconds, where `stat` has hundredths of a second.
fn on_cpu(task: &Path) -> Option<u64> {
    fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
}

/// Bytes in memory.
pub fn memory(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}; is the process still there?"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| format!("{path} tells no memory"))
}
