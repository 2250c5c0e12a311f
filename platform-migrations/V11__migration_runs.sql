-- Why: migrating all tenants' schemas in runs that can be watched, halted and resumed, and knowing where each schema stands.
-- Locks: none that matter, the tables are new.

create type migration_direction as enum ('up', 'down');
create type migration_order as enum ('smallest', 'oldest', 'random');
create type migration_verify as enum ('all', 'canaries');
create type migration_run_state as enum ('running', 'paused', 'halted', 'cancelled', 'done');
create type migration_phase as enum ('canary', 'soak', 'fleet');
create type migration_rehearsal as enum ('clone', 'in_place');
create type schema_migration_state as enum ('running', 'done', 'failed', 'skipped');

-- Schemas that runs pass by, or take only so far. A schema is a tenant's, by the tenant's id, or the one that the tenants of a
-- shared database have in common, by that database's id.
create table migration_holds (
    schema_id uuid not null,
    reason text not null,
    -- It may be brought up to this one; none: it stays where it is.
    version integer,
    held_by_kind actor_kind not null,
    held_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint migration_holds_pkey primary key (schema_id),
    constraint migration_holds_reason_check check (reason <> '' and length(reason) <= 1000),
    constraint migration_holds_version_check check (version > 0)
);
create trigger migration_holds_set_updated_at before update on migration_holds for each row execute function set_updated_at();

create table migration_runs (
    id uuid not null default gen_random_uuid(),
    direction migration_direction not null,
    target_version integer not null,
    -- Which schemas: `type`, `cluster_id`, `organization_id`, `tenant_id`; all of them where it is empty.
    selection jsonb not null default '{}',
    ordering migration_order not null,
    -- Which schemas are compared with their template as soon as they are migrated.
    verify migration_verify not null default 'all',
    -- Schemas that go first, and for how long they are watched before the others follow.
    canaries integer not null,
    soak_seconds integer not null,
    batch_size integer not null,
    pause_seconds integer not null,
    -- At once, over all workers.
    parallelism integer not null,
    -- It also halts where the data plane fails a canary's requests more often, in percent. None: nobody counts.
    max_error_rate double precision,
    -- The run halts at so many failures.
    max_failures integer not null,
    lock_timeout_ms integer not null,
    statement_timeout_ms integer not null,
    -- It only tries out what it would do, there. None: it is in earnest.
    dry_run migration_rehearsal,
    -- For how long it may hold its locks in a live schema where it tries it out there.
    lock_cap_ms integer not null,
    -- It goes on also where a data plane that is up does not serve the target.
    ignores_served_versions boolean not null default false,
    state migration_run_state not null default 'running',
    phase migration_phase not null,
    -- Why it is halted, paused or cancelled.
    reason text,
    -- Nothing is begun before: the canaries are watched, or there is a pause between two batches.
    waits_until timestamptz,
    -- Schemas begun since the last pause.
    begun_in_batch integer not null default 0,
    -- Schemas that it ended without, since they differ from their template.
    blocked bigint not null default 0,
    started_by_kind actor_kind not null,
    started_by uuid,
    ended_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint migration_runs_pkey primary key (id),
    constraint migration_runs_target_version_check check (target_version >= 0),
    constraint migration_runs_selection_check check (jsonb_typeof(selection) = 'object'),
    constraint migration_runs_numbers_check check (
        canaries >= 0 and soak_seconds >= 0 and batch_size > 0 and pause_seconds >= 0 and parallelism > 0 and max_failures > 0
        and lock_timeout_ms > 0 and statement_timeout_ms > 0 and lock_cap_ms > 0 and begun_in_batch >= 0),
    constraint migration_runs_max_error_rate_check check (max_error_rate between 0 and 100),
    constraint migration_runs_dry_run_check check (dry_run is null or direction = 'up'),
    constraint migration_runs_ended_at_check check ((state in ('cancelled', 'done')) = (ended_at is not null))
);
create index migration_runs_state_idx on migration_runs (state, id);
create index migration_runs_selection_idx on migration_runs using gin (selection jsonb_path_ops);
create trigger migration_runs_set_updated_at before update on migration_runs for each row execute function set_updated_at();

