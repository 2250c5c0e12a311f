//! `rowhouse key`.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::Connection;
use super::api::Api;
use super::output::{done, print};
use super::rate_limit::{FORM, RateLimit};

const LIST: [&str; 7] = ["id", "name", "prefix", "scopes", "rate_limit", "expires_at", "last_used_at"];
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
        /// How often it may call the data plane: requests a second and at once, e.g. `50/200`; `none` for no limit, `tier`
        /// for what the organization's tier has. Keys of tenants only.
        #[arg(long, value_name = FORM)]
        rate_limit: Option<RateLimit>,
    },
    /// Change a tenant's key.
    Update {
        /// Whose key, `ten_…`.
        owner: String,
        /// The key's id, `key_…`.
        id: String,
        /// How often it may call the data plane: requests a second and at once, e.g. `50/200`; `none` for no limit, `tier`
        /// for what the organization's tier has.
        #[arg(long, value_name = FORM)]
        rate_limit: RateLimit,
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
        Command::Create { owner, name, scopes, expires_at, rate_limit } => {
            let mut body = json!({"name": name, "scopes": scopes});
            if let Some(time) = expires_at {
                body["expires_at"] = json!(time);
            }
            if let Some(limit) = rate_limit {
                body["rate_limit"] = limit.into_body();
            }
            print(connection, &api.post(&path(&owner)?, &body).await?, &CREATED)
        }
        Command::Update { owner, id, rate_limit } => {
            let body = json!({"rate_limit": rate_limit.into_body()});
            print(connection, &api.patch(&format!("{}/{id}", path(&owner)?), &body).await?, &LIST)
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
