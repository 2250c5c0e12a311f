//! Sees to it that a throwaway server does not outlive the process that started it, not even one that is killed.
//!
//! A shell waits on a pipe whose other end is ours. When this process ends, however it ends, the pipe closes, and the
//! shell ends the server and deletes its files.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use crate::{Error, error::IoContext, place::Place};

/// A server that a test has stopped in its tracks has to go on to end.
///
/// `$1` is the server's process, `$2` its data directory, the rest are the folders to delete. The pid file goes when the server does.
const SCRIPT: &str = r#"
read -r word
[ "$word" = release ] && exit 0
pid=$1 data=$2
shift 2
[ "$(head -n 1 "$data/postmaster.pid" 2>/dev/null)" = "$pid" ] && kill -QUIT "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null
tries=0
while [ -e "$data/postmaster.pid" ] && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf -- "$@"
"#;

/// The waiting shell.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// Starts watching over a server.
    pub(crate) fn watch(place: &Place, pid: i32) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "rowhouse-guard", &pid.to_string()]).arg(&place.data).args(place.folders());
        // A group of its own: Ctrl-C is for the programs, not for who cleans up after them.
        command.current_dir("/").process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = command.spawn().trying("run", "/bin/sh")?;
        Ok(Self { shell })
    }

    /// Sends it away: the server is somebody else's business from here on.
    pub(crate) fn release(mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // Gone already: then there is nothing to send away.
            let _ = pipe.write_all(b"release\n");
        }
        let _ = self.shell.wait();
    }
}
