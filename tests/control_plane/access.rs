//! Every route × every kind of caller, from the one table that the guards use.

use reqwest::Method;
use rowhouse_control_plane::access::{Access, Callers, TABLE};
use rowhouse_domain::Scope;
use rowhouse_testkit::{Answer, Client, TestHouse};
use serde_json::json;

#[tokio::test]
async fn the_table_holds_for_every_route_and_caller() {
    let house = TestHouse::start().await;
    let (own, other) = (house.tenant().await, house.tenant().await);
    let all: Vec<&str> = Scope::ORGANIZATION.iter().map(|scope| scope.as_str()).collect();
    let insider = house.organization_key(&own.organization, &all).await;
    let outsider = house.organization_key(&other.organization, &all).await;
    for access in TABLE {
        let path = fill(access.path, &own.organization, &own.tenant);
        let place = format!("{} {path}", access.method);

        call(&house.admin.anonymous(), access, &path).await.problem(401, "missing_credentials");
        call(&house.admin.with_key(own.data.key()), access, &path).await.problem(401, "wrong_key_kind");
        let answer = call(&house.admin, access, &path).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "platform key: {place} {}", answer.status);
        match access.callers {
            Callers::Platform => {
                call(&insider, access, &path).await.problem(401, "wrong_key_kind");
            }
            Callers::Organization => {
                let answer = call(&insider, access, &path).await;
                assert!(![401, 403].contains(&answer.status.as_u16()), "organization key: {place} {}", answer.status);
                assert_hidden(call(&outsider, access, &path).await, &place);
            }
            Callers::OrganizationWith(scope) => {
                let answer = call(&insider, access, &path).await;
                assert!(![401, 403].contains(&answer.status.as_u16()), "organization key: {place} {}", answer.status);
                assert_hidden(call(&outsider, access, &path).await, &place);
                let others: Vec<&str> = all.iter().copied().filter(|other| *other != scope.as_str()).collect();
                let lesser = house.organization_key(&own.organization, &others).await;
                call(&lesser, access, &path).await.problem(403, "missing_scope");
            }
        }
    }
}

/// To another organization's key it does not exist, or its body is refused before anyone looks.
fn assert_hidden(answer: Answer, place: &str) {
    match answer.status.as_u16() {
        404 => drop(answer.problem(404, "not_found")),
        status => assert_eq!((status, answer.text("code").as_str()), (422, "invalid_request"), "{place}"),
    }
}

/// An address with ids in the place of its parameters; those of members, keys and operations belong to nobody.
fn fill(path: &str, organization: &str, tenant: &str) -> String {
    path.replace("{org}", organization)
        .replace("{ten}", tenant)
        .replace("{clu}", &rowhouse_domain::ClusterId::new().to_string())
        .replace("{mem}", &rowhouse_domain::MemberId::new().to_string())
        .replace("{key}", &rowhouse_domain::KeyId::new().to_string())
        .replace("{op}", &rowhouse_domain::OperationId::new().to_string())
}

/// Calls with a body that is refused for its unknown field, so that nothing is made or changed on the way.
async fn call(client: &Client, access: &Access, path: &str) -> Answer {
    let method: Method = access.method.parse().unwrap();
    // Deleting takes no body that could be refused: a version that never was is as good.
    let request = client.request(method.clone(), path).header("if-match", "\"never\"");
    Answer::of(if method == Method::GET || method == Method::DELETE {
        request
    } else {
        request.json(&json!({"no_such_field": true}))
    })
    .await
}
