//! What people do who have no program for it: a loop in a shell, and a migration tool called for one database after the other.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::bare::Bare;
use super::fleet::FORWARD;
use crate::count;
use crate::house::House;

/// `for database in …; do psql -c …; done`; databases a second. It checks nothing and records nothing.
pub(super) async fn psql(house: &House, databases: &[String]) -> Result<f64> {
    // Debian's `psql` is a script that looks for the right one, which takes longer than the statement.
    let script = format!(
        "psql=$(pg_config --bindir 2> /dev/null)/psql; [ -x \"$psql\" ] || psql=psql
        for database in \"$@\"; do \"$psql\" -q -X -v ON_ERROR_STOP=1 -d \"$database\" -c '{FORWARD}' || exit 1; done"
    );
    let config: tokio_postgres::Config = house.ready.postgres.parse()?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg("sh").args(databases);
    command.env("PGHOST", "127.0.0.1").env("PGPORT", house.postgres_port()?.to_string());
    command.env("PGUSER", config.get_user().unwrap_or("postgres"));
    command.env("PGPASSWORD", String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned());
    let begun = Instant::now();
    ensure!(command.status().await?.success(), "psql failed");
    Ok(rate(databases.len(), begun))
}

/// refinery, one database after the other; databases a second.
pub(super) async fn refinery(bare: &Bare, folder: &Path, most: usize) -> Result<f64> {
    let migrations = refinery::load_sql_migrations(folder)?;
    let begun = Instant::now();
    let databases = bare.databases(most);
    for database in databases {
        let mut client = bare.connect(database).await?;
        client.batch_execute("set role rowhouse_owner; set search_path = public, extensions").await?;
        refinery::Runner::new(&migrations).set_abort_divergent(false).run_async(&mut client).await?;
    }
    Ok(rate(databases.len(), begun))
}

fn rate(things: usize, begun: Instant) -> f64 {
    count(things) / begun.elapsed().as_secs_f64()
}
