//! The command `rowhouse` against a control plane.

use rowhouse_testkit::{FURTHER_CONTROL_PASSWORD, TestCluster, TestHouse, program};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::process::Command;

struct Shell {
    url: String,
    key: String,
}

impl Shell {
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.run_with(arguments, |_| {}).await
    }

    async fn run_with(&self, arguments: &[&str], prepare: impl Fn(&mut Command)) -> (Option<i32>, String, String) {
        let mut command = Command::new(program("rowhouse"));
        command.args(arguments).env_clear().envs([("ROWHOUSE_URL", &self.url), ("ROWHOUSE_KEY", &self.key)]);
        prepare(&mut command);
        let output = command.output().await.unwrap();
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

    let limited = shell.json(&["tenant", "update", tenant, "--rate-limit", "50/200"]).await;
    assert_eq!(limited["rate_limit"], json!({"per_second": 50, "burst": 200}));
    let (code, table, _) = shell.run(&["tenant", "show", tenant]).await;
    assert!(code == Some(0) && table.contains(r#"{"burst":200,"per_second":50}"#), "{table}");
    assert_eq!(shell.json(&["tenant", "update", tenant, "--rate-limit", "tier"]).await["rate_limit"], Value::Null);
    let limited = ["key", "update", tenant, key["id"].as_str().unwrap(), "--rate-limit", "none"];
    assert_eq!(shell.json(&limited).await["rate_limit"], json!({"per_second": 0, "burst": 0}));
    assert_eq!(shell.run(&["tenant", "update", tenant, "--rate-limit", "many"]).await.0, Some(2));

    let (code, table, _) = shell.run(&["tenant", "list", organization]).await;
    assert!(code == Some(0) && table.contains("acme-prod") && table.contains("STATUS"), "{table}");
    let (code, said, _) = shell.run(&["key", "revoke", tenant, key["id"].as_str().unwrap()]).await;
    assert!(code == Some(0) && said.contains("revoked"), "{said}");
    data.get("/v1/workspaces").await.problem(401, "revoked_key");
    assert_eq!(shell.json(&["tenant", "suspend", tenant]).await["status"], "suspended");
    assert_eq!(shell.json(&["tenant", "resume", tenant]).await["status"], "active");

    let (code, said, errors) = shell.run(&["doctor"]).await;
    assert!(code == Some(0) && said.contains("No differences"), "{said} {errors}");
    assert_eq!(shell.json(&["tenant", "delete", tenant]).await["status"], "deleted");
    let (code, _, errors) = shell.run(&["tenant", "purge", tenant, "--name", "acme"]).await;
    assert!(code == Some(1) && errors.contains("invalid_request"), "{errors}");
    let preview = shell.json(&["tenant", "purge", tenant, "--name", "acme-prod", "--dry-run"]).await;
    assert_eq!(preview["tenant_id"], tenant);
    house.sql("update organizations set used_workspaces = 7").await;
    let (code, said, errors) = shell.run(&["doctor"]).await;
    assert!(
        code == Some(1) && said.contains("organization.workspaces") && errors.contains("1 of 1"),
        "{said} {errors}"
    );
    assert_eq!(shell.json(&["doctor", "--fix"]).await["remaining"], 0);
    let (code, said, errors) = shell.run(&["tenant", "purge", tenant, "--name", "acme-prod"]).await;
    assert!(code == Some(0) && said.contains("gone for good"), "{said} {errors}");
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

#[tokio::test]
async fn clusters_are_kept_from_a_terminal() {
    let house = TestHouse::start().await;
    let shell = Shell { url: house.admin.base().to_owned(), key: house.admin.key().to_owned() };
    let further = TestCluster::unprepared().await;
    let (port, superuser) = (further.port().to_string(), further.superuser());
    let passwords = |command: &mut Command| {
        command
            .env("ROWHOUSE_CONTROL_PASSWORD", FURTHER_CONTROL_PASSWORD)
            .env("ROWHOUSE_DATA_PASSWORD", "unused")
            .env("ROWHOUSE_CLUSTER_PASSWORD", FURTHER_CONTROL_PASSWORD)
            .env("PGPASSWORD", superuser.password.expose_secret());
    };
    let register = ["cluster", "register", "eu-1", "--host", "127.0.0.1", "--port", &port, "--tls", "disable"];

    // Not before it is prepared, and then it is said what to do.
    let (code, _, errors) = shell.run_with(&register, passwords).await;
    assert!(code == Some(1) && errors.contains("cluster bootstrap --without-platform"), "{errors}");
    let bootstrap = ["cluster", "bootstrap", "--port", &port, "--without-platform"];
    let (code, printed, _) = shell.run_with(&[&bootstrap[..], &["--print"]].concat(), passwords).await;
    assert!(
        code == Some(0) && printed.contains("rowhouse_base") && !printed.contains("database saas_platform"),
        "{printed}"
    );
    assert!(!printed.contains(FURTHER_CONTROL_PASSWORD));
    for _ in 0..2 {
        let (code, said, errors) = shell.run_with(&bootstrap, passwords).await;
        assert!(code == Some(0) && said.contains("ready"), "{said}{errors}");
    }
    let labels = [&register[..], &["--label", "region=eu", "--label", "disk=fast", "--weight", "50"]].concat();
    let (code, table, errors) = shell.run_with(&labels, passwords).await;
    assert!(code == Some(0) && table.contains("eu-1") && !table.contains(FURTHER_CONTROL_PASSWORD), "{table}{errors}");
    let shown = shell.json(&["cluster", "show", "eu-1"]).await;
    assert_eq!((&shown["credential"], &shown["weight"]), (&json!("sealed"), &json!(50)));
    assert_eq!(shown["labels"], json!({"region": "eu", "disk": "fast"}));

    let (code, table, _) = shell.run(&["cluster", "list"]).await;
    assert!(code == Some(0) && table.contains("default") && table.contains(&format!("127.0.0.1:{port}")), "{table}");
    assert_eq!(shell.json(&["cluster", "drain", "eu-1"]).await["accepting"], false);
    assert_eq!(shell.json(&["cluster", "accept", "eu-1"]).await["accepting"], true);
    let id = shown["id"].as_str().unwrap();
    assert_eq!(shell.json(&["cluster", "update", id, "--weight", "7", "--name", "eu-2"]).await["weight"], 7);
    let organization = shell.json(&["org", "create", "Acme", "--email", "ops@acme.example"]).await;
    let organization = organization["id"].as_str().unwrap();
    let tenant = shell.json(&["tenant", "create", organization, "acme-eu", "--cluster", "default"]).await;
    assert_ne!(tenant["cluster_id"], id);
    let (code, said, _) = shell.run(&["cluster", "remove", "eu-2"]).await;
    assert!(code == Some(0) && said.contains("removed"), "{said}");
    let (code, _, errors) = shell.run(&["cluster", "show", "eu-2"]).await;
    assert!(code == Some(1) && errors.contains("no cluster is called"), "{errors}");
    let (code, _, errors) = shell.run(&["cluster", "update", "default"]).await;
    assert!(code == Some(1) && errors.contains("nothing to change"), "{errors}");
    assert_eq!(shell.run(&["cluster", "register", "x"]).await.0, Some(2));
}
