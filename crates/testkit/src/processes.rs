//! Signals to a server and all that it has started, each by its number.

use rustix::process::{Pid, Signal, kill_process};

/// Kills a process and its children. It is stopped first, so that none is born meanwhile.
pub(crate) fn kill(parent: i32) {
    let frozen = Frozen::freeze(parent);
    frozen.signal(Signal::KILL);
}

/// Processes that were stopped in the middle of what they do; they go on when this value is dropped.
pub struct Frozen(Vec<Pid>);

impl Frozen {
    pub(crate) fn freeze(parent: i32) -> Self {
        let parent = Pid::from_raw(parent).expect("a process has a number");
        kill_process(parent, Signal::STOP).expect("the process is there");
        let family = Self(std::iter::once(parent).chain(children(parent)).collect());
        family.signal(Signal::STOP);
        family
    }

    /// Has them go on.
    pub fn thaw(self) {
        drop(self);
    }

    fn signal(&self, signal: Signal) {
        for process in &self.0 {
            // A child may have ended by itself.
            let _ = kill_process(*process, signal);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

/// Whether a process has said what it does at a signal: until then, the signal ends it on the spot. Linux keeps the set as the
/// bits of `SigCgt` (proc_pid_status(5)).
pub(crate) fn catches(process: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let set = caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
    set & (1 << (signal.as_raw() - 1)) != 0
}

/// Linux says in `stat` of each process who its parent is: the second word after the name, which ends with the last bracket.
fn children(parent: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").expect("processes can be listed");
    let is_child = |process: &Pid| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent_of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parent_of.and_then(Pid::from_raw) == Some(parent)
    };
    let processes = entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    processes.filter(is_child).collect()
}
