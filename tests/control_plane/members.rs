//! Members of an organization, and the owner that it must keep.

use rowhouse_testkit::TestHouse;
use serde_json::json;

#[tokio::test]
async fn an_invited_member_has_no_user_yet() {
    let house = TestHouse::start().await;
    let members = format!("/v1/organizations/{}/members", house.organization().await);
    let made = house.admin.post(&members, &json!({"email": "ann@acme.example", "role": "admin"})).await.expect(201);
    assert_eq!((made.json()["status"].as_str(), made.json()["user_id"].is_null()), (Some("invited"), true));
    house.admin.post(&members, &json!({"email": "ANN@acme.example"})).await.problem(409, "member_exists");
    let listed = house.admin.get(&members).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_last_owner_stays_an_owner() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let (first, second) = (house.owner(&organization, "one").await, house.owner(&organization, "two").await);
    let members = format!("/v1/organizations/{organization}/members");
    assert!(house.admin.delete(&format!("{members}/{first}")).await.status.is_success());
    let last = format!("{members}/{second}");
    house.admin.delete(&last).await.problem(409, "last_owner");
    house.admin.patch(&last, &json!({"role": "member"})).await.problem(409, "last_owner");
    house.admin.patch(&last, &json!({"status": "suspended"})).await.problem(409, "last_owner");
    let _ = house.admin.patch(&last, &json!({"permissions": ["view_usage"]})).await.expect(200);
}

#[tokio::test]
async fn two_owners_leaving_at_once_do_not_both_go() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let (first, second) = (house.owner(&organization, "one").await, house.owner(&organization, "two").await);
    let path = |member: &str| format!("/v1/organizations/{organization}/members/{member}");
    let (one, two) = (path(&first), path(&second));
    let (one, two) = tokio::join!(house.admin.delete(&one), house.admin.delete(&two));
    let gone = [one.status.is_success(), two.status.is_success()];
    assert_eq!(gone.iter().filter(|gone| **gone).count(), 1, "{gone:?}");
}

#[tokio::test]
async fn there_is_a_most_of_members() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let _ =
        house.admin.patch(&format!("/v1/organizations/{organization}"), &json!({"max_members": 2})).await.expect(200);
    let members = format!("/v1/organizations/{organization}/members");
    for name in ["one", "two"] {
        let _ = house.admin.post(&members, &json!({"email": format!("{name}@acme.example")})).await.expect(201);
    }
    house.admin.post(&members, &json!({"email": "three@acme.example"})).await.problem(422, "limit_reached");
}
