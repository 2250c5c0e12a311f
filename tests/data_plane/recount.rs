//! Whatever is done with files, in whatever order: what is counted is what is there.

use reqwest::Method;
use rowhouse_domain::TenantId;
use rowhouse_testkit::{Answer, Client, Given, TestHouse};
use serde_json::{Value, json};

/// The same throws for the same seed, so that what fails can be run again.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// One thing to do with a file, which may be refused.
async fn act(data: &Client, workspaces: &[String; 2], files: &mut Vec<String>, dice: &mut Dice, step: usize) -> Answer {
    let file = files.get(dice.throw(files.len().max(1))).cloned().unwrap_or_default();
    let workspace = &workspaces[dice.throw(2)];
    // Of a few contents, so that they are shared.
    let content = "x".repeat(dice.throw(6) * 7);
    let version = dice.throw(4) + 1;
    let path = format!("/v1/files/{file}");
    let what = if files.is_empty() { 0 } else { dice.throw(12) };
    let answer = match what {
        0 | 1 => data.upload(&format!("/v1/files?workspace_id={workspace}&name={step}"), content).await,
        2 | 3 => Answer::of(data.request(Method::PUT, &format!("{path}/content")).body(content)).await,
        4 => data.delete(&format!("{path}/versions/{version}")).await,
        5 => data.post(&format!("{path}/versions/{version}/restore"), &json!({})).await,
        6 => {
            let copy = json!({"workspace_id": workspace, "name": step.to_string(), "version": version});
            data.post(&format!("{path}/copy"), &copy).await
        }
        7 => data.patch(&path, &json!({"workspace_id": workspace})).await,
        8 => data.delete(&path).await,
        9 => data.post(&format!("{path}/restore"), &json!({})).await,
        10 => batch(data, workspace, files, dice, step).await,
        _ => data.delete(&format!("{path}?purge=true")).await,
    };
    if answer.status.as_u16() == 201 {
        files.push(answer.text("id"));
    }
    answer
}

/// Several at once, each alone; the copies among them are noted.
async fn batch(data: &Client, workspace: &str, files: &mut Vec<String>, dice: &mut Dice, step: usize) -> Answer {
    let first = dice.throw(files.len());
    let item = |place: usize, id: &String, action: usize| match action {
        0 => json!({"action": "delete", "id": id}),
        1 => json!({"action": "restore", "id": id}),
        2 => json!({"action": "update", "id": id, "workspace_id": workspace}),
        _ => json!({"action": "copy", "id": id, "workspace_id": workspace, "name": format!("{step}-{place}")}),
    };
    let items: Vec<Value> =
        files.iter().skip(first).take(5).enumerate().map(|(place, id)| item(place, id, dice.throw(4))).collect();
    let answer = data.post("/v1/files/batch", &json!({"mode": "each", "items": items})).await;
    let view = body(&answer);
    for made in view["items"].as_array().unwrap().iter().filter(|item| item["status"] == 201) {
        files.push(made["file"]["id"].as_str().unwrap().to_owned());
    }
    answer
}

/// Bytes by the rows of versions, in all and of each workspace, against what workspaces say.
pub(super) async fn recount(house: &TestHouse, given: &Given) -> i64 {
    let rows = house
        .tenant_rows(
            given,
            "select workspace.used_storage + coalesce((select sum(bytes)::bigint from workspace_counters
                 where workspace_id = workspace.id), 0), coalesce(sum(version.size), 0)::bigint as counted
             from workspaces workspace left join files file on file.workspace_id = workspace.id
             left join file_versions version on version.file_id = file.id where workspace.tenant_id = app_tenant_id()
             group by workspace.tenant_id, workspace.id",
        )
        .await;
    let pairs: Vec<(i64, i64)> = rows.iter().map(|row| (row.try_get(0).unwrap(), row.try_get(1).unwrap())).collect();
    assert!(pairs.iter().all(|(used, counted)| used == counted), "{pairs:?}");
    pairs.iter().map(|(_, counted)| counted).sum()
}

/// A key whose uploads are charged to an account of the tenant, which has a quota of its own.
pub(crate) async fn with_an_account(house: &TestHouse, given: &Given, quota: i64) -> Client {
    let data = house.tenant_key(&given.tenant, &["read_files", "write_files"]).await;
    let prefix = data.key().split('_').nth(1).unwrap();
    let tenant = given.tenant.parse::<TenantId>().unwrap().as_uuid();
    let charge = format!(
        "with account as (
             insert into accounts (organization_id, tenant_id, storage_quota)
             select organization_id, id, {quota} from tenants where id = '{tenant}' returning id)
         update tenant_api_keys set account_id = account.id from account where key_prefix = '{prefix}'"
    );
    house.sql(&charge).await;
    data
}

#[tokio::test]
async fn what_is_counted_is_what_is_there() {
    let house = crate::house_with(|settings| settings.trash.blob_grace = std::time::Duration::ZERO).await;
    let given = house.tenant().await;
    let other = given.data.post("/v1/workspaces", &json!({"name": "Other", "storage_quota": 100})).await;
    let workspaces = [given.workspace.clone(), other.expect(201).text("id")];
    let _ =
        house.admin.patch(&format!("/v1/tenants/{}", given.tenant), &json!({"storage_quota": 500})).await.expect(200);
    let charged = with_an_account(&house, &given, 150).await;
    let seed = 0x5eed_0006;
    let (mut dice, mut files) = (Dice(seed), Vec::new());
    let mut refusals = 0;
    for step in 0..300 {
        let data = if dice.throw(3) == 0 { &charged } else { &given.data };
        let answer = act(data, &workspaces, &mut files, &mut dice, step).await;
        let status = answer.status.as_u16();
        assert!(
            [200, 201, 204, 404, 409, 413].contains(&status),
            "step {step} of {seed:#x}: {status} {}",
            body(&answer)
        );
        refusals += usize::from(status >= 400);
        if step % 50 == 49 {
            let counted = recount(&house, &given).await;
            house.expect_used(counted).await;
            house.expect_reserved(0).await;
            let charged = "select coalesce(sum(size), 0)::bigint from file_versions where account_id is not null";
            let charged = house.tenant_rows(&given, charged).await[0].try_get(0).unwrap();
            house.expect_figure("select used_storage from accounts", charged).await;
            house.expect_figure("select reserved_storage from accounts", 0).await;
        }
    }
    house.expect_no_differences().await;
    assert!((50..250).contains(&refusals), "{refusals} of 300 were refused: the dice are bad");
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.bytes).unwrap_or_default()
}
