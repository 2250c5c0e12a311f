//! What must be in place before requests are served: the platform's schema, its partitions, a cluster, a first key.

use std::time::Duration;

use rowhouse_database::{AdminConnection, Columns, Described, Sql};
use rowhouse_keys::PlainApiKey;
use rowhouse_migrations::platform::Operator;
use rowhouse_migrations::{Error as MigrationError, Options, Report, Set, unobserved};
use rowhouse_problem::{Error, Result};
use rowhouse_settings::{Settings, Tls};

use crate::api_keys;
use crate::clusters;
use crate::context::Context;

/// Brings the platform database to this release's schema and registers the first cluster. May run any number of times,
/// also by several processes at once.
pub(crate) async fn prepare(context: &Context) -> Result<()> {
    migrate(context).await?;
    let connection = context.platform.get().await?;
    ensure_log_partitions(&connection).await?;
    let platform = &context.settings.platform;
    let tls = platform.tls == Tls::VerifyFull;
    if clusters::store::register_first(&connection, &platform.host, platform.port, tls).await? {
        tracing::info!(
            host = platform.host,
            port = platform.port,
            "the platform's server is registered as cluster `default`"
        );
    }
    Ok(())
}

/// What came of looking at the platform's schema before it is migrated.
enum Schema {
    /// This release's, or older.
    Known(Option<u32>),
    /// A later release's, which says that this one can serve from it.
    Newer(u32),
}

const SERVES_FROM: &str = "select platform_serves_from() as serves_from";

/// Refuses a schema of a later release, unless that says otherwise.
async fn look_at_schema(admin: &mut AdminConnection) -> Result<Schema> {
    admin.run("set role rowhouse_owner; set search_path = public, pg_temp").await.context("becoming the owner")?;
    let found = rowhouse_migrations::current_version(admin.client()).await.map_err(Error::internal)?;
    let own = Set::Platform.latest();
    let Some(version) = found.filter(|version| *version > own) else { return Ok(Schema::Known(found)) };
    let rows = admin.query(SERVES_FROM, &[]).await.context("asking which releases the platform serves")?;
    let serves_from: i32 = rows.first().map_or(Ok(i32::MAX), |row| row.column("serves_from"))?;
    if i64::from(serves_from) > i64::from(own) {
        return Err(Error::internal(format!(
            "saas_platform is at migration {version} and serves releases from {serves_from} on; this one is of {own}: \
             start a newer one, or take it back with that one's `rowhouse migrate undo platform --to {own}`"
        )));
    }
    Ok(Schema::Newer(version))
}

/// How often one that waits for another says so.
const SAYS_SO: Duration = Duration::from_secs(10);

/// Waits for as long as another one's session is at work there: its migrations may take however long they do, and whoever ends
/// meanwhile is only started again.
async fn migrate(context: &Context) -> Result<()> {
    let mut admin = context.administer_platform().await?;
    let options = Options { lock_deadline: SAYS_SO, ..Options::default() };
    let mut operator = Operator::new(itself());
    loop {
        // The one that was waited for may be of a later release.
        if let Schema::Newer(version) = look_at_schema(&mut admin).await? {
            tracing::warn!(version, "saas_platform is of a later release, which this one can serve from");
            return Ok(());
        }
        match operator.run(admin.client(), &options, &unobserved).await {
            Ok(Report { steps, .. }) => {
                steps.iter().for_each(|migration| tracing::info!(%migration, "applied"));
                return Ok(());
            }
            Err(MigrationError::Locked { holder, .. }) => {
                let holder = holder.as_deref().unwrap_or("another session");
                tracing::warn!(holder, "saas_platform is being migrated by somebody else, who is waited for");
            }
            Err(error) => return Err(Error::unavailable(error)),
        }
    }
}

/// As whom this process changes the platform's schema.
fn itself() -> String {
    format!("control plane {} on {}", std::process::id(), rustix::system::uname().nodename().to_string_lossy())
}

const ENSURE_LOG_PARTITIONS: &str = "select ensure_log_partitions()";

/// Partitions of the logs exist three months ahead.
pub(crate) async fn ensure_log_partitions(db: &impl Sql) -> Result<()> {
    db.query_one(ENSURE_LOG_PARTITIONS, &[]).await.context("making partitions of the logs").map(drop)
}

/// Checks settings, connection and schema version without changing anything.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn check(settings: &Settings) -> Result<()> {
    let context = Context::new(settings.clone())?;
    require_schema(&context).await?;
    context.platform.get().await.map(drop)
}

/// The platform database has a schema that this release can serve from; for those who don't bring it there.
pub(crate) async fn require_schema(context: &Context) -> Result<()> {
    let mut admin = context.administer_platform().await?;
    let wanted = Set::Platform.latest();
    match look_at_schema(&mut admin).await? {
        Schema::Known(found) if found != Some(wanted) => {
            let found = found.map_or_else(|| "none".to_owned(), |version| version.to_string());
            Err(Error::internal(format!(
                "saas_platform is at migration {found}; this release needs {wanted}: start a control plane of this \
                 release, or `rowhouse migrate run platform`"
            )))
        }
        Schema::Known(_) | Schema::Newer(_) => Ok(()),
    }
}

/// Makes a platform-admin key, preparing the platform database first. The key can't be shown again.
///
/// # Errors
/// Where the database does not answer or the name is not valid.
pub async fn issue_admin_key(settings: &Settings, name: &str) -> Result<PlainApiKey> {
    let context = Context::new(settings.clone())?;
    prepare(&context).await?;
    api_keys::issue_platform_key(&context, name).await
}
