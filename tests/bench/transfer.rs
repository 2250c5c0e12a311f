//! One large file up and down.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use reqwest::Body;
use serde_json::json;
use tokio_util::io::ReaderStream;

use crate::house::{House, id};
use crate::process::peak_memory_mib;
use crate::report::Report;
use crate::{median, report};

/// The service streams: whatever the size of a file, it stays below.
const MEMORY_LIMIT_MIB: f64 = 100.0;
/// Pieces in which this client reads the file.
const PIECE: usize = 256 * 1024;

pub(crate) async fn measure(mib: usize, rounds: usize) -> Result<Report> {
    let house = House::start().await?;
    let outcome = run(&house, mib, rounds).await;
    house.stop().await?;
    outcome
}

async fn run(house: &House, mib: usize, rounds: usize) -> Result<Report> {
    let organization = house.organization().await?;
    let tenant =
        id(&house.create(&format!("/v1/organizations/{organization}/tenants"), &json!({"name": "bench"})).await?)?;
    let scopes = ["read_files", "write_files", "manage_workspaces"];
    let key =
        house.create(&format!("/v1/tenants/{tenant}/api-keys"), &json!({"name": "bench", "scopes": scopes})).await?;
    let key = key["key"].as_str().context("the key is shown once")?.to_owned();
    let data = &house.ready.data_plane;
    let workspace = house.http.post(format!("{data}/v1/workspaces")).bearer_auth(&key).json(&json!({"name": "bench"}));
    let workspace = id(&workspace.send().await?.error_for_status()?.json().await?)?;

    let source = house.folder().join("content");
    let copy = house.folder().join("copy");
    let (mut up, mut down, mut copying, mut hashing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB")]
    let size = mib as f64;
    for round in 0..rounds {
        // Another content each time: the same bytes would be stored once.
        fill(&source, mib, round)?;
        copying.push(size / timed(|| run_program("cp", &[&source, &copy]))?);
        hashing.push(size / timed(|| run_program("sha256sum", &[&source]))?);

        let begun = Instant::now();
        let body = Body::wrap_stream(ReaderStream::with_capacity(tokio::fs::File::open(&source).await?, PIECE));
        let answer = house
            .http
            .post(format!("{data}/v1/files"))
            .query(&[("workspace_id", workspace.as_str()), ("name", &format!("content-{round}.bin"))])
            .bearer_auth(&key)
            .header("content-length", mib * 1024 * 1024)
            .body(body)
            .send()
            .await?;
        ensure!(answer.status().as_u16() == 201, "the upload answered {}: {}", answer.status(), answer.text().await?);
        up.push(size / begun.elapsed().as_secs_f64());
        let file = id(&answer.json().await?)?;

        let begun = Instant::now();
        let answer = house.http.get(format!("{data}/v1/files/{file}/content")).bearer_auth(&key).send().await?;
        let mut received = 0;
        let mut stream = answer.error_for_status()?.bytes_stream();
        while let Some(piece) = stream.next().await {
            received += piece?.len();
        }
        ensure!(received == mib * 1024 * 1024, "{received} bytes came back");
        down.push(size / begun.elapsed().as_secs_f64());
    }
    let peak = peak_memory_mib(house.pid("data-plane")?)?;
    let (cp, sha256sum) = (median(copying), median(hashing));
    let mut report = report();
    report.rate(&format!("upload {mib} MiB, against cp"), median(up.clone()), "MiB/s", Some(cp), None);
    report.rate(&format!("upload {mib} MiB, against sha256sum"), median(up), "MiB/s", Some(sha256sum), None);
    report.rate(&format!("download {mib} MiB, against cp"), median(down), "MiB/s", Some(cp), None);
    report.cost("peak memory of the data plane", peak, "MiB", None, Some(MEMORY_LIMIT_MIB));
    Ok(report)
}

/// Bytes that no file system or network can compress or share.
fn fill(path: &Path, mib: usize, round: usize) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(round as u64 + 1);
    for _ in 0..mib * 1024 * 1024 / 8 {
        // xorshift64 (Marsaglia, 2003): quick and random enough.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn run_program(program: &str, files: &[&Path]) -> Result<()> {
    let output = Command::new(program).args(files).output().with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{program} failed");
    Ok(())
}
