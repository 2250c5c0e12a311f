//! Every statement of every store: it prepares as the login that runs it, and no tenant statement scans a large table.

use std::path::Path;

use rowhouse_database::{AdminConnection, Tls};
use rowhouse_testkit::{TestCluster, platform_database, tenant_database};
use serde_json::Value;

use crate::support::run;

/// Rows that make a scan of everything show in a plan's cost.
const ROWS: usize = 100_000;
/// What the planner may think a statement costs, in its own unit (a page read in order is 1). Reading all rows of `files`
/// costs several thousand, by an index or not; a page of 200 through the right index stays far below.
const MOST_EXPENSIVE: f64 = 1_500.0;
/// Deleting a workspace does touch all its files: what it may cost for each row that it is about.
const MOST_EXPENSIVE_ROW: f64 = 2.0;

struct Statement {
    place: String,
    sql: String,
}

/// The constants of every `store.rs` of a service.
fn statements(service: &str) -> Vec<Statement> {
    fn walk(folder: &Path, found: &mut Vec<Statement>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.file_name().is_some_and(|name| name == "store.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(
                    constants(&text)
                        .into_iter()
                        .map(|(name, sql)| Statement { place: format!("{} {name}", path.display()), sql }),
                );
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(service).join("src"), &mut found);
    found
}

/// Names and values of the constants in a source text that are statements: string literals, and `concat!` of literals and
/// of the file's own macros without arguments.
fn constants(text: &str) -> Vec<(String, String)> {
    let macros: Vec<(String, String)> = text
        .split("macro_rules! ")
        .skip(1)
        .filter_map(|rest| {
            let (name, body) = rest.split_once(" {")?;
            let (_, body) = body.split_once("() => {")?;
            Some((name.to_owned(), literals(body.split_once("};")?.0, &[])))
        })
        .collect();
    text.split("const ")
        .skip(1)
        .filter_map(|rest| {
            let (name, rest) = rest.split_once(": &str =")?;
            let sql = literals(rest.split_once(";\n")?.0, &macros);
            let first = sql.split_whitespace().next()?.to_lowercase();
            ["select", "insert", "update", "delete", "with"].contains(&first.as_str()).then(|| (name.to_owned(), sql))
        })
        .collect()
}

/// The string literals of an expression one after the other, with the texts of macros where those are called.
fn literals(expression: &str, macros: &[(String, String)]) -> String {
    let (mut found, mut rest) = (String::new(), expression);
    while let Some(begin) = rest.find('"') {
        let between = &rest[..begin];
        for (name, text) in macros {
            if between.contains(&format!("{name}!()")) {
                found.push_str(text);
            }
        }
        rest = &rest[begin + 1..];
        let mut end = rest.find('"').unwrap();
        while rest[..end].ends_with('\\') {
            end += 1 + rest[end + 1..].find('"').unwrap();
        }
        found.push_str(&rest[..end].replace("\\\n", "").replace("\\\"", "\"").replace("\\\\", "\\"));
        rest = &rest[end + 1..];
    }
    for (name, text) in macros {
        if rest.contains(&format!("{name}!()")) {
            found.push_str(text);
        }
    }
    found
}

#[tokio::test]
async fn every_statement_of_the_control_plane_prepares() {
    let database = platform_database().await;
    let control = AdminConnection::open(&TestCluster::get().control(), &database.name, &Tls::Disabled).await.unwrap();
    let all = statements("control-plane");
    assert!(all.len() > 50, "only {} statements were found", all.len());
    for Statement { place, sql } in all {
        run(&control, &format!("prepare probe as {sql}")).await;
        run(&control, "deallocate probe").await;
        assert!(!sql.contains("select *"), "{place} names no columns");
    }
}