-- What a run did with each schema that it has begun.
create table migration_run_schemas (
    run_id uuid not null,
    schema_id uuid not null,
    -- The tenant's, or the shared database's: kept for when it is gone.
    name text not null,
    phase migration_phase not null,
    state schema_migration_state not null default 'running',
    attempts integer not null default 1,
    from_version integer not null,
    to_version integer,
    -- Of `version`, `name`, `milliseconds`, `attempts`; of a dry run with `outcome` and `locks` instead of `attempts`.
    steps jsonb not null default '[]',
    error text,
    sqlstate text,
    -- Where it was tried out, and why not where the run says.
    rehearsed migration_rehearsal,
    note text,
    worker text,
    -- Past it, the worker is taken for dead and anyone may go on.
    leased_until timestamptz,
    -- It failed, or was passed by, and is to be tried again: after all that were not begun yet.
    is_due_again boolean not null default false,
    -- It was held against its template after it was migrated, and what was seen is kept.
    is_verified boolean not null default false,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint migration_run_schemas_pkey primary key (run_id, schema_id),
    constraint migration_run_schemas_run_id_fkey foreign key (run_id) references migration_runs (id),
    constraint migration_run_schemas_attempts_check check (attempts > 0),
    constraint migration_run_schemas_steps_check check (jsonb_typeof(steps) = 'array'),
    constraint migration_run_schemas_state_check check ((state = 'running') = (finished_at is null)),
    constraint migration_run_schemas_worker_check check ((state = 'running') = (worker is not null))
);
create index migration_run_schemas_schema_id_idx on migration_run_schemas (schema_id, run_id);
-- No schema is in the hands of two runs, whatever they select.
create unique index migration_run_schemas_at_work_key on migration_run_schemas (schema_id) where state = 'running';
create index migration_run_schemas_state_idx on migration_run_schemas (run_id, state, schema_id);
create index migration_run_schemas_steps_idx on migration_run_schemas using gin (steps jsonb_path_ops);
create trigger migration_run_schemas_set_updated_at before update on migration_run_schemas
    for each row execute function set_updated_at();

-- What the data plane has answered to the canaries of a run that watches them.
create table migration_canaries (
    run_id uuid not null,
    tenant_id uuid not null,
    requests bigint not null default 0,
    -- Those that failed by no fault of the tenant's.
    errors bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint migration_canaries_pkey primary key (run_id, tenant_id),
    constraint migration_canaries_run_id_fkey foreign key (run_id) references migration_runs (id),
    constraint migration_canaries_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint migration_canaries_counts_check check (errors >= 0 and requests >= errors)
);
create index migration_canaries_tenant_id_idx on migration_canaries (tenant_id);
create trigger migration_canaries_set_updated_at before update on migration_canaries
    for each row execute function set_updated_at();

-- The tenants whose answers are counted now: those that a canary's schema serves, from when it is begun until its run ends.
create function canaries_watched() returns table (run_id uuid, tenant_id uuid)
language sql stable security definer
set search_path = pg_catalog, public, pg_temp
as $$
    select run.id, tenant.id
    from migration_runs run
    join migration_run_schemas begun on begun.run_id = run.id and begun.phase = 'canary'
    join tenants tenant
        on tenant.id = begun.schema_id or (tenant.group_id = begun.schema_id and tenant.isolation = 'shared')
    where run.state = 'running' and run.max_error_rate is not null
$$;
revoke all on function canaries_watched() from public;

-- Adds what a data plane has counted; of who is no canary any more nothing is kept.
create function canaries_add(tenants uuid[], requests bigint[], errors bigint[]) returns void
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    insert into migration_canaries as known (run_id, tenant_id, requests, errors)
    select watched.run_id, counted.tenant, counted.requests, counted.errors
    from unnest(tenants, requests, errors) as counted (tenant, requests, errors)
    join canaries_watched() watched on watched.tenant_id = counted.tenant
    on conflict (run_id, tenant_id) do update
    set requests = known.requests + excluded.requests, errors = known.errors + excluded.errors
$$;
revoke all on function canaries_add(uuid[], bigint[], bigint[]) from public;

