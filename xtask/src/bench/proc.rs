//! What processes have used, as Linux tells it.

use std::{fs, time::Duration};

use anyhow::Context as _;
use nix::unistd::{SysconfVar, sysconf};

/// The processor time that a process has used so far, in user and kernel mode.
pub(super) fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    // User and system time are fields 14 and 15.
    ticks(process, 2)
}

/// As [`cpu_time`], of a process, of those of its children that have ended, and of those that run.
pub(super) fn family_cpu_time(process: u32) -> anyhow::Result<Duration> {
    // The two fields behind its own are those of its children that it has waited for.
    let mut total = ticks(process, 4)?;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if fields(id).is_ok_and(|fields| fields.get(1).is_some_and(|parent| *parent == process.to_string())) {
            total += ticks(id, 4).unwrap_or_default();
        }
    }
    Ok(total)
}

/// The memory that a process holds now.
pub(super) fn resident_megabytes(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1_000.0)
}

fn ticks(process: u32, many: usize) -> anyhow::Result<Duration> {
    let ticks =
        fields(process)?.iter().skip(11).take(many).map(|field| field.parse::<u64>()).sum::<Result<u64, _>>()?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")?;
    Ok(Duration::from_millis(ticks * 1_000 / u64::try_from(per_second)?))
}

/// What follows the second field, the program's name in parentheses.
fn fields(process: u32) -> anyhow::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("the process is gone")?;
    let (_, fields) = stat.rsplit_once(')').context("an unknown format of /proc")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}
