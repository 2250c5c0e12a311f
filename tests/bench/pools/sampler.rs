//! What the server says of its sessions while something runs, and what it wrote to its log.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::house::House;

/// How often the sessions are counted.
const PAUSE: Duration = Duration::from_millis(50);
/// How the server words SQLSTATE 53300.
const REFUSALS: [&str; 4] = [
    "sorry, too many clients already",
    "remaining connection slots are reserved",
    "too many connections for database",
    "too many connections for role",
];

/// Counts the sessions of tenants' logins until it is told to end.
pub(super) struct Sampler {
    end: oneshot::Sender<()>,
    counting: JoinHandle<Result<Counted>>,
    log: PathBuf,
    log_begins: u64,
}

/// What was seen.
pub(super) struct Counted {
    pub(super) samples: usize,
    /// The most sessions of tenants' logins at a time.
    pub(super) most: i64,
    /// Connections that the server refused for want of room.
    pub(super) refused: usize,
}

const COUNT: &str = "select count(*) from pg_stat_activity where usename like 'tenant\\_%'";

impl Sampler {
    pub(super) async fn start(house: &House) -> Result<Self> {
        // A superuser's session: some are kept free for those.
        let server = house.superuser().await?;
        let (end, mut ended) = oneshot::channel();
        let counting = tokio::spawn(async move {
            let mut counted = Counted { samples: 0, most: 0, refused: 0 };
            let statement = server.prepare(COUNT).await?;
            let mut ticks = tokio::time::interval(PAUSE);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut ended => return Ok(counted),
                }
                let sessions: i64 = server.query_one(&statement, &[]).await?.try_get(0)?;
                counted.samples += 1;
                counted.most = counted.most.max(sessions);
            }
        });
        let log = house.folder().join("house/postgres/postgres.log");
        let log_begins = std::fs::metadata(&log).with_context(|| log.display().to_string())?.len();
        Ok(Self { end, counting, log, log_begins })
    }

    pub(super) async fn end(self) -> Result<Counted> {
        // Where the counting has failed, its result says so.
        let _ = self.end.send(());
        let mut counted = self.counting.await??;
        let mut log = std::fs::File::open(&self.log)?;
        log.seek(SeekFrom::Start(self.log_begins))?;
        let mut lines = Vec::new();
        log.read_to_end(&mut lines)?;
        let lines = String::from_utf8_lossy(&lines);
        counted.refused = lines.lines().filter(|line| REFUSALS.iter().any(|refusal| line.contains(refusal))).count();
        Ok(counted)
    }
}
