//! `rowhouse key`.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::Connection;
use super::api::Api;
use super::output::{done, print};

const LIST: [&str; 6] = ["id", "name", "prefix", "scopes", "expires_at", "last_used_at"];
const CREATED: [&str; 5] = ["id", "name", "scopes", "expires_at", "key"];

/// API keys of the platform, of an organization or of a tenant.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a key; its secret is shown this once.
    Create {
        /// Whose key: `org_…`, `ten_…`, or `platform`.
        owner: String,
        /// What it is called in lists.
        #[arg(long)]
        name: String,
        /// What it may do, e.g. `read_files,write_files`.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// When it ends, e.g. `2027-01-31T00:00:00Z`.
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// List keys, without their secrets.
    List {
        /// Whose keys: `org_…`, `ten_…`, or `platform`.
        owner: String,
        /// Most to list.
        #[arg(long, default_value_t = 200)]
        limit: usize,
    },
    /// Revoke a key; it fails at once.
    Revoke {
        /// Whose key: `org_…`, `ten_…`, or `platform`.
        owner: String,
        /// The key's id, `key_…`.
        id: String,
    },
}

pub(super) async fn run(command: Command, connection: &Connection) -> Result<()> {
    let api = Api::new(connection)?;
    match command {
        Command::Create { owner, name, scopes, expires_at } => {
            let mut body = json!({"name": name, "scopes": scopes});
            if let Some(time) = expires_at {
                body["expires_at"] = json!(time);
            }
            print(connection, &api.post(&path(&owner)?, &body).await?, &CREATED)
        }
        Command::List { owner, limit } => print(connection, &api.list(&path(&owner)?, limit).await?, &LIST),
        Command::Revoke { owner, id } => {
            api.delete(&format!("{}/{id}", path(&owner)?)).await?;
            done(connection, &format!("{id} is revoked"));
            Ok(())
        }
    }
}

fn path(owner: &str) -> Result<String> {
    match owner.split_once('_') {
        Some(("org", _)) => Ok(format!("/v1/organizations/{owner}/api-keys")),
        Some(("ten", _)) => Ok(format!("/v1/tenants/{owner}/api-keys")),
        None if owner == "platform" => Ok("/v1/api-keys".to_owned()),
        Some(_) | None => bail!("`{owner}` owns no keys: give an id `org_…` or `ten_…`, or `platform`"),
    }
}
