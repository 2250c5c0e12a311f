//! One schema of hundreds in which one thing is not as it should be.

use rand::RngExt;
use serde_json::json;

use crate::deaths::is_soak;
use crate::faults::crowd;
use crate::house;
use crate::verify::{DROP, differing, meddle, sweep};

#[tokio::test]
async fn one_index_that_was_dropped_in_one_of_hundreds_of_tenants_is_found_in_one_sweep() {
    let house = house().await;
    let organization = house.organization().await;
    let counts = if is_soak() {
        [("dedicated", 100), ("schema", 300), ("shared", 100)]
    } else {
        [("dedicated", 12), ("schema", 38), ("shared", 10)]
    };
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    let tenants = crowd(&house, &organization, &counts).await;
    assert_eq!(tenants.len(), all);
    // Whoever it is: no two runs of this test need choose the same.
    let victim = &tenants[rand::rng().random_range(0..all)];
    meddle(&house, victim, DROP).await;
    let found = sweep(&house).await;
    let schemas = found["schemas"].as_u64().unwrap();
    assert!(schemas > counts[0].1 as u64 + counts[1].1 as u64, "shared ones are among them: {found}");
    assert_eq!((&found["same"], &found["different"]), (&json!(schemas - 1), &json!(1)), "{found}");
    let differing = differing(&house).await;
    let (one, owner) = (&differing[0], house.admin.get(&format!("/v1/tenants/{victim}")).await.expect(200).json());
    // Those who share a schema are named by its database.
    let named =
        if owner["isolation"] == "shared" { one["tenant_id"].is_null() } else { one["tenant_id"] == json!(victim) };
    assert!(differing.len() == 1 && named, "{owner}: {differing:?}");
    let differences = one["differences"].as_array().unwrap();
    assert_eq!((differences.len(), &differences[0]["name"]), (1, &json!("files_tags_idx")), "{differences:?}");
    meddle(&house, victim, differences[0]["repair"].as_str().unwrap()).await;
    let mended = sweep(&house).await;
    assert_eq!((&mended["same"], &mended["different"]), (&json!(schemas), &json!(0)), "{mended}");
}