#[tokio::test]
async fn no_statement_of_the_data_plane_scans_a_large_table() {
    let database = tenant_database().await;
    fill(&TestCluster::get().admin(&database.name).await, &database.tenant.as_uuid().to_string()).await;
    let tenant = database.connect().await;
    assert_that_a_scan_is_noticed(&tenant).await;
    run(&tenant, "set plan_cache_mode = force_generic_plan").await;
    let saas_platform = platform_database().await;
    let platform =
        AdminConnection::open(&TestCluster::get().data(), &saas_platform.name, &Tls::Disabled).await.unwrap();

    let (mut explained, mut slow) = (0, Vec::new());
    for Statement { place, sql } in statements("data-plane") {
        if let Err(of_tenant) = tenant.run(&format!("prepare probe as {sql}")).await {
            // Not a tenant's statement: then it must be one for saas_platform.
            if let Err(of_platform) = platform.run(&format!("prepare probe as {sql}")).await {
                panic!("{place} prepares nowhere:\n{of_tenant:?}\n{of_platform:?}");
            }
            run(&platform, "deallocate probe").await;
            continue;
        }
        explained += 1;
        let rows = tenant
            .query("select cardinality(parameter_types)::bigint from pg_prepared_statements where name = 'probe'", &[])
            .await
            .unwrap();
        let parameters = vec!["null"; usize::try_from(rows[0].try_get::<_, i64>(0).unwrap()).unwrap()].join(", ");
        let arguments = if parameters.is_empty() { String::new() } else { format!("({parameters})") };
        let plan = tenant.query(&format!("explain (format json) execute probe{arguments}"), &[]).await.unwrap();
        let plan: Value = plan[0].try_get(0).unwrap();
        if is_expensive(&plan) {
            slow.push(format!("{place}:\n{sql}\n{plan:#}"));
        }
        run(&tenant, "deallocate probe").await;
    }
    assert!(explained > 30, "only {explained} statements of tenant databases were found");
    assert!(slow.is_empty(), "{}", slow.join("\n\n"));
}

/// The most rows that any node of a plan is expected to give to the next.
fn most_rows(node: &Value) -> f64 {
    let below = node["Plans"].as_array().into_iter().flatten().map(most_rows).fold(0.0, f64::max);
    node["Plan Rows"].as_f64().unwrap_or_default().max(below)
}

/// The guard's own proof: a filter that row-level security keeps off every index is noticed.
async fn assert_that_a_scan_is_noticed(tenant: &AdminConnection) {
    let plan =
        tenant.query("explain (format json) select id from files where metadata @> '{\"a\": 1}'", &[]).await.unwrap();
    let plan: Value = plan[0].try_get(0).unwrap();
    assert!(is_expensive(&plan), "{plan:#}");
}

fn is_expensive(plan: &Value) -> bool {
    let cost = plan[0]["Plan"]["Total Cost"].as_f64().unwrap();
    cost > MOST_EXPENSIVE.max(MOST_EXPENSIVE_ROW * most_rows(&plan[0]["Plan"]))
}

/// One tenant with many files: a thousand folders, a file and a version for each of `ROWS` contents.
async fn fill(owner: &AdminConnection, tenant: &str) {
    run(
        owner,
        &format!(
            "set app.tenant_id = '{tenant}';
             set session_replication_role = replica;
             insert into workspaces (name, name_normalized) select 'w' || n, 'w' || n from generate_series(1, 20) n;
             insert into folders (workspace_id, name, name_normalized)
             select (select id from workspaces order by id offset n % 20 limit 1), 'f' || n, 'f' || n from generate_series(1, 1000) n;
             insert into blobs (sha256, size, bucket, object_key)
             select sha256(n::text::bytea), n, 'local', n::text from generate_series(1, {ROWS}) n;
             create temporary table place as select id, workspace_id, row_number() over (order by id) - 1 as number from folders;
             insert into files (workspace_id, folder_id, name, name_normalized, size, checksum)
             select workspace_id, place.id, n::text, n::text, n, sha256(n::text::bytea)
             from generate_series(1, {ROWS}) n join place on number = n % 1000;
             insert into file_versions (file_id, version_number, blob_id, size, checksum)
             select files.id, 1, blobs.id, files.size, files.checksum from files join blobs on blobs.sha256 = files.checksum;
             insert into jobs (kind, subject_id, state)
             select 'index_file', id, case when row_number() over () % 5 = 0 then 'failed' else 'queued' end from files;
             analyze"
        ),
    )
    .await;
}
