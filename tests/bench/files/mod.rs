//! Files up, down and listed: against a bare handler that streams to a file with the same hash, and against nginx.

mod clients;
mod content;
mod nginx;
mod slow_disk;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use self::clients::Times;
use self::content::Noise;
use self::nginx::Nginx;
use self::slow_disk::SlowDisk;
use self::wire::Server;
use crate::floor::{Floor, Kind};
use crate::house::{House, Wanted};
use crate::load::address;
use crate::process::peak_memory_mib;
use crate::report::Report;
use crate::tenants::Tenant;
use crate::{median, report};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Clients at once. A tenant may have a quarter of a process's uploads, 16 by default: so they are of two tenants.
const CROWD: usize = 32;
const TENANTS: usize = 2;
/// The data plane streams: whatever the size of files, it stays below.
const MEMORY_LIMIT_MIB: f64 = 200.0;

/// How large, how often.
#[derive(Args, Clone, Copy)]
pub(crate) struct Arguments {
    /// Size of a large file in MiB; 32 of them are uploaded at once for the figure of memory.
    #[arg(long, default_value_t = 256)]
    mib: usize,
    /// How often everything is done; figures are medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that each sync of PostgreSQL and the data plane takes longer than this disk's, for uploads of 1 KiB only:
    /// a disk that promises slowly, such as one behind a network, is shared by many commits.
    #[arg(long)]
    sync: Option<u32>,
}

pub(crate) async fn measure(arguments: Arguments) -> Result<Report> {
    let slow = match arguments.sync {
        Some(milliseconds) => Some(SlowDisk::new(milliseconds).await?),
        None => None,
    };
    let settings = slow.iter().map(SlowDisk::setting).collect();
    let house = House::start_as(Wanted { settings, ..Wanted::default() }).await?;
    let outcome = run(&house, arguments).await;
    house.stop().await?;
    outcome
}

async fn run(house: &House, arguments: Arguments) -> Result<Report> {
    let organization = house.organization().await?;
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let tenant = Tenant::untouched(house, &organization, &format!("bench-{number}"), "dedicated").await?;
        let workspace = tenant.workspace(house, "Bench").await?;
        tenants.push((tenant.key, workspace));
    }
    let served = house.folder().join("served");
    std::fs::create_dir_all(&served)?;
    let floor = Floor::start(&Kind::Files { folder: served.clone() }).await?;
    let nginx = Nginx::start(house.folder()).await?;
    let bench = Bench {
        ours: address(&house.ready.data_plane)?,
        bare: Server { address: address(&floor.url)?, key: None },
        nginx: nginx.as_ref().map(|nginx| Server { address: nginx.address, key: None }),
        tenants,
        noise: Noise::new(),
        numbers: AtomicU64::new(0),
        arguments,
    };
    let outcome = tokio::task::block_in_place(|| bench.report(&served, house.pid("data-plane")?));
    if let Some(nginx) = nginx {
        nginx.stop().await?;
    }
    outcome
}

/// What is measured, and against what.
struct Bench {
    ours: SocketAddr,
    bare: Server,
    nginx: Option<Server>,
    /// Keys and workspaces.
    tenants: Vec<(String, String)>,
    noise: Noise,
    numbers: AtomicU64,
    arguments: Arguments,
}

/// What an upload is answered with.
#[derive(Deserialize)]
struct Uploaded {
    id: String,
}

impl Bench {
    fn report(&self, served: &Path, data_plane: u32) -> Result<Report> {
        let mut report = report();
        self.many_small(&mut report)?;
        if self.arguments.sync.is_some() {
            return Ok(report);
        }
        let large = self.arguments.mib * MIB;
        for (size, times, upload_target, download_target) in
            [(KIB, 200, None, None), (MIB, 20, None, None), (large, 1, Some(0.8), Some(0.7))]
        {
            self.up(size, times, upload_target, &mut report)?;
            self.down(served, size, times, download_target, &mut report)?;
        }
        self.lists(served, &mut report)?;
        println!("  {CROWD} uploads of {} at once", name_of(large));
        clients::all(&self.crowd(), 1, |client, number, _| self.upload(client, number, large).map(drop))?;
        let name = format!("peak memory of the data plane, {CROWD} uploads of {} at once", name_of(large));
        report.cost(&name, peak_memory_mib(data_plane)?, "MiB", None, Some(MEMORY_LIMIT_MIB));
        Ok(report)
    }

