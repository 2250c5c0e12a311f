//! Storage events under SIGKILL: every committed change is counted once, in the tenant's log and in the organization's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_testkit::{Client, Given, TestHouse};
use serde_json::Value;

use super::recount::{Dice, recount};

/// Data planes that die.
const LIVES: usize = 4;

/// Uploads, overwrites, deletes and purges until nobody answers any more.
async fn churn(data: Client, workspace: String, seed: u64, done: Arc<AtomicUsize>) {
    let (mut dice, mut files) = (Dice(seed), Vec::<String>::new());
    loop {
        let size = dice.throw(3_000);
        let content = vec![u8::try_from(dice.throw(250)).unwrap(); size];
        let file = files.get(dice.throw(files.len().max(1))).cloned().unwrap_or_default();
        let request = match if files.len() < 3 { 0 } else { dice.throw(8) } {
            0..=2 => {
                let name = format!("{seed:x}%20{}", done.load(Ordering::Relaxed) + files.len());
                data.request(Method::POST, &format!("/v1/files?workspace_id={workspace}&name={name}")).body(content)
            }
            3 | 4 => data.request(Method::PUT, &format!("/v1/files/{file}/content")).body(content),
            5 => data.request(Method::DELETE, &format!("/v1/files/{file}/versions/1")),
            6 => data.request(Method::DELETE, &format!("/v1/files/{file}")),
            _ => data.request(Method::DELETE, &format!("/v1/files/{file}?purge=true")),
        };
        let Ok(answer) = request.send().await else { return };
        if answer.status() == 201 {
            let made: Value = answer.json().await.unwrap_or_default();
            files.extend(made["id"].as_str().map(str::to_owned));
        }
        done.fetch_add(1, Ordering::AcqRel);
    }
}

/// The logs say what the rows say, and each version that came is told of once.
async fn expect_logs(house: &TestHouse, given: &Given) {
    let there = recount(house, given).await;
    house.expect_used(there).await;
    for log in ["tenant_usage_logs", "org_usage_logs"] {
        let sum = format!("select coalesce(sum(quantity), 0)::bigint from {log} where event_type = 'storage'");
        house.expect_figure(&sum, there).await;
        let twice = format!(
            "select count(*) - count(distinct (details->>'file_id', details->>'version'))
             from {log} where event_type = 'storage' and quantity > 0"
        );
        house.expect_figure(&twice, 0).await;
    }
    let differing = "
        select count(*) from (select id, timestamp, quantity from tenant_usage_logs where event_type = 'storage') of_tenant
        full join (select id, timestamp, quantity from org_usage_logs where event_type = 'storage') of_organization
            using (id, timestamp, quantity)
        where of_tenant is null or of_organization is null";
    house.expect_figure(differing, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_counted_once_however_often_a_data_plane_dies() {
    let house = crate::house_with(|settings| settings.quota.block_idle = Duration::from_secs(1)).await;
    let given = house.tenant().await;
    for life in 0..LIVES {
        // Every other one gives room out of blocks.
        let largest_block = if life % 2 == 0 { 0 } else { 100_000 };
        let settings = format!(
            "quota = {{ largest_block = {largest_block}, block_ttl = \"2s\", block_idle = \"1h\" }}\nuploads.reservation_ttl = \"3s\"\n"
        );
        let process = house.data_plane_process(&settings).await;
        let data = process.client.with_key(given.data.key());
        let done = Arc::new(AtomicUsize::new(0));
        let streams: Vec<_> = (0..4)
            .map(|number| {
                let seed = 0x5eed_0100 + (life as u64) * 16 + number;
                tokio::spawn(churn(data.clone(), given.workspace.clone(), seed, Arc::clone(&done)))
            })
            .collect();
        let begun = Instant::now();
        while done.load(Ordering::Acquire) < 40 + 23 * life {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is done");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill().await;
        futures::future::join_all(streams).await;
    }
    house.expect_reserved_within(0, Duration::from_secs(120)).await;
    expect_logs(&house, &given).await;
}
