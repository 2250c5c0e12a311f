//! What those who run a service look at, and what happens when its database is away.

use std::time::{Duration, Instant};

use rowhouse_testkit::TestHouse;
use serde_json::{Map, Value};

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Every reference of a document is to something in it.
fn assert_leads_somewhere(part: &Value, document: &Value) {
    if let Some(reference) = part["$ref"].as_str() {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    let (items, members) = (part.as_array().into_iter().flatten(), part.as_object().into_iter().flat_map(Map::values));
    items.chain(members).for_each(|inner| assert_leads_somewhere(inner, document));
}

#[tokio::test]
async fn both_services_say_how_they_are_and_what_they_offer() {
    let house = TestHouse::start().await;
    // The data plane's metrics name tenants: they are on its admin port.
    for (service, metrics) in
        [(house.admin.anonymous(), house.admin.anonymous()), (house.data.anonymous(), house.data_admin.clone())]
    {
        let _ = service.get("/healthz").await.expect(200);
        let _ = service.get("/readyz").await.expect(200);
        let metrics = metrics.get("/metrics").await.expect(200);
        assert!(String::from_utf8(metrics.bytes).unwrap().contains("rowhouse_http_requests_total"));
        let api = service.get("/openapi.json").await.expect(200).json();
        assert!(api["paths"].as_object().unwrap().len() > 8);
        assert_leads_somewhere(&api, &api);
        let page = service.get("/docs/").await.expect(200);
        let page = String::from_utf8(page.bytes).unwrap();
        assert!(page.contains("swagger") && !page.contains("https://"), "the page needs no internet: {page}");
    }
}

#[tokio::test]
async fn without_its_database_the_control_plane_is_not_ready_and_says_when_to_come_back() {
    let house = TestHouse::start().await;
    let _ = house.admin.get("/v1/organizations").await.expect(200);
    house.lock_out().await;
    let answer = house.admin.get("/v1/organizations").await;
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    answer.problem(503, "unavailable");
    house.admin.get("/readyz").await.problem(503, "unavailable");
    let _ = house.admin.get("/healthz").await.expect(200);
    // A data plane that knows no key yet can't do without it either.
    house.data.get("/readyz").await.problem(503, "unavailable");
    house.let_in().await;
    eventually("the services recover", async || house.admin.get("/v1/organizations").await.status == 200).await;
    eventually("the data plane too", async || house.data.get("/readyz").await.status == 200).await;
}

#[tokio::test]
async fn without_the_platform_the_data_plane_serves_the_keys_that_it_knows() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let cold = house.tenant_key(&given.tenant, &["read_files"]).await;
    let _ = given.data.get("/v1/workspaces").await.expect(200);
    house.lock_out().await;
    // Longer than what was just read counts as right.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let asked = Instant::now();
        let _ = given.data.get("/v1/workspaces").await.expect(200);
        assert!(asked.elapsed() < Duration::from_secs(3), "it waited for the platform: {:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = cold.get("/v1/workspaces").await;
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    answer.problem(503, "unavailable");
    let _ = given.data.get("/readyz").await.expect(200);
    house.let_in().await;
    eventually("a key that was not known is served", async || cold.get("/v1/workspaces").await.status == 200).await;
}
