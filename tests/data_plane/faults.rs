//! What a tenant's users see when something is away.

use rowhouse_testkit::TestHouse;

#[tokio::test]
async fn a_tenant_whose_database_is_away_is_503_and_others_are_served() {
    let house = TestHouse::start().await;
    let (away, here) = (house.tenant().await, house.tenant().await);
    house.close_database_of(&away).await;
    let answer = away.data.get("/v1/workspaces").await;
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    answer.problem(503, "unavailable");
    let _ = here.data.get("/v1/workspaces").await.expect(200);
}

#[tokio::test]
async fn a_content_that_is_missing_ends_in_an_error_and_not_in_nothing() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let file = given.upload("a.txt", "words").await;
    house.lose_objects();
    let answer = given.data.get(&format!("/v1/files/{file}/content")).await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
}
