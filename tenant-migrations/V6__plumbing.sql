-- Why: background jobs, queued in the transaction that causes them, and answers to repeated requests.
-- Locks: none that matter, the tables are new.

create table jobs (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    kind text not null,
    subject_id uuid,
    payload jsonb not null default '{}',
    -- `failed`: given up, kept with its error until somebody queues it again. `cancelled`: another job took its place.
    state text not null default 'queued',
    attempts integer not null default 0,
    run_at timestamptz not null default now(),
    -- The lease of whoever works on it; past `locked_until` anyone may take it.
    locked_by text,
    locked_until timestamptz,
    last_error text,
    -- Of a job that somebody waits for: how many folders and files it has dealt with, and of how many.
    done bigint not null default 0,
    total bigint,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint jobs_pkey primary key (tenant_id, id),
    constraint jobs_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint jobs_kind_check check (kind ~ '^[a-z][a-z0-9_.]{0,62}$'),
    constraint jobs_state_check check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    constraint jobs_attempts_check check (attempts >= 0),
    constraint jobs_payload_check check (jsonb_typeof(payload) = 'object')
) with (fillfactor = 80);
create index jobs_queued_idx on jobs (tenant_id, run_at, id) where state = 'queued';
-- Usage is claimed before everything else, however many other jobs wait.
create index jobs_usage_idx on jobs (tenant_id, run_at, id) where state = 'queued' and kind = 'usage';
create index jobs_running_idx on jobs (tenant_id, locked_until, id) where state = 'running';
-- So is what somebody sits and waits for.
create index jobs_awaited_idx on jobs (tenant_id, run_at, id)
    where state = 'queued' and kind in ('delete_tree', 'restore_tree', 'copy_tree');
-- What waits and what is done right now comes and goes with every change: only what stays is in these.
create index jobs_ended_idx on jobs (tenant_id, state, updated_at) where state in ('done', 'failed', 'cancelled');
create index jobs_failed_idx on jobs (tenant_id, kind, updated_at) where state = 'failed';
create index jobs_subject_id_idx on jobs (tenant_id, subject_id, kind);
-- Those that somebody may wait for, in their list.
create index jobs_watched_idx on jobs (tenant_id, created_at, id)
    where kind in ('delete_tree', 'restore_tree', 'purge_tree', 'copy_tree', 'reseal_contents');
create index jobs_payload_idx on jobs using gin (tenant_id, payload jsonb_path_ops) where state = 'failed';
create trigger jobs_set_updated_at before update on jobs for each row execute function set_updated_at();

create table idempotency_keys (
    tenant_id uuid not null default app_tenant_id(),
    id uuid not null default gen_random_uuid(),
    principal_kind text not null,
    principal_id uuid not null,
    route text not null,
    key text not null,
    -- Of the route and what is asked for there: the same key with another request is an error. A JSON body is part of it;
    -- of an upload only the parameters are: its content streams once, and a repetition's is compared with the answer's hash.
    request_hash bytea not null,
    state text not null default 'in_flight',
    locked_by uuid,
    locked_until timestamptz,
    response_status integer,
    response_headers jsonb not null default '{}',
    response_body bytea,
    expires_at timestamptz not null default now() + interval '24 hours',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (tenant_id, id),
    constraint idempotency_keys_principal_route_key_key unique (tenant_id, principal_kind, principal_id, route, key),
    constraint idempotency_keys_tenant_id_fkey foreign key (tenant_id) references tenant_identity (tenant_id),
    constraint idempotency_keys_principal_kind_check check (principal_kind in ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous')),
    constraint idempotency_keys_key_check check (key <> '' and length(key) <= 255),
    constraint idempotency_keys_request_hash_check check (octet_length(request_hash) = 32),
    constraint idempotency_keys_state_check check (state in ('in_flight', 'done')),
    constraint idempotency_keys_response_check check (state = 'in_flight' or response_status is not null)
);
create index idempotency_keys_expires_at_idx on idempotency_keys (tenant_id, expires_at);
create index idempotency_keys_response_headers_idx on idempotency_keys using gin (tenant_id, response_headers jsonb_path_ops);
create trigger idempotency_keys_set_updated_at before update on idempotency_keys for each row execute function set_updated_at();

alter table jobs enable row level security;
create policy tenant_isolation on jobs to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
alter table idempotency_keys enable row level security;
create policy tenant_isolation on idempotency_keys to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select, insert, update, delete on jobs, idempotency_keys to tenant_app;
