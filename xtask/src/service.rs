//! Long-running parts of the local stack: a process, its log file, and a way to know that it is ready.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::process::Process;

/// A part of the stack. Dropping it stops it.
pub(crate) struct Service {
    name: &'static str,
    log: PathBuf,
    process: Process,
    /// Open as long as we live: the edge host ends when this closes.
    _stdin: Option<ChildStdin>,
}

impl Service {
    /// Starts `command` with its messages going to `log`, which starts empty.
    pub(crate) fn start(name: &'static str, mut command: Command, log: PathBuf, stop: Signal) -> anyhow::Result<Self> {
        let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let process = Process::spawn(command, stop, GRACE)?;
        Ok(Self { name, log, process, _stdin: None })
    }

    /// As [`Service::start`], for a service that announces itself on stdout and watches its stdin.
    pub(crate) fn start_watching(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        stop: Signal,
    ) -> anyhow::Result<(Self, ChildStdout)> {
        let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut process = Process::spawn(command, stop, GRACE)?;
        let (stdin, stdout, _) = process.pipes();
        let stdout = stdout.with_context(|| format!("{name} without stdout"))?;
        Ok((Self { name, log, process, _stdin: stdin }, stdout))
    }

    /// Its process, while it runs.
    pub(crate) fn process_id(&self) -> anyhow::Result<u32> {
        self.process.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Ends it as a crash would, without a word.
    pub(crate) async fn crash(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process_id()?)?), Signal::SIGKILL)?;
        self.process.wait().await?;
        Ok(())
    }

    /// Waits until the service ends, which it never should, and says so with its last words.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        let status = self.process.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("{} ended ({status})\n{}", self.name, self.last_words())
    }

    /// Asks the service to end and waits until it has.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // Dropping waits for the end, and meanwhile nothing else could go on.
        Ok(tokio::task::spawn_blocking(move || drop(self)).await?)
    }

    /// Calls `ready` until it says yes, failing early when the service ends.
    pub(crate) async fn until<F: Future<Output = bool>>(
        &mut self,
        limit: Duration,
        ready: impl Fn() -> F,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if ready().await {
                return Ok(());
            }
            if self.process.has_ended() {
                return Err(self.failure().await);
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {} s\n{}", self.name, limit.as_secs(), self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The end of the log, with its place.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.len().saturating_sub(15);
        format!("{}\n(log: {})", lines[tail..].join("\n"), self.log.display())
    }
}

/// Between asking a service to end and ending it.
const GRACE: Duration = Duration::from_secs(10);
