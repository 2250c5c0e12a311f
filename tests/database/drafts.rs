//! Statements that are drafted from a changed schema: applied to an unchanged one, they make the same of it.

use rowhouse_database::AdminConnection;
use rowhouse_migration_files::{Drawn, draft};
use rowhouse_migrations::{Options, Set, difference, undo_to, unobserved};
use rowhouse_testkit::tenant_database;

use crate::support::{as_owner, run};

async fn draw(connection: &mut AdminConnection) -> Drawn {
    Drawn {
        fingerprint: rowhouse_migrations::fingerprint(connection.client(), "public").await.unwrap(),
        functions: rowhouse_migrations::functions(connection.client(), "public").await.unwrap(),
    }
}

fn left(expected: &Drawn, found: &Drawn) -> Vec<String> {
    difference(&expected.fingerprint, &found.fingerprint).iter().map(ToString::to_string).collect()
}

/// Every kind of object: made, changed and dropped.
const CHANGES: &str = r#"
    create type colour as enum ('red', 'green');
    create sequence ticket_numbers start 100 increment 5;
    grant usage on sequence ticket_numbers to tenant_app;
    create table labels (
        tenant_id uuid not null default app_tenant_id(),
        id uuid not null default gen_random_uuid(),
        "Name" text not null default 'a default b',
        "order" integer generated always as identity,
        shade colour not null default 'red',
        lower_name text generated always as (lower("Name")) stored,
        file_id uuid,
        created_at timestamptz not null default now(),
        constraint labels_pkey primary key (tenant_id, id),
        constraint labels_name_check check ("Name" <> ''),
        constraint labels_file_id_fkey foreign key (tenant_id, file_id) references files (tenant_id, id) on delete cascade
    ) with (fillfactor = 90);
    alter table labels enable row level security;
    alter table labels force row level security;
    create policy labels_policy on labels for all to tenant_app
        using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
    grant select, insert on labels to tenant_app;
    grant update ("Name") on labels to tenant_app;
    create unique index labels_name_idx on labels (tenant_id, lower("Name")) where shade = 'red';
    create function label_count(of_file uuid default null) returns bigint language sql stable
        return (select count(*) from labels where file_id = of_file);
    revoke all on function label_count(uuid) from public;
    grant execute on function label_count(uuid) to tenant_app;
    create function shout() returns trigger language plpgsql set search_path from current as $$
    begin
        new."Name" := upper(new."Name");
        return new;
    end
    $$;
    create trigger labels_shout before insert on labels for each row execute function shout();
    create view red_labels with (security_invoker = true) as select id, "Name" from labels where shade = 'red';
    grant select on red_labels to tenant_app;
    create statistics labels_statistics (dependencies) on tenant_id, file_id from labels;

    alter table workspaces add column motto text;
    alter table workspaces add column weight integer not null default 1;
    alter table workspaces alter column name set default 'nameless';
    alter table workspaces add constraint workspaces_weight_check check (weight > 0);
    create index workspaces_motto_idx on workspaces (tenant_id, motto);
    grant trigger on workspaces to tenant_app;
    create trigger workspaces_touch before update on workspaces for each row execute function set_updated_at();
    alter table jobs drop constraint jobs_kind_check;
    alter table jobs add constraint jobs_kind_check check (length(kind) < 100);
    alter table jobs alter column kind type varchar(100);
    alter table jobs alter column last_error set not null;
    drop index jobs_usage_idx;
    revoke delete on jobs from tenant_app;
"#;

#[tokio::test]
async fn a_draft_makes_of_one_schema_what_it_was_drafted_from_and_back() {
    let (changed, plain) = (tenant_database().await, tenant_database().await);
    let (mut changed, mut plain) = (as_owner(&changed.name, "public").await, as_owner(&plain.name, "public").await);
    let before = draw(&mut plain).await;
    run(&changed, CHANGES).await;
    let after = draw(&mut changed).await;
    for (from, to) in [(&before, &after), (&after, &before)] {
        let drafted = draft(from, to);
        assert!(!drafted.contains("Not drafted") && !drafted.contains("public."), "{drafted}");
        plain.run(&drafted).await.unwrap_or_else(|error| panic!("{drafted}\n{error:?}"));
        let found = draw(&mut plain).await;
        assert_eq!(left(to, &found), [""; 0], "{drafted}");
    }
    assert_eq!(draft(&after, &after), "");
}

#[tokio::test]
async fn a_draft_can_make_the_whole_release_from_its_first_migration() {
    let (whole, plain) = (tenant_database().await, tenant_database().await);
    let (mut whole, mut plain) = (as_owner(&whole.name, "public").await, as_owner(&plain.name, "public").await);
    undo_to(plain.client(), Set::Tenant.migrations(), 1, &Options::default(), &unobserved).await.unwrap();
    let (from, to) = (draw(&mut plain).await, draw(&mut whole).await);
    let drafted = draft(&from, &to);
    plain.run(&drafted).await.unwrap_or_else(|error| panic!("{drafted}\n{error:?}"));
    let found = draw(&mut plain).await;
    assert_eq!(left(&to, &found), [""; 0], "{drafted}");
}

#[tokio::test]
async fn what_can_not_be_drafted_is_named() {
    let (changed, plain) = (tenant_database().await, tenant_database().await);
    let (mut changed, mut plain) = (as_owner(&changed.name, "public").await, as_owner(&plain.name, "public").await);
    run(&changed, "create domain short as text check (length(value) < 5); alter table jobs replica identity full")
        .await;
    let drafted = draft(&draw(&mut plain).await, &draw(&mut changed).await);
    assert!(drafted.lines().all(|line| line.starts_with("-- ")), "{drafted}");
    for name in ["type short", "constraint short.short_check", "table jobs"] {
        assert!(drafted.contains(&format!("--     {name}")), "{name}: {drafted}");
    }
}