    /// Bound by what the disk is made to promise, which many share.
    fn many_small(&self, report: &mut Report) -> Result<()> {
        let (mut one, mut many, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let bares = vec![self.bare.clone(); CROWD];
        for _ in 0..self.arguments.rounds {
            one.push(clients::all(&self.crowd()[..1], 200, |client, number, _| {
                self.upload(client, number, KIB).map(drop)
            })?);
            many.push(clients::all(&self.crowd(), 40, |client, number, _| self.upload(client, number, KIB).map(drop))?);
            bare.push(clients::all(&bares, 40, |client, number, _| self.upload_bare(client, number, KIB))?);
        }
        let rate = |times: &[Times]| median(times.iter().map(Times::rate).collect());
        let name = format!("1 KiB uploads, {CROWD} clients, against one");
        report.rate(&name, rate(&many), "1/s", Some(rate(&one)), Some(6.0));
        if self.arguments.sync.is_some() {
            // The bare handler's disk is as fast as ever.
            latencies(report, &format!("1 KiB upload, {CROWD} clients, against one"), &many, Some(&one));
            return Ok(());
        }
        let name = format!("1 KiB uploads, {CROWD} clients, against the bare handler");
        report.rate(&name, rate(&many), "1/s", Some(rate(&bare)), None);
        latencies(report, &format!("1 KiB upload, {CROWD} clients"), &many, Some(&bare));
        Ok(())
    }

    fn up(&self, size: usize, times: usize, target: Option<f64>, report: &mut Report) -> Result<()> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.rounds {
            let uploads = |client: &mut wire::Client, number, _| self.upload(client, number, size).map(drop);
            ours.push(clients::all(&self.crowd()[..1], times, uploads)?);
            let uploads = |client: &mut wire::Client, number, _| self.upload_bare(client, number, size);
            bare.push(clients::all(std::slice::from_ref(&self.bare), times, uploads)?);
        }
        let name = format!("upload {}, against the bare handler", name_of(size));
        report.rate(&name, throughput(&ours, size), "MiB/s", Some(throughput(&bare, size)), target);
        latencies(report, &format!("upload {}", name_of(size)), &ours, Some(&bare));
        Ok(())
    }

    fn down(&self, served: &Path, size: usize, times: usize, target: Option<f64>, report: &mut Report) -> Result<()> {
        let crowd = self.crowd();
        let file = self.upload(&mut crowd[0].connect()?, 0, size)?;
        let content = format!("/v1/files/{file}/content");
        let mut bytes = Vec::with_capacity(size);
        self.noise.pieces(0, size, |piece| {
            bytes.extend_from_slice(piece);
            std::io::Result::Ok(())
        })?;
        std::fs::write(served.join("content"), bytes)?;
        let expect = |came: usize| (came == size).then_some(()).context("another length came");
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.rounds {
            ours.push(clients::all(&crowd[..1], times, |client, _, _| expect(client.download(&content)?))?);
            if let Some(nginx) = &self.nginx {
                let downloads = |client: &mut wire::Client, _, _| expect(client.download("/content")?);
                bare.push(clients::all(std::slice::from_ref(nginx), times, downloads)?);
            }
        }
        let floor = (!bare.is_empty()).then(|| throughput(&bare, size));
        let name = format!("download {}, against nginx", name_of(size));
        report.rate(&name, throughput(&ours, size), "MiB/s", floor, target.filter(|_| floor.is_some()));
        latencies(report, &format!("download {}", name_of(size)), &ours, floor.map(|_| bare.as_slice()));
        Ok(())
    }

    /// Against nginx serving the same answer from a file.
    fn lists(&self, served: &Path, report: &mut Report) -> Result<()> {
        let (_, workspace) = &self.tenants[0];
        let path = format!("/v1/files?workspace_id={workspace}&limit=100");
        std::fs::write(served.join("list"), self.crowd()[0].connect()?.read(&path)?)?;
        let (mut lists, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.rounds {
            lists.push(clients::all(&self.crowd()[..1], 200, |client, _, _| client.download(&path).map(drop))?);
            if let Some(nginx) = &self.nginx {
                let downloads = |client: &mut wire::Client, _, _| client.download("/list").map(drop);
                bare.push(clients::all(std::slice::from_ref(nginx), 200, downloads)?);
            }
        }
        latencies(report, "list of 100", &lists, (!bare.is_empty()).then_some(bare.as_slice()));
        Ok(())
    }

    /// The data plane for as many clients as there are in a crowd, of all tenants in turn.
    fn crowd(&self) -> Vec<Server> {
        let keys = self.tenants.iter().map(|(key, _)| Some(key.clone())).cycle().take(CROWD);
        keys.map(|key| Server { address: self.ours, key }).collect()
    }

    /// Uploads another content than ever and gives the file's id.
    fn upload(&self, client: &mut wire::Client, number: usize, size: usize) -> Result<String> {
        let content = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (_, workspace) = &self.tenants[number % TENANTS];
        let path = format!("/v1/files?workspace_id={workspace}&name=content-{content}.bin");
        let answer = client.upload(&path, &self.noise, content, size)?;
        Ok(serde_json::from_slice::<Uploaded>(&answer)?.id)
    }

    /// The same to the bare handler, which keeps only the last of each client.
    fn upload_bare(&self, client: &mut wire::Client, number: usize, size: usize) -> Result<()> {
        let content = self.numbers.fetch_add(1, Ordering::Relaxed);
        client.upload(&format!("/files/content-{number}"), &self.noise, content, size).map(drop)
    }
}

/// MiB a second, the median of rounds.
fn throughput(rounds: &[Times], size: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size in bytes")]
    let mib = size as f64 / MIB as f64;
    median(rounds.iter().map(|times| times.rate() * mib).collect())
}

/// Of rounds of many times the median; of such as are too few to have percentiles, those of all rounds together.
fn latencies(report: &mut Report, name: &str, ours: &[Times], bare: Option<&[Times]>) {
    for share in [50.0, 99.0] {
        let of = |rounds: &[Times]| match Times::of_few(rounds) {
            Some(all) => all.percentile(share),
            None => median(rounds.iter().map(|times| times.percentile(share)).collect()),
        };
        report.cost(&format!("{name}, p{share}"), of(ours), "ms", bare.map(of), None);
    }
}

fn name_of(size: usize) -> String {
    if size < MIB { format!("{} KiB", size / KIB) } else { format!("{} MiB", size / MIB) }
}
