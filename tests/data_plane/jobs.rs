//! The list of long jobs.

use rowhouse_domain::{FolderId, JobId};
use rowhouse_testkit::Given;
use serde_json::Value;

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect()
}

async fn list(given: &Given, query: &str) -> Value {
    given.data.get(&format!("/v1/jobs?{query}")).await.expect(200).json()
}

#[tokio::test]
async fn jobs_are_listed_newest_first_page_by_page() {
    let house = crate::house().await;
    let (given, other) = (house.tenant().await, house.tenant().await);
    assert_eq!(list(&given, "").await["items"], Value::Array(Vec::new()));
    // Two of the same moment among them; and one for nobody to wait for.
    let made: Vec<JobId> = (0..5).map(|_| JobId::new()).collect();
    let states = ["done", "failed", "done", "cancelled", "done"];
    let kinds = ["delete_tree", "restore_tree", "purge_tree", "copy_tree", "reseal_contents"];
    let mut rows: Vec<String> = made
        .iter()
        .zip(states.iter().zip(kinds).zip([1, 2, 2, 3, 4]))
        .map(|(id, ((state, kind), second))| {
            let (id, about) = (id.as_uuid(), FolderId::new().as_uuid());
            let root = if kind == "reseal_contents" { "{}" } else { "{\"root\": \"folder\"}" };
            format!("('{id}', '{kind}', '{about}', '{root}', '{state}', now() + {second} * interval '1 s', now())")
        })
        .collect();
    rows.push("(gen_random_uuid(), 'index_file', gen_random_uuid(), '{}', 'done', now(), now())".to_owned());
    let columns = "id, kind, subject_id, payload, state, created_at, finished_at";
    let insert = format!("insert into jobs ({columns}) values {}", rows.join(", "));
    house.inside(&given).await.run(&insert).await.unwrap();
    let expected: Vec<String> = made.iter().rev().map(ToString::to_string).collect();
    let all = list(&given, "").await;
    assert_eq!(ids(&all), expected);
    assert!(all.get("next_cursor").is_none());
    // Each as it is shown by itself.
    for job in all["items"].as_array().unwrap() {
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        assert_eq!(*job, given.data.get(&path).await.expect(200).json());
    }
    for limit in 1..=5 {
        let (mut seen, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let page = list(&given, &query).await;
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            query = format!("limit={limit}&cursor={next}");
        }
        assert_eq!(seen, expected, "{limit} at a time");
    }
    // By state, also page by page.
    let first = list(&given, "state=done&limit=2").await;
    assert_eq!(ids(&first), [expected[0].as_str(), expected[2].as_str()]);
    let second = format!("state=done&limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(ids(&list(&given, &second).await), [expected[4].as_str()]);
    assert_eq!(ids(&list(&given, "state=failed").await), [expected[3].as_str()]);
    assert_eq!(list(&given, "state=failed").await["items"][0]["state"], "failed");
    assert!(ids(&list(&given, "state=running").await).is_empty());
    assert!(ids(&list(&other, "").await).is_empty(), "another tenant's");
}

#[tokio::test]
async fn what_is_no_state_or_cursor_is_refused() {
    use base64::Engine;
    let given = crate::house().await.into_tenant().await;
    let refused = async |query: &str| given.data.get(&format!("/v1/jobs?{query}")).await;
    refused("state=lost").await.problem(422, "invalid_request");
    refused("kind=copy_tree").await.problem(422, "invalid_request");
    refused("limit=0").await.problem(422, "invalid_request");
    refused("cursor=nothing").await.problem(400, "malformed_cursor");
    // A time that is one, and that the database does not know.
    let early = format!("[\"-009999-01-02T01:59:59Z\",\"{}\"]", JobId::new());
    let early = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(early);
    refused(&format!("cursor={early}")).await.problem(400, "malformed_cursor");
}
