//! The pools as text.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use super::{Cluster, Pools};

/// Draws a look; with the evictions of the one before, also how many there were since.
pub(super) fn draw(pools: &Pools, before: Option<&Pools>) -> String {
    let mut text = format!("{} connections, {} pools\n\n", pools.connections, pools.pools);
    let mut clusters = table([
        "CLUSTER",
        "STATE",
        "BUDGET",
        "IN USE",
        "IDLE",
        "OPENING",
        "CLOSING",
        "WAITING",
        "TENANTS WAITING",
        "EVICTED",
    ]);
    for cluster in &pools.clusters {
        let evicted = match earlier(before, cluster) {
            Some(earlier) => format!("{} (+{})", cluster.evicted, cluster.evicted.saturating_sub(earlier.evicted)),
            None => cluster.evicted.to_string(),
        };
        let state = if cluster.is_refusing { "does not answer" } else { "fine" };
        let counts = [cluster.budget, cluster.in_use, cluster.idle, cluster.opening, cluster.closing, cluster.waiting];
        let mut row = vec![cluster.cluster.clone(), state.to_owned()];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([cluster.tenants_waiting.to_string(), evicted]);
        clusters.add_row(row);
    }
    // Writing to a string can't fail.
    let _ = writeln!(text, "{clusters}");
    let mut tenants = table(["TENANT", "IN USE", "WAITING"]);
    for tenant in pools.clusters.iter().flat_map(|cluster| &cluster.busiest) {
        tenants.add_row([tenant.tenant.clone(), tenant.in_use.to_string(), tenant.waiting.to_string()]);
    }
    if !tenants.is_empty() {
        let _ = write!(text, "\n{tenants}");
    }
    text
}

fn earlier<'a>(before: Option<&'a Pools>, cluster: &Cluster) -> Option<&'a Cluster> {
    before?.clusters.iter().find(|other| other.cluster == cluster.cluster)
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(evicted: u64) -> Pools {
        serde_json::from_value(serde_json::json!({
            "pools": 3, "connections": 7,
            "clusters": [{
                "cluster": "clu_1", "budget": 8, "in_use": 5, "idle": 2, "opening": 0, "closing": 0, "waiting": 9,
                "tenants_waiting": 2, "pools": 3, "evicted": evicted, "is_refusing": false,
                "busiest": [{"tenant": "ten_1", "in_use": 4, "waiting": 9}],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_look_names_clusters_and_tenants_and_what_changed() {
        let text = draw(&look(12), Some(&look(10)));
        for part in ["7 connections, 3 pools", "clu_1", "12 (+2)", "ten_1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
