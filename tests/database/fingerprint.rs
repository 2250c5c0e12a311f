//! A schema's fingerprint: the same wherever it is, another after any change by hand.

use std::time::Instant;

use rowhouse_database::AdminConnection;
use rowhouse_migrations::{Difference, Error, Fingerprint, difference};
use rowhouse_testkit::{group_database, platform_database, shared_database, tenant_database};

use crate::support::{as_owner, run};

async fn read(connection: &mut AdminConnection, schema: &str) -> Fingerprint {
    rowhouse_migrations::fingerprint(connection.client(), schema).await.unwrap()
}

fn in_words(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn it_is_the_same_for_every_placement_and_in_every_database() {
    let (one, other, group, shared) =
        (tenant_database().await, tenant_database().await, group_database().await, shared_database().await);
    let (first, second) = (group.admit().await, group.admit().await);
    shared.admit().await;
    let expected = read(&mut as_owner(&one.name, "public").await, "public").await;
    assert_eq!(expected.hash.len(), 64);
    for (database, schema) in [
        (&other.name, "public"),
        (&shared.name, "public"),
        (&group.name, first.name.as_str()),
        (&group.name, second.name.as_str()),
    ] {
        let found = read(&mut as_owner(database, "public").await, schema).await;
        assert_eq!(in_words(&difference(&expected, &found)), [""; 0], "{schema}");
        assert_eq!(expected.hash, found.hash, "{schema}");
    }
    // Nothing in it says where it was read.
    for entry in &expected.entries {
        let text = format!("{} {}", entry.name, entry.definition);
        assert!(!text.contains("public.") && !text.contains(&one.name), "{entry:?}");
    }
}

#[tokio::test]
async fn what_a_session_has_set_does_not_show() {
    let database = tenant_database().await;
    let mut plain = as_owner(&database.name, "public").await;
    let mut odd = as_owner(&database.name, "pg_catalog").await;
    run(
        &odd,
        "set datestyle = 'German'; set timezone = 'Asia/Tokyo'; set intervalstyle = 'iso_8601'; set quote_all_identifiers = on;
         set extra_float_digits = -5; set standard_conforming_strings = off; set bytea_output = 'escape'",
    )
    .await;
    // Constants that are spelled by those settings.
    run(
        &plain,
        "create table odd (at timestamptz default '2026-01-02 03:04:05+00', every interval default '1 day 02:00',
             part float8 default 0.1, bytes bytea default '\\x00ff', word text default 'a\\b')",
    )
    .await;
    assert_eq!(read(&mut plain, "public").await, read(&mut odd, "public").await);
    // And the session has what it had.
    let path =
        crate::support::texts(&odd, "select current_setting('search_path') || current_setting('datestyle')").await;
    assert_eq!(path, ["pg_catalog, extensions, pg_tempGerman, DMY"]);
}

#[tokio::test]
async fn how_a_search_path_was_spelled_does_not_show() {
    let database = tenant_database().await;
    let mut connection = as_owner(&database.name, "public").await;
    let before = read(&mut connection, "public").await;
    // As a session has it that was given its path when it began: quotation marks stay.
    run(
        &connection,
        "select set_config('search_path', '\"public\", extensions, pg_temp', false);
         alter function set_updated_at() set search_path from current",
    )
    .await;
    let spelled = "select array_to_string(proconfig, ' ') from pg_proc where proname = 'set_updated_at'";
    assert_eq!(crate::support::texts(&connection, spelled).await, ["search_path=\"public\", extensions, pg_temp"]);
    assert_eq!(read(&mut connection, "public").await, before);
}

