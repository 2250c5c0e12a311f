//! The service's side: starts the helper process, feeds it, and says how it ended.

use std::error::Error as StdError;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::{MAX_INPUT, MAX_TEXT, child, exit};
use crate::media::{Format, MediaType};

/// How long a file may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start of the process to its end, waiting for the file's bytes included.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(45) }
    }
}

/// What became of a file. Trying again would change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extracted {
    /// Its text, normalised and cut at [`MAX_TEXT`].
    Text(String),
    /// No parser knows this kind of file.
    Unsupported,
    /// The parser failed on this file.
    Failed {
        /// In which way.
        reason: Reason,
        /// One line about it, for people; may be empty.
        detail: String,
    },
}

/// How a parser can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The file is not what its type says.
    Malformed,
    /// The file is larger than what is parsed.
    TooLarge,
    /// It took too long.
    TimedOut,
    /// The process died: of a limit, or of a fault in the parser.
    Crashed,
}

impl Reason {
    /// The reason's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large_to_extract",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
        }
    }
}

/// Why the attempt could not be made, or not finished; another may succeed.
#[derive(Debug)]
pub enum ExtractError {
    /// The file's bytes could not be read.
    Input(Box<dyn StdError + Send + Sync>),
    /// The helper process could not be run.
    Process(std::io::Error),
}

impl std::fmt::Display for ExtractError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Input(_) => "the file could not be read",
            Self::Process(_) => "the helper process could not be run",
        })
    }
}

impl StdError for ExtractError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Input(source) => Some(&**source),
            Self::Process(source) => Some(source),
        }
    }
}

/// Extracts the text of a file in a process of its own. `program` is the service's own binary.
///
/// When this future is dropped the process is killed.
pub async fn run<S, E>(
    program: &Path,
    media_type: &MediaType,
    input: S,
    limits: &Limits,
) -> Result<Extracted, ExtractError>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let Some(format) = media_type.format() else {
        return Ok(Extracted::Unsupported);
    };
    let mut process = start(program, media_type).map_err(ExtractError::Process)?;
    let finished = tokio::time::timeout(limits.deadline, converse(&mut process, format, input)).await;
    // In every case: the process must be gone before its outcome is told.
    let result = finished.unwrap_or_else(|_| Ok(failed(Reason::TimedOut, "")));
    process.kill().await.map_err(ExtractError::Process)?;
    result
}

fn start(program: &Path, media_type: &MediaType) -> std::io::Result<Child> {
    Command::new(program)
        .arg(child::SUBCOMMAND)
        .arg(media_type.as_str())
        // Settings and credentials come through the environment: the parser gets none of it.
        .env_clear()
        // The allocator would set a gigabyte of addresses aside, which is more than the helper may have.
        .env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Why a conversation ends before the process does.
enum Stop {
    TooLarge,
    Error(ExtractError),
}

async fn converse<S, E>(process: &mut Child, format: Format, input: S) -> Result<Extracted, ExtractError>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    // The first to fail stops the others: no one waits for a parser whose input is half a file.
    let done = tokio::try_join!(feed(stdin, format, input), read_capped(stdout, MAX_TEXT), read_capped(stderr, 1024));
    let (text, remark) = match done {
        Ok(((), text, remark)) => (text, remark),
        Err(Stop::TooLarge) => return Ok(failed(Reason::TooLarge, "")),
        Err(Stop::Error(error)) => return Err(error),
    };
    let status = process.wait().await.map_err(ExtractError::Process)?;
    let remark = String::from_utf8_lossy(&remark);
    if status.success() {
        // The child writes strings; another encoding can only be a fault of the parser's.
        return Ok(String::from_utf8(text).map_or_else(|_| failed(Reason::Crashed, "not UTF-8"), Extracted::Text));
    }
    outcome(status, remark.trim())
}

/// Sends the file, or as much of it as the child takes.
async fn feed<S, E>(stdin: Option<ChildStdin>, format: Format, input: S) -> Result<(), Stop>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut stdin = stdin.expect("standard input is piped");
    let mut input = std::pin::pin!(input);
    let mut room = MAX_INPUT;
    while let Some(chunk) = input.next().await {
        let mut chunk = chunk.map_err(|error| Stop::Error(ExtractError::Input(error.into())))?;
        if chunk.len() > room {
            match format {
                Format::Plain => chunk.truncate(room),
                Format::Markdown | Format::Html | Format::Pdf => return Err(Stop::TooLarge),
            }
        }
        room -= chunk.len();
        // A child that has closed its input has decided already; its exit code says what.
        if room == 0 && chunk.is_empty() || stdin.write_all(&chunk).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads to the end, keeping at most `limit` bytes: the other side must not be able to fill our memory.
async fn read_capped(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>, Stop> {
    let mut pipe = pipe.expect("both outputs are piped");
    let mut kept = Vec::new();
    let broken = |error| Stop::Error(ExtractError::Process(error));
    (&mut pipe).take(limit as u64).read_to_end(&mut kept).await.map_err(broken)?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.map_err(broken)?;
    Ok(kept)
}

fn outcome(status: ExitStatus, remark: &str) -> Result<Extracted, ExtractError> {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code {
        Some(exit::UNSUPPORTED) => Ok(Extracted::Unsupported),
        Some(exit::MALFORMED) => Ok(failed(Reason::Malformed, remark)),
        Some(exit::TOO_LARGE) => Ok(failed(Reason::TooLarge, remark)),
        Some(exit::UNLIMITED) => Err(ExtractError::Process(std::io::Error::other(remark.to_owned()))),
        // A signal: stack overflow, refused allocation, spent processor time, or the system's own killer.
        Some(_) | None => Ok(failed(Reason::Crashed, &status.to_string())),
    }
}

fn failed(reason: Reason, detail: &str) -> Extracted {
    Extracted::Failed { reason, detail: detail.to_owned() }
}
