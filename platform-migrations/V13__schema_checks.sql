-- Why: comparing every schema with the template of its version, after runs and on a schedule, and keeping runs from what differs
-- and is not meant.
-- Locks: a short share lock on clusters and migration_runs for the foreign keys, the tables are new.

create type schema_sweep_cause as enum ('operator', 'schedule', 'run');
create type schema_sweep_state as enum ('running', 'done');
create type schema_check_state as enum ('same', 'different', 'accepted', 'unreadable');

-- What schemas of a version are made of, as a cluster's server spells it.
create table template_fingerprints (
    cluster_id uuid not null,
    schema_version integer not null,
    -- Of the migrations that it is what came of.
    checksum text not null,
    -- Major versions of PostgreSQL spell some definitions in ways of their own.
    server_version integer not null,
    hash text not null,
    -- JSON, only ever read as a whole.
    entries text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint template_fingerprints_pkey primary key (cluster_id, schema_version),
    constraint template_fingerprints_cluster_id_fkey foreign key (cluster_id) references clusters (id) on delete cascade,
    constraint template_fingerprints_schema_version_check check (schema_version > 0)
);
create trigger template_fingerprints_set_updated_at before update on template_fingerprints
    for each row execute function set_updated_at();

-- A sweep looks at every schema of a selection, in the order of their ids.
create table schema_sweeps (
    id uuid not null default gen_random_uuid(),
    cause schema_sweep_cause not null,
    -- The run whose schemas it looks at, where it follows one.
    run_id uuid,
    selection jsonb not null default '{}',
    state schema_sweep_state not null default 'running',
    -- All up to this one were looked at.
    position uuid,
    schemas integer not null,
    same integer not null default 0,
    different integer not null default 0,
    -- They differ in nothing but what somebody has said is meant.
    accepted integer not null default 0,
    unreadable integer not null default 0,
    -- A worker was migrating them, or they were gone.
    passed_by integer not null default 0,
    started_by_kind actor_kind not null,
    started_by uuid,
    ended_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint schema_sweeps_pkey primary key (id),
    constraint schema_sweeps_run_id_fkey foreign key (run_id) references migration_runs (id),
    constraint schema_sweeps_selection_check check (jsonb_typeof(selection) = 'object'),
    constraint schema_sweeps_run_check check ((cause = 'run') = (run_id is not null)),
    constraint schema_sweeps_ended_at_check check ((state = 'running') = (ended_at is null))
);
create index schema_sweeps_state_idx on schema_sweeps (state, id);
create index schema_sweeps_run_id_idx on schema_sweeps (run_id);
create index schema_sweeps_cause_idx on schema_sweeps (cause, created_at);
create index schema_sweeps_selection_idx on schema_sweeps using gin (selection jsonb_path_ops);
create trigger schema_sweeps_set_updated_at before update on schema_sweeps for each row execute function set_updated_at();

-- What was seen of each schema the last time.
create table schema_checks (
    schema_id uuid not null,
    -- None where a run looked, right after it had migrated it.
    sweep_id uuid,
    state schema_check_state not null,
    -- The schema's own when it was looked at.
    version integer,
    -- Of `kind`, `name`, `expected`, `found`, the `hash` of all that, and how to repair it.
    differences jsonb not null default '[]',
    error text,
    -- Runs pass it by until it was seen to be the same again.
    is_blocking boolean not null default false,
    checked_at timestamptz not null default now(),
    -- When it was last seen to be the same, and to differ only as accepted, whatever was seen since: a migration that had failed
    -- before has left nothing.
    same_at timestamptz,
    accepted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint schema_checks_pkey primary key (schema_id),
    constraint schema_checks_sweep_id_fkey foreign key (sweep_id) references schema_sweeps (id),
    constraint schema_checks_differences_check check (jsonb_typeof(differences) = 'array'),
    constraint schema_checks_is_blocking_check check (state not in ('same', 'accepted') or not is_blocking)
);
create index schema_checks_sweep_id_idx on schema_checks (sweep_id, schema_id);
create index schema_checks_is_blocking_idx on schema_checks (schema_id) where is_blocking;
create index schema_checks_differences_idx on schema_checks using gin (differences jsonb_path_ops);
create trigger schema_checks_set_updated_at before update on schema_checks for each row execute function set_updated_at();

-- What differs in a schema and is meant: by content, so that anything else that differs is not. By the schema's id, as holds are.
create table schema_acceptances (
    schema_id uuid not null,
    reason text not null,
    -- As the check had them when they were accepted. Their hashes count.
    differences jsonb not null,
    accepted_by_kind actor_kind not null,
    accepted_by uuid,
    -- By somebody. What is gone again is taken out of the differences later, by Rowhouse.
    accepted_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint schema_acceptances_pkey primary key (schema_id),
    constraint schema_acceptances_reason_check check (reason <> '' and length(reason) <= 1000),
    constraint schema_acceptances_differences_check check (jsonb_typeof(differences) = 'array')
);
create index schema_acceptances_differences_idx on schema_acceptances using gin (differences jsonb_path_ops);
create trigger schema_acceptances_set_updated_at before update on schema_acceptances
    for each row execute function set_updated_at();

grant select, insert, update, delete on template_fingerprints, schema_sweeps, schema_checks, schema_acceptances to rowhouse_control;
