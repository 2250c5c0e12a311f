//! The command `rowhouse` against a control plane.

use rowhouse_testkit::{TestHouse, program};
use serde_json::Value;
use tokio::process::Command;

struct Shell {
    url: String,
    key: String,
}

impl Shell {
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(program("rowhouse"))
            .args(arguments)
            .env_clear()
            .envs([("ROWHOUSE_URL", &self.url), ("ROWHOUSE_KEY", &self.key)])
            .output()
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let (code, output, errors) = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(code, Some(0), "{arguments:?}: {errors}");
        serde_json::from_str(&output).unwrap()
    }
}

#[tokio::test]
async fn an_admin_can_do_the_rounds_from_a_terminal() {
    let house = TestHouse::start().await;
    let shell = Shell { url: house.admin.base().to_owned(), key: house.admin.key().to_owned() };
    let organization = shell.json(&["org", "create", "Acme", "--email", "ops@acme.example"]).await;
    let organization = organization["id"].as_str().unwrap();
    let tenant = shell.json(&["tenant", "create", organization, "acme-prod", "--external-id", "42"]).await;
    assert_eq!((tenant["status"].as_str(), tenant["external_id"].as_str()), (Some("active"), Some("42")));
    let tenant = tenant["id"].as_str().unwrap();
    let key = shell.json(&["key", "create", tenant, "--name", "app", "--scopes", "read_files,manage_workspaces"]).await;
    let data = house.data.with_key(key["key"].as_str().unwrap());
    let _ = data.get("/v1/workspaces").await.expect(200);

    let (code, table, _) = shell.run(&["tenant", "list", organization]).await;
    assert!(code == Some(0) && table.contains("acme-prod") && table.contains("STATUS"), "{table}");
    let (code, said, _) = shell.run(&["key", "revoke", tenant, key["id"].as_str().unwrap()]).await;
    assert!(code == Some(0) && said.contains("revoked"), "{said}");
    data.get("/v1/workspaces").await.problem(401, "revoked_key");
    assert_eq!(shell.json(&["tenant", "suspend", tenant]).await["status"], "suspended");
    assert_eq!(shell.json(&["tenant", "resume", tenant]).await["status"], "active");
}

#[tokio::test]
async fn a_failure_is_1_and_wrong_usage_is_2() {
    let house = TestHouse::start().await;
    let shell = Shell { url: house.admin.base().to_owned(), key: house.admin.key().to_owned() };
    let missing = rowhouse_domain::TenantId::new().to_string();
    let (code, _, errors) = shell.run(&["tenant", "show", &missing]).await;
    assert!(code == Some(1) && errors.contains("not_found"), "{errors}");
    assert_eq!(shell.run(&["tenant", "fly"]).await.0, Some(2));
    let nobody = Shell { url: "http://127.0.0.1:1".to_owned(), ..shell };
    let (code, _, errors) = nobody.run(&["org", "list"]).await;
    assert!(code == Some(1) && errors.contains("cannot reach the control plane"), "{errors}");
    let (code, _, errors) = Shell { key: String::new(), ..nobody }.run(&["org", "list"]).await;
    assert!(code == Some(1) && errors.contains("ROWHOUSE_KEY"), "{errors}");
}
