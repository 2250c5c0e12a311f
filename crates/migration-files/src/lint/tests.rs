//! Each rule by a file that breaks it.

use rowhouse_migrations::{Migrations, Set};

use super::{Finding, lint};

const HEADING: &str = "-- Why: a test.\n-- Locks: none.\n";

/// Findings of a set with one migration, whose undo file is right.
fn of(set: Set, forward: &str) -> Vec<Finding> {
    of_pair(set, forward, Some("-- Undoes V1.\nselect 1;"))
}

fn of_pair(set: Set, forward: &str, undo: Option<&str>) -> Vec<Finding> {
    let folder = tempfile::tempdir().expect("a folder for a test");
    std::fs::create_dir(folder.path().join("undo")).expect("a folder for a test");
    std::fs::write(folder.path().join("V1__a.sql"), forward).expect("a file for a test");
    if let Some(undo) = undo {
        std::fs::write(folder.path().join("undo/1__a.sql"), undo).expect("a file for a test");
    }
    lint(&Migrations::read(set, folder.path()).expect("a set"))
}

fn rules(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.rule.as_str()).collect()
}

#[test]
fn what_would_hurt_is_named_with_the_safe_way() {
    for (sql, rule) in [
        ("create index a_b_idx on a (b);", "require-concurrent-index-creation"),
        ("create index concurrently a_b_idx on a (b);", "concurrent-in-transaction"),
        ("drop index a_b_idx;", "require-concurrent-index-deletion"),
        ("alter table a alter column b type bigint;", "changing-column-type"),
        ("alter table a alter column b set not null;", "adding-not-nullable-field"),
        ("alter table a add column b int not null;", "adding-required-field"),
        ("alter table a add column b timestamptz default clock_timestamp();", "adding-field-with-default"),
        ("alter table a add constraint b foreign key (c) references d (e);", "adding-foreign-key-constraint"),
        ("alter table a add constraint b check (c > 0);", "constraint-missing-not-valid"),
        ("alter table a add constraint b unique (c);", "disallowed-unique-constraint"),
        ("alter table a rename column b to c;", "renaming-column"),
        ("alter table a rename to b;", "renaming-table"),
        ("alter table a drop column b;", "ban-drop-column"),
        ("drop table a;", "ban-drop-table"),
        ("truncate a cascade;", "ban-truncate-cascade"),
        ("begin; select 1; commit;", "transaction-nesting"),
        ("select select from;", "syntax"),
        ("-- squawk-ignore ban-drop-table\ndrop table a;", "squawk-ignore"),
    ] {
        let found = of(Set::Platform, &format!("{HEADING}{sql}"));
        let finding = found.iter().find(|finding| finding.rule == rule).unwrap_or_else(|| panic!("{sql}: {found:#?}"));
        assert!(finding.line >= 3 && !finding.safe_way.is_empty() && !finding.message.is_empty(), "{finding:?}");
        assert_eq!((finding.file.as_str(), finding.set), ("V1__a.sql", "platform"));
    }
}

#[test]
fn new_tables_can_have_all_that_at_once() {
    let sql = "create table a (id int primary key, b int not null);
        create index a_b_idx on a (b);
        alter table a add constraint c check (b > 0);";
    assert_eq!(rules(&of(Set::Platform, &format!("{HEADING}{sql}"))), [""; 0]);
}

