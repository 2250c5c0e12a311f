//! Every route × every scope, and every route × another tenant's key.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_data_plane::access::TABLE;
use rowhouse_domain::Scope;
use rowhouse_testkit::{Answer, Client};
use serde_json::json;

#[tokio::test]
async fn a_key_without_the_scope_is_refused_on_every_route() {
    let house = crate::house().await;
    let given = house.tenant().await;
    for access in TABLE {
        let Some(scope) = access.scope else {
            let path = access.path.replace("{lnk}", &rowhouse_domain::LinkId::new().to_string());
            let unsigned = call(&house.data.anonymous(), access.method, &path).await;
            assert_eq!(unsigned.status.as_u16(), 403, "{path}");
            continue;
        };
        let path = fill(
            access.path,
            &given.workspace,
            &rowhouse_domain::FileId::new().to_string(),
            &rowhouse_domain::FolderId::new().to_string(),
        )
        .replace("{lnk}", &rowhouse_domain::LinkId::new().to_string());
        let others: Vec<&str> =
            Scope::TENANT.iter().filter(|other| **other != scope).map(|other| other.as_str()).collect();
        let lesser = house.tenant_key(&given.tenant, &others).await;
        let (refused, unknown) =
            (call(&lesser, access.method, &path).await, call(&house.data.anonymous(), access.method, &path).await);
        if access.method == "HEAD" {
            // An answer to HEAD has no body.
            assert_eq!((refused.status.as_u16(), unknown.status.as_u16()), (403, 401), "{path}");
        } else {
            refused.problem(403, "missing_scope");
            unknown.problem(401, "missing_credentials");
        }
    }
    // Beside the answers, so perhaps a moment later; a scope that is missing is a refusal like any other.
    let recorded =
        "select 1 from audit_logs where action = 'api_key.refused' and details ->> 'reason' = 'missing_scope'
        and resource_id is not null and tenant_id is not null";
    let begun = Instant::now();
    while house.rows(recorded).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "no refusal is recorded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn another_tenants_things_can_not_be_told_from_what_never_was() {
    let house = crate::house().await;
    let (own, other) = (house.tenant().await, house.tenant().await);
    let file = own.upload("secret.txt", "secret").await;
    let folder = own.folder("secrets", None).await;
    let link = own.data.post(&format!("/v1/files/{file}/links"), &json!({})).await.expect(201).text("id");
    // A job whose id differs from the file's in its prefix only, as `fill` has it.
    let id = file.parse::<rowhouse_domain::FileId>().unwrap().as_uuid();
    let job = format!(
        "insert into jobs (id, kind, subject_id, payload, state) values ('{id}', 'delete_tree', '{id}', '{{\"root\": \"folder\"}}', 'done')"
    );
    house.inside(&own).await.run(&job).await.unwrap();
    let _ = own.data.get(&fill("/v1/jobs/{job}", "", &file, "")).await.expect(200);
    let begin = own.data.request(Method::POST, &format!("/v1/uploads?workspace_id={}&name=secret.bin", own.workspace));
    let begin = begin.header("tus-resumable", "1.0.0").header("upload-length", 5);
    let upload = Answer::of(begin).await.expect(201).header("location").replace("/v1/uploads/", "");
    let never = (
        rowhouse_domain::WorkspaceId::new().to_string(),
        rowhouse_domain::FileId::new().to_string(),
        rowhouse_domain::FolderId::new().to_string(),
        rowhouse_domain::LinkId::new().to_string(),
        rowhouse_domain::UploadId::new().to_string(),
    );
    for access in TABLE.iter().filter(|access| access.path.contains('{') && access.scope.is_some()) {
        let foreign = call(
            &other.data,
            access.method,
            &fill(access.path, &own.workspace, &file, &folder).replace("{lnk}", &link).replace("{upl}", &upload),
        )
        .await;
        let missing = call(
            &other.data,
            access.method,
            &fill(access.path, &never.0, &never.1, &never.2).replace("{lnk}", &never.3).replace("{upl}", &never.4),
        )
        .await;
        let place = format!("{} {}", access.method, access.path);
        assert_eq!((foreign.status.as_u16(), missing.status.as_u16()), (404, 404), "{place}");
        let shape = |answer: &Answer| answer.bytes.len();
        // HEAD has no body; elsewhere the two differ in nothing but the id, which is of equal length.
        assert_eq!(shape(&foreign), shape(&missing), "{place}");
    }
    // Naming them elsewhere does not help either.
    for path in [
        format!("/v1/files?workspace_id={}&name=x", own.workspace),
        format!("/v1/files?workspace_id={}&folder_id={folder}&name=x", other.workspace),
    ] {
        other.data.upload(&path, "x").await.problem(404, "not_found");
    }
    let nested = json!({"workspace_id": other.workspace, "parent_id": folder, "name": "x"});
    other.data.post("/v1/folders", &nested).await.problem(404, "not_found");
    assert_eq!(own.data.get(&format!("/v1/files/{file}/content")).await.expect(200).bytes, b"secret");
}

fn fill(path: &str, workspace: &str, file: &str, folder: &str) -> String {
    let job = file.replace("fil_", "job_");
    path.replace("{wrk}", workspace)
        .replace("{fil}", file)
        .replace("{fld}", folder)
        .replace("{version}", "1")
        .replace("{job}", &job)
}

async fn call(client: &Client, method: &str, path: &str) -> Answer {
    let method: Method = method.parse().unwrap();
    let mut request = client.request(method.clone(), path);
    if path.starts_with("/v1/uploads") {
        request = request.header("tus-resumable", "1.0.0").header("upload-offset", 0);
        if method == Method::PATCH {
            return Answer::of(request.header("content-type", "application/offset+octet-stream").body("x")).await;
        }
    }
    let has_body = [Method::POST, Method::PATCH].contains(&method);
    Answer::of(if has_body { request.json(&json!({})) } else { request }).await
}
