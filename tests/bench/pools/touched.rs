//! What a warm tenant's request costs after ever more tenants were asked for: their pools, keys and placements must not
//! make it dearer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Street;
use crate::load::{Choice, Plan, Target, address};
use crate::plot::{Curve, Plot, Scale};
use crate::process::processor_seconds;
use crate::report::Report;
use crate::tenants::{Tenant, targets};
use crate::{count, median};

/// The tenants that are warm while the others are only remembered.
const WARM: usize = 10;
const STEPS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Sessions besides the budget.
const OTHERS: usize = 60;

/// What was measured after so many tenants.
struct Step {
    touched: usize,
    p50: f64,
    p99: f64,
    /// Microseconds of processor time of the data plane for one request.
    processor: f64,
}

pub(super) async fn measure(street: &Street, tenants: &[Tenant], report: &mut Report, output: &Path) -> Result<()> {
    let budget = street.arguments.budget;
    let house = street.open(budget, u16::try_from(budget + OTHERS)?).await?;
    let steps = async {
        let data_plane = address(&house.ready.data_plane)?;
        let pid = house.pid("data-plane")?;
        let mut steps = Vec::new();
        for touched in STEPS.into_iter().filter(|step| *step <= tenants.len()) {
            let all = targets(&tenants[..touched])?;
            let warm: Arc<[Target]> = all[..WARM].to_vec().into();
            steps.push(step(street, data_plane, pid, all, warm).await?);
        }
        Ok::<_, anyhow::Error>(steps)
    };
    let steps = steps.await;
    house.stop().await?;
    let steps = steps?;
    let (first, last) = (steps.first().context("10 tenants at least")?, steps.last().context("the same")?);
    for (name, unit, figure) in [
        ("p50 of warm tenants", "ms", (|step| step.p50) as fn(&Step) -> f64),
        ("p99 of warm tenants", "ms", |step| step.p99),
        ("processor time of the data plane a request", "µs", |step| step.processor),
    ] {
        // The target is one of cost; the tail of a few seconds is too rough for 25 %.
        let target = (name != "p99 of warm tenants").then_some(1.25);
        let name = format!("touched: {name}, {} tenants against {}", last.touched, first.touched);
        let dearest = steps.iter().map(figure).fold(0.0, f64::max);
        report.cost(&name, dearest, unit, Some(figure(first)), target);
    }
    plot(&steps).write(&output.join("touched.svg"))
}

async fn step(
    street: &Street,
    data_plane: std::net::SocketAddr,
    pid: u32,
    all: Arc<[Target]>,
    warm: Arc<[Target]>,
) -> Result<Step> {
    let touched = all.len();
    // The warm ones again and again while they are measured.
    touch(data_plane, all).await?;
    let duration = Duration::from_secs(street.arguments.seconds.min(10));
    let (mut p50, mut p99, mut processor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..street.arguments.rounds {
        let plan = Plan { warm_up: Duration::from_secs(2), ..Plan::new(data_plane, Arc::clone(&warm), duration) };
        let (plan, before) = (plan.at(street.arguments.rate), processor_seconds(pid)?);
        let outcome = plan.run().await?;
        println!("  {touched} tenants touched: {outcome}");
        ensure!(outcome.errors() == 0, "there were errors");
        p50.push(outcome.percentile(50.0));
        p99.push(outcome.percentile(99.0));
        let requests = street.arguments.rate * (duration + Duration::from_secs(2)).as_secs_f64();
        processor.push((processor_seconds(pid)? - before) / requests * 1e6);
    }
    Ok(Step { touched, p50: median(p50), p99: median(p99), processor: median(processor) })
}

/// Asks every tenant once.
pub(super) async fn touch(data_plane: std::net::SocketAddr, all: Arc<[Target]>) -> Result<()> {
    let duration = Duration::from_secs(600);
    let plan =
        Plan { choice: Choice::Once, warm_up: Duration::ZERO, connections: 16, ..Plan::new(data_plane, all, duration) };
    let outcome = plan.run().await?;
    println!("  touched: {outcome}");
    ensure!(outcome.errors() == 0, "there were errors while tenants were touched");
    Ok(())
}

fn plot(steps: &[Step]) -> Plot {
    let curve = |name: &str, figure: fn(&Step) -> f64| Curve {
        name: name.to_owned(),
        points: steps.iter().map(|step| (count(step.touched), figure(step))).collect(),
        is_floor: false,
    };
    Plot {
        title: "A warm tenant's request after others were touched".to_owned(),
        across: ("tenants touched", Scale::Logarithmic),
        up: ("milliseconds", Scale::Linear),
        curves: vec![
            curve("p50", |step| step.p50),
            curve("p99", |step| step.p99),
            curve("processor time", |step| step.processor / 1e3),
        ],
    }
}
