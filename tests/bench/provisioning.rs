//! A tenant from the request to ready.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::house::House;
use crate::report::Report;
use crate::{median, report};

pub(crate) async fn measure(count: usize) -> Result<Report> {
    let house = House::start().await?;
    let outcome = run(&house, count).await;
    house.stop().await?;
    outcome
}

async fn run(house: &House, count: usize) -> Result<Report> {
    let organization = house.organization().await?;
    let superuser = connect(&house.ready.postgres).await?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    // In turn, so that a slow moment of the machine hits both.
    for number in 0..count {
        let begun = Instant::now();
        house
            .create(&format!("/v1/organizations/{organization}/tenants"), &json!({"name": format!("bench-{number}")}))
            .await?;
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        superuser
            .batch_execute(&format!("create database bare_{number} template rowhouse_base strategy wal_log"))
            .await?;
        floor.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    for number in 0..count {
        superuser.batch_execute(&format!("drop database bare_{number}")).await?;
    }
    let mut report = report();
    report.cost(&format!("tenant ready, median of {count}"), median(ours), "ms", Some(median(floor)), None);
    Ok(report)
}

async fn connect(url: &str) -> Result<Client> {
    let config: tokio_postgres::Config = url.parse().context("the address of the cluster")?;
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
