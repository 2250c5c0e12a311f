//! Zipf traffic over all tenants, against the same rate for a single one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::Street;
use crate::load::{Choice, Outcome, Plan, Target, address};
use crate::process::peak_memory_mib;
use crate::report::Report;
use crate::tenants::{Tenant, targets};
use crate::{count, median};

/// Of the tenants, the ones asked most often. With Zipf 1.0 over 10,000 the hundredth still gets one request a second of
/// a thousand.
const WARM: usize = 100;
const MEMORY_LIMIT_MIB: f64 = 200.0;
/// Sessions besides the budget: of both services to `saas_platform`, of the control plane to a cluster, of a superuser.
const OTHERS: usize = 60;

pub(super) async fn measure(street: &Street, tenants: &[Tenant], report: &mut Report) -> Result<()> {
    let budget = street.arguments.budget;
    let house = street.open(budget, u16::try_from(budget + OTHERS)?).await?;
    let outcome = async {
        let data_plane = address(&house.ready.data_plane)?;
        let targets = targets(tenants)?;
        // The first session in a database after a restart of its server writes the cache that the later ones start with.
        super::touched::touch(data_plane, Arc::clone(&targets)).await?;
        let single: Arc<[Target]> = vec![targets[0].clone()].into();
        let groups: Arc<[usize]> =
            tenants.iter().take(WARM).map(|tenant| usize::from(tenant.isolation != "shared")).collect();
        let duration = Duration::from_secs(street.arguments.seconds);
        let rate = street.arguments.rate;
        let (mut one, mut many): (Vec<Outcome>, Vec<Outcome>) = (Vec::new(), Vec::new());
        for round in 0..street.arguments.rounds {
            let plan = Plan::new(data_plane, Arc::clone(&single), duration).at(rate);
            one.push(Plan { warm_up: Duration::from_secs(2), ..plan }.run().await?);
            println!("  one tenant: {}", one[round]);
            let plan = Plan {
                choice: Choice::Zipf(1.0),
                groups: Arc::clone(&groups),
                // Until the warm ones are.
                warm_up: Duration::from_secs(10),
                seed: u64::try_from(round)?,
                ..Plan::new(data_plane, Arc::clone(&targets), duration)
            };
            many.push(plan.at(rate).run().await?);
            println!("  {} tenants: {}", tenants.len(), many[round]);
            for (group, name) in ["in a shared database", "with a login of its own"].iter().enumerate() {
                let [p50, p90, p98, p99] =
                    [50.0, 90.0, 98.0, 99.0].map(|share| many[round].percentile_of(group, share));
                println!("    warm, {name}, ms: p50 {p50:.2} p90 {p90:.2} p98 {p98:.2} p99 {p99:.2}");
            }
        }
        let middle = |outcomes: &[Outcome], figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure).collect());
        let errors: u64 = one.iter().chain(&many).map(Outcome::errors).sum();
        let name = format!("many: errors with {} tenants, budget {budget}", tenants.len());
        report.cost(&name, count(errors), "", None, Some(0.0));
        let floor = Some(middle(&one, |outcome| outcome.percentile(99.0)));
        let warm = middle(&many, |outcome| outcome.percentile_apart(99.0));
        report.cost(&format!("many: p99 of warm tenants at {rate:.0}/s"), warm, "ms", floor, Some(2.0));
        report.cost("many: p99 of all tenants", middle(&many, |outcome| outcome.percentile(99.0)), "ms", floor, None);
        let floor = Some(middle(&one, |outcome| outcome.percentile(50.0)));
        report.cost("many: p50 of all tenants", middle(&many, |outcome| outcome.percentile(50.0)), "ms", floor, None);
        let memory = peak_memory_mib(house.pid("data-plane")?)?;
        report.cost("many: most memory of the data plane", memory, "MiB", None, Some(MEMORY_LIMIT_MIB));
        Ok(())
    };
    let outcome = outcome.await;
    house.stop().await?;
    outcome
}
