//! The first request for a tenant that nobody has asked for since it was made.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use rowhouse_domain::FileId;
use tokio_postgres::NoTls;

use crate::floor::find;
use crate::house::House;
use crate::median;
use crate::report::Report;
use crate::tenants::{Login, Tenant, logins};

pub(super) async fn measure(house: &House, organization: &str, count: usize, report: &mut Report) -> Result<()> {
    let mut tenants = Vec::new();
    for number in 0..2 * count {
        tenants.push(Tenant::untouched(house, organization, &format!("cold-{number}"), "dedicated").await?);
    }
    // What is left to do behind their making, such as filling the stock again, is none of this.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let logins = logins(house).await?;
    // The connection to the service is warm: it is the tenant that is cold.
    house.http.get(format!("{}/readyz", house.ready.data_plane)).send().await?.bytes().await?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for pair in tenants.chunks_exact(2) {
        ours.push(first_request(house, &pair[0]).await?);
        bare.push(bare_connect(logins.get(&pair[1].id).context("a tenant has a login")?).await?);
    }
    let name = format!("first request for a cold tenant, median of {count}");
    report.cost(&name, median(ours), "ms", Some(median(bare)), Some(1.3));
    Ok(())
}

/// There is no file yet, so the answer is that there is none: the same query, without a row.
async fn first_request(house: &House, tenant: &Tenant) -> Result<f64> {
    let url = format!("{}/v1/files/{}", house.ready.data_plane, FileId::new());
    let begun = Instant::now();
    let answer = house.http.get(url).bearer_auth(&tenant.key).send().await?;
    let status = answer.status();
    answer.bytes().await?;
    let passed = begun.elapsed();
    ensure!(status == 404, "a cold tenant's first answer has status {status}");
    Ok(passed.as_secs_f64() * 1e3)
}

async fn bare_connect(login: &Login) -> Result<f64> {
    let begun = Instant::now();
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let pool = Pool::builder(Manager::from_config(login.config(), NoTls, recycling)).max_size(1).build()?;
    let found = find(&*pool.get().await?, FileId::new()).await?;
    let passed = begun.elapsed();
    ensure!(found.is_none(), "a file of a random id");
    Ok(passed.as_secs_f64() * 1e3)
}
