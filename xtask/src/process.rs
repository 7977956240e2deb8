//! Child processes that never outlive us, however we end.
//!
//! Each child leads its own process group, so that Ctrl-C reaches only us and we decide the order in which
//! things stop, and so that one signal also reaches what the child itself has started. Three things end it:
//! dropping its handle (every regular way out, errors and interrupts included), the kernel when we are
//! killed without warning (Linux), and the closing of the stdin we hold, for those that watch it.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    signal::unix::{Signal as SignalStream, SignalKind, signal},
};

/// A running child and its descendants.
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    stop: Signal,
    grace: Duration,
}

impl Process {
    /// Starts `command`; dropping the handle sends `stop` to its group and, after `grace`, `SIGKILL`.
    pub(crate) fn spawn(mut command: Command, stop: Signal, grace: Duration) -> anyhow::Result<Self> {
        adopt_orphans()?;
        command.process_group(0).kill_on_drop(true);
        end_with_parent(&mut command, stop);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", describe(&command)))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group, stop, grace })
    }

    /// Waits for the child's own end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// The child's number, until its end has been seen.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Takes the pipes that the command asked for.
    pub(crate) fn pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }

    /// Whether the child has ended by itself; no answer counts as still running.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(group) = self.group else { return };
        // The group may live on after its leader; it is gone when there is nobody left to signal.
        if killpg(group, self.stop) == Err(Errno::ESRCH) {
            return;
        }
        let deadline = Instant::now() + self.grace;
        while Instant::now() < deadline {
            self.reap(group);
            if killpg(group, None) == Err(Errno::ESRCH) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = killpg(group, Signal::SIGKILL);
        self.reap(group);
    }
}

impl Process {
    /// Takes note of the group's dead: an ended process counts as one of its group until somebody does.
    fn reap(&mut self, group: Pid) {
        if self.has_ended() {
            // Its descendants are ours since it ended, see `adopt_orphans`.
            while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
                waitpid(Pid::from_raw(-group.as_raw()), Some(WaitPidFlag::WNOHANG))
            {}
        }
    }
}

/// Makes us the parent of what our children leave behind, so that it ends with us as well.
#[cfg(target_os = "linux")]
fn adopt_orphans() -> anyhow::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> anyhow::Result<()> {
    Ok(())
}

/// Asks the kernel to signal the child when we are gone. Credentials given to the command are in force
/// before this runs, which matters: changing them would withdraw the request.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the only way to act in the child before it runs its program")]
fn end_with_parent(command: &mut Command, stop: Signal) {
    let us = nix::unistd::getpid();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(stop)?;
        // We may have ended before the request was in place.
        if nix::unistd::getppid() == us { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. prctl and getppid are plain
    // system calls, and nothing here allocates or takes a lock.
    unsafe { command.pre_exec(ask) };
}

/// Elsewhere a killed `up` leaves its children to themselves; the edge host still sees its stdin close.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command, _stop: Signal) {}

/// Runs a command that talks to the developer itself; an unsuccessful end is an error that names it.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    let name = describe(&command);
    let status = Process::spawn(command, Signal::SIGTERM, Duration::from_secs(5))?.wait().await?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// Runs a command in silence and returns its stdout; a failure carries what it had said.
pub(crate) async fn output(mut command: Command) -> anyhow::Result<String> {
    use tokio::io::AsyncReadExt as _;

    let name = describe(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::spawn(command, Signal::SIGTERM, Duration::from_secs(5))?;
    let (_, stdout, stderr) = process.pipes();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let read_out = async {
        match stdout {
            Some(mut pipe) => pipe.read_to_end(&mut out).await,
            None => Ok(0),
        }
    };
    let read_err = async {
        match stderr {
            Some(mut pipe) => pipe.read_to_end(&mut err).await,
            None => Ok(0),
        }
    };
    tokio::try_join!(read_out, read_err)?;
    let status = process.wait().await?;
    let out = String::from_utf8_lossy(&out).into_owned();
    if !status.success() {
        bail!("`{name}` failed ({status})\n{}{}", out.trim_end(), String::from_utf8_lossy(&err).trim_end());
    }
    Ok(out)
}

/// The command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let command = command.as_std();
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or(program.as_os_str())).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The developer's or the system's wish that we end.
pub(crate) struct Interrupt {
    interrupt: SignalStream,
    terminate: SignalStream,
    hangup: Option<SignalStream>,
}

impl Interrupt {
    /// Starts listening; from now on these signals no longer end the process by themselves.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        // Under `nohup` the closing of the terminal is none of our business, and listening would undo that.
        let hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits for the first of them.
    pub(crate) async fn wait(mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = hangup => Signal::SIGHUP,
        }
    }
}

/// As Linux tells it: a mask in hexadecimal, the hangup signal being its lowest bit.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
