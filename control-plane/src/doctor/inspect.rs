//! Looks at everything, twice where something differs, and repairs what it may.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use rowhouse_domain::TenantId;
use rowhouse_problem::{Error, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::{Finding, Report};
use super::store::{Recorded, RecordedGroup};
use super::{accounts, catalog, databases, inside, platform, repair, roles, store};
use crate::clusters::{self, ClusterLink};
use crate::context::Context;
use crate::operations::{self, Outcome, Work};

/// Between the look that finds a difference and the one that confirms it.
const PAUSE: Duration = Duration::from_millis(500);
/// Databases of one cluster that are looked into at once.
const AT_ONCE: usize = 4;
/// Findings that a report lists.
const MOST: usize = 1000;

/// What is to be looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Examination {
    /// Repair what is safe to repair.
    #[serde(default)]
    pub(crate) fix: bool,
    /// Look into this tenant's database only; what concerns whole clusters is compared all the same.
    #[schema(value_type = Option<String>)]
    pub(crate) tenant: Option<TenantId>,
    /// Look at the cluster with this name only.
    pub(crate) cluster: Option<String>,
}

/// Runs the one step of an operation of this kind, and leaves its report with the operation.
pub(crate) async fn run_step(work: &Work) -> Result<Outcome> {
    let context = &work.context;
    let wanted: Examination = serde_json::from_value(work.claimed.input.clone()).map_err(Error::internal)?;
    let mut look = look(context, &wanted).await?;
    let mut left_out = look.take_left_out();
    if !look.findings.is_empty() {
        // What was on its way meanwhile has arrived.
        tokio::time::sleep(PAUSE).await;
        let seen: HashSet<_> = look.findings.iter().map(Finding::key).collect();
        look = self::look(context, &wanted).await?;
        // What differed the first time may be what was left out this time.
        left_out.append(&mut look.take_left_out());
        look.findings.retain(|finding| seen.contains(&finding.key()));
    }
    if wanted.fix {
        for finding in &mut look.findings {
            repair::apply(context, work, finding).await;
        }
    }
    let total = look.findings.len();
    let remaining = look.findings.iter().filter(|finding| !finding.fixed).count();
    look.findings.truncate(MOST);
    let (findings, clusters, tenants) = (look.findings, look.clusters, look.tenants);
    let report = Report { findings, total, remaining, clusters, tenants, left_out };
    let report = serde_json::to_value(&report).map_err(Error::internal)?;
    operations::store::set_result(&context.platform.get().await?, &work.claimed, &report).await?;
    Ok(Outcome::Done)
}

struct Look {
    findings: Vec<Finding>,
    clusters: usize,
    tenants: usize,
}

impl Look {
    fn take_left_out(&mut self) -> BTreeSet<String> {
        let all = std::mem::take(&mut self.findings);
        let (left_out, findings) = all.into_iter().partition(Finding::is_left_out);
        self.findings = findings;
        Vec::into_iter(left_out).map(|finding| finding.subject).collect()
    }
}

async fn look(context: &Context, wanted: &Examination) -> Result<Look> {
    let mut found = Look { findings: Vec::new(), clusters: 0, tenants: 0 };
    if wanted.tenant.is_none() && wanted.cluster.is_none() {
        found.findings.extend(platform::look(&context.platform.get().await?).await?);
    }
    let links = clusters::all_links(&context.platform.get().await?).await?;
    for link in links.iter().filter(|link| wanted.cluster.as_ref().is_none_or(|name| *name == link.name)) {
        found.clusters += 1;
        if let Err(error) = look_at(context, link, wanted, &mut found).await {
            tracing::warn!(cluster = link.name, error = error.chain(), "a cluster could not be examined");
            let detail = format!("It could not be looked at: {}", error.detail());
            found.findings.push(Finding::new("cluster.unreachable", Some(&link.name), &link.name, detail));
        }
    }
    if wanted.tenant.is_none() && wanted.cluster.is_none() {
        found.findings.extend(accounts::look(context, &links).await?);
    }
    found.findings.sort_by_key(Finding::key);
    Ok(found)
}

async fn look_at(context: &Context, link: &ClusterLink, wanted: &Examination, found: &mut Look) -> Result<()> {
    let admin = context.administer_cluster(link).await?;
    let catalog = catalog::read(&admin).await?;
    admin.give_back();
    // Read after the catalogs: what was made in between is not missed in them.
    let rows = store::read(&context.platform.get().await?, link.id()).await?;
    let whole = databases::compare(&context.tenant_migrations, &link.name, &rows, &catalog)
        .into_iter()
        .chain(roles::compare(&link.name, &rows, &catalog, &context.settings.provisioning));
    found.findings.extend(whole.filter(|finding| concerns(wanted, &rows, finding)));
    // Boxed one by one: the compiler can't name the futures of a closure that borrows.
    let mut looks = Vec::new();
    for tenant in rows.tenants.iter().filter(|tenant| databases::is_settled(tenant)) {
        let is_wanted = wanted.tenant.is_none_or(|id| id == tenant.id);
        let database = catalog.databases.get(&tenant.database);
        if is_wanted && database.is_some_and(|database| database.is_open && !database.is_invalid) {
            looks.push(look_into(context, link, tenant).boxed());
        }
    }
    found.tenants += looks.len();
    for group in rows.groups.iter().filter(|group| group.role.is_some() && wanted.tenant.is_none()) {
        let database = catalog.databases.get(&group.database);
        if database.is_some_and(|database| database.is_open && !database.is_invalid) {
            looks.push(look_at_shared(context, link, group).boxed());
        }
    }
    let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some(findings) = looks.next().await {
        found.findings.extend(findings);
    }
    Ok(())
}

async fn look_into(context: &Context, link: &ClusterLink, tenant: &Recorded) -> Vec<Finding> {
    match inside::look(context, link, tenant).await {
        Ok(findings) => findings,
        Err(error) => {
            tracing::warn!(tenant.id = %tenant.id, error = error.chain(), "a tenant could not be examined");
            let detail = format!("It could not be looked into: {}", error.detail());
            vec![Finding::new("tenant.unreachable", Some(&link.name), tenant.id.to_string(), detail)]
        }
    }
}

async fn look_at_shared(context: &Context, link: &ClusterLink, group: &RecordedGroup) -> Vec<Finding> {
    match inside::look_at_shared(context, link, group).await {
        Ok(findings) => findings,
        Err(error) => {
            tracing::warn!(database = group.database, error = error.chain(), "a shared database could not be examined");
            let detail = format!("It could not be looked into: {}", error.detail());
            vec![Finding::new("group.unreachable", Some(&link.name), &group.database, detail)]
        }
    }
}

/// Whether a finding is about the tenant that was asked about, if one was.
fn concerns(wanted: &Examination, rows: &store::Rows, finding: &Finding) -> bool {
    let Some(id) = wanted.tenant else { return true };
    rows.tenants
        .iter()
        .filter(|tenant| tenant.id == id)
        .any(|tenant| [&tenant.database, &tenant.role, &tenant.schema].contains(&&finding.subject))
}