-- What is told of a run: that it halted, or ended. Kept until somebody has taken it, or it was tried often enough.
create table migration_notices (
    id uuid not null default gen_random_uuid(),
    run_id uuid not null,
    state migration_run_state not null,
    reason text,
    -- How many schemas stood where at that moment.
    counts jsonb not null,
    attempts integer not null default 0,
    -- When it is to be tried next; none: not any more.
    due_at timestamptz default now(),
    delivered_at timestamptz,
    -- Why the last attempt failed.
    error text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint migration_notices_pkey primary key (id),
    constraint migration_notices_run_id_fkey foreign key (run_id) references migration_runs (id),
    constraint migration_notices_counts_check check (jsonb_typeof(counts) = 'object'),
    constraint migration_notices_delivered_at_check check (delivered_at is null or due_at is null)
);
create index migration_notices_due_at_idx on migration_notices (due_at) where due_at is not null;
create index migration_notices_run_id_idx on migration_notices (run_id);
create index migration_notices_counts_idx on migration_notices using gin (counts jsonb_path_ops);
create trigger migration_notices_set_updated_at before update on migration_notices
    for each row execute function set_updated_at();

-- Whoever halts or ends a run, and wherever: the notice is in the same transaction.
create function migration_runs_notice() returns trigger
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
begin
    insert into migration_notices (run_id, state, reason, counts)
    select new.id, new.state, new.reason, jsonb_build_object(
        'running', count(*) filter (where state = 'running'), 'done', count(*) filter (where state = 'done'),
        'failed', count(*) filter (where state = 'failed' and not is_due_again),
        'skipped', count(*) filter (where state = 'skipped' and not is_due_again))
    from migration_run_schemas where run_id = new.id;
    return null;
end
$$;
revoke all on function migration_runs_notice() from public;
create trigger migration_runs_notice after update of state on migration_runs for each row
    when (old.state <> new.state and new.state in ('halted', 'cancelled', 'done'))
    execute function migration_runs_notice();

-- Every schema that there is to migrate: one a tenant, but for those that share one.
create view fleet_schemas with (security_invoker = true) as
select tenant.id as schema_id, tenant.name, tenant.isolation, tenant.cluster_id, tenant.database_name, tenant.schema_name,
    tenant.schema_version, tenant.used_storage as bytes, tenant.created_at, tenant.id as tenant_id, tenant.organization_id,
    tenant.type
from tenants tenant
where tenant.isolation <> 'shared' and tenant.database_name is not null and tenant.schema_version > 0
    and tenant.status in ('active', 'inactive', 'suspended', 'deleted') and tenant.purge_begun_at is null
union all
select shared.id, shared.database_name, shared.isolation, shared.cluster_id, shared.database_name, 'public',
    shared.schema_version, 0, shared.created_at, null, null, null
from group_databases shared
where shared.isolation = 'shared' and shared.is_ready and shared.schema_version > 0;

-- Those of a run's selection. Ids are bare UUIDs in it.
create function fleet_selected(selection jsonb) returns setof fleet_schemas
language sql stable
begin atomic
    select * from fleet_schemas fleet
    where (selection ->> 'type' is null or fleet.type = (selection ->> 'type')::tenant_type)
        and (selection ->> 'cluster_id' is null or fleet.cluster_id = (selection ->> 'cluster_id')::uuid)
        and (selection ->> 'organization_id' is null or fleet.organization_id = (selection ->> 'organization_id')::uuid)
        and (selection ->> 'tenant_id' is null or fleet.schema_id = (
            select case tenant.isolation when 'shared' then tenant.group_id else tenant.id end
            from tenants tenant where tenant.id = (selection ->> 'tenant_id')::uuid));
end;
revoke all on function fleet_selected(jsonb) from public;

grant select, insert, update, delete on migration_holds, migration_runs, migration_run_schemas, migration_canaries, migration_notices
    to rowhouse_control;
grant select on fleet_schemas to rowhouse_control;
grant execute on function fleet_selected(jsonb) to rowhouse_control;
grant execute on function canaries_watched(), canaries_add(uuid[], bigint[], bigint[]) to rowhouse_data;
