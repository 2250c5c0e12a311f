//! A difference, and what can be done about it.

use std::collections::BTreeSet;

use rowhouse_domain::{AccountId, GroupId, OrganizationId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A difference between what is recorded and what is there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Finding {
    /// What was looked at and how it differs, `database.missing` for one. These names stay.
    pub(crate) check: String,
    /// The cluster that it was found on.
    pub(crate) cluster: Option<String>,
    /// What it is about: a database, a login, a tenant's id.
    pub(crate) subject: String,
    /// What is wrong, and what to do where `fix` is empty.
    pub(crate) detail: String,
    /// What is done about it where a fix is asked for.
    pub(crate) fix: Option<String>,
    /// Whether that was done.
    pub(crate) fixed: bool,
    #[serde(skip)]
    pub(super) repair: Option<Repair>,
}

/// What sets a difference right. All of them may run twice.
#[derive(Debug, Clone)]
pub(super) enum Repair {
    /// Statements of the control plane's own login, to the cluster as a whole.
    AsControl(String),
    /// Statements of the owner, in one transaction.
    AsOwner(String),
    /// A statement of the owner that knows no transaction.
    AsOwnerAlone(String),
    /// Statements of the owner inside a database.
    Inside { database: String, sql: String },
    /// The tenant's row says which version its schema has.
    SchemaVersion { tenant: TenantId, version: i32 },
    /// The row of a shared database, and those of its tenants, say which version its schema has.
    GroupVersion { group: GroupId, version: i32 },
    /// The organization's count is that of its tenants.
    Recount { organization: OrganizationId },
    /// What an organization uses is what its tenants use, and what is reserved is what reservations say.
    Storage { organization: OrganizationId },
    /// A tenant uses so many bytes more, or less, than its row says.
    TenantStorage { tenant: TenantId, change: i64 },
    /// It has so many workspaces more, or less, than its row says.
    TenantWorkspaces { tenant: TenantId, change: i64 },
    /// An account uses so many bytes more, or less, than its row says.
    AccountStorage { account: AccountId, change: i64 },
    /// The same of what a tenant has charged to an account.
    AccountShare { account: AccountId, tenant: TenantId, change: i64 },
    /// Provisioning that nobody works on is begun again.
    Requeue { tenant: TenantId, organization: OrganizationId },
}

const LEFT_OUT: &str = "left_out";

impl Finding {
    pub(super) fn new(
        check: &str,
        cluster: Option<&str>,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            check: check.to_owned(),
            cluster: cluster.map(str::to_owned),
            subject: subject.into(),
            detail: detail.into(),
            fix: None,
            fixed: false,
            repair: None,
        }
    }

    /// No difference, but something whose figures could not be compared with what is there. A report names it apart.
    pub(super) fn left_out(cluster: Option<&str>, subject: impl Into<String>) -> Self {
        Self::new(LEFT_OUT, cluster, subject, "")
    }

    pub(super) fn is_left_out(&self) -> bool {
        self.check == LEFT_OUT
    }

    /// Says what sets it right.
    pub(super) fn fixed_by(mut self, fix: &str, repair: Repair) -> Self {
        self.fix = Some(fix.to_owned());
        self.repair = Some(repair);
        self
    }

    /// Tells differences apart over two looks.
    pub(super) fn key(&self) -> (String, Option<String>, String) {
        (self.check.clone(), self.cluster.clone(), self.subject.clone())
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Report {
    /// Every difference; where there are very many, the first of them.
    pub(crate) findings: Vec<Finding>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// How many are left.
    pub(crate) remaining: usize,
    /// Clusters that were looked at.
    pub(crate) clusters: usize,
    /// Tenants that were looked at.
    pub(crate) tenants: usize,
    /// Tenants and organizations whose storage was not counted again, because something happened to them all the time or one of
    /// their databases could not be reached. Examine them once more.
    pub(crate) left_out: BTreeSet<String>,
}
