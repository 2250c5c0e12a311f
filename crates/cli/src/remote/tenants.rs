//! `rowhouse tenant`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::Connection;
use super::api::Api;
use super::output::{done, print};
use super::rate_limit::{FORM, RateLimit};

const LIST: [&str; 6] = ["id", "name", "status", "type", "used_storage", "schema_version"];
const SHOW: [&str; 11] = [
    "id",
    "organization_id",
    "name",
    "status",
    "isolation",
    "external_id",
    "storage_quota",
    "used_storage",
    "rate_limit",
    "schema_version",
    "created_at",
];

const PREVIEW: [&str; 10] =
    ["tenant_id", "name", "isolation", "cluster", "database", "schema", "role", "objects", "object_bytes", "api_keys"];

/// Tenants: a customer's customers, each with a database of its own.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a tenant and wait until it is ready.
    Create {
        /// The organization's id, `org_…`.
        organization: String,
        /// The tenant's name, unique in the organization.
        name: String,
        /// How it is kept apart: `dedicated`, `schema` or `shared`; the operator's default, unless given.
        #[arg(long)]
        isolation: Option<String>,
        /// Your own id for it, unique in the organization.
        #[arg(long)]
        external_id: Option<String>,
        /// Bytes that it may store; without it the organization's quota alone holds.
        #[arg(long)]
        storage_quota: Option<i64>,
        /// The name of the cluster to place it on; chosen for it, unless given.
        #[arg(long)]
        cluster: Option<String>,
        /// How often it may call the data plane: requests a second and at once, e.g. `50/200`; `none` for no limit, `tier`
        /// for what the organization's tier has.
        #[arg(long, value_name = FORM)]
        rate_limit: Option<RateLimit>,
    },
    /// Change a tenant.
    Update {
        /// Its id, `ten_…`.
        id: String,
        /// How often it may call the data plane: requests a second and at once, e.g. `50/200`; `none` for no limit, `tier`
        /// for what the organization's tier has.
        #[arg(long, value_name = FORM)]
        rate_limit: RateLimit,
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
    /// Remove a deleted tenant for good: its database, its login, its contents.
    Purge {
        /// Its id, `ten_…`.
        id: String,
        /// Its name, repeated to say that this one is meant.
        #[arg(long)]
        name: String,
        /// Past the number of purges that an hour may see.
        #[arg(long)]
        force: bool,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
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
        Command::Create { organization, name, isolation, external_id, storage_quota, cluster, rate_limit } => {
            let mut body = json!({"name": name});
            if let Some(isolation) = isolation {
                body["isolation"] = json!(isolation);
            }
            if let Some(id) = external_id {
                body["external_id"] = json!(id);
            }
            if let Some(bytes) = storage_quota {
                body["storage_quota"] = json!(bytes);
            }
            if let Some(cluster) = cluster {
                body["cluster"] = json!(cluster);
            }
            if let Some(limit) = rate_limit {
                body["rate_limit"] = limit.into_body();
            }
            api.post(&format!("/v1/organizations/{organization}/tenants"), &body).await?
        }
        Command::List { organization, limit } => {
            let tenants = api.list(&format!("/v1/organizations/{organization}/tenants"), limit).await?;
            return print(connection, &tenants, &LIST);
        }
        Command::Update { id, rate_limit } => {
            api.patch(&format!("/v1/tenants/{id}"), &json!({"rate_limit": rate_limit.into_body()})).await?
        }
        Command::Show(one) => api.get(&format!("/v1/tenants/{}", one.id)).await?,
        Command::Suspend(one) => api.post(&format!("/v1/tenants/{}/suspend", one.id), &json!({})).await?,
        Command::Resume(one) => api.post(&format!("/v1/tenants/{}/resume", one.id), &json!({})).await?,
        Command::Delete(one) => {
            api.delete(&format!("/v1/tenants/{}", one.id)).await?;
            api.get(&format!("/v1/tenants/{}", one.id)).await?
        }
        Command::Restore(one) => api.post(&format!("/v1/tenants/{}/restore", one.id), &json!({})).await?,
        Command::Purge { id, name, force, dry_run } => {
            let body = json!({"name": name, "force": force, "dry_run": dry_run});
            let mut answer = api.post(&format!("/v1/tenants/{id}/purge"), &body).await?;
            if dry_run {
                return print(connection, &answer, &PREVIEW);
            }
            // Nothing comes back from one that was done at once.
            while let Some(operation) = answer["id"].as_str().map(str::to_owned) {
                match answer["state"].as_str() {
                    Some("queued" | "running") => {
                        eprintln!("still going …");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        answer = api.get(&format!("/v1/operations/{operation}")).await?;
                    }
                    Some("succeeded") => break,
                    state => bail!("the purge ended as {}: operation {operation} says why", state.unwrap_or("unknown")),
                }
            }
            done(connection, &format!("{id} is gone for good."));
            return Ok(());
        }
    };
    print(connection, &answer, &SHOW)
}
