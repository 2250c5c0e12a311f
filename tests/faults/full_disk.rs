//! The disk of a cluster is full.

use std::path::Path;
use std::process::Command;

use rowhouse_testkit::{TestCluster, TestHouse};
use serde_json::json;
use tempfile::TempDir;

use crate::house::{all_serve, organization, reached};

/// A small file system in memory, gone with this value.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let size = format!("size={mebibytes}m,mode=755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "this test mounts a file system, which only root may");
        open_to_all(folder.path());
        Self(folder)
    }

    /// Leaves nothing of it.
    fn fill(&self) {
        let ballast = self.0.path().join("ballast");
        // It ends with the error that is wanted.
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .status();
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The server runs under an account of its own.
fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_the_tenant_that_is_being_made_and_nothing_else() {
    let house = TestHouse::start_with(|settings| settings.provisioning.max_attempts = 2).await;
    let organization = organization(&house).await;
    let disk = SmallDisk::mount(160);
    let log = TempDir::new().unwrap();
    open_to_all(log.path());
    let cluster = TestCluster::private_in(&disk.0.path().join("cluster"), log.path()).await;
    house.register("small", &cluster).await;
    let path = format!("/v1/organizations/{organization}/tenants");
    let wish = |name: &str| json!({"name": name, "cluster": "small"});
    let first = house.admin.post(&path, &wish("first")).await.expect(201).text("id");
    all_serve(&house, std::slice::from_ref(&first)).await;
    disk.fill();
    house.admin.post(&path, &wish("second")).await.problem(503, "provisioning_failed");
    reached(&house, "failed", 1).await;
    let second: String =
        house.rows("select id::text from tenants where status = 'failed'").await[0].try_get(0).unwrap();
    let second = rowhouse_domain::TenantId::from_uuid(second.parse().unwrap()).to_string();
    let operation = house.rows("select error_code from operations where state = 'failed'").await;
    assert_eq!(operation[0].try_get::<_, String>(0).unwrap(), "insufficient_storage");
    // Who is there is served, as far as nothing has to be written.
    let data = house.tenant_key(&first, &["read_files"]).await;
    let _ = data.get("/v1/files").await.expect(200);
    disk.free();
    let _ = house.admin.post(&format!("/v1/tenants/{second}/resume"), &json!({})).await.expect(200);
    reached(&house, "active", 2).await;
    all_serve(&house, std::slice::from_ref(&second)).await;
    house.expect_no_differences().await;
    drop(cluster);
}