#[tokio::test]
async fn every_change_by_hand_is_found_and_named() {
    let pristine = tenant_database().await;
    let expected = read(&mut as_owner(&pristine.name, "public").await, "public").await;
    for (change, names) in [
        (
            "drop index files_tags_idx",
            &["index files_tags_idx is missing: CREATE INDEX files_tags_idx ON files USING gin"][..],
        ),
        ("create index by_hand on files (tenant_id)", &["index by_hand should not be there: CREATE INDEX by_hand"]),
        (
            "update pg_index set indisvalid = false where indexrelid = 'files_tags_idx'::regclass",
            &["index files_tags_idx has changed: expected CREATE INDEX", "; not valid"],
        ),
        (
            "alter table blobs alter column mime_type type varchar(300)",
            &[
                "column blobs.mime_type has changed: expected text, found character varying(300)",
                "constraint blobs.blobs_mime_type_check has changed",
            ],
        ),
        (
            "alter table files alter column size drop not null",
            &["column files.size has changed: expected bigint not null, found bigint"],
        ),
        ("alter table files alter column tags drop default", &["column files.tags has changed"]),
        ("alter table files add column by_hand int", &["column files.by_hand should not be there: integer"]),
        (
            "alter table jobs drop column payload cascade",
            &[
                "column jobs.payload is missing",
                "index jobs_payload_idx is missing",
                "constraint jobs.jobs_payload_check is missing",
            ],
        ),
        (
            "alter table files disable row level security",
            &[
                "table files has changed: expected row-level security; owner rowhouse_owner, found no row-level security; owner rowhouse_owner",
            ],
        ),
        ("alter table files force row level security", &["forced for the owner"]),
        (
            "alter policy tenant_isolation on files using (true)",
            &[
                "policy files.tenant_isolation has changed: expected permissive for all to tenant_app using (tenant_id = app_tenant_id())",
                "found permissive for all to tenant_app using (true)",
            ],
        ),
        (
            "alter policy tenant_isolation on files to public",
            &["policy files.tenant_isolation has changed", "to public"],
        ),
        ("drop policy tenant_isolation on files", &["policy files.tenant_isolation is missing"]),
        (
            "revoke delete on files from tenant_app",
            &[
                "grant table files to tenant_app has changed: expected DELETE, INSERT, SELECT, UPDATE, found INSERT, SELECT, UPDATE",
            ],
        ),
        ("grant select on files to public", &["grant table files to public should not be there: SELECT"]),
        ("grant update (name) on files to public", &["grant column files.name to public should not be there: UPDATE"]),
        (
            "grant execute on function set_updated_at() to public",
            &["grant function set_updated_at() to public should not be there: EXECUTE"],
        ),
        (
            "create or replace function set_updated_at() returns trigger language plpgsql set search_path from current as 'begin return new; end'",
            &["function set_updated_at() has changed"],
        ),
        (
            "alter function app_tenant_id() security definer",
            &["function app_tenant_id() has changed", "security definer"],
        ),
        (
            "alter function set_updated_at() set search_path = pg_catalog",
            &[
                "function set_updated_at() has changed",
                "set search_path={schema}, extensions, pg_temp",
                "set search_path=pg_catalog",
            ],
        ),
        (
            "alter table files disable trigger files_set_updated_at",
            &["trigger files.files_set_updated_at has changed", "; disabled"],
        ),
        ("drop trigger files_set_updated_at on files", &["trigger files.files_set_updated_at is missing"]),
        (
            "alter table files drop constraint files_size_check",
            &["constraint files.files_size_check is missing: CHECK (size >= 0)"],
        ),
        (
            "alter table files add constraint by_hand check (size < 5) not valid",
            &["constraint files.by_hand should not be there: CHECK (size < 5) NOT VALID"],
        ),
        (
            "create table by_hand (id int primary key)",
            &["table by_hand should not be there: no row-level security; owner rowhouse_owner"],
        ),
        ("drop table idempotency_keys", &["table idempotency_keys is missing"]),
        ("alter table jobs set (fillfactor = 70)", &["table jobs has changed", "fillfactor=70"]),
        ("create view by_hand as select id from files", &["view by_hand should not be there"]),
        ("create type by_hand as enum ('a', 'b')", &["type by_hand should not be there: enum ('a', 'b')"]),
        (
            "create domain by_hand as int check (value > 0)",
            &["type by_hand should not be there: domain integer", "constraint by_hand."],
        ),
        ("create sequence by_hand increment 2", &["sequence by_hand should not be there: bigint start 1 increment 2"]),
        (
            "create statistics by_hand on name, size from files",
            &["statistics by_hand should not be there: CREATE STATISTICS by_hand ON name, size FROM files"],
        ),
        ("create rule by_hand as on delete to files do instead nothing", &["rule files.by_hand should not be there"]),
    ] {
        let database = tenant_database().await;
        // As a superuser inside the owner's schema: changes by hand know no rules.
        let admin = rowhouse_testkit::TestCluster::get().admin(&database.name).await;
        let as_who = if change.starts_with("update pg_index") { "reset role" } else { "set role rowhouse_owner" };
        run(&admin, &format!("set search_path = public, extensions, pg_temp; {as_who}; {change}; reset role")).await;
        let found = read(&mut as_owner(&database.name, "public").await, "public").await;
        assert_ne!(found.hash, expected.hash, "{change}");
        let differences = difference(&expected, &found);
        let words = in_words(&differences).join("\n");
        for name in names {
            assert!(words.contains(name), "{change}: `{name}` is not in\n{words}");
        }
        // A table as a whole is one difference, with what hangs on it and has a name of its own.
        assert!(differences.len() <= 5, "{change}:\n{words}");
    }
}

