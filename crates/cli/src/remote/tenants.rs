//! `rowhouse tenant`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::Connection;
use super::api::Api;
use super::output::print;

const LIST: [&str; 6] = ["id", "name", "status", "type", "used_storage", "schema_version"];
const SHOW: [&str; 10] = [
    "id",
    "organization_id",
    "name",
    "status",
    "isolation",
    "external_id",
    "storage_quota",
    "used_storage",
    "schema_version",
    "created_at",
];

/// Tenants: a customer's customers, each with a database of its own.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a tenant and wait until it is ready.
    Create {
        /// The organization's id, `org_…`.
        organization: String,
        /// The tenant's name, unique in the organization.
        name: String,
        /// Your own id for it, unique in the organization.
        #[arg(long)]
        external_id: Option<String>,
        /// Bytes that it may store; without it the organization's quota alone holds.
        #[arg(long)]
        storage_quota: Option<i64>,
        /// The name of the cluster to place it on; chosen for it, unless given.
        #[arg(long)]
        cluster: Option<String>,
    },
    /// List the tenants of an organization.
    List {
        /// The organization's id, `org_…`.
        organization: String,
        /// Most to list.
        #[arg(long, default_value_t = 200)]
        limit: usize,
    },
    /// Show one tenant.
    Show(One),
    /// Switch a tenant off: its keys are refused and its sessions end.
    Suspend(One),
    /// Switch a suspended tenant on, or try a failed one again.
    Resume(One),
    /// Delete a tenant; it is kept for the retention period.
    Delete(One),
    /// Bring a deleted tenant back.
    Restore(One),
}

/// One tenant.
#[derive(clap::Args)]
pub(crate) struct One {
    /// Its id, `ten_…`.
    id: String,
}

pub(super) async fn run(command: Command, connection: &Connection) -> Result<()> {
    let api = Api::new(connection)?;
    let answer = match command {
        Command::Create { organization, name, external_id, storage_quota, cluster } => {
            let mut body = json!({"name": name});
            if let Some(id) = external_id {
                body["external_id"] = json!(id);
            }
            if let Some(bytes) = storage_quota {
                body["storage_quota"] = json!(bytes);
            }
            if let Some(cluster) = cluster {
                body["cluster"] = json!(cluster);
            }
            api.post(&format!("/v1/organizations/{organization}/tenants"), &body).await?
        }
        Command::List { organization, limit } => {
            let tenants = api.list(&format!("/v1/organizations/{organization}/tenants"), limit).await?;
            return print(connection, &tenants, &LIST);
        }
        Command::Show(one) => api.get(&format!("/v1/tenants/{}", one.id)).await?,
        Command::Suspend(one) => api.post(&format!("/v1/tenants/{}/suspend", one.id), &json!({})).await?,
        Command::Resume(one) => api.post(&format!("/v1/tenants/{}/resume", one.id), &json!({})).await?,
        Command::Delete(one) => {
            api.delete(&format!("/v1/tenants/{}", one.id)).await?;
            api.get(&format!("/v1/tenants/{}", one.id)).await?
        }
        Command::Restore(one) => api.post(&format!("/v1/tenants/{}/restore", one.id), &json!({})).await?,
    };
    print(connection, &answer, &SHOW)
}
