-- Why: who did what. Rows are added and never changed: no grant allows it, and a trigger refuses the owner too.
-- Locks: none that matter, the table is new.

create type audit_outcome as enum ('success', 'failure', 'denied');

-- No foreign keys: the record outlives what it speaks of.
create table audit_logs (
    id uuid not null default gen_random_uuid(),
    timestamp timestamptz not null default now(),
    actor_kind actor_kind not null,
    actor_id uuid,
    organization_id uuid,
    tenant_id uuid,
    action text not null,
    resource_type text not null,
    resource_id uuid,
    outcome audit_outcome not null default 'success',
    before jsonb,
    after jsonb,
    ip inet,
    user_agent text,
    session_id uuid,
    request_id text,
    risk_score double precision,
    compliance_flags text[] not null default '{}',
    details jsonb not null default '{}',
    -- For chaining the rows; nothing fills it yet. Only the insert itself can: rows are never updated.
    checksum bytea,
    created_at timestamptz not null default now(),
    constraint audit_logs_pkey primary key (timestamp, id),
    constraint audit_logs_action_check check (action ~ '^[a-z][a-z0-9_.]{0,99}$'),
    constraint audit_logs_resource_type_check check (resource_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint audit_logs_user_agent_check check (length(user_agent) <= 500),
    constraint audit_logs_request_id_check check (length(request_id) <= 200),
    constraint audit_logs_risk_score_check check (risk_score between 0 and 1),
    constraint audit_logs_details_check check (jsonb_typeof(details) = 'object')
) partition by range (timestamp);
create table audit_logs_default partition of audit_logs default;
create index audit_logs_organization_id_idx on audit_logs (organization_id, timestamp, id);
create index audit_logs_tenant_id_timestamp_idx on audit_logs (tenant_id, timestamp, id);
create index audit_logs_actor_created_at_idx on audit_logs (actor_id, created_at);
create index audit_logs_actor_kind_idx on audit_logs (actor_kind, timestamp);
create index audit_logs_resource_type_outcome_idx on audit_logs (resource_type, outcome);
create index audit_logs_resource_id_idx on audit_logs (resource_id, timestamp);
create index audit_logs_action_idx on audit_logs (action, timestamp);
create index audit_logs_outcome_idx on audit_logs (outcome, timestamp);
create index audit_logs_session_id_idx on audit_logs (session_id);
create index audit_logs_request_id_idx on audit_logs (request_id);
create index audit_logs_before_idx on audit_logs using gin (before jsonb_path_ops);
create index audit_logs_after_idx on audit_logs using gin (after jsonb_path_ops);
create index audit_logs_details_idx on audit_logs using gin (details jsonb_path_ops);

create function audit_logs_refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
begin
    raise exception 'audit rows are never changed (% on %)', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end
$$;
revoke all on function audit_logs_refuse_change() from public;
create trigger audit_logs_no_change before update or delete on audit_logs for each row execute function audit_logs_refuse_change();
-- Not inherited by partitions, so each gets its own.
create trigger audit_logs_no_truncate before truncate on audit_logs for each statement execute function audit_logs_refuse_change();
create trigger audit_logs_no_truncate before truncate on audit_logs_default for each statement execute function audit_logs_refuse_change();

-- Makes the monthly partitions of every log for the month of `as_of` and `months_ahead` after it, and says how many were new.
-- Rows of such a month that came in before their partition did lie in the DEFAULT one: they are moved, which takes an
-- exclusive lock on that log while it lasts. Without such rows, readers and writers are held up for milliseconds.
create function ensure_log_partitions(months_ahead integer default 3, as_of timestamptz default now()) returns integer
language plpgsql security definer
-- pg_catalog is searched first all the same; named first it would be where tables are made.
set search_path = public, pg_temp
as $$
declare
    log text;
    first_month timestamptz;
    next_month timestamptz;
    partition text;
    has_strays boolean;
    made integer := 0;
begin
    if months_ahead not between 0 and 120 then
        raise exception 'months_ahead must be 0 to 120' using errcode = 'invalid_parameter_value';
    end if;
    -- One at a time; a second caller waits and then finds nothing to do.
    perform pg_advisory_xact_lock(hashtextextended('rowhouse.ensure_log_partitions', 0));
    foreach log in array array['audit_logs', 'org_usage_logs', 'tenant_usage_logs'] loop
        for month in 0..months_ahead loop
            first_month := (date_trunc('month', as_of at time zone 'UTC') + make_interval(months => month)) at time zone 'UTC';
            next_month := (date_trunc('month', as_of at time zone 'UTC') + make_interval(months => month + 1)) at time zone 'UTC';
            partition := log || to_char(first_month at time zone 'UTC', '_YYYY_MM');
            continue when to_regclass(quote_ident(partition)) is not null;
            execute format('create table %I (like %I including defaults including constraints)', partition, log);
            execute format('lock table %I in share row exclusive mode', log || '_default');
            execute format('select exists (select from %I where timestamp >= %L and timestamp < %L)', log || '_default', first_month, next_month)
                into has_strays;
            if has_strays then
                -- Detached, the default partition sheds its triggers and constraint, so that its rows can leave.
                execute format('lock table %I in access exclusive mode', log);
                execute format('alter table %I detach partition %I', log, log || '_default');
                execute format('with moved as (delete from %I where timestamp >= %L and timestamp < %L returning *) insert into %I select * from moved',
                    log || '_default', first_month, next_month, partition);
            end if;
            execute format('alter table %I attach partition %I for values from (%L) to (%L)', log, partition, first_month, next_month);
            if has_strays then
                execute format('alter table %I attach partition %I default', log, log || '_default');
            end if;
            if log = 'audit_logs' then
                execute format('create trigger audit_logs_no_truncate before truncate on %I for each statement execute function audit_logs_refuse_change()',
                    partition);
            end if;
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;

-- A key that the data plane refused: it may add this one kind of row, of bounded size.
create function audit_refused_key(reason text, kind text, prefix text, key uuid, organization uuid, tenant uuid, ip inet,
    user_agent text, request_id text, method text default null, path text default null)
returns uuid
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    insert into audit_logs (actor_kind, actor_id, organization_id, tenant_id, action, resource_type, resource_id, outcome,
        ip, user_agent, request_id, details)
    values ('anonymous', null, organization, tenant, 'api_key.refused', 'api_key', key, 'denied',
        ip, left(user_agent, 500), left(request_id, 200),
        jsonb_strip_nulls(jsonb_build_object('reason', left(reason, 100), 'kind', left(kind, 40), 'prefix', left(prefix, 40),
            'method', left(method, 20), 'path', left(path, 200))))
    returning id
$$;

revoke all on function ensure_log_partitions(integer, timestamptz),
    audit_refused_key(text, text, text, uuid, uuid, uuid, inet, text, text, text, text) from public;
grant execute on function ensure_log_partitions(integer, timestamptz) to rowhouse_control;
grant execute on function audit_refused_key(text, text, text, uuid, uuid, uuid, inet, text, text, text, text) to rowhouse_data, rowhouse_control;
grant select, insert on audit_logs to rowhouse_control;

select ensure_log_partitions();
