//! Who may log in where, and whose rights they have.

use rowhouse_database::{AdminConnection, Tls};
use rowhouse_testkit::{TestCluster, platform_database, tenant_database};

use crate::support::{number, refused, run, texts};

#[tokio::test]
async fn no_login_inherits_the_owner() {
    let admin = TestCluster::get().admin("postgres").await;
    // The owner's rights lift row-level security: only `set role` may lend them, and only to rowhouse_control.
    let inheriting = texts(
        &admin,
        "with recursive members (member, inherits) as (
             select member, true from pg_auth_members where roleid = 'rowhouse_owner'::regrole
             union
             select next.member, true from pg_auth_members next join members on next.roleid = members.member
         )
         select distinct rolname::text from members join pg_roles on pg_roles.oid = member
         where rolcanlogin and (rolinherit or rolname <> 'rowhouse_control')",
    )
    .await;
    assert!(inheriting.is_empty(), "{inheriting:?}");
}

#[tokio::test]
async fn no_service_login_is_more_than_it_needs() {
    let admin = TestCluster::get().admin("postgres").await;
    let too_mighty = texts(
        &admin,
        "select rolname::text from pg_roles
         where rolname in ('rowhouse_owner', 'rowhouse_control', 'rowhouse_data', 'tenant_app')
           and (rolsuper or rolbypassrls or rolreplication)",
    )
    .await;
    assert!(too_mighty.is_empty(), "{too_mighty:?}");
}

#[tokio::test]
async fn a_tenant_logs_in_to_its_own_database_only() {
    let tenants = [tenant_database().await, tenant_database().await, tenant_database().await];
    for tenant in &tenants {
        for other in &tenants {
            let answer = AdminConnection::open(&tenant.address(), &other.name, &Tls::Disabled).await;
            assert_eq!(answer.is_ok(), tenant.name == other.name, "{} -> {}", tenant.name, other.name);
        }
        for database in ["saas_platform", "postgres", "template1", "rowhouse_base"] {
            let answer = AdminConnection::open(&tenant.address(), database, &Tls::Disabled).await;
            assert!(answer.is_err(), "{} -> {database}", tenant.name);
        }
    }
}

#[tokio::test]
async fn the_data_plane_login_writes_through_functions_only() {
    let platform = platform_database().await;
    let data = AdminConnection::open(&TestCluster::get().data(), &platform.name, &Tls::Disabled).await.unwrap();
    let admin = TestCluster::get().admin(&platform.name).await;
    let writable = texts(
        &admin,
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and has_table_privilege('rowhouse_data', oid, 'insert, update, delete, truncate')",
    )
    .await;
    assert!(writable.is_empty(), "{writable:?}");
    assert_eq!(refused(&data, "select key_hash from platform_api_keys").await.code(), "42501");
    assert_eq!(refused(&data, "set role rowhouse_owner").await.code(), "42501");
}

#[tokio::test]
async fn the_audit_log_only_grows() {
    let platform = platform_database().await;
    let control = AdminConnection::open(&TestCluster::get().control(), &platform.name, &Tls::Disabled).await.unwrap();
    run(
        &control,
        "insert into audit_logs (actor_kind, action, resource_type, outcome) values ('system', 'test.row', 'test', 'success')",
    )
    .await;
    for sql in ["update audit_logs set action = 'forged'", "delete from audit_logs", "truncate audit_logs"] {
        assert_eq!(refused(&control, sql).await.code(), "42501", "{sql}");
    }
    // Not even as the owner, to whom no right can be denied.
    run(&control, "set role rowhouse_owner").await;
    for sql in ["update audit_logs set action = 'forged'", "delete from audit_logs", "truncate audit_logs"] {
        let _ = refused(&control, sql).await;
    }
    assert_eq!(number(&control, "select count(*) from audit_logs where action = 'test.row'").await, 1);
}

#[tokio::test]
async fn a_server_finds_out_by_itself_that_an_administrators_host_is_gone() {
    // Each of them is nought or hours by itself, and the locks of a migration would be held as long.
    let admin = TestCluster::get().admin("postgres").await;
    for (name, expected) in [
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "20000"),
        ("client_connection_check_interval", "5s"),
    ] {
        assert_eq!(texts(&admin, &format!("select current_setting('{name}')")).await, [expected], "{name}");
    }
}
