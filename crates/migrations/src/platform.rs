//! Who brought `saas_platform` to another version, and what came of it, in its own audit log: there is no run that would say so.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::{Error, Observer, Options, Report, Set, Step, current_version, run, undo_to};

/// The session says nothing of who asked for it but where it comes from, so they say it themselves.
const RECORD: &str = "
    insert into audit_logs (actor_kind, action, resource_type, outcome, ip, details)
    select 'system', $1, 'platform_schema', $2::text::audit_outcome, inet_client_addr(), jsonb_strip_nulls(jsonb_build_object(
        'operator', $3, 'from_version', $4, 'target_version', $5, 'version', $6, 'error', $7,
        'steps', (select jsonb_agg(jsonb_build_object('version', version, 'name', name, 'milliseconds', milliseconds) order by place)
            from unnest($8, $9, $10) with ordinality as step (version, name, milliseconds, place))))";

const LIST: &str = "
    select (jsonb_build_object('at', timestamp, 'action', action, 'outcome', outcome) || details)::text
    from audit_logs where resource_type = 'platform_schema' order by timestamp desc limit $1";

/// Brings the platform's schema to other versions in somebody's name.
#[derive(Debug)]
pub struct Operator {
    name: String,
    has_begun: bool,
}

impl Operator {
    /// Whoever it is, in their own words.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), has_begun: false }
    }

    /// Brings it forward as [`run`] does.
    ///
    /// # Errors
    /// As [`run`], and where nobody could write down who does it: then nothing is done.
    pub async fn run(
        &mut self,
        client: &mut Client,
        options: &Options,
        observer: Observer<'_>,
    ) -> Result<Report, Error> {
        let from = current_version(client).await?.unwrap_or_default();
        let target = options.target.unwrap_or_else(|| Set::Platform.latest());
        if from < target {
            self.begin(client, from, target).await?;
        }
        let done = run(client, Set::Platform.migrations(), options, observer).await;
        self.end(client, from, target, &done).await;
        done
    }

    /// Takes back what is newer than a version, as [`undo_to`] does.
    ///
    /// # Errors
    /// As [`undo_to`], and where nobody could write down who does it: then nothing is done.
    pub async fn undo_to(
        &mut self,
        client: &mut Client,
        version: u32,
        options: &Options,
        observer: Observer<'_>,
    ) -> Result<Report, Error> {
        let from = current_version(client).await?.unwrap_or_default();
        if from > version {
            self.begin(client, from, version).await?;
        }
        let done = undo_to(client, Set::Platform.migrations(), version, options, observer).await;
        self.end(client, from, version, &done).await;
        done
    }

    /// Whoever waits for another one and tries again has begun once.
    async fn begin(&mut self, client: &Client, from: u32, target: u32) -> Result<(), Error> {
        if !self.has_begun {
            let row = Row { action: "platform_schema.begin", outcome: "success", from, target, ..Row::default() };
            self.record(client, row).await.map_err(Error::database("recording who migrates"))?;
            self.has_begun = true;
        }
        Ok(())
    }

    /// What was done is done, also where it can't be written down.
    async fn end(&self, client: &Client, from: u32, target: u32, done: &Result<Report, Error>) {
        let row = Row { action: "platform_schema.end", outcome: "success", from, target, ..Row::default() };
        let row = match done {
            Ok(report) if report.steps.is_empty() => return,
            Ok(report) => Row { version: report.version, steps: &report.steps, ..row },
            // Somebody else is at it.
            Err(Error::Locked { .. }) => return,
            Err(error) => Row { outcome: "failure", error: Some(error.to_string()), ..row },
        };
        if let Err(error) = self.record(client, row).await {
            tracing::warn!(%error, "what came of the platform's migrations could not be recorded");
        }
    }

    async fn record(&self, client: &Client, row: Row<'_>) -> Result<(), tokio_postgres::Error> {
        let number = |version: u32| i64::from(version);
        let versions: Vec<i64> = row.steps.iter().map(|step| number(step.version)).collect();
        let names: Vec<&str> = row.steps.iter().map(|step| step.name.as_str()).collect();
        let milliseconds: Vec<i64> =
            row.steps.iter().map(|step| i64::try_from(step.elapsed.as_millis()).unwrap_or(i64::MAX)).collect();
        let recorded = client
            .query_typed(
                RECORD,
                &[
                    (&row.action, Type::TEXT),
                    (&row.outcome, Type::TEXT),
                    (&self.name, Type::TEXT),
                    (&number(row.from), Type::INT8),
                    (&number(row.target), Type::INT8),
                    (&row.version.map(number), Type::INT8),
                    (&row.error, Type::TEXT),
                    (&versions, Type::INT8_ARRAY),
                    (&names, Type::TEXT_ARRAY),
                    (&milliseconds, Type::INT8_ARRAY),
                ],
            )
            .await;
        match recorded {
            Err(error) if has_no_log_yet(&error) => Ok(()),
            recorded => recorded.map(drop),
        }
    }
}

/// A row of the log.
#[derive(Default)]
struct Row<'a> {
    action: &'static str,
    outcome: &'static str,
    from: u32,
    target: u32,
    version: Option<u32>,
    error: Option<String>,
    steps: &'a [Step],
}

/// What was recorded the last so many times, the newest first: each a JSON object.
///
/// # Errors
/// What the server says.
pub async fn recorded(client: &Client, most: u32) -> Result<Vec<String>, Error> {
    let failed = Error::database;
    const DOING: &str = "reading who migrated";
    let rows = match client.query_typed(LIST, &[(&i64::from(most), Type::INT8)]).await {
        Err(error) if has_no_log_yet(&error) => return Ok(Vec::new()),
        rows => rows.map_err(failed(DOING))?,
    };
    rows.iter().map(|row| row.try_get(0).map_err(failed(DOING))).collect()
}

/// It comes with one of the migrations.
fn has_no_log_yet(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_OBJECT].contains(state))
}
