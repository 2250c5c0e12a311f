//! Tenants for a bench to ask about: made through the control API, each with a key and, where wanted, a file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::RequestBuilder;
use rowhouse_domain::TenantId;
use rowhouse_keys::MasterKey;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::house::{House, id};
use crate::load::Target;

/// A tenant that a bench made.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) isolation: String,
    pub(crate) key: String,
    /// Its one file.
    pub(crate) file: Option<String>,
}

impl Tenant {
    /// Makes a tenant without a file: its data was never asked for.
    pub(crate) async fn untouched(house: &House, organization: &str, name: &str, isolation: &str) -> Result<Self> {
        Self::create(house, organization, isolation, &json!({"name": name, "isolation": isolation})).await
    }

    async fn create(house: &House, organization: &str, isolation: &str, wanted: &Value) -> Result<Self> {
        let tenant = house.create(&format!("/v1/organizations/{organization}/tenants"), wanted).await?;
        let id = id(&tenant)?;
        let scopes = ["read_files", "write_files", "manage_workspaces"];
        let body = json!({"name": "bench", "scopes": scopes});
        let key = house.create(&format!("/v1/tenants/{id}/api-keys"), &body).await?;
        let key = key["key"].as_str().context("the key is shown once")?.to_owned();
        Ok(Self { id, isolation: isolation.to_owned(), key, file: None })
    }

    /// Makes a tenant with one small file.
    pub(crate) async fn with_file(house: &House, organization: &str, name: &str, isolation: &str) -> Result<Self> {
        Self::untouched(house, organization, name, isolation).await?.filled(house).await
    }

    /// The same in a database of its own on a certain cluster.
    pub(crate) async fn on_cluster(house: &House, organization: &str, name: &str, cluster: &str) -> Result<Self> {
        let wanted = json!({"name": name, "isolation": "dedicated", "cluster": cluster});
        Self::create(house, organization, "dedicated", &wanted).await?.filled(house).await
    }

    async fn filled(mut self, house: &House) -> Result<Self> {
        let workspace = self.workspace(house, "Bench").await?;
        // Of no type that is read for search, so that nothing goes on behind the measurements.
        self.file = Some(self.upload(house, &workspace, "data.bin", self.id.clone().into_bytes()).await?);
        Ok(self)
    }

    /// Makes a workspace.
    pub(crate) async fn workspace(&self, house: &House, name: &str) -> Result<String> {
        let url = format!("{}/v1/workspaces", house.ready.data_plane);
        made(house.http.post(url).bearer_auth(&self.key).json(&json!({"name": name}))).await
    }

    /// Uploads a file.
    pub(crate) async fn upload(&self, house: &House, workspace: &str, name: &str, content: Vec<u8>) -> Result<String> {
        let url = format!("{}/v1/files", house.ready.data_plane);
        let request = house.http.post(url).query(&[("workspace_id", workspace), ("name", name)]);
        made(request.bearer_auth(&self.key).body(content)).await
    }

    /// The request for its file's metadata.
    pub(crate) fn target(&self) -> Result<Target> {
        Ok(Target::file(self.file.as_deref().context("the tenant has a file")?, &self.key))
    }
}

/// The requests for the metadata of the tenants' files.
pub(crate) fn targets<'a>(tenants: impl IntoIterator<Item = &'a Tenant>) -> Result<Arc<[Target]>> {
    tenants.into_iter().map(Tenant::target).collect()
}

/// How often a request is repeated that was told to come again.
const TRIES: usize = 10;

/// The id of what a request has made. Told to come again, it does: right after five hundred databases were made or removed a server
/// takes longer to let somebody in than a data plane waits.
async fn made(request: RequestBuilder) -> Result<String> {
    for _ in 0..TRIES {
        let answer = request.try_clone().context("the request can be sent again")?.send().await?;
        if answer.status() != 503 {
            ensure!(answer.status() == 201, "{}: {}", answer.status(), answer.text().await?);
            return id(&answer.json().await?);
        }
        let pause = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        tokio::time::sleep(Duration::from_secs(pause.unwrap_or(1))).await;
    }
    bail!("refused {TRIES} times")
}

/// How a tenant's database is logged in to, for floors that go there directly.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) role: String,
    pub(crate) password: String,
}

impl Login {
    pub(crate) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).dbname(&self.database).user(&self.role).password(&self.password);
        config
    }
}

/// The logins of all tenants that have one of their own, by their ids.
pub(crate) async fn logins(house: &House) -> Result<HashMap<String, Login>> {
    let master: MasterKey = house.master_key()?;
    let port = house.postgres_port()?;
    let rows = "select id, database_name, role_name, credential_version from tenants
        where status = 'active' and isolation <> 'shared'";
    let mut logins = HashMap::new();
    for row in house.superuser().await?.query(rows, &[]).await? {
        let id: TenantId = row.try_get("id")?;
        let password = master.tenant_database_password(id, row.try_get("credential_version")?);
        let (database, role) = (row.try_get("database_name")?, row.try_get("role_name")?);
        let login = Login { port, database, role, password: password.expose_secret().to_owned() };
        logins.insert(id.to_string(), login);
    }
    Ok(logins)
}
