//! The organization, the two tenants and their keys.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use uuid::Uuid;

use super::api::{Api, text};
use super::say;
use crate::dev::House;

/// A tenant with a key and a workspace.
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) api: Api,
    pub(crate) workspace: String,
}

/// What the demo plays in.
pub(crate) struct Setting {
    pub(crate) first: Tenant,
    pub(crate) second: Tenant,
}

impl Setting {
    pub(crate) async fn make(house: &House) -> Result<Self> {
        let admin = Api::new(&house.control_plane, &house.admin_key);
        // Each run makes a new organization, so that the demo can be repeated on the same house.
        let run = Uuid::now_v7().simple().to_string();
        let name = format!("Demo {}", &run[..8]);
        let organization =
            admin.post("/v1/organizations", &json!({"name": name, "email": format!("{run}@demo.example")})).await?;
        let organization = text(&organization, "id")?;
        say(&format!("organization {name} ({organization})"));
        Ok(Self {
            first: tenant(house, &admin, organization, "north").await?,
            second: tenant(house, &admin, organization, "south").await?,
        })
    }
}

async fn tenant(house: &House, admin: &Api, organization: &str, name: &'static str) -> Result<Tenant> {
    let begun = Instant::now();
    let tenant = admin.post(&format!("/v1/organizations/{organization}/tenants"), &json!({"name": name})).await?;
    let id = text(&tenant, "id")?;
    say(&format!("tenant {name} ({id}) has a database of its own, made in {} ms", begun.elapsed().as_millis()));
    let key = admin
        .post(
            &format!("/v1/tenants/{id}/api-keys"),
            &json!({"name": "demo", "scopes": ["read_files", "write_files", "manage_workspaces", "read_usage"]}),
        )
        .await?;
    let api = Api::new(&house.data_plane, text(&key, "key")?);
    let workspace = api.post("/v1/workspaces", &json!({"name": "Documents"})).await?;
    Ok(Tenant { name, api, workspace: text(&workspace, "id")?.to_owned() })
}
