//! A change under way.

use rowhouse_database::{Parameters, QueryError, Sql, TenantConnection, TenantTransaction};
use rowhouse_domain::{AccountId, Actor, FileId, FolderId, ReservationId};
use rowhouse_problem::{Error, Result};
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::event::{Charge, Subject, Verb};
use crate::media::is_readable;
use crate::work::{self, NewJob, UsageEvent};

/// A tenant's transaction in which content changes. Dropped, it has changed nothing.
pub struct Change<'a> {
    transaction: TenantTransaction<'a>,
    actor: Actor,
}

impl<'a> Change<'a> {
    /// Begins a change that `actor` makes.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn begin(connection: &'a mut TenantConnection, actor: Actor) -> Result<Self> {
        Ok(Self { transaction: connection.transaction().await?, actor })
    }

    /// Who makes it.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// Says what has happened, and queues what follows from it.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn record(&self, verb: Verb, subject: impl Into<Subject>) -> Result<()> {
        if !verb.is_searchable() {
            return Ok(());
        }
        work::enqueue(&self.transaction, &index_job(subject.into(), verb.is_of_content())).await
    }

    /// The same of a file that has another content now, of this media type.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn record_content(&self, verb: Verb, file: FileId, mime_type: &str) -> Result<()> {
        if is_readable(mime_type) {
            return self.record(verb, file).await;
        }
        work::enqueue(&self.transaction, &NewJob::index_label(file)).await
    }

    /// The same for many of a kind at once.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn record_all<S: Into<Subject> + Copy>(&self, verb: Verb, subjects: &[S]) -> Result<()> {
        if !verb.is_searchable() || subjects.is_empty() {
            return Ok(());
        }
        // Their labels first, many at once, and whatever verb it is: a content that is to be read has a job of its own then.
        let jobs: Vec<NewJob> = subjects.iter().map(|subject| index_job((*subject).into(), false)).collect();
        work::enqueue_all(&self.transaction, &jobs).await
    }

    /// Says that a folder is new, with everything in it.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn record_tree(&self, root: FolderId) -> Result<()> {
        work::enqueue(&self.transaction, &NewJob::index_tree(root)).await
    }

    /// Has organization, tenant and account charged, exactly once, also after a crash.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn charge(&self, charge: &Charge) -> Result<()> {
        let details = json!({ "file_id": charge.file, "version": charge.version });
        self.report_storage(charge.bytes, charge.account, charge.reservation, &details).await
    }

    /// The same for so many files at once, which one reservation was made for, or which are gone.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn charge_files(
        &self,
        files: usize,
        bytes: i64,
        account: Option<AccountId>,
        reservation: Option<ReservationId>,
    ) -> Result<()> {
        self.report_storage(bytes, account, reservation, &json!({ "files": files })).await
    }

    async fn report_storage(
        &self,
        bytes: i64,
        account_id: Option<AccountId>,
        reservation_id: Option<ReservationId>,
        details: &Value,
    ) -> Result<()> {
        self.report(&UsageEvent {
            event_type: "storage".to_owned(),
            quantity: bytes,
            unit: "bytes".to_owned(),
            details: details.as_object().cloned().unwrap_or_default(),
            reservation_id,
            account_id,
        })
        .await
    }

    /// Has the organization count so many workspaces fewer, exactly once.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn uncount_workspaces(&self, count: usize) -> Result<()> {
        self.report_workspaces(-i64::try_from(count).map_err(Error::internal)?, None).await
    }

    /// Settles the reservation of workspaces that are there now.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn count_workspaces(&self, count: i32, reservation: ReservationId) -> Result<()> {
        self.report_workspaces(count.into(), Some(reservation)).await
    }

    async fn report_workspaces(&self, quantity: i64, reservation_id: Option<ReservationId>) -> Result<()> {
        self.report(&UsageEvent {
            event_type: "workspaces".to_owned(),
            quantity,
            unit: "workspaces".to_owned(),
            details: serde_json::Map::new(),
            reservation_id,
            account_id: None,
        })
        .await
    }

    async fn report(&self, event: &UsageEvent) -> Result<()> {
        work::enqueue(&self.transaction, &NewJob::usage(event)).await
    }

    /// Makes it so.
    ///
    /// # Errors
    /// Whatever the server says; without an answer the outcome is unknown.
    pub async fn commit(self) -> Result<()> {
        self.transaction.commit().await
    }
}

fn index_job(subject: Subject, is_of_content: bool) -> NewJob {
    match subject {
        Subject::File(id) if is_of_content => NewJob::index_file(id),
        Subject::File(id) => NewJob::index_label(id),
        Subject::Folder(id) => NewJob::index_folder(id),
        Subject::Workspace(id) => NewJob::index_workspace(id),
    }
}

impl Sql for Change<'_> {
    async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, QueryError> {
        self.transaction.query(sql, parameters).await
    }

    async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, QueryError> {
        self.transaction.execute(sql, parameters).await
    }
}
