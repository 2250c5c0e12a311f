//! What one caller can't do to the others: use up a cluster's connections, fill the database, make the service fail.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rowhouse_domain::AuditId;
use rowhouse_testkit::TestHouse;
use serde_json::{Value, json};

#[tokio::test]
async fn many_looks_at_databases_open_few_connections() {
    /// Other tests' control planes open a few on the same cluster at the same time.
    const MOST: i64 = 16;
    const SESSIONS: &str = "
        select count(*) from pg_stat_activity
        where usename = 'rowhouse_control' and application_name = 'rowhouse_admin' and datname = 'postgres'";
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let (path, tenants) =
        (format!("/v1/organizations/{organization}"), format!("/v1/organizations/{organization}/tenants"));
    let _ = house.admin.patch(&path, &json!({"max_tenants": 10})).await.expect(200);
    let mut paths = Vec::new();
    for number in 0..4 {
        let tenant = house.admin.post(&tenants, &json!({"name": format!("tenant {number}")})).await.expect(201);
        paths.push(format!("/v1/tenants/{}/database", tenant.text("id")));
    }
    let mut most = 0;
    let watch = async {
        loop {
            most = i64::max(most, house.rows(SESSIONS).await[0].try_get(0).unwrap());
        }
    };
    let looks = futures::future::join_all((0..240).map(|number| house.admin.get(&paths[number % paths.len()])));
    let answers = tokio::select! {
        answers = looks => answers,
        () = watch => unreachable!("watching has no end"),
    };
    assert!(most <= MOST, "{most} sessions at once");
    for answer in answers {
        if answer.status == 503 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        } else {
            assert!(answer.expect(200).json()["size"].as_i64().unwrap() > 0);
        }
    }
}

/// An object with so many levels.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

#[tokio::test]
async fn objects_are_bounded_wherever_they_are_stored() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let organizations = "/v1/organizations".to_owned();
    let organization = format!("{organizations}/{}", given.organization);
    let (tenants, tenant) = (format!("{organization}/tenants"), format!("/v1/tenants/{}", given.tenant));
    for (path, new, fields) in [
        (&organizations, Some(json!({"name": "x", "email": "x@example.org"})), ["security_settings", "feature_flags"]),
        (&organization, None, ["security_settings", "feature_flags"]),
        (&tenants, Some(json!({"name": "x"})), ["settings", "metadata"]),
        (&tenant, None, ["settings", "metadata"]),
    ] {
        for (field, value) in
            fields.into_iter().flat_map(|field| [(field, nested(17)), (field, json!({"a": "x".repeat(32 * 1024)}))])
        {
            let mut body = new.clone().unwrap_or_else(|| json!({}));
            body[field] = value;
            let answer =
                if new.is_some() { house.admin.post(path, &body).await } else { house.admin.patch(path, &body).await };
            let problem = answer.problem(422, "invalid_request");
            assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{path}: {problem}");
        }
    }
    let _ = house.admin.patch(&tenant, &json!({"settings": nested(16)})).await.expect(200);
}

#[tokio::test]
async fn the_audit_log_keeps_a_bounded_part_of_a_large_change() {
    let house = TestHouse::start().await;
    let given = house.tenant().await;
    let large = json!({"a": "x".repeat(32 * 1024 - 100)});
    let change = json!({"name": "large", "settings": large, "metadata": large});
    let _ = house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &change).await.expect(200);
    let log = house.admin.get("/v1/audit-logs?action=tenant.update").await.expect(200).json();
    let after = &log["items"][0]["after"];
    assert_eq!(after["name"], "large");
    assert!(after.to_string().len() <= 64 * 1024);
    assert!(["settings", "metadata"].iter().any(|member| after[*member]["omitted_bytes"].is_number()), "{after}");
}

#[tokio::test]
async fn times_that_postgresql_does_not_know_are_refused() {
    let house = TestHouse::start().await;
    let organization = house.organization().await;
    let cursor = |time: &str| URL_SAFE_NO_PAD.encode(json!([time, AuditId::new()]).to_string());
    let page = |time: &str| format!("/v1/audit-logs?cursor={}", cursor(time));
    for time in ["-009999-01-02T01:59:59Z", "-004800-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "never"] {
        house.admin.get(&page(time)).await.problem(400, "malformed_cursor");
    }
    for time in ["1970-01-01T00:00:00Z", "9999-12-30T22:00:00.999999999Z"] {
        let _ = house.admin.get(&page(time)).await.expect(200);
    }
    for time in ["-009999-01-02T01:59:59Z", "never"] {
        for path in ["/v1/audit-logs".to_owned(), format!("/v1/organizations/{organization}/usage")] {
            for parameter in ["since", "until"] {
                house.admin.get(&format!("{path}?{parameter}={time}")).await.problem(422, "invalid_request");
            }
        }
    }
    let _ = house
        .admin
        .get(&format!("/v1/organizations/{organization}/usage?until=1970-01-01T00:00:00Z"))
        .await
        .expect(200);
}
