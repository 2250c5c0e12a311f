//! `rowhouse org`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::Connection;
use super::api::Api;
use super::output::{done, print};

const LIST: [&str; 5] = ["id", "name", "subscription_tier", "status", "used_storage"];
const SHOW: [&str; 10] = [
    "id",
    "name",
    "email",
    "subscription_tier",
    "status",
    "storage_quota",
    "used_storage",
    "max_tenants",
    "max_workspaces",
    "created_at",
];

/// Organizations: the customers.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make an organization.
    Create {
        /// Its name.
        name: String,
        /// The address of its contact, used by no other organization.
        #[arg(long)]
        email: String,
        /// free, startup, business or enterprise.
        #[arg(long)]
        tier: Option<String>,
    },
    /// List organizations.
    List {
        /// Most to list.
        #[arg(long, default_value_t = 200)]
        limit: usize,
    },
    /// Show one organization.
    Show {
        /// Its id, `org_…`.
        id: String,
    },
    /// Delete an organization that has no live tenants.
    Delete {
        /// Its id, `org_…`.
        id: String,
    },
}

pub(super) async fn run(command: Command, connection: &Connection) -> Result<()> {
    let api = Api::new(connection)?;
    match command {
        Command::Create { name, email, tier } => {
            let mut body = json!({"name": name, "email": email});
            if let Some(tier) = tier {
                body["subscription_tier"] = json!(tier);
            }
            print(connection, &api.post("/v1/organizations", &body).await?, &SHOW)
        }
        Command::List { limit } => print(connection, &api.list("/v1/organizations", limit).await?, &LIST),
        Command::Show { id } => print(connection, &api.get(&format!("/v1/organizations/{id}")).await?, &SHOW),
        Command::Delete { id } => {
            api.delete(&format!("/v1/organizations/{id}")).await?;
            done(connection, &format!("{id} is deleted"));
            Ok(())
        }
    }
}
