//! What holds for every table of a set, so that no later migration forgets it.

use rowhouse_database::AdminConnection;
use rowhouse_testkit::{TestCluster, group_database, platform_database, shared_database, tenant_database};

use crate::support::{number, run, texts};

/// Tables of ours in `public`, without partitions and without refinery's own.
const OUR_TABLES: &str = "
    with ours as (
        select class.oid, class.relname, class.relkind, class.relrowsecurity
        from pg_class class
        where class.relnamespace = 'public'::regnamespace and class.relkind in ('r', 'p')
          and not class.relispartition and class.relname <> 'refinery_schema_history'
    )";

async fn assert_none(connection: &AdminConnection, rule: &str, sql: &str) {
    let offenders = texts(connection, &format!("{OUR_TABLES} {sql}")).await;
    assert!(offenders.is_empty(), "{rule}: {offenders:#?}");
}

async fn assert_rules(connection: &AdminConnection, rules: &[(&str, &str)]) {
    for (rule, sql) in rules {
        assert_none(connection, rule, sql).await;
    }
}

/// Rules of both sets.
const COMMON: &[(&str, &str)] = &[
    (
        "points in time carry their zone",
        "select format('%s.%s', relname, attname) from ours join pg_attribute on attrelid = ours.oid
         where atttypid = 'timestamp'::regtype and attnum > 0",
    ),
    (
        "every table says when a row was made",
        "select relname from ours where not exists (
             select from pg_attribute where attrelid = ours.oid and attname in ('created_at', 'timestamp') and not attisdropped)",
    ),
    (
        "what can change says when it did",
        "select relname from ours where relkind = 'r' and relname not in ('search_vocabulary', 'workspace_counters') and not exists (
             select from pg_attribute where attrelid = ours.oid and attname = 'updated_at' and not attisdropped)",
    ),
    (
        "updated_at has its trigger",
        "select relname from ours join pg_attribute on attrelid = ours.oid and attname = 'updated_at'
         where not exists (
             select from pg_trigger join pg_proc on pg_proc.oid = tgfoid
             where tgrelid = ours.oid and proname = 'set_updated_at')",
    ),
    (
        "every foreign key is the beginning of an index",
        "select format('%s (%s)', relname, conname) from ours join pg_constraint on conrelid = ours.oid and contype = 'f'
         where not exists (
             select from pg_index where indrelid = ours.oid
               and (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)",
    ),
    (
        "every JSONB column has a GIN index",
        "select format('%s.%s', relname, attname) from ours join pg_attribute on attrelid = ours.oid
         where atttypid = 'jsonb'::regtype and attnum > 0 and not attisdropped
           and not exists (
             select from pg_index join pg_class index on index.oid = indexrelid join pg_am on pg_am.oid = index.relam
             where indrelid = ours.oid and amname = 'gin' and attnum = any (indkey))",
    ),
    (
        "definer functions fix their search path and are not for everyone",
        "select proname::text from pg_proc
         where prosecdef and pronamespace = 'public'::regnamespace
           and (not exists (select from unnest(proconfig) setting where setting like 'search_path=%')
                or proacl is null
                or exists (select from aclexplode(proacl) where grantee = 0 and privilege_type = 'EXECUTE'))",
    ),
    (
        "tables belong to rowhouse_owner",
        "select relname from ours join pg_class using (oid, relname) join pg_roles on pg_roles.oid = relowner where rolname <> 'rowhouse_owner'",
    ),
    (
        "the public has no rights",
        "select relname from ours join pg_class using (oid, relname), aclexplode(relacl) where grantee = 0",
    ),
    (
        "nobody but the owner may truncate",
        "select relname from ours join pg_class using (oid, relname), aclexplode(relacl)
         where privilege_type = 'TRUNCATE' and grantee <> relowner",
    ),
    (
        "a partitioned table has a DEFAULT partition",
        "select relname from ours where relkind = 'p'
           and not exists (select from pg_partitioned_table where partrelid = ours.oid and partdefid <> 0)",
    ),
    (
        "views run with the rights of who asks, and none is materialised",
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace
           and (relkind = 'm' or relkind = 'v' and not coalesce('security_invoker=true' = any (reloptions), false))",
    ),
];

