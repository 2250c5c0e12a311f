//! What those who run a service look at, and what happens when its database is away.

use std::time::{Duration, Instant};

use rowhouse_testkit::TestHouse;

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn both_services_say_how_they_are_and_what_they_offer() {
    let house = TestHouse::start().await;
    for service in [house.admin.anonymous(), house.data.anonymous()] {
        let _ = service.get("/healthz").await.expect(200);
        let _ = service.get("/readyz").await.expect(200);
        let metrics = service.get("/metrics").await.expect(200);
        assert!(String::from_utf8(metrics.bytes).unwrap().contains("rowhouse_http_requests_total"));
        let api = service.get("/openapi.json").await.expect(200).json();
        assert!(api["paths"].as_object().unwrap().len() > 8);
        let page = service.get("/docs/").await.expect(200);
        let page = String::from_utf8(page.bytes).unwrap();
        assert!(page.contains("swagger") && !page.contains("https://"), "the page needs no internet: {page}");
    }
}

#[tokio::test]
async fn without_its_database_a_service_is_not_ready_and_says_when_to_come_back() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    house.lock_out().await;
    for service in [&house.admin, &given.data] {
        let path = if service.base() == house.admin.base() { "/v1/organizations" } else { "/v1/workspaces" };
        let answer = service.get(path).await;
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        answer.problem(503, "unavailable");
        service.get("/readyz").await.problem(503, "unavailable");
        let _ = service.get("/healthz").await.expect(200);
    }
    house.let_in().await;
    eventually("the services recover", async || given.data.get("/v1/workspaces").await.status == 200).await;
    let _ = house.admin.get("/v1/organizations").await.expect(200);
}
