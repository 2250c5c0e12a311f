//! Takes one schema back.

use std::time::Instant;

use tokio_postgres::Client;

use crate::migration::Undo;
use crate::patience::Patience;
use crate::{Error, Migration, Migrations, Observer, Options, Report, Step, UndoKind};
use crate::{backfill, concurrently, history, outside, session, transaction};

/// Takes back what is newer than `version` in the current schema, the newest first, each with its row of the history.
///
/// All of it is looked at before anything is changed. 0 takes everything back. Otherwise as [`run`](crate::run).
///
/// # Errors
/// Where one of them can't be undone, and otherwise as [`run`](crate::run).
pub async fn undo_to(
    client: &mut Client,
    migrations: &Migrations,
    version: u32,
    options: &Options,
    observer: Observer<'_>,
) -> Result<Report, Error> {
    let started = Instant::now();
    let client = &*client;
    let applied = session::begin(client, migrations.set(), options).await?.unwrap_or_default();
    let undone = go_back(client, migrations, &applied, version, options, observer).await;
    session::end(client, migrations.set()).await;
    let steps = undone?;
    let left = applied.iter().rev().map(|row| row.version).find(|number| *number <= version);
    Ok(Report { steps, version: left, elapsed: started.elapsed() })
}

async fn go_back(
    client: &Client,
    migrations: &Migrations,
    applied: &[history::Applied],
    version: u32,
    options: &Options,
    observer: Observer<'_>,
) -> Result<Vec<Step>, Error> {
    history::compare(applied, migrations)?;
    let newest = applied.last().map_or(0, |row| row.version);
    let newest_first =
        migrations.list().iter().rev().filter(|migration| (version + 1..=newest).contains(&migration.version));
    let undoable =
        newest_first.map(|migration| Ok((migration, migration.way_back()?))).collect::<Result<Vec<_>, Error>>()?;
    let mut steps = Vec::new();
    for (migration, undo) in undoable {
        let label = format!("the undo of {migration}");
        let mut patience = Patience::begin(client, (migration, label, &undo.sql), options, observer);
        let forget = format!("delete from {} where version = {}", history::TABLE, migration.version);
        let mut statements = vec![undo.sql.as_str(), &forget, backfill::FORGET];
        if undo.kind == UndoKind::NoTransaction {
            let index = concurrently::made_by(&undo.sql).map_err(|reason| cannot(migration, reason))?;
            outside::run(client, &undo.sql, index.as_ref(), options, &mut patience).await?;
            statements.remove(0);
        }
        while let Err(error) = transaction::run(client, &statements).await {
            patience.wait_after(error.into()).await?;
        }
        steps.push(patience.end());
    }
    Ok(steps)
}

impl Migration {
    /// What takes it back.
    ///
    /// # Errors
    /// Where nothing does.
    pub fn way_back(&self) -> Result<&Undo, Error> {
        let undo = self.undo.as_ref().ok_or_else(|| cannot(self, "it has no undo file".to_owned()))?;
        match &undo.kind {
            UndoKind::Irreversible(reason) => Err(cannot(self, reason.clone())),
            UndoKind::Transactional | UndoKind::NoTransaction => Ok(undo),
        }
    }
}

fn cannot(migration: &Migration, reason: String) -> Error {
    Error::Irreversible { migration: migration.to_string(), reason }
}