/// Rules of tenant databases: the three invariants.
const TENANT: &[(&str, &str)] = &[
    (
        "tenant_id is there, never null, and comes from the pin",
        "select relname from ours where not exists (
             select from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
             where attrelid = ours.oid and attname = 'tenant_id' and atttypid = 'uuid'::regtype and attnotnull
               and pg_get_expr(adbin, adrelid) = 'app_tenant_id()')",
    ),
    (
        "tenant_id comes first in the primary key",
        "select relname from ours where not exists (
             select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
             where indrelid = ours.oid and indisprimary and attname = 'tenant_id')",
    ),
    (
        "tenant_id comes first in every unique key",
        "select indexrelid::regclass::text from ours join pg_index on indrelid = ours.oid
         where indisunique and not exists (
             select from pg_attribute where attrelid = indrelid and attname = 'tenant_id' and attnum = indkey[0])",
    ),
    (
        "tenant_id is part of every foreign key, so no reference crosses tenants",
        "select conname::text from ours join pg_constraint on conrelid = ours.oid and contype = 'f'
         where not exists (
             select from pg_attribute where attrelid = conrelid and attname = 'tenant_id' and attnum = conkey[1])",
    ),
    ("row-level security is on", "select relname from ours where not relrowsecurity"),
    (
        "one policy for every command, on the pin, both for reading and writing; others only narrow it",
        "select relname from ours where (select count(*) from pg_policy where polrelid = ours.oid and polpermissive) <> 1
           or not exists (
             select from pg_policy where polrelid = ours.oid and polcmd = '*'
               and pg_get_expr(polqual, polrelid) = '(tenant_id = app_tenant_id())'
               and pg_get_expr(polwithcheck, polrelid) = '(tenant_id = app_tenant_id())')",
    ),
    (
        "no enum and no numeric: their comparisons are not leakproof and keep row-level security off the index",
        "select format('%s.%s', relname, attname) from ours join pg_attribute on attrelid = ours.oid
         join pg_type on pg_type.oid = atttypid
         where attnum > 0 and not attisdropped and (typtype = 'e' or typname = 'numeric')",
    ),
    (
        "definer functions that return rows look at the pin themselves",
        "select proname::text from pg_proc where prosecdef and proretset and pronamespace = 'public'::regnamespace
           and prosrc !~ 'app_tenant_id\\(\\)'",
    ),
    (
        "extensions are not a tenant's to drop",
        "select extname::text from pg_extension where extname <> 'plpgsql' and extnamespace <> 'extensions'::regnamespace",
    ),
    (
        "tenants are granted tables and functions, never schemas or sequences of others",
        "select nspname::text from pg_namespace, aclexplode(nspacl) join pg_roles on pg_roles.oid = grantee
         where nspname = 'public' and rolname = 'tenant_app'",
    ),
];

#[tokio::test]
async fn every_tenant_table_holds_the_invariants() {
    let database = tenant_database().await;
    let connection = TestCluster::get().admin(&database.name).await;
    assert_rules(&connection, COMMON).await;
    assert_rules(&connection, TENANT).await;
}

/// The same rules in the other placements: in a shared database, and in each tenant's schema of a group's.
#[tokio::test]
async fn every_table_holds_the_invariants_where_tenants_live_together() {
    let shared = shared_database().await;
    let connection = TestCluster::get().admin(&shared.name).await;
    assert_rules(&connection, COMMON).await;
    assert_rules(&connection, TENANT).await;

    let group = group_database().await;
    let tenants = [group.admit().await, group.admit().await];
    let connection = TestCluster::get().admin(&group.name).await;
    for tenant in &tenants {
        // As it reads for the tenant: names of its own schema need no schema before them.
        run(&connection, &format!("set search_path = {}, extensions", tenant.name)).await;
        for (rule, sql) in COMMON.iter().chain(TENANT) {
            let schema = format!("'{}'", tenant.name);
            let offenders = texts(&connection, &format!("{OUR_TABLES} {sql}").replace("'public'", &schema)).await;
            assert!(offenders.is_empty(), "{rule} in a schema of its own: {offenders:#?}");
        }
        let tables = format!("select count(*) from pg_tables where schemaname = '{}'", tenant.name);
        assert!(number(&connection, &tables).await > 10, "the rules looked at nothing");
    }
}

#[tokio::test]
async fn every_platform_table_keeps_the_rules() {
    let database = platform_database().await;
    let connection = TestCluster::get().admin(&database.name).await;
    assert_rules(&connection, COMMON).await;
}

#[tokio::test]
async fn the_two_sets_never_mix() {
    let database = platform_database().await;
    let platform = TestCluster::get().admin(&database.name).await;
    let tenant = tenant_database().await;
    let tenant_connection = TestCluster::get().admin(&tenant.name).await;
    let all = format!("{OUR_TABLES} select relname::text from ours order by 1");
    let (platform, tenant) = (texts(&platform, &all).await, texts(&tenant_connection, &all).await);
    // A retried request is remembered where its effect is, so both sets have this table.
    let shared: Vec<_> = platform.iter().filter(|name| tenant.contains(name) && *name != "idempotency_keys").collect();
    assert!(shared.is_empty(), "in both sets: {shared:?}");
    for name in ["organizations", "tenants", "users", "clusters", "audit_logs", "operations", "org_usage_logs"] {
        assert!(platform.iter().any(|table| table == name), "{name} is missing in {platform:?}");
    }
    for name in ["files", "folders", "workspaces", "blobs", "file_versions", "jobs", "upload_intents"] {
        assert!(tenant.iter().any(|table| table == name), "{name} is missing in {tenant:?}");
    }
}

/// A rule that finds nothing proves nothing: each must name a table made to break it.
#[tokio::test]
async fn the_rules_notice_what_breaks_them() {
    let database = tenant_database().await;
    let connection = TestCluster::get().admin(&database.name).await;
    connection
        .run(
            "create table careless (id uuid primary key, at timestamp, updated_at timestamptz, file_id uuid,
                 state jsonb, amount numeric, foreign key (file_id) references tenant_identity (tenant_id));
             create table careless_of_time (id uuid);
             grant truncate on careless to public;
             create view careless_view as select 1 as one;
             create function careless_function() returns setof int language sql security definer as 'select 1';
             create table careless_log (created_at timestamptz) partition by range (created_at);
             grant usage on schema public to tenant_app",
        )
        .await
        .unwrap();
    for (rule, sql) in COMMON.iter().chain(TENANT) {
        // Only a superuser could break this one.
        if rule.starts_with("extensions are") {
            continue;
        }
        let offenders = texts(&connection, &format!("{OUR_TABLES} {sql}")).await;
        assert!(!offenders.is_empty(), "nothing breaks the rule: {rule}");
    }
}
