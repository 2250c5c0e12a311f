-- Why: long work and its steps, answers to repeated requests, and which tenants have background work.
-- Locks: none that matter, the tables are new; short share locks on organizations and tenants for the foreign keys.

create type operation_state as enum ('queued', 'running', 'succeeded', 'failed', 'cancelled');
create type operation_step_state as enum ('pending', 'running', 'done', 'failed', 'skipped', 'undone');
create type idempotency_state as enum ('in_flight', 'done');

create table operations (
    id uuid not null default gen_random_uuid(),
    -- What is to be done, `tenant_provision` for one: the code knows the kinds.
    kind text not null,
    subject_kind text not null,
    subject_id uuid not null,
    organization_id uuid,
    tenant_id uuid,
    state operation_state not null default 'queued',
    attempts integer not null default 0,
    -- Attempts whose holder lived to say that they failed. Too many of these, and the operation is given up.
    failures integer not null default 0,
    run_at timestamptz not null default now(),
    -- The lease of whoever works on it; past `locked_until` anyone may take it.
    locked_by text,
    locked_until timestamptz,
    input jsonb not null default '{}',
    result jsonb not null default '{}',
    error_code text,
    error text,
    requested_by_kind actor_kind not null default 'system',
    requested_by uuid,
    request_id text,
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint operations_pkey primary key (id),
    constraint operations_organization_id_fkey foreign key (organization_id) references organizations (id),
    constraint operations_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint operations_kind_check check (kind ~ '^[a-z][a-z0-9_.]{0,62}$'),
    constraint operations_subject_kind_check check (subject_kind ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint operations_attempts_check check (attempts >= 0),
    constraint operations_failures_check check (failures >= 0),
    constraint operations_finished_at_check check ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
    constraint operations_input_check check (jsonb_typeof(input) = 'object'),
    constraint operations_result_check check (jsonb_typeof(result) = 'object')
);
-- One of a kind at a time for a subject.
create unique index operations_unfinished_key on operations (subject_id, kind) where state in ('queued', 'running');
create index operations_due_idx on operations (run_at, id) where state in ('queued', 'running');
create index operations_subject_id_idx on operations (subject_id, id);
create index operations_organization_id_idx on operations (organization_id, id);
create index operations_tenant_id_idx on operations (tenant_id, id);
create index operations_state_idx on operations (state, id);
create index operations_kind_idx on operations (kind, id);
create index operations_input_idx on operations using gin (input jsonb_path_ops);
create index operations_result_idx on operations using gin (result jsonb_path_ops);
create trigger operations_set_updated_at before update on operations for each row execute function set_updated_at();

create table operation_steps (
    operation_id uuid not null,
    position integer not null,
    name text not null,
    state operation_step_state not null default 'pending',
    attempts integer not null default 0,
    error text,
    details jsonb not null default '{}',
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint operation_steps_pkey primary key (operation_id, position),
    constraint operation_steps_operation_id_name_key unique (operation_id, name),
    constraint operation_steps_operation_id_fkey foreign key (operation_id) references operations (id) on delete cascade,
    constraint operation_steps_position_check check (position >= 0),
    constraint operation_steps_attempts_check check (attempts >= 0),
    constraint operation_steps_details_check check (jsonb_typeof(details) = 'object')
);
create index operation_steps_details_idx on operation_steps using gin (details jsonb_path_ops);
create trigger operation_steps_set_updated_at before update on operation_steps for each row execute function set_updated_at();

create table idempotency_keys (
    id uuid not null default gen_random_uuid(),
    principal_kind actor_kind not null,
    -- The key or person that sent the request; the zero UUID where there is none.
    principal_id uuid not null,
    route text not null,
    key text not null,
    -- Of the route and the request's body: the same key with another body is an error.
    request_hash bytea not null,
    state idempotency_state not null default 'in_flight',
    locked_by uuid,
    locked_until timestamptz,
    response_status integer,
    response_headers jsonb not null default '{}',
    -- What is kept to answer a repetition from. It holds no secret: a key that the first answer showed is left out.
    response_body bytea,
    expires_at timestamptz not null default now() + interval '24 hours',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (id),
    constraint idempotency_keys_principal_route_key_key unique (principal_kind, principal_id, route, key),
    constraint idempotency_keys_key_check check (key <> '' and length(key) <= 255),
    constraint idempotency_keys_request_hash_check check (octet_length(request_hash) = 32),
    constraint idempotency_keys_response_check check (state = 'in_flight' or response_status is not null)
);
create index idempotency_keys_expires_at_idx on idempotency_keys (expires_at);
create index idempotency_keys_response_headers_idx on idempotency_keys using gin (response_headers jsonb_path_ops);
create trigger idempotency_keys_set_updated_at before update on idempotency_keys for each row execute function set_updated_at();

-- Which tenants have jobs, so that nobody polls every database. A row may stand without work, never the other way round.
create table tenant_work (
    tenant_id uuid not null,
    generation bigint not null,
    marked_at timestamptz not null default now(),
    due_at timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tenant_work_pkey primary key (tenant_id),
    constraint tenant_work_tenant_id_fkey foreign key (tenant_id) references tenants (id) on delete cascade
) with (fillfactor = 70);
create index tenant_work_due_at_idx on tenant_work (due_at, tenant_id);
create trigger tenant_work_set_updated_at before update on tenant_work for each row execute function set_updated_at();
-- Never the same number twice, also when a row was cleared in between: clearing compares it.
create sequence tenant_work_generation_seq as bigint;

-- When each tenant's objects are to be looked through next, for what no row names. One without a row never was.
create table object_walks (
    tenant_id uuid not null,
    due_at timestamptz not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint object_walks_pkey primary key (tenant_id),
    constraint object_walks_tenant_id_fkey foreign key (tenant_id) references tenants (id) on delete cascade
) with (fillfactor = 70);
create trigger object_walks_set_updated_at before update on object_walks for each row execute function set_updated_at();

-- Tenants whose objects the caller is to look through now: nobody else is given them before `every` is over.
create function object_walks_claim(every interval, "limit" integer) returns table (tenant_id uuid)
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    insert into object_walks as walk (tenant_id, due_at)
    select tenants.id, clock_timestamp() + every
    from tenants left join object_walks known on known.tenant_id = tenants.id
    where tenants.status = 'active' and (known.due_at is null or known.due_at <= clock_timestamp())
    order by known.due_at nulls first, tenants.id
    limit "limit"
    on conflict (tenant_id) do update set due_at = excluded.due_at where walk.due_at <= clock_timestamp()
    returning walk.tenant_id
$$;

-- Has a tenant's objects looked through after a pause: this time it could not be done.
create function object_walks_put_off(tenant uuid, pause interval) returns void
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    update object_walks set due_at = clock_timestamp() + pause where tenant_id = tenant
$$;

revoke all on function object_walks_claim(interval, integer), object_walks_put_off(uuid, interval) from public;
grant execute on function object_walks_claim(interval, integer), object_walks_put_off(uuid, interval) to rowhouse_data;
grant select, insert, update, delete on operations, operation_steps, idempotency_keys, tenant_work, object_walks to rowhouse_control;
