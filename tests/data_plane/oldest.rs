//! The oldest schema that this build says it serves. The suite for tenants with a database of their own is run on that one, as
//! `tests/compat` runs it on the newest: a build's statements must hold on both.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rowhouse_data_plane::authentication::SERVED_SCHEMAS;
use rowhouse_migrations::Set;
use tempfile::TempDir;

fn oldest() -> u32 {
    u32::try_from(*SERVED_SCHEMAS.start()).unwrap()
}

/// The migrations up to it: this build's own, where it serves none that is older.
pub(crate) fn folder() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    if oldest() == Set::Tenant.latest() {
        return PathBuf::new();
    }
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenant-migrations");
        std::fs::create_dir_all(folder.path().join("undo")).unwrap();
        for migration in Set::Tenant.migrations().list().iter().filter(|one| one.version <= oldest()) {
            for file in [format!("{migration}.sql"), format!("undo/{}__{}.sql", migration.version, migration.name)] {
                std::fs::copy(released.join(&file), folder.path().join(&file)).unwrap();
            }
        }
        folder
    });
    folder.path().to_owned()
}

#[tokio::test]
async fn these_tests_are_of_the_oldest_version_that_this_build_serves() {
    let house = crate::house().await;
    let given = house.tenant().await;
    let _ = given.data.get("/v1/files").await.expect(200);
    let versions = house.rows("select min(schema_version), max(schema_version) from tenants").await;
    let (least, most): (i32, i32) = (versions[0].try_get(0).unwrap(), versions[0].try_get(1).unwrap());
    assert_eq!((least, most), (*SERVED_SCHEMAS.start(), *SERVED_SCHEMAS.start()));
}
