//! What the kernel says of a process.

use anyhow::{Context, Result};

/// What proc(5) counts in: `USER_HZ`, which Linux has kept at this for its programs whatever the kernel's own clock is.
const TICKS_A_SECOND: f64 = 100.0;

/// The most memory that the process ever had (`VmHWM` of proc(5)).
pub(crate) fn peak_memory_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// Seconds of processor time that the process has had.
pub(crate) fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ").context("the kernel tells a name")?;
    // `utime` and `stime`, the 14th and 15th field.
    let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / TICKS_A_SECOND)
}
