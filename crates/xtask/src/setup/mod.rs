//! Makes sure that PostgreSQL, its contrib extensions and pgvector are on this machine, and PgBouncer and public clients where tests
//! need them. Each step looks first, so a second run does nothing.

mod advice;
mod apt;
mod clients;
mod pgvector;
mod sources;

use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use rowhouse_local_postgres::{Error, Installation, MINIMUM_PGVECTOR, MINIMUM_POSTGRES, PgBouncer};

use self::apt::Apt;
pub(crate) use self::clients::Clients;
use crate::console;

/// Reports what is there and fails when something is missing; changes nothing.
pub(crate) fn check(with_pgbouncer: bool) -> anyhow::Result<()> {
    let installation = match Installation::find() {
        Ok(installation) => installation,
        Err(error) => {
            console::missing(&error.to_string());
            bail!("something is missing: run `cargo xtask setup`");
        }
    };
    report(&installation);
    let mut missing = installation.missing();
    if with_pgbouncer {
        match PgBouncer::find() {
            Some(pgbouncer) => console::done(&format!("PgBouncer {}", pgbouncer.version())),
            None => missing.push("PgBouncer".to_owned()),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    console::missing(&format!("missing: {}", missing.join(", ")));
    bail!("something is missing: run `cargo xtask setup`")
}

/// Installs what is missing where it can, and says exactly what to install where it can't.
pub(crate) fn ensure() -> anyhow::Result<()> {
    if let Ok(installation) = Installation::find_complete() {
        report(&installation);
        return Ok(());
    }
    let started = Instant::now();
    let mut apt = Apt::usable();
    let installation = ensure_server(apt.as_mut())?;
    ensure_contrib(&installation, apt.as_mut())?;
    ensure_pgvector(&installation, apt.as_mut())?;
    let installation = Installation::find_complete().context("after installing everything")?;
    report(&installation);
    console::done(&format!("set up in {}", console::seconds(started.elapsed())));
    Ok(())
}

/// The same, and PgBouncer, which a suite of tests runs through. Nothing else needs it.
pub(crate) fn ensure_with_pgbouncer() -> anyhow::Result<()> {
    ensure()?;
    if PgBouncer::find().is_none() {
        console::missing("PgBouncer is not installed");
        let Some(mut apt) = Apt::usable() else { return Err(advice::pgbouncer()) };
        apt.install(&["pgbouncer"])?;
    }
    let pgbouncer = PgBouncer::find().ok_or_else(advice::pgbouncer)?;
    console::done(&format!("PgBouncer {}", pgbouncer.version()));
    Ok(())
}

fn report(installation: &Installation) {
    console::done(&format!("PostgreSQL {} at {}", installation.version(), installation.bindir().display()));
    if installation.missing_contrib().is_empty() {
        console::done(&format!("contrib: {}", rowhouse_local_postgres::REQUIRED_CONTRIB.join(", ")));
    }
    if let Some(version) = installation.pgvector().filter(|version| *version >= MINIMUM_PGVECTOR) {
        console::done(&format!("pgvector {version}"));
    }
}

fn ensure_server(apt: Option<&mut Apt>) -> anyhow::Result<Installation> {
    let problem = match Installation::find() {
        Ok(installation) => return Ok(installation),
        Err(problem @ (Error::NotInstalled { .. } | Error::TooOld { .. })) => problem,
        Err(other) => return Err(other.into()),
    };
    if Installation::is_place_fixed() {
        return Err(problem.into());
    }
    console::missing("PostgreSQL is not installed, or too old");
    let Some(apt) = apt else { return Err(anyhow!("{problem}\n{}", advice::server())) };
    apt.refresh()?;
    let packaged = apt.candidate("postgresql")?;
    if packaged.is_none_or(|version| version < MINIMUM_POSTGRES) {
        return Err(advice::server());
    }
    apt.install(&["postgresql"])?;
    Ok(Installation::find()?)
}

/// Debian ships contrib inside the server's package; the name `postgresql-contrib` is for distributions that don't.
fn ensure_contrib(installation: &Installation, apt: Option<&mut Apt>) -> anyhow::Result<()> {
    if installation.missing_contrib().is_empty() {
        return Ok(());
    }
    console::missing(&format!("missing contrib extensions: {}", installation.missing_contrib().join(", ")));
    let Some(apt) = apt else { return Err(advice::contrib()) };
    apt.install(&["postgresql-contrib"])?;
    if !installation.missing_contrib().is_empty() {
        return Err(advice::contrib());
    }
    Ok(())
}

fn ensure_pgvector(installation: &Installation, apt: Option<&mut Apt>) -> anyhow::Result<()> {
    if installation.pgvector().is_some_and(|version| version >= MINIMUM_PGVECTOR) {
        return Ok(());
    }
    console::missing(&format!("pgvector {MINIMUM_PGVECTOR} or newer is not installed"));
    let major = installation.version().major;
    let Some(apt) = apt else { return Err(advice::pgvector(major)) };
    let package = format!("postgresql-{major}-pgvector");
    apt.refresh()?;
    if apt.candidate(&package)?.is_some_and(|version| version >= MINIMUM_PGVECTOR) {
        return apt.install(&[&package]);
    }
    console::doing(&format!("no package {package} here: building it from a newer suite's source package"));
    pgvector::build(installation, apt).map_err(|error| anyhow!("{error:#}\n{}", advice::pgvector(major)))
}
