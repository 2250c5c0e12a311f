//! The helper process: `data-plane extract <media type>` reads a file from standard input and writes its text to
//! standard output.
//!
//! `main` calls [`run_child`] before it does anything else: no settings, no logs, no runtime, nothing to leak.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use rlimit::Resource;

use super::formats::text_of;
use super::normalise::normalise;
use super::{MAX_INPUT, MAX_TEXT, exit};
use crate::media::{Format, MediaType};

/// The argument that makes the service's binary the helper process.
pub const SUBCOMMAND: &str = "extract";

/// Eight times the largest input: parsers keep several copies.
const MEMORY: u64 = 512 * 1024 * 1024;

/// Seconds of computing. The parent's deadline is longer, it includes waiting for the store.
const SECONDS: u64 = 30;

/// How deep a parser may recurse before it is a crash; PDF readers are at home at depths that the usual 2 MiB don't allow.
const STACK: usize = 32 * 1024 * 1024;

/// Why there is no text.
struct Refusal {
    code: u8,
    reason: String,
}

impl Refusal {
    fn new(code: u8, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Does the whole work of the helper process. The media type is the last argument of the command line.
pub fn run_child() -> ExitCode {
    // The default hook prints the panic's message, which may hold parts of the file.
    std::panic::set_hook(Box::new(|_| {}));
    let media_type = std::env::args().next_back().unwrap_or_default();
    match limit_self().and_then(|output| extract(&media_type, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let line: String = refusal.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "{line}");
            ExitCode::from(refusal.code)
        }
    }
}

/// Gives up whatever a parser does not need, and returns the place where the text goes.
///
/// Standard output itself is closed to the parsers: some libraries print remarks there.
fn limit_self() -> Result<File, Refusal> {
    let failed = |what: &str, error: io::Error| Refusal::new(exit::UNLIMITED, format!("{what}: {error}"));
    let output = rustix::io::dup(rustix::stdio::stdout()).map_err(|error| failed("output", error.into()))?;
    let nowhere = File::options().write(true).open("/dev/null").map_err(|error| failed("/dev/null", error))?;
    rustix::stdio::dup2_stdout(&nowhere).map_err(|error| failed("output", error.into()))?;
    drop(nowhere);
    for (resource, limit) in [
        (Resource::AS, MEMORY),
        (Resource::CPU, SECONDS),
        (Resource::FSIZE, 0),
        (Resource::NOFILE, 8),
        (Resource::CORE, 0),
    ] {
        // Darwin knows no limit of address space; the parent's deadline is what remains there.
        if cfg!(not(target_os = "linux")) && matches!(resource, Resource::AS) {
            continue;
        }
        rlimit::setrlimit(resource, limit, limit).map_err(|error| failed(resource.as_name(), error))?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        rustix::thread::set_no_new_privs(true).map_err(|error| failed("no_new_privs", error.into()))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| failed("dumpable", error.into()))?;
    }
    Ok(output.into())
}

fn extract(media_type: &str, mut output: File) -> Result<(), Refusal> {
    let format = MediaType::parse(media_type)
        .and_then(|media_type| media_type.format())
        .ok_or_else(|| Refusal::new(exit::UNSUPPORTED, "no parser for this media type"))?;
    let input = read_input(format)?;
    // A panic in a parser is a remark about the file, not about us.
    let parsed = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || text_of(format, &input))
        .map_err(|error| Refusal::new(exit::UNLIMITED, format!("parser's thread: {error}")))?
        .join()
        .map_err(|_| Refusal::new(exit::MALFORMED, "the parser gave up"))?;
    let text = normalise(&parsed.map_err(|reason| Refusal::new(exit::MALFORMED, reason))?, MAX_TEXT);
    output
        .write_all(text.as_bytes())
        .map_err(|error| Refusal::new(exit::UNLIMITED, format!("writing the text: {error}")))
}

/// Of plain text the beginning will do; of anything else half a file is none.
fn read_input(format: Format) -> Result<Vec<u8>, Refusal> {
    let mut input = Vec::new();
    let limit = MAX_INPUT as u64;
    io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut input)
        .map_err(|error| Refusal::new(exit::UNLIMITED, format!("reading the file: {error}")))?;
    if input.len() > MAX_INPUT {
        match format {
            Format::Plain => input.truncate(MAX_INPUT),
            Format::Markdown | Format::Html | Format::Pdf => {
                return Err(Refusal::new(exit::TOO_LARGE, "larger than what is parsed"));
            }
        }
    }
    Ok(input)
}
