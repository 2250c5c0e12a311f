//! The same rates as another program sees them, where it is installed.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::Pair;
use crate::median;
use crate::report::Report;
use crate::tenants::Tenant;

/// Rates by `wrk`, as many connections and rounds as our own.
pub(super) async fn with_wrk(pair: &Pair, tenant: &Tenant, report: &mut Report) -> Result<()> {
    if Command::new("wrk").arg("-v").output().await.is_err() {
        println!("  no cross-check: `wrk` is not installed (Debian has it: apt-get install wrk)");
        return Ok(());
    }
    let file = tenant.file.as_deref().context("the tenant has a file")?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..pair.rounds {
        for (address, rates) in [(pair.ours, &mut ours), (pair.bare, &mut bare)] {
            let output = Command::new("wrk")
                .args(["-t1", "-c32", &format!("-d{}s", pair.duration.as_secs())])
                .arg("-H")
                // A private house's key, which ends with it.
                .arg(format!("Authorization: Bearer {}", tenant.key))
                .arg(format!("http://{address}/v1/files/{file}"))
                .output()
                .await?;
            let printed = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success() && !printed.contains("Non-2xx"), "wrk: {printed}");
            let rate = printed.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
            let rate: f64 = rate.context("wrk says a rate")?.trim().parse()?;
            println!("  wrk: {rate:.0}/s");
            rates.push(rate);
        }
    }
    report.rate("the same by wrk -t1 -c32", median(ours), "1/s", Some(median(bare)), None);
    Ok(())
}
