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

use crate::{console, setup::Clients, workspace};

/// More failures than this at once are no accident, and not worth the time.
const MOST: usize = 8;

/// Runs `cargo test` with arguments of one's own for the tests' programs. Where `second_try` says so, what fails has one.
pub(crate) fn run(clients: &Clients, soak: bool, second_try: bool, arguments: &[OsString]) -> anyhow::Result<()> {
    let first = outcome(cargo_test(clients, soak).args(arguments))?;
    if first.succeeded {
        return Ok(());
    }
    let failed = Vec::from_iter(&first.failed).into_iter().map(String::as_str).collect::<Vec<_>>();
    // Where a program of tests could not be built or died, nobody knows what it would have found.
    let is_told = first.begun == first.ended && first.begun > 0;
    if !second_try || !is_told || failed.is_empty() || failed.len() > MOST {
        bail!("tests failed: {}", if failed.is_empty() { "see above".to_owned() } else { failed.join(", ") });
    }
    console::missing(&format!("failed among the others, and are run again by themselves: {}", failed.join(", ")));
    // By name in whichever program has such a test: the same ones run in several.
    let again = outcome(cargo_test(clients, soak).args(["--exact", "--test-threads=1"]).args(&failed))?;
    if !again.succeeded {
        bail!("tests failed among the others and by themselves: {}", Vec::from_iter(again.failed).join(", "));
    }
    if let Some(silent) = first.failed.difference(&again.passed).next() {
        bail!("{silent} failed among the others and was not run by itself");
    }
    console::missing(&format!("failed among the others and passed by themselves, so they race: {}", failed.join(", ")));
    Ok(())
}

/// Up to the arguments for the tests' programs. Without documentation tests, of which there are none and whose empty summaries would
/// be the last thing to be seen.
fn cargo_test(clients: &Clients, soak: bool) -> Command {
    let mut test = workspace::cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--"]);
    clients.offer(&mut test);
    if soak {
        test.env("ROWHOUSE_SOAK", "1");
    }
    test
}

#[derive(Default)]
struct Outcome {
    succeeded: bool,
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Programs of tests that said how many they would run, and those that said how it went.
    begun: usize,
    ended: usize,
}

impl Outcome {
    /// Takes in a line of Rust's own test programs.
    fn read(&mut self, line: &str) {
        if let Some(name) = test_that(line, "FAILED") {
            self.failed.insert(name.to_owned());
        } else if let Some(name) = test_that(line, "ok") {
            self.passed.insert(name.to_owned());
        }
        self.begun +=
            usize::from(line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test")));
        self.ended += usize::from(line.starts_with("test result: "));
    }
}

/// Shows what the tests print as they print it, and gathers the names of those that failed.
#[expect(clippy::print_stdout, reason = "the tests' own output belongs where theirs would go")]
fn outcome(command: &mut Command) -> anyhow::Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let printed = child.stdout.take().context("cargo test prints nowhere")?;
    let mut outcome = Outcome::default();
    for line in BufReader::new(printed).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        outcome.read(&line);
    }
    outcome.succeeded = child.wait().context("cannot wait for cargo test")?.success();
    Ok(outcome)
}

/// The name in a line `test NAME ... FAILED`, or whatever it says of how it went.
fn test_that<'line>(line: &'line str, went: &str) -> Option<&'line str> {
    let name = line.strip_prefix("test ")?.strip_suffix(went)?.trim_end().strip_suffix("...")?;
    Some(name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::{Outcome, outcome, test_that};
    use std::process::Command;

    fn printed(lines: &str) -> Outcome {
        outcome(Command::new("sh").args(["-c", &format!("printf '{lines}'; exit 101")])).unwrap()
    }

    #[test]
    fn what_failed_is_gathered_from_what_is_printed() {
        let outcome = printed(
            "\nrunning 2 tests\ntest a::one ... FAILED\ntest a::two ... ok\n\nfailures:\n    a::one\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored\n",
        );
        assert!(!outcome.succeeded);
        assert_eq!(Vec::from_iter(outcome.failed), ["a::one"]);
        assert_eq!(Vec::from_iter(outcome.passed), ["a::two"]);
        assert_eq!((outcome.begun, outcome.ended), (1, 1));
    }

    #[test]
    fn a_program_that_died_is_one_that_did_not_end() {
        let outcome = printed(
            "running 1 test\ntest a::one ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed\n\nrunning 9 tests\n",
        );
        assert_eq!((outcome.begun, outcome.ended), (2, 1));
    }

    #[test]
    fn names_of_failed_tests_are_found() {
        let line = "test network::cut_connections_are_replaced ... FAILED";
        assert_eq!(test_that(line, "FAILED"), Some("network::cut_connections_are_replaced"));
        assert_eq!(test_that(line, "ok"), None);
        assert_eq!(test_that("test result: FAILED. 49 passed; 1 failed; 0 ignored", "FAILED"), None);
    }
}
