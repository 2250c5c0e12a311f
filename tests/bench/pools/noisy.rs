//! Quiet tenants' latency, with and without a neighbour who searches as slowly as it can.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Street, dedicated};
use crate::count;
use crate::house::House;
use crate::load::{Outcome, Plan, Target, address, percentile_of_rounds};
use crate::report::Report;
use crate::tenants::{Tenant, targets};

/// Tenants that go about their business.
const QUIET: usize = 50;
/// Clients of the noisy one.
const CLIENTS: usize = 64;
/// What the noisy one searches in: so many documents, each of about 1,000 passages.
const DOCUMENTS: usize = 10;
const SENTENCES: usize = 10_000;
/// How long it may take until all is found.
const PATIENCE: Duration = Duration::from_secs(300);
/// Sessions besides the budget.
const OTHERS: u16 = 60;
const BUDGET: usize = 60;
const WORDS: [&str; 16] = [
    "house", "river", "letter", "garden", "engine", "winter", "market", "signal", "copper", "window", "harbour",
    "number", "paper", "silver", "bridge", "morning",
];

pub(super) async fn measure(street: &Street, tenants: &[Tenant], report: &mut Report) -> Result<()> {
    let tenants = dedicated(tenants);
    let house = street.open(BUDGET, u16::try_from(BUDGET)? + OTHERS).await?;
    let outcome = run(street, &house, &tenants, report).await;
    house.stop().await?;
    outcome
}

async fn run(street: &Street, house: &House, tenants: &[Tenant], report: &mut Report) -> Result<()> {
    let (noisy, others) = tenants.split_first().context("there are tenants")?;
    let path = fill(house, noisy).await?;
    let search: Arc<[Target]> = vec![Target::get(&path, &noisy.key, "")].into();
    let quiet = targets(others.iter().take(QUIET))?;
    let data_plane = address(&house.ready.data_plane)?;
    let duration = Duration::from_secs(street.arguments.seconds);
    let rate = street.arguments.rate.min(200.0);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..street.arguments.rounds {
        let quietly =
            || Plan { warm_up: Duration::from_secs(3), ..Plan::new(data_plane, Arc::clone(&quiet), duration) };
        alone.push(quietly().at(rate).run().await?);
        println!("  quiet tenants alone: {}", alone[alone.len() - 1]);
        let stop = Arc::new(AtomicBool::new(false));
        let noise = Plan { connections: CLIENTS, ..Plan::new(data_plane, Arc::clone(&search), duration * 2) };
        let noise = tokio::spawn(noise.run_until(Arc::clone(&stop)));
        let measured = quietly().at(rate).run().await;
        stop.store(true, Ordering::Relaxed);
        println!("  the noisy tenant: {}", noise.await??);
        beside.push(measured?);
        println!("  quiet tenants beside it: {}", beside[beside.len() - 1]);
    }
    for (share, target) in [(50.0, None), (99.0, Some(2.0))] {
        let name = format!("noisy: p{share} of {QUIET} quiet tenants at {rate:.0}/s");
        report.cost(
            &name,
            percentile_of_rounds(&beside, share),
            "ms",
            Some(percentile_of_rounds(&alone, share)),
            target,
        );
    }
    let errors: u64 = alone.iter().chain(&beside).map(Outcome::errors).sum();
    report.cost("noisy: errors of the quiet tenants", count(errors), "", None, Some(0.0));
    Ok(())
}

/// Gives the tenant much to search in, and finds the search that takes longest.
async fn fill(house: &House, tenant: &Tenant) -> Result<String> {
    let slow = "/v1/search?limit=100&q=house%20or%20river%20or%20letter%20or%20garden%20or%20engine%20or%20winter";
    let found = format!("{slow}&mode=text");
    if hits(house, tenant, &found).await? < DOCUMENTS {
        let workspace = tenant.workspace(house, "Noise").await?;
        for number in 0..DOCUMENTS {
            tenant.upload(house, &workspace, &format!("document-{number}.txt"), document(number)?.into_bytes()).await?;
        }
        let begun = Instant::now();
        while hits(house, tenant, &found).await? < DOCUMENTS {
            ensure!(begun.elapsed() < PATIENCE, "the noisy tenant's documents are not found");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    let mut slowest = (Duration::ZERO, String::new());
    for mode in ["text", "fuzzy", "semantic", "hybrid"] {
        let path = format!("{slow}&mode={mode}");
        let mut least = Duration::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            search(house, tenant, &path).await?;
            least = least.min(begun.elapsed());
        }
        println!("  a {mode} search takes {:.1} ms", least.as_secs_f64() * 1e3);
        slowest = slowest.max((least, path));
    }
    Ok(slowest.1)
}

fn document(number: usize) -> Result<String> {
    let mut text = String::new();
    for sentence in 0..SENTENCES {
        let word = |step: usize| WORDS[(sentence * step + number + step) % WORDS.len()];
        writeln!(text, "The {} near {} {sentence} has a {} of {}.", word(1), word(3), word(5), word(7))?;
    }
    Ok(text)
}

async fn hits(house: &House, tenant: &Tenant, path: &str) -> Result<usize> {
    let answer = search(house, tenant, path).await?;
    Ok(answer["items"].as_array().map_or(0, Vec::len))
}

async fn search(house: &House, tenant: &Tenant, path: &str) -> Result<serde_json::Value> {
    let url = format!("{}{path}", house.ready.data_plane);
    let answer = house.http.get(url).bearer_auth(&tenant.key).send().await?.error_for_status()?;
    Ok(answer.json().await?)
}
