//! A cluster that lets in only who comes with TLS.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rowhouse_testkit::{Answer, FURTHER_CONTROL_PASSWORD, TestCluster, TestHouse};
use serde_json::{Value, json};

use crate::clusters::{field, place, use_tenant};
use crate::operational::eventually;

/// Tenants and services come with TLS or not at all; the tests' own superuser without.
const RULES: &str = "
host all postgres 127.0.0.1/32 scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256
";

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }
}

/// Turns TLS on, with a certificate for one name, and everything else off.
async fn require_tls(cluster: &TestCluster, authority: &Authority, name: &str) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, &authority.issuer).unwrap();
    let folder = cluster.data_directory();
    let owner = std::fs::metadata(folder).unwrap();
    for (file, text) in
        [("server.crt", certificate.pem()), ("server.key", key.serialize_pem()), ("pg_hba.conf", RULES.to_owned())]
    {
        let path = folder.join(file);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let admin = cluster.admin("postgres").await;
    admin.run("alter system set ssl = on").await.unwrap();
    admin.run("select pg_reload_conf()").await.unwrap();
    eventually("TLS is on", async || {
        let rows = cluster.admin("postgres").await.query("select current_setting('ssl')", &[]).await.unwrap();
        rows[0].try_get::<_, String>(0).unwrap() == "on"
    })
    .await;
}

async fn register(house: &TestHouse, changes: Value) -> Answer {
    let mut body = json!({"name": "secure", "host": "localhost", "password": FURTHER_CONTROL_PASSWORD});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    house.admin.post("/v1/clusters", &body).await
}

#[tokio::test]
async fn both_planes_use_tls_where_a_cluster_asks_for_it() {
    let house = TestHouse::start().await;
    let (cluster, authority, stranger) = (TestCluster::private().await, Authority::new(), Authority::new());
    require_tls(&cluster, &authority, "localhost").await;
    let port = cluster.port();

    let refused = async |changes: Value, pointer: &str| {
        let problem = register(&house, changes.clone()).await.problem(422, "invalid_request");
        assert_eq!(field(&problem), pointer, "{changes}: {problem}");
        assert!(!problem.to_string().contains(FURTHER_CONTROL_PASSWORD));
    };
    refused(json!({"port": port, "tls": "disable"}), "/tls").await;
    refused(json!({"port": port, "tls_ca": stranger.pem}), "/tls_ca").await;
    // The right authority, and a name that the certificate is not for.
    refused(json!({"port": port, "tls_ca": authority.pem, "host": "127.0.0.1"}), "/tls_ca").await;
    // A server that can't do TLS is not talked to in the clear instead.
    refused(json!({"port": TestCluster::second().port(), "tls_ca": authority.pem}), "/tls").await;

    let made = register(&house, json!({"port": port, "tls_ca": authority.pem})).await.expect(201).json();
    assert_eq!((&made["tls"], &made["has_tls_ca"]), (&json!("verify_full"), &json!(true)));
    let organization = house.organization().await;
    for isolation in ["dedicated", "schema", "shared"] {
        let tenant = place(&house, &organization, json!({"cluster": "secure", "isolation": isolation})).await;
        let _ = use_tenant(&house, &tenant).await;
    }
    let sessions = "select count(*), count(*) filter (where ssl) from pg_stat_ssl join pg_stat_activity using (pid)
        where usename is not null and usename <> 'postgres'";
    let rows = cluster.admin("postgres").await.query(sessions, &[]).await.unwrap();
    let (all, secured): (i64, i64) = (rows[0].try_get(0).unwrap(), rows[0].try_get(1).unwrap());
    assert!(all >= 3 && all == secured, "{secured} of {all} sessions use TLS");

    let path = format!("/v1/clusters/{}", made["id"].as_str().unwrap());
    let problem = house.admin.patch(&path, &json!({"tls_ca": stranger.pem})).await.problem(422, "invalid_request");
    assert_eq!(field(&problem), "/tls_ca");
    let _ = place(&house, &organization, json!({"cluster": "secure"})).await;
}
