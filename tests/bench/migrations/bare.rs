//! The floor: what a bare program does that migrates many databases and does it well. It connects, locks, checks, applies
//! and records, so many at once, and knows nothing of canaries, budgets, leases, retries or other programs. One that compares, too,
//! looks at each schema's catalog afterwards as a run does by default, and holds what it sees against the first one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rowhouse_migrations::{Set, glance};
use tokio_postgres::{Client, Config, NoTls};

use super::fleet::{BACK, FORWARD, NAME, version};
use crate::count;
use crate::house::House;

/// Where it records what it did, in `saas_platform`.
const LOG: &str = "drop table if exists bench_log; create table bench_log (
    database text, version integer, milliseconds bigint, is_compared boolean)";
const RECORD: &str = "insert into bench_log (database, version, milliseconds, is_compared) values ($1, $2, $3, $4)";

/// A bare program.
pub(super) struct Bare {
    config: Config,
    platform: Client,
    databases: Vec<String>,
    parallel: usize,
}

impl Bare {
    pub(super) async fn of(house: &House, parallel: usize) -> Result<Self> {
        let platform = house.superuser().await?;
        platform.batch_execute(LOG).await?;
        let dedicated =
            "select database_name from tenants where isolation = 'dedicated' and status = 'active' order by created_at";
        let rows = platform.query(dedicated, &[]).await?;
        let databases = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(Self { config: house.ready.postgres.parse()?, platform, databases, parallel })
    }

    /// The first so many databases.
    pub(super) fn databases(&self, most: usize) -> &[String] {
        &self.databases[..self.databases.len().min(most)]
    }

    /// A session in a database.
    pub(super) async fn connect(&self, database: &str) -> Result<Client> {
        let mut config = self.config.clone();
        let (client, connection) = config.dbname(database).connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Migrates all; databases a second.
    pub(super) async fn migrate(&self, compares: bool) -> Result<f64> {
        let first = OnceLock::new();
        let apply = format!(
            "begin; set local lock_timeout = '3s'; {FORWARD};
            insert into refinery_schema_history (version, name, applied_on, checksum)
            values ({}, '{NAME}', now()::text, '0'); commit",
            version()
        );
        self.each(usize::MAX, async |database| {
            let begun = Instant::now();
            let client = self.connect(database).await?;
            client.batch_execute("set role rowhouse_owner; set search_path = public, extensions").await?;
            let check = "select pg_try_advisory_lock(42), (select max(version) from refinery_schema_history)";
            let row = client.query_typed(check, &[]).await?.into_iter().next().context("an answer")?;
            ensure!(row.try_get::<_, bool>(0)?, "{database} is locked");
            ensure!(row.try_get::<_, i32>(1)? == version() - 1, "{database} is at another version");
            client.batch_execute(&apply).await.with_context(|| format!("migrating {database}"))?;
            client.query_typed("select pg_advisory_unlock(42)", &[]).await?;
            if compares {
                let seen = glance(&client, Set::Tenant, "public").await?.context("nobody else is there")?;
                let seen = seen.hash.context("a schema that can be seen at a glance")?;
                ensure!(*first.get_or_init(|| seen.clone()) == seen, "{database} differs from the first one");
            }
            let milliseconds = i64::try_from(begun.elapsed().as_millis())?;
            self.platform.execute(RECORD, &[&database, &version(), &milliseconds, &compares]).await?;
            Ok(())
        })
        .await
    }

    /// Takes it back.
    pub(super) async fn undo(&self, most: usize) -> Result<()> {
        let undo = format!(
            "set role rowhouse_owner; begin; alter table public.workspaces {} ;
            delete from public.refinery_schema_history where version = {}; commit",
            BACK.trim_start_matches("alter table workspaces "),
            version()
        );
        self.each(most, async |database| Ok(self.connect(database).await?.batch_execute(&undo).await?)).await.map(drop)
    }

    async fn each(&self, most: usize, work: impl AsyncFn(&str) -> Result<()>) -> Result<f64> {
        let (next, begun, databases) = (AtomicUsize::new(0), Instant::now(), self.databases(most));
        let hand = async || {
            while let Some(database) = databases.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(database).await?;
            }
            Ok::<(), anyhow::Error>(())
        };
        try_join_all((0..self.parallel).map(|_| hand())).await?;
        Ok(count(databases.len()) / begun.elapsed().as_secs_f64())
    }
}
