//! `rowhouse migrate accept`: what differs in a tenant's schema is meant.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::verify;
use crate::remote::{Api, Connection, done};

/// A tenant whose schema differs as it is meant to.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The tenant, `ten_…`
    tenant: String,
    /// Why it is meant
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

/// A tenant of whose schema nothing is accepted any more.
#[derive(clap::Args)]
pub(super) struct Revoke {
    /// The tenant, `ten_…`
    tenant: String,
    #[command(flatten)]
    connection: Connection,
}

/// Accepts what the last look saw, and shows it: what has come since is not accepted with it.
pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { tenant, reason, connection } = arguments;
    let api = Api::new(connection)?;
    let seen = api.list(&format!("/v1/schema-checks?tenant_id={tenant}"), 1).await?;
    let check = &seen[0];
    let Some(differences) = check["differences"].as_array().filter(|list| !list.is_empty()) else {
        bail!(
            "{tenant} did not differ from its template when it was last looked at: rowhouse migrate verify --where tenant={tenant}"
        );
    };
    let hashes: Vec<&Value> = differences.iter().map(|one| &one["hash"]).collect();
    let body = json!({"reason": reason, "differences": hashes});
    let accepted = api.put(&format!("/v1/tenants/{tenant}/schema-acceptance"), &body).await?;
    if connection.json {
        println!("{}", serde_json::to_string_pretty(&accepted)?);
        return Ok(());
    }
    verify::show_differences(&accepted);
    done(connection, &format!("This is meant in the schema of {tenant}. Whatever else differs blocks it."));
    Ok(())
}

/// Takes it back.
pub(super) async fn revoke(arguments: &Revoke) -> Result<()> {
    let Revoke { tenant, connection } = arguments;
    Api::new(connection)?.delete(&format!("/v1/tenants/{tenant}/schema-acceptance")).await?;
    done(connection, &format!("Nothing of the schema of {tenant} is accepted any more."));
    Ok(())
}
