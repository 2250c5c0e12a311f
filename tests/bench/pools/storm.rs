//! One tenant floods two replicas while a thousand others are asked for, on a server that lets in a hundred sessions; then
//! the same against a naive pool per tenant.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::sampler::{Counted, Sampler};
use super::{Street, dedicated};
use crate::count;
use crate::floor::{Floor, Kind};
use crate::house::House;
use crate::load::{Choice, Outcome, Plan, Target, address};
use crate::report::Report;
use crate::tenants::{Tenant, logins, targets};

/// `max_connections` of the server.
const SESSIONS: u16 = 100;
/// What is left of them for tenants: both data planes and the control plane have 12 each to `saas_platform`, the control
/// plane some to the cluster, and superusers' are kept free.
const BUDGET: usize = 50;
/// Connections of the flooding tenant's clients.
const FLOOD: usize = 64;
/// Connections that a naive pool may hold: the data plane's own limit for a tenant.
const NAIVE: usize = 8;

pub(super) async fn measure(street: &Street, tenants: &[Tenant], report: &mut Report) -> Result<()> {
    let tenants = dedicated(tenants);
    let house = street.open(BUDGET, SESSIONS).await?;
    let outcome = async {
        ours(street, &house, &tenants, report).await?;
        naive(street, &house, &tenants, report).await
    };
    let outcome = outcome.await;
    house.stop().await?;
    outcome
}

async fn ours(street: &Street, house: &House, tenants: &[Tenant], report: &mut Report) -> Result<()> {
    let settings =
        [("ROWHOUSE__POOLS__CLUSTER_BUDGET", BUDGET.to_string()), ("ROWHOUSE__TELEMETRY__LOG", "warn".to_owned())];
    let replica = house.replica(&settings).await?;
    let addresses = vec![address(&house.ready.data_plane)?, address(&replica.url)?];
    let storm = rage(street, house, tenants, addresses).await;
    replica.stop().await?;
    let Storm { flood, others, counted } = storm?;
    println!("  the flooding tenant: {flood}\n  the others: {others}");
    let Counted { samples, most, refused } = counted;
    let name = format!("storm: most sessions in {samples} samples, two replicas, budget {BUDGET}");
    let limit = count(BUDGET);
    report.cost(&name, count(most), "", None, Some(limit));
    report.cost("storm: sessions refused by the server (53300)", count(refused), "", None, Some(0.0));
    report.cost("storm: errors of the others", count(others.errors()), "", None, Some(0.0));
    report.cost("storm: errors of the flooding tenant", count(flood.errors()), "", None, None);
    report.cost("storm: p99 of the others", others.percentile(99.0), "ms", None, None);
    Ok(())
}

/// The same once more, with as many processes, on the same server.
async fn naive(street: &Street, house: &House, tenants: &[Tenant], report: &mut Report) -> Result<()> {
    let logins = logins(house).await?;
    let by_key = tenants.iter().filter_map(|tenant| Some((tenant.key.clone(), logins.get(&tenant.id)?.clone())));
    let kind = Kind::Naive { logins: by_key.collect::<HashMap<_, _>>(), size: NAIVE };
    let floors = [Floor::start(&kind).await?, Floor::start(&kind).await?];
    let addresses = floors.iter().map(|floor| address(&floor.url)).collect::<Result<Vec<_>>>()?;
    let Storm { flood, others, counted } = rage(street, house, tenants, addresses).await?;
    println!("  naive pools, the flooding tenant: {flood}\n  naive pools, the others: {others}");
    let Counted { samples, most, refused } = counted;
    report.cost(&format!("naive pools: most sessions in {samples} samples"), count(most), "", None, None);
    report.cost("naive pools: sessions refused by the server (53300)", count(refused), "", None, None);
    report.cost("naive pools: errors of the others", count(others.errors()), "", None, None);
    let share = count(others.errors()) / count(others.errors() + others.statuses.get(&200).unwrap_or(&0)) * 100.0;
    report.cost("naive pools: the others' requests that failed", share, "%", None, None);
    Ok(())
}

struct Storm {
    flood: Outcome,
    others: Outcome,
    counted: Counted,
}

async fn rage(street: &Street, house: &House, tenants: &[Tenant], addresses: Vec<SocketAddr>) -> Result<Storm> {
    let sampler = Sampler::start(house).await?;
    let (first, rest) = tenants.split_first().context("there are tenants")?;
    let duration = Duration::from_secs(street.arguments.seconds);
    let plan = |targets: Arc<[Target]>| Plan {
        addresses: addresses.clone(),
        warm_up: Duration::ZERO,
        ..Plan::new(addresses[0], targets, duration)
    };
    let flood = Plan { connections: FLOOD, ..plan(vec![first.target()?].into()) };
    let others = Plan { choice: Choice::Zipf(1.0), ..plan(targets(rest)?).at(street.arguments.rate.min(200.0)) };
    let ended = tokio::try_join!(flood.run(), others.run());
    let counted = sampler.end().await?;
    let (flood, others) = ended?;
    Ok(Storm { flood, others, counted })
}
