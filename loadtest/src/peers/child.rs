//! A process that does not outlive the value that stands for it.

use std::io::Read;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    pub(super) fn start(command: &mut Command) -> std::io::Result<Running> {
        command.spawn().map(Running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits for its end and gives what it wrote, if it was piped: some lines, or it would wait for a reader.
    pub(super) async fn output(&mut self, within: Duration) -> Option<(ExitStatus, String, String)> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some((status, text(self.0.stdout.take()), text(self.0.stderr.take())));
            }
            sleep(LOOK_EVERY).await;
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = vec![];
    // What cannot be read is not there.
    pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