#[test]
fn a_tenants_table_names_its_tenant_and_has_a_policy() {
    let policy = "alter table a enable row level security;
        create policy tenant_isolation on a to tenant_app using (tenant_id = app_tenant_id());";
    let key = "create table a (tenant_id uuid, id uuid, constraint a_pkey primary key (tenant_id, id));";
    let check = |sql: &str, expected: &[&str]| {
        assert_eq!(rules(&of(Set::Tenant, &format!("{HEADING}{sql}"))), expected, "{sql}");
    };
    check(&format!("{key}{policy}"), &[]);
    check(&format!("create table a (tenant_id uuid primary key, b int);{policy}"), &[]);
    check(
        &format!("create table a (id uuid, tenant_id uuid, primary key (id, tenant_id));{policy}"),
        &["tenant-id-first"],
    );
    check(&format!("create table a (id uuid primary key);{policy}"), &["tenant-id-first"]);
    check(&format!("create table a (tenant_id uuid);{policy}"), &["tenant-id-first"]);
    check(key, &["missing-policy"]);
    check("create table a as select 1 as tenant_id;", &["table-from-query"]);
    check("select 1 as tenant_id into a;", &["table-from-query"]);
    check("create temp table a as select 1; select 1 into temp b;", &[]);
    check("drop policy tenant_isolation on a;", &["policy-taken-away"]);
    check("alter table a disable row level security;", &["policy-taken-away"]);
    check("drop policy tenant_isolation on a; create policy tenant_isolation on a using (true);", &[]);
    check(&format!("{key} alter table a enable row level security;"), &["missing-policy"]);
    check(&format!("{key}{}", policy.replace(" on a ", " on b ")), &["missing-policy"]);
    check("create temporary table a (id int);", &[]);
    assert_eq!(rules(&of(Set::Platform, &format!("{HEADING}{key}"))), [""; 0]);
}

#[test]
fn outside_a_transaction_and_in_a_backfill_there_is_one_statement_that_fits() {
    let check = |sql: &str, expected: &[&str]| {
        let (first, rest) = sql.split_once('\n').expect("two lines");
        assert_eq!(rules(&of(Set::Tenant, &format!("{first}\n{HEADING}{rest}"))), expected, "{sql}");
    };
    check("-- rowhouse: no-transaction\ncreate index concurrently if not exists a_b on a (b);", &[]);
    check("-- rowhouse: no-transaction\ncreate index concurrently a_b on a (b);", &["repeatable"]);
    check("-- rowhouse: no-transaction\nselect 1; select 2;", &["one-statement"]);
    check("-- rowhouse: no-transaction\n-- nothing", &["one-statement"]);
    check("-- rowhouse: backfill table=a\nupdate a set b = 1 where id in (select id from batch);", &[]);
    check("-- rowhouse: backfill table=a\nupdate a set b = 1; -- batch", &["batch-unused"]);
    check("-- rowhouse: backfill table=a\nselect 1 from batch; select 2;", &["one-statement"]);
}

#[test]
fn a_migration_says_why_and_how_to_go_back() {
    assert_eq!(rules(&of(Set::Tenant, "select 1;")), ["missing-why"]);
    assert_eq!(rules(&of(Set::Tenant, "-- Why:\n-- Locks: none.\nselect 1;")), ["missing-why"]);
    assert_eq!(rules(&of_pair(Set::Tenant, &format!("{HEADING}select 1;"), None)), ["missing-undo"]);
    let undo = "-- rowhouse: no-transaction\ndrop index concurrently a; select 1;";
    assert_eq!(
        rules(&of_pair(Set::Tenant, &format!("{HEADING}select 1;"), Some(undo))),
        ["one-statement", "repeatable"]
    );
    let undo = "drop table a; commit;";
    let found = of_pair(Set::Tenant, &format!("{HEADING}select 1;"), Some(undo));
    assert_eq!((rules(&found), found[0].file.as_str()), (vec!["transaction-nesting"], "undo/1__a.sql"));
}

#[test]
fn a_rule_is_broken_knowingly_or_not_at_all() {
    let allowed = format!("{HEADING}-- rowhouse: allow ban-drop-table nobody reads it since 0.3\ndrop table a;");
    assert_eq!(rules(&of(Set::Tenant, &allowed)), [""; 0]);
    let needless = format!("{HEADING}-- rowhouse: allow ban-drop-table nobody reads it since 0.3\nselect 1;");
    assert_eq!(rules(&of(Set::Tenant, &needless)), ["unused-allowance"]);
}

#[test]
fn our_own_migrations_pass() {
    for set in [Set::Platform, Set::Tenant] {
        let found = lint(set.migrations());
        assert!(found.is_empty(), "{found:#?}");
    }
}
