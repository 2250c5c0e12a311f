//! The runner itself, on small sets of its own: what each kind of migration does, waits for, and leaves behind.

mod backfills;
mod kinds;
mod locks;
mod rehearsing;
mod undoing;

use std::sync::Mutex;
use std::time::Duration;

use rowhouse_database::AdminConnection;
use rowhouse_migrations::{Error, Event, Migrations, Options, Report, Set};
use rowhouse_testkit::OwnDatabase;

use crate::support::{as_owner, empty_database};

/// A set from the texts of its migrations, the first called `V1__step`, and from undo files of the numbers given.
fn set_of(forward: &[&str], undo: &[(u32, &str)]) -> Migrations {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("undo")).unwrap();
    for (index, sql) in forward.iter().enumerate() {
        std::fs::write(folder.path().join(format!("V{}__step.sql", index + 1)), sql).unwrap();
    }
    for (version, sql) in undo {
        std::fs::write(folder.path().join(format!("undo/{version}__step.sql")), sql).unwrap();
    }
    Migrations::read(Set::Tenant, folder.path()).unwrap()
}

/// Waits that do not make a test slow.
fn quick() -> Options {
    Options {
        lock_deadline: Duration::from_millis(100),
        lock_timeout: Duration::from_millis(100),
        concurrent_timeout: Duration::from_millis(500),
        attempts: 3,
        first_pause: Duration::from_millis(20),
        ..Options::default()
    }
}

async fn open() -> (OwnDatabase, AdminConnection) {
    let database = empty_database("rowhouse_base").await;
    let connection = as_owner(&database.name, "public").await;
    (database, connection)
}

async fn migrate(connection: &mut AdminConnection, set: &Migrations) -> Result<Report, Error> {
    rowhouse_migrations::run(connection.client(), set, &quick(), &rowhouse_migrations::unobserved).await
}

/// What an observer was told, in short.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, event: &Event<'_>) {
        let line = match event {
            Event::Begins { migration } => format!("{} begins", migration.version),
            Event::Waits { migration, attempt, sqlstate, .. } => {
                format!("{} waits after {attempt}: {sqlstate}", migration.version)
            }
            Event::Batch { migration, rows } => format!("{} did {rows}", migration.version),
            Event::Ends { step } => format!("{} ends", step.version),
        };
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn versions(report: &Report) -> Vec<u32> {
    report.steps.iter().map(|step| step.version).collect()
}
