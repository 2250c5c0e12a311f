//! What to tell people whose machine this program can't set up.

use anyhow::{Error, anyhow};
use rowhouse_local_postgres::{MINIMUM_PGVECTOR, MINIMUM_POSTGRES};

/// How to get a server.
pub(crate) fn server() -> Error {
    anyhow!(
        "install PostgreSQL {} or newer, then run this again:\n\
         \x20 Debian, Ubuntu   sudo apt-get install postgresql\n\
         \x20 Fedora           sudo dnf install postgresql-server postgresql-contrib\n\
         \x20 macOS            brew install postgresql@17 pgvector\n\
         \x20 elsewhere        set ROWHOUSE_PG_BINDIR to the folder that holds `initdb` and `postgres`",
        MINIMUM_POSTGRES.major
    )
}

/// How to get contrib.
pub(crate) fn contrib() -> Error {
    anyhow!(
        "install PostgreSQL's contrib extensions, then run this again:\n\
         \x20 Debian, Ubuntu   sudo apt-get install postgresql-contrib\n\
         \x20 Fedora           sudo dnf install postgresql-contrib"
    )
}

/// How to get pgvector for a server of this major version.
pub(crate) fn pgvector(major: u32) -> Error {
    anyhow!(
        "install pgvector {MINIMUM_PGVECTOR} or newer for PostgreSQL {major}, then run this again:\n\
         \x20 Debian, Ubuntu   sudo apt-get install postgresql-{major}-pgvector (where packaged; on Debian 12 run `cargo xtask setup` as root or with passwordless sudo)\n\
         \x20 Fedora           sudo dnf install pgvector\n\
         \x20 macOS            brew install pgvector\n\
         \x20 from source      unpack pgvector's source, then `make OPTFLAGS=\"\"` and `sudo make install` with PG_CONFIG set to this server's pg_config"
    )
}

/// How to get the pooler that a suite of tests runs through.
pub(crate) fn pgbouncer() -> Error {
    anyhow!(
        "install PgBouncer, then run this again:\n\
         \x20 Debian, Ubuntu   sudo apt-get install pgbouncer\n\
         \x20 Fedora           sudo dnf install pgbouncer\n\
         \x20 macOS            brew install pgbouncer"
    )
}
