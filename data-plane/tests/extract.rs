//! The helper process, run for real: what it reads, and how it dies without taking the service along.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use rowhouse_data_plane::extract::{self, ExtractError, Extracted, Limits, MAX_TEXT, Reason};
use rowhouse_data_plane::media::MediaType;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_data-plane"))
}

fn pieces(content: impl Into<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let content: Bytes = content.into();
    stream::iter(
        (0..content.len())
            .step_by(65_536)
            .map(move |start| Ok(content.slice(start..content.len().min(start + 65_536)))),
    )
}

async fn run(media_type: &str, content: impl Into<Bytes>) -> Extracted {
    let media_type = MediaType::parse(media_type).unwrap();
    extract::run(program(), &media_type, pieces(content), &Limits::default()).await.unwrap()
}

fn text(extracted: Extracted) -> String {
    match extracted {
        Extracted::Text(text) => text,
        Extracted::Unsupported => panic!("unsupported"),
        Extracted::Failed { reason, detail } => panic!("{reason:?} {detail}"),
    }
}

fn reason(extracted: Extracted) -> Reason {
    match extracted {
        Extracted::Failed { reason, .. } => reason,
        Extracted::Text(text) => panic!("{} bytes of text", text.len()),
        Extracted::Unsupported => panic!("unsupported"),
    }
}

#[tokio::test]
async fn text_comes_out_of_every_format() {
    let text = |expected: &str| Extracted::Text(expected.to_owned());
    assert_eq!(run("text/plain", "one\r\n\r\n\r\n\r\ntwo\u{0}".replace('\0', "")).await, text("one\n\ntwo"));
    assert_eq!(run("text/x-rust", "fn main() {}").await, text("fn main() {}"));
    assert_eq!(run("text/markdown", "# A *house*").await, text("A house"));
    assert_eq!(run("text/html", "<p>A <b>house</b></p>").await, text("A house"));
    assert_eq!(run("text/plain", "").await, text(""));
    assert_eq!(
        run("text/plain", &b"Gr\xfc\xdfe aus der Stra\xdfe in K\xf6ln"[..]).await,
        text("Grüße aus der Straße in Köln")
    );
}

#[tokio::test]
async fn what_has_no_parser_is_unsupported() {
    assert_eq!(run("image/png", "anything").await, Extracted::Unsupported);
}

#[tokio::test]
async fn a_broken_file_is_malformed() {
    assert_eq!(reason(run("application/pdf", "%PDF-1.7\nthat was all").await), Reason::Malformed);
    assert_eq!(reason(run("text/plain", "a\0b").await), Reason::Malformed);
}

#[tokio::test]
async fn deep_nesting_hurts_nobody() {
    // Whether the parser copes or overflows its stack: the service goes on and has an answer.
    let html = run("text/html", "<div>".repeat(5_000)).await;
    assert!(matches!(html, Extracted::Text(_) | Extracted::Failed { .. }));
    let markdown = run("text/markdown", "> ".repeat(50_000) + &"[".repeat(50_000)).await;
    assert!(matches!(markdown, Extracted::Text(_) | Extracted::Failed { .. }));
    let arrays = "[".repeat(500_000);
    let pdf = format!(
        "%PDF-1.4\n1 0 obj\n{arrays}\nendobj\nxref\n0 2\n0000000000 65535 f \n0000000009 00000 n \ntrailer\n<< /Size 2 /Root 1 0 R >>\nstartxref\n{}\n%%EOF",
        26 + arrays.len()
    );
    assert!(matches!(reason(run("application/pdf", pdf).await), Reason::Malformed | Reason::Crashed));
}

#[tokio::test]
async fn memory_is_limited() {
    // Tens of millions of nodes would take gigabytes.
    assert_eq!(reason(run("text/html", "<b>".repeat(12 << 20)).await), Reason::Crashed);
}

#[tokio::test]
async fn a_large_file_is_refused_unless_its_beginning_will_do() {
    let chunk = Bytes::from("all houses stand in one row \n".repeat(36_158));
    let file = || stream::repeat(chunk.clone()).take(70).map(Ok::<_, Infallible>);
    let html = MediaType::parse("text/html").unwrap();
    let extracted = extract::run(program(), &html, file(), &Limits::default()).await.unwrap();
    assert_eq!(reason(extracted), Reason::TooLarge);
    let plain = MediaType::parse("text/plain").unwrap();
    let beginning = text(extract::run(program(), &plain, file(), &Limits::default()).await.unwrap());
    assert!(beginning.len() <= MAX_TEXT && beginning.len() > MAX_TEXT - 10);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_to_try_again() {
    let broken = stream::iter([Ok(Bytes::from("begin")), Err("the store is away")]);
    let plain = MediaType::parse("text/plain").unwrap();
    let error = extract::run(program(), &plain, broken, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, ExtractError::Input(_)));
    let error = extract::run(Path::new("/nonexistent"), &plain, pieces(""), &Limits::default()).await.unwrap_err();
    assert!(matches!(error, ExtractError::Process(_)));
}

/// A program that is not ours, in place of the helper.
fn script(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    path
}

/// Runs such a program. Another test may have forked while it was being written: then it is busy for a moment.
async fn run_script(program: &Path, content: &[u8], limits: &Limits) -> Extracted {
    let plain = MediaType::parse("text/plain").unwrap();
    loop {
        match extract::run(program, &plain, pieces(content.to_vec()), limits).await {
            Err(ExtractError::Process(error)) if error.kind() == ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return result.unwrap(),
        }
    }
}

#[tokio::test]
async fn the_deadline_kills() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let program = script(&folder, &format!("echo $$ > {}; exec sleep 60", pid.display()));
    let limits = Limits { deadline: Duration::from_millis(500) };
    let start = Instant::now();
    let extracted = run_script(&program, &[b'a'; 1 << 20], &limits).await;
    assert_eq!(reason(extracted), Reason::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(5));
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "process {pid} is gone");
}

#[tokio::test]
async fn the_helper_sees_no_environment_and_cannot_flood_us() {
    let folder = tempfile::tempdir().unwrap();
    let environment = text(run_script(&script(&folder, "env"), b"x", &Limits::default()).await);
    // Cargo sets these for every test.
    assert!(!environment.contains("CARGO_"), "{environment}");
    let folder = tempfile::tempdir().unwrap();
    let flood = script(&folder, "head -c 20000000 /dev/zero | tr '\\0' a");
    assert_eq!(text(run_script(&flood, b"x", &Limits::default()).await).len(), MAX_TEXT);
}
