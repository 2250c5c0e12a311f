//! A tenant from the request to ready, with a stock of databases and without, one at a time and many at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use tokio_postgres::Client;

use crate::house::House;
use crate::report::Report;
use crate::{median, report};

/// Databases that the house with a stock keeps, as the settings have it by default.
const STOCK: i64 = 4;
/// How long the stock may take to be full.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tenants that are made at once, and clients that make them.
const CROWD: usize = 200;
const CLIENTS: usize = 8;

pub(crate) async fn measure(count: usize) -> Result<Report> {
    let mut report = report();
    let house = House::start_with(&[("ROWHOUSE__PROVISIONING__STOCK", "4")]).await?;
    let outcome = with_stock(&house, count, &mut report).await;
    house.stop().await?;
    outcome?;
    let house = House::start_with(&[("ROWHOUSE__PROVISIONING__STOCK", "0")]).await?;
    let outcome = without_stock(&house, count, &mut report).await;
    house.stop().await?;
    outcome?;
    Ok(report)
}

async fn with_stock(house: &House, count: usize, report: &mut Report) -> Result<()> {
    let bench = Bench::start(house).await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for number in 0..count {
        bench.wait_for_stock().await?;
        ours.push(bench.tenant(number).await?);
        // Else its refilling would be measured too.
        bench.wait_for_stock().await?;
        floor.push(bench.bare_clone(number).await?);
    }
    report.cost(
        &format!("tenant from the stock, median of {count}"),
        median(ours),
        "ms",
        Some(median(floor)),
        Some(0.35),
    );
    bench.wait_for_stock().await?;
    let (before, begun) = (bench.made().await?, Instant::now());
    let clients = (0..CLIENTS).map(|client| {
        let bench = &bench;
        async move {
            for number in (client..CROWD).step_by(CLIENTS) {
                bench.tenant(count + number).await?;
            }
            Ok::<(), anyhow::Error>(())
        }
    });
    try_join_all(clients).await.context("200 tenants by 8 clients")?;
    let seconds = begun.elapsed().as_secs_f64();
    report.cost(&format!("{CROWD} tenants by {CLIENTS} clients at once, no error"), seconds, "s", None, None);
    bench.wait_for_stock().await?;
    let after = bench.made().await?;
    let crowd = i64::try_from(CROWD)?;
    ensure!(after.tenants - before.tenants == crowd, "{} tenants", after.tenants - before.tenants);
    let leftover = (after.databases - before.databases - crowd).abs() + (after.roles - before.roles - crowd).abs();
    report.cost("databases and logins left over", crate::count(leftover), "", None, Some(0.0));
    Ok(())
}

async fn without_stock(house: &House, count: usize, report: &mut Report) -> Result<()> {
    let bench = Bench::start(house).await?;
    // The first one makes the template, too.
    bench.tenant(count).await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    // In turn, so that a slow moment of the machine hits both.
    for number in 0..count {
        ours.push(bench.tenant(number).await?);
        floor.push(bench.bare_clone(number).await?);
    }
    let name = format!("tenant without a stock, median of {count}");
    report.cost(&name, median(ours), "ms", Some(median(floor)), Some(1.4));
    Ok(())
}

/// A house, an organization in it, and a superuser's connection that stays open.
struct Bench<'a> {
    house: &'a House,
    organization: String,
    superuser: Client,
    template: String,
}

/// What there is of tenants.
struct Made {
    tenants: i64,
    databases: i64,
    roles: i64,
}

impl<'a> Bench<'a> {
    async fn start(house: &'a House) -> Result<Self> {
        let organization = house.organization().await?;
        let superuser = house.superuser().await?;
        let version = rowhouse_migrations::Set::Tenant.latest();
        Ok(Self { house, organization, superuser, template: format!("template_v{version}") })
    }

    /// Makes a tenant and says how many milliseconds its client waited.
    async fn tenant(&self, number: usize) -> Result<f64> {
        let begun = Instant::now();
        let path = format!("/v1/organizations/{}/tenants", self.organization);
        self.house.create(&path, &json!({"name": format!("bench-{number}")})).await?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    /// Copies the template that tenants are made from, and nothing else. Nothing is dropped: file systems are slower after.
    async fn bare_clone(&self, number: usize) -> Result<f64> {
        let begun = Instant::now();
        let clone = format!("create database bare_{number} template {} strategy wal_log", self.template);
        self.superuser.batch_execute(&clone).await?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    async fn wait_for_stock(&self) -> Result<()> {
        let begun = Instant::now();
        let ready = "select count(*) from stock_databases where is_ready and not is_taken";
        while self.count(ready).await? < STOCK {
            ensure!(begun.elapsed() < PATIENCE, "the stock does not fill up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What else there is to tidy after the last one is done in a moment.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    async fn made(&self) -> Result<Made> {
        Ok(Made {
            tenants: self.count("select count(*) from tenants where status = 'active'").await?,
            databases: self.count("select count(*) from pg_database where datname like 'tenant\\_%'").await?,
            roles: self.count("select count(*) from pg_roles where rolcanlogin and rolname like 'tenant\\_%'").await?,
        })
    }

    async fn count(&self, sql: &str) -> Result<i64> {
        Ok(self.superuser.query_one(sql, &[]).await?.try_get(0)?)
    }
}
