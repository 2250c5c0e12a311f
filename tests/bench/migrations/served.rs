//! What tenants notice while all of them are migrated.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::fleet::Fleet;
use crate::count;
use crate::house::House;
use crate::load::{Outcome, Plan, address, percentile_of_rounds};
use crate::report::Report;
use crate::tenants::{Tenant, targets};

/// Tenants whose files are asked for, and how often in all.
const ASKED: usize = 50;
const RATE: f64 = 200.0;
/// What is measured of each run, at most.
const DURATION: Duration = Duration::from_secs(8);
const PARALLEL: usize = 4;

pub(super) async fn measure(house: &House, tenants: &[Tenant], rounds: usize, report: &mut Report) -> Result<()> {
    let fleet = Fleet::of(house, PARALLEL).await?;
    fleet.go("down").await?;
    let targets = targets(tenants.iter().take(ASKED))?;
    let plan = || {
        Ok::<_, anyhow::Error>(Plan::new(address(&house.ready.data_plane)?, Arc::clone(&targets), DURATION).at(RATE))
    };
    let (mut alone, mut meanwhile) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(plan()?.run().await?);
        println!("  alone: {}", alone[alone.len() - 1]);
        // Until the load is over there is always a run.
        let load = tokio::spawn(plan()?.run());
        let mut direction = "up";
        while !load.is_finished() {
            fleet.go(direction).await?;
            direction = if direction == "up" { "down" } else { "up" };
        }
        meanwhile.push(load.await??);
        println!("  during runs: {}", meanwhile[meanwhile.len() - 1]);
        if direction == "down" {
            fleet.go("down").await?;
        }
    }
    for (share, target) in [(50.0, None), (99.0, Some(2.0))] {
        let name = format!("p{share} of {ASKED} tenants at {RATE:.0}/s during runs at parallel {PARALLEL}");
        report.cost(
            &name,
            percentile_of_rounds(&meanwhile, share),
            "ms",
            Some(percentile_of_rounds(&alone, share)),
            target,
        );
    }
    let errors: u64 = alone.iter().chain(&meanwhile).map(Outcome::errors).sum();
    report.cost("failed requests during runs", count(errors), "", None, Some(0.0));
    Ok(())
}
