//! Tells a webhook when a run has halted or ended. A trigger keeps each notice as a row, so a restart loses none; the leader
//! delivers them, again and again until they are taken or it was tried often enough. Signed as Standard Webhooks has it.

mod store;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rowhouse_domain::{MigrationDirection, MigrationRehearsal, MigrationRunId, MigrationRunState};
use rowhouse_keys::WebhookSecret;
use rowhouse_problem::{Error, Result};
use rowhouse_settings::Settings;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::context::Context;

/// After each attempt but the last there is another one, so long after it.
pub(super) const PAUSES: [f64; 9] = [5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0];
/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Notices that are delivered at once, one after the other.
const AT_ONCE: i64 = 20;

/// Where notices go.
pub(crate) struct Webhook {
    url: reqwest::Url,
    secret: WebhookSecret,
    client: reqwest::Client,
}

/// What happened to a run.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) id: Uuid,
    pub(super) run: MigrationRunId,
    pub(super) direction: MigrationDirection,
    pub(super) target: i32,
    pub(super) dry_run: Option<MigrationRehearsal>,
    pub(super) state: MigrationRunState,
    pub(super) reason: Option<String>,
    pub(super) counts: Value,
    pub(super) happened_at: Timestamp,
    pub(super) attempts: i32,
}

impl Webhook {
    /// The one that the settings name, if any.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>> {
        let migrations = &settings.migrations;
        if migrations.webhook_url.is_empty() {
            return Ok(None);
        }
        let wrong = |key: &str, detail: &str| Error::internal(format!("setting `migrations.{key}`: {detail}"));
        let url = reqwest::Url::parse(&migrations.webhook_url).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let secret = WebhookSecret::parse(&migrations.webhook_secret);
        Ok(Some(Self {
            url: url.ok_or_else(|| wrong("webhook_url", "must be an address that begins with http:// or https://"))?,
            secret: secret.map_err(|error| wrong("webhook_secret", &error.to_string()))?,
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                // Whoever answers there is the one that the operator named.
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(Error::internal)?,
        }))
    }

    async fn deliver(&self, notice: &Notice) -> Result<(), String> {
        let id = format!("msg_{}", notice.id.simple());
        let (timestamp, body) = (Timestamp::now().as_second(), notice.body());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            ("webhook-id", id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", self.secret.sign(&id, timestamp, &body)),
        ] {
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let sent = self.client.post(self.url.clone()).headers(headers).body(body).send().await;
        // The address may hold a token.
        let answer = sent.map_err(|error| told(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Notice {
    fn body(&self) -> String {
        let mut data = json!({
            "run_id": self.run,
            "direction": self.direction,
            "target_version": self.target,
            "dry_run": self.dry_run,
            "state": self.state,
            "reason": self.reason,
        });
        data["counts"] = self.counts.clone();
        json!({"type": format!("migration_run.{}", self.state), "timestamp": self.happened_at, "data": data})
            .to_string()
    }
}

/// Delivers what is due. One that takes long keeps only later notices waiting.
pub(crate) async fn tell(context: &Context) -> Result<()> {
    let Some(webhook) = &context.webhook else {
        return store::forget_due(&context.platform.get().await?).await;
    };
    let due = store::claim(&context.platform.get().await?, &PAUSES, AT_ONCE).await?;
    for notice in due {
        let delivered = webhook.deliver(&notice).await;
        if let Err(error) = &delivered {
            let is_last = usize::try_from(notice.attempts).is_ok_and(|attempts| attempts > PAUSES.len());
            tracing::warn!(run.id = %notice.run, attempt = notice.attempts, is_last, error, "a notice was not taken");
        }
        store::record(&context.platform.get().await?, notice.id, delivered.err().as_deref()).await?;
    }
    Ok(())
}