#[tokio::test]
async fn a_grant_to_the_tenants_login_does_not_name_it() {
    let database = tenant_database().await;
    let mut connection = as_owner(&database.name, "public").await;
    let before = read(&mut connection, "public").await;
    run(&connection, &format!("grant truncate on files to {}", rowhouse_database::quote_ident(&database.name))).await;
    let after = read(&mut connection, "public").await;
    assert_eq!(in_words(&difference(&before, &after)), ["grant table files to {login} should not be there: TRUNCATE"]);
}

#[tokio::test]
async fn a_column_that_came_and_went_leaves_no_trace() {
    let database = tenant_database().await;
    let mut connection = as_owner(&database.name, "public").await;
    let before = read(&mut connection, "public").await;
    run(&connection, "alter table files add column by_hand int; alter table files drop column by_hand").await;
    // Nor does what a backfill under way remembers.
    run(&connection, "create table rowhouse_backfill (version int primary key)").await;
    assert_eq!(read(&mut connection, "public").await, before);
}

#[tokio::test]
async fn the_platforms_own_schema_has_one_too_whatever_partitions_it_has() {
    let (one, other) = (platform_database().await, platform_database().await);
    let mut connection = as_owner(&one.name, "public").await;
    run(&connection, "select ensure_log_partitions()").await;
    let first = read(&mut connection, "public").await;
    let second = read(&mut as_owner(&other.name, "public").await, "public").await;
    assert_eq!(in_words(&difference(&first, &second)), [""; 0]);
    assert!(first.entries.len() > 300, "{}", first.entries.len());
}

#[tokio::test]
async fn a_schema_that_is_not_there_or_not_ours_to_use_has_none() {
    let database = tenant_database().await;
    let mut connection = as_owner(&database.name, "public").await;
    let missing = rowhouse_migrations::fingerprint(connection.client(), "nowhere").await;
    assert!(matches!(missing, Err(Error::NoSchema)), "{missing:?}");
    // Without the right to use it, names would be spelled in another way.
    run(&connection, "reset role").await;
    let forbidden = rowhouse_migrations::fingerprint(connection.client(), "public").await;
    assert!(matches!(forbidden, Err(Error::NoSchema)), "{forbidden:?}");
}

#[tokio::test]
async fn it_takes_milliseconds() {
    let database = tenant_database().await;
    let mut connection = as_owner(&database.name, "public").await;
    read(&mut connection, "public").await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        read(&mut connection, "public").await;
        times.push(started.elapsed());
    }
    times.sort();
    // 10 ms on a machine of its own; beside other tests only the order of magnitude can be held.
    assert!(times[0].as_millis() < 50, "{times:?}");
}
