//! The version after this build's.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rowhouse_data_plane::authentication::SERVED_SCHEMAS;
use rowhouse_testkit::TestHouse;
use tempfile::TempDir;

/// What a release may do that the one before it must survive: every table has a column more, a new index and a new constraint,
/// and there is a table more.
const EXPAND: &str = "
do $$
declare
    one regclass;
begin
    for one in
        select oid::regclass from pg_class
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relispartition
            and relname not in ('refinery_schema_history', 'rowhouse_backfill')
    loop
        execute format('alter table %s add column of_the_next_release text not null default %L', one, 'yes');
        execute format('alter table %s add constraint of_the_next_release_check check (of_the_next_release <> %L)', one, 'no');
        execute format('create index on %s (of_the_next_release)', one);
    end loop;
end
$$;
create table of_the_next_release (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    constraint of_the_next_release_pkey primary key (tenant_id, id)
);
alter table of_the_next_release enable row level security;
create policy tenant_isolation on of_the_next_release to tenant_app
    using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
";
const CONTRACT: &str = "
drop table of_the_next_release;
do $$
declare
    one regclass;
begin
    for one in
        select attrelid::regclass from pg_attribute join pg_class on pg_class.oid = attrelid
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relispartition
            and attname = 'of_the_next_release'
    loop
        execute format('alter table %s drop column of_the_next_release', one);
    end loop;
end
$$;
";

/// The newest version that this build serves: one beyond its own migrations.
fn next() -> i32 {
    *SERVED_SCHEMAS.end()
}

/// The release's migrations and those of the next one.
pub(crate) fn folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenant-migrations");
        for part in ["", "undo"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
            for entry in std::fs::read_dir(released.join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::copy(&path, folder.path().join(part).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        std::fs::write(folder.path().join(format!("V{}__expand.sql", next())), EXPAND).unwrap();
        std::fs::write(folder.path().join(format!("undo/{}__expand.sql", next())), CONTRACT).unwrap();
        folder
    });
    folder.path().to_owned()
}

async fn version(house: &TestHouse) -> i32 {
    house.rows("select max(schema_version) from tenants").await[0].try_get(0).unwrap()
}

#[tokio::test]
async fn this_build_serves_its_own_version_and_the_next_and_the_tests_are_of_the_next() {
    let own = i32::try_from(rowhouse_migrations::Set::Tenant.migrations().latest()).unwrap();
    assert_eq!((*SERVED_SCHEMAS.start(), next()), (own, own + 1));
    let house = crate::house().await;
    let _ = house.tenant().await;
    assert_eq!(version(&house).await, next());
}
