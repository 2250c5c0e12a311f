//! Thousands of tenants, made through the two APIs and remembered beside the house, so that a kept one is filled once.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::house::{House, Wanted};
use crate::tenants::Tenant;

/// Clients that make tenants.
const CLIENTS: usize = 12;
/// What a tenant takes on the disk, in KiB, by isolation; measured, and rounded up.
const KIB: [(&str, u64); 3] = [("dedicated", 11_000), ("schema", 2_500), ("shared", 64)];
/// What the rest of the house and its log of changes take.
const REST_KIB: u64 = 3 << 20;
/// How long the work behind the uploads may take to be done.
const PATIENCE: Duration = Duration::from_secs(600);

/// How many of each kind.
pub(crate) struct Population {
    pub(crate) dedicated: usize,
    pub(crate) schema: usize,
    pub(crate) shared: usize,
}

impl Population {
    fn counts(&self) -> [(&'static str, usize); 3] {
        [("dedicated", self.dedicated), ("schema", self.schema), ("shared", self.shared)]
    }

    /// The tenants of the house in the folder, the missing ones made now. In no order of their kinds.
    pub(crate) async fn settle(&self, folder: &Path) -> Result<Vec<Tenant>> {
        let missing = self.missing(&read(folder)?);
        if !missing.is_empty() {
            require_room(folder, &missing)?;
            // Stock and copies for a crowd: there are other benches for how long one takes.
            let settings = vec![
                ("ROWHOUSE__PROVISIONING__STOCK", "8".to_owned()),
                // What is leased of a quota comes back soon, or the work behind the uploads is not done for minutes.
                ("ROWHOUSE__QUOTA__BLOCK_IDLE", "5s".to_owned()),
                ("ROWHOUSE__TELEMETRY__LOG", "warn".to_owned()),
            ];
            let house = House::start_as(Wanted { folder: Some(folder), settings, connections: Some(150) }).await?;
            let outcome = make(&house, &missing).await;
            house.stop().await?;
            outcome?;
        }
        let mut tenants = read(folder)?;
        for (isolation, wanted) in self.counts() {
            let mut left = wanted;
            tenants.retain(|tenant| {
                let is_kept = tenant.isolation != isolation || left > 0;
                left -= usize::from(is_kept && tenant.isolation == isolation);
                is_kept
            });
        }
        tenants.shuffle(&mut StdRng::seed_from_u64(1));
        Ok(tenants)
    }

    fn missing(&self, there: &[Tenant]) -> Vec<&'static str> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for tenant in there {
            *counts.entry(tenant.isolation.as_str()).or_default() += 1;
        }
        let missing = |(isolation, wanted): (&'static str, usize)| {
            let there = counts.get(isolation).copied().unwrap_or_default();
            std::iter::repeat_n(isolation, wanted.saturating_sub(there))
        };
        self.counts().into_iter().flat_map(missing).collect()
    }
}

fn list(folder: &Path) -> PathBuf {
    folder.join("tenants.jsonl")
}

fn read(folder: &Path) -> Result<Vec<Tenant>> {
    let Ok(text) = std::fs::read_to_string(list(folder)) else { return Ok(Vec::new()) };
    text.lines().map(|line| serde_json::from_str(line).context("a line of tenants.jsonl")).collect()
}

/// Better no bench than a full disk.
fn require_room(folder: &Path, missing: &[&str]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let kib = |isolation: &str| KIB.iter().find(|(name, _)| *name == isolation).map_or(0, |(_, kib)| *kib);
    let needed = missing.iter().map(|isolation| kib(isolation)).sum::<u64>() + REST_KIB;
    let disk = rustix::fs::statvfs(folder)?;
    let free = disk.f_bavail * disk.f_frsize / 1024;
    let (needed, free) = (needed >> 20, free >> 20);
    ensure!(
        free >= needed,
        "{} tenants need about {needed} GiB in {}, where {free} GiB are free; ask for fewer (--tenants, --dedicated, \
         --schema), or name a folder elsewhere (--house)",
        missing.len(),
        folder.display(),
    );
    Ok(())
}

async fn make(house: &House, missing: &[&'static str]) -> Result<()> {
    let organization = house.organization().await?;
    let list = Mutex::new(OpenOptions::new().create(true).append(true).open(list(house.folder()))?);
    // A name that an interrupted run has not used.
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let client = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(isolation) = missing.get(number) else { return Ok::<(), anyhow::Error>(()) };
            let name = format!("{isolation}-{run}-{number}");
            let tenant = Tenant::with_file(house, &organization, &name, isolation).await?;
            remember(&list, &tenant)?;
            if number % 250 == 0 {
                eprintln!("  {number} of {} tenants after {:.0} s", missing.len(), begun.elapsed().as_secs_f64());
            }
        }
    };
    try_join_all((0..CLIENTS).map(|_| client())).await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("  {} tenants with a file each made in {seconds:.0} s", missing.len());
    be_idle(house).await
}

fn remember(list: &Mutex<File>, tenant: &Tenant) -> Result<()> {
    let line = format!("{}\n", serde_json::to_string(tenant)?);
    let mut list = list.lock().map_err(|_| anyhow::anyhow!("another client panicked"))?;
    Ok(list.write_all(line.as_bytes())?)
}

/// Waits until nothing is left to do behind the uploads.
async fn be_idle(house: &House) -> Result<()> {
    let platform = house.superuser().await?;
    let begun = Instant::now();
    loop {
        let due = "select count(*) from tenant_work where due_at < now() + interval '1 minute'";
        let due: i64 = platform.query_one(due, &[]).await?.try_get(0)?;
        if due == 0 {
            // So that no one's first statement of a bench pays for all this writing.
            return platform.batch_execute("checkpoint").await.context("a checkpoint");
        }
        ensure!(begun.elapsed() < PATIENCE, "{due} tenants still have work to do");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
