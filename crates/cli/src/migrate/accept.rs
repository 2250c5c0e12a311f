//! `rowhouse migrate accept`: what differs in a tenant's schema is meant.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::verify;
use crate::ask::confirmed;
use crate::remote::{Api, Connection, done};

/// A tenant whose schema differs as it is meant to.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The tenant, `ten_…`
    tenant: String,
    /// Why it is meant
    #[arg(long)]
    reason: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
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

/// Shows what the last look saw, and accepts it where that is wanted: what has come since is not accepted with it.
pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { tenant, reason, yes, connection } = arguments;
    let api = Api::new(connection)?;
    let seen = api.list(&format!("/v1/schema-checks?tenant_id={tenant}"), 1).await?;
    let check = &seen[0];
    let Some(differences) = check["differences"].as_array().filter(|list| !list.is_empty()) else {
        bail!(
            "{tenant} did not differ from its template when it was last looked at: rowhouse migrate verify --where tenant={tenant}"
        );
    };
    if !connection.json {
        verify::show_differences(check);
    }
    if !yes && !confirmed(&format!("Is this meant in the schema of {tenant}?"))? {
        bail!("nothing was accepted");
    }
    let hashes: Vec<&Value> = differences.iter().map(|one| &one["hash"]).collect();
    let body = json!({"reason": reason, "differences": hashes});
    let accepted = api.put(&format!("/v1/tenants/{tenant}/schema-acceptance"), &body).await?;
    if connection.json {
        println!("{}", serde_json::to_string_pretty(&accepted)?);
        return Ok(());
    }
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
