//! Houses whose tenants live on clusters that may be broken, and tenants all of whose data bears their mark.

use std::time::{Duration, Instant};

use reqwest::Method;
use rowhouse_settings::Settings;
use rowhouse_testkit::{Client, TestHouse};
use serde_json::json;

use crate::answers::{self, Seen};

/// Connections that the data plane may hold to a cluster, in these tests.
pub(crate) const BUDGET: usize = 10;
/// Connections that one tenant may hold.
pub(crate) const PER_TENANT: usize = 4;
/// How long a connection may be idle.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a statement may take.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request may take altogether.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);
/// How soon after the end of a fault everything is as before.
pub(crate) const RECOVERY: Duration = Duration::from_secs(5);
/// The three ways to keep tenants apart.
pub(crate) const ISOLATIONS: [&str; 3] = ["dedicated", "schema", "shared"];
/// Tenants that are made at once.
const AT_ONCE: usize = 6;

/// A house that gives up as soon as one in production would, or sooner.
pub(crate) async fn house() -> TestHouse {
    house_with(|_| {}).await
}

/// The same with further changes to its settings.
pub(crate) async fn house_with(change: impl FnOnce(&mut Settings)) -> TestHouse {
    TestHouse::start_with(|settings| {
        settings.pools.cluster_budget = BUDGET;
        settings.pools.per_tenant = PER_TENANT;
        // What is slow here is so on purpose.
        settings.pools.per_slow_tenant = PER_TENANT;
        settings.pools.checkout_timeout = Duration::from_secs(2);
        settings.pools.connect_timeout = Duration::from_secs(1);
        settings.pools.statement_timeout = STATEMENT_TIMEOUT;
        settings.pools.idle_timeout = IDLE_TIMEOUT;
        settings.data_plane.request_timeout = DEADLINE;
        settings.platform.max_connections = 12;
        change(settings);
    })
    .await
}

/// A tenant with a key, a workspace and a file. Every name and every content of its bears its mark.
pub(crate) struct Tenant {
    /// Its id.
    pub(crate) id: String,
    /// How it is kept apart.
    pub(crate) isolation: &'static str,
    /// What is in everything that is its own, and in nothing else.
    pub(crate) mark: String,
    /// The data plane with its key.
    pub(crate) data: Client,
    /// Its workspace.
    pub(crate) workspace: String,
    /// A file of its.
    pub(crate) file: String,
    /// That file's content.
    pub(crate) content: String,
    /// The tag of that content.
    pub(crate) content_tag: String,
}

impl Tenant {
    /// Sends a request and gives what came of it.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Option<Seen> {
        answers::send(request).await
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Option<Seen> {
        self.send(self.data.request(Method::GET, path)).await
    }

    /// The path of its file.
    pub(crate) fn file_path(&self) -> String {
        format!("/v1/files/{}", self.file)
    }

    /// An upload that may be repeated under the same key.
    pub(crate) fn upload(&self, name: &str, content: String) -> reqwest::RequestBuilder {
        let path = format!("/v1/files?workspace_id={}&name={name}", self.workspace);
        self.data.request(Method::POST, &path).header("idempotency-key", name).body(content)
    }
}

/// Makes tenants of an organization's on a cluster, of the isolations in turn.
pub(crate) async fn settle(
    house: &TestHouse,
    cluster: &str,
    number: usize,
    isolations: &[&'static str],
) -> Vec<Tenant> {
    let organization = house.organization().await;
    let room = json!({"max_tenants": 10_000, "max_workspaces": 1_000_000});
    let _ = house.admin.patch(&format!("/v1/organizations/{organization}"), &room).await.expect(200);
    let mut tenants = Vec::new();
    let (isolations, organization) = (isolations.to_vec(), &organization);
    let numbers: Vec<usize> = (0..number).collect();
    for some in numbers.chunks(AT_ONCE) {
        let made = some.iter().map(|number| {
            let isolation = isolations[number % isolations.len()];
            async move { tenant(house, organization, cluster, *number, isolation).await }
        });
        tenants.extend(futures::future::join_all(made).await);
    }
    tenants
}

async fn tenant(
    house: &TestHouse,
    organization: &str,
    cluster: &str,
    number: usize,
    isolation: &'static str,
) -> Tenant {
    let mark = answers::mark(number);
    let body = json!({"name": format!("tenant {number}"), "isolation": isolation, "cluster": cluster});
    let id = house.admin.post(&format!("/v1/organizations/{organization}/tenants"), &body).await.expect(201).text("id");
    let data = house.tenant_key(&id, &["read_files", "write_files", "manage_workspaces", "read_usage"]).await;
    let workspace = data.post("/v1/workspaces", &json!({"name": format!("{mark} work")})).await.expect(201).text("id");
    let content = format!("{mark} the walrus and the carpenter were walking close at hand");
    let path = format!("/v1/files?workspace_id={workspace}&name={mark}-walrus.txt");
    let file = data.upload(&path, content.clone()).await.expect(201).text("id");
    let head = data.get(&format!("/v1/files/{file}/content")).await.expect(200);
    let content_tag = head.header("etag").to_owned();
    Tenant { id, isolation, mark, data, workspace, file, content, content_tag }
}

/// Waits until each tenant is served again; says how long that took.
pub(crate) async fn served_again(tenants: &[Tenant], what: &str) -> Duration {
    let begun = Instant::now();
    let each = tenants.iter().map(|tenant| async move {
        loop {
            let seen = tenant.get(&tenant.file_path()).await;
            if seen.as_ref().is_some_and(|seen| seen.status == 200) {
                return;
            }
            assert!(
                begun.elapsed() < RECOVERY * 6,
                "{what}: a tenant ({}) is still not served: {seen:?}",
                tenant.isolation
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    futures::future::join_all(each).await;
    let took = begun.elapsed();
    report(&format!("{what}: all tenants were served again after {took:?}"));
    assert!(took < RECOVERY, "{what}: it took {took:?}");
    took
}

/// Waits until each tenant's file is found by its words.
pub(crate) async fn indexed(tenants: &[Tenant]) {
    let begun = Instant::now();
    for tenant in tenants {
        loop {
            let found = tenant.get("/v1/search?q=walrus&mode=text").await.expect("an answer");
            assert_eq!((found.wrong(&tenant.mark), found.status), (None, 200), "{found:?}");
            if found.body.contains(&tenant.mark) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{} is not indexed", tenant.mark);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What was measured, for whoever runs the tests with `--nocapture`.
#[expect(clippy::print_stdout, reason = "figures are part of what these tests are for")]
pub(crate) fn report(line: &str) {
    println!("{line}");
}

/// Whether the tests that take minutes are wanted (`cargo xtask test --soak`).
pub(crate) fn is_soak() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of these tests alone")]
    std::env::var("ROWHOUSE_SOAK").is_ok()
}
