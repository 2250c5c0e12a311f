//! Runs the tests, and those that fail among the others once more by themselves.
//!
//! Hundreds of tests of whole systems share two processors here, and many of them are about time: deadlines, leases, kills. One that
//! fails in the crowd and passes alone is a race, in the test or in what it tests. It is named in the last lines, and to be looked
//! into; what fails both times is red. See `docs/adr/0016-what-fails-in-the-crowd-is-run-alone.md`.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{console, workspace};

/// More failures than this at once are no accident, and not worth the time.
const MOST: usize = 8;

/// Runs `cargo test` with arguments of one's own for the tests' programs. Where `second_try` says so, what fails has one.
pub(crate) fn run(soak: bool, second_try: bool, arguments: &[OsString]) -> anyhow::Result<()> {
    let first = outcome(cargo_test(soak).args(arguments))?;
    if first.succeeded {
        return Ok(());
    }
    let failed = Vec::from_iter(first.failed);
    if !second_try || failed.is_empty() || failed.len() > MOST {
        bail!("tests failed: {}", if failed.is_empty() { "see above".to_owned() } else { failed.join(", ") });
    }
    console::missing(&format!("failed among the others, and are run again by themselves: {}", failed.join(", ")));
    // By name in whichever program has such a test: the same ones run in several.
    let again = outcome(cargo_test(soak).args(["--exact", "--test-threads=1"]).args(&failed))?;
    if !again.succeeded {
        bail!("tests failed among the others and by themselves: {}", Vec::from_iter(again.failed).join(", "));
    }
    console::missing(&format!("failed among the others and passed by themselves, so they race: {}", failed.join(", ")));
    Ok(())
}

/// Up to the arguments for the tests' programs. Without documentation tests, of which there are none and whose empty summaries would
/// be the last thing to be seen.
fn cargo_test(soak: bool) -> Command {
    let mut test = workspace::cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--"]);
    if soak {
        test.env("ROWHOUSE_SOAK", "1");
    }
    test
}

struct Outcome {
    succeeded: bool,
    failed: BTreeSet<String>,
}

/// Shows what the tests print as they print it, and gathers the names of those that failed.
#[expect(clippy::print_stdout, reason = "the tests' own output belongs where theirs would go")]
fn outcome(command: &mut Command) -> anyhow::Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let printed = child.stdout.take().context("cargo test prints nowhere")?;
    let mut failed = BTreeSet::new();
    for line in BufReader::new(printed).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        failed.extend(failed_test(&line).map(str::to_owned));
    }
    Ok(Outcome { succeeded: child.wait().context("cannot wait for cargo test")?.success(), failed })
}

/// The name in a line `test NAME ... FAILED` of Rust's own test programs.
fn failed_test(line: &str) -> Option<&str> {
    let name = line.strip_prefix("test ")?.strip_suffix("FAILED")?.trim_end().strip_suffix("...")?;
    Some(name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::{failed_test, outcome};
    use std::process::Command;

    #[test]
    fn what_failed_is_gathered_from_what_is_printed() {
        let printed = "running 2 tests\ntest a::one ... FAILED\ntest a::two ... ok\n\nfailures:\n    a::one\n";
        let outcome = outcome(Command::new("sh").args(["-c", &format!("printf '{printed}'; exit 101")])).unwrap();
        assert_eq!((outcome.succeeded, Vec::from_iter(outcome.failed)), (false, vec!["a::one".to_owned()]));
    }

    #[test]
    fn names_of_failed_tests_are_found() {
        assert_eq!(
            failed_test("test network::cut_connections_are_replaced ... FAILED"),
            Some("network::cut_connections_are_replaced")
        );
        assert_eq!(failed_test("test network::cut_connections_are_replaced ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 49 passed; 1 failed; 0 ignored"), None);
    }
}
