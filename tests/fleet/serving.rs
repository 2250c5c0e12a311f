//! Tenants that are served while they go from one version to the next and back, and versions that are not served.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rowhouse_data_plane::authentication::SERVED_SCHEMAS;
use rowhouse_testkit::Given;

use crate::{NEW, OLD, go, house};

/// Works as a tenant's users do until it is told to stop. How often it went through.
async fn work(given: &Given, number: usize, stop: &AtomicBool, done: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let round = done.fetch_add(1, Ordering::Relaxed);
        let file = given.upload(&format!("{number}-{round}.txt"), "some words").await;
        assert_eq!(given.data.get(&format!("/v1/files/{file}/content")).await.expect(200).bytes, b"some words");
        let _ = given.data.get("/v1/files").await.expect(200);
        let _ = given.data.get("/v1/search?q=words").await.expect(200);
        let _ = given.data.delete(&format!("/v1/files/{file}")).await.expect(204);
    }
}

#[tokio::test]
async fn a_tenant_is_served_while_it_goes_from_one_version_to_the_other_and_back() {
    let house = house().await;
    let given = house.tenant().await;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let migrating = async {
        for _ in 0..3 {
            go(&house, "down", OLD).await;
            go(&house, "up", NEW).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(migrating, work(&given, 0, &stop, &done), work(&given, 1, &stop, &done));
    assert!(done.load(Ordering::Relaxed) > 2, "nobody has worked meanwhile");
}

#[tokio::test]
async fn other_versions_are_refused_and_the_answer_says_which_are_served() {
    let house = house().await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/files").await.expect(200);
    let (oldest, newest) = (i64::from(*SERVED_SCHEMAS.start()), i64::from(*SERVED_SCHEMAS.end()));
    assert_eq!((oldest, newest), (OLD, NEW));
    for wrong in [OLD - 1, NEW + 1] {
        house.sql(&format!("update tenants set schema_version = {wrong}")).await;
        // Data planes hear of it.
        let begun = Instant::now();
        while given.data.get("/v1/files").await.status == 200 {
            assert!(begun.elapsed() < Duration::from_secs(30), "version {wrong} is still served");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let refused = given.data.get("/v1/files").await.problem(503, "schema_not_served");
        let said = refused["detail"].as_str().unwrap();
        let served = format!("serves {OLD} to {NEW}");
        assert!(said.contains(&format!("migration {wrong}")) && said.contains(&served), "{said}");
        house.sql(&format!("update tenants set schema_version = {NEW}")).await;
        let begun = Instant::now();
        while given.data.get("/v1/files").await.status != 200 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it is not served again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
