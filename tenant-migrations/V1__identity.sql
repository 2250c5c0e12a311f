-- Why: whose data this is. Every other table hangs from `tenant_identity`, and every row names its tenant.
-- Locks: none that matter, everything is new. Names no schema: the same files run in `public` and in a tenant's own schema.

-- The tenant that this connection (or, in `shared`, this transaction) is pinned to. A missing pin is an error, never "all rows".
-- No SET clause: it runs with the caller's rights, names what it uses, and is called for every row that a scan filters.
create function app_tenant_id() returns uuid
language plpgsql stable parallel safe
as $$
declare
    pin constant text := pg_catalog.current_setting('app.tenant_id', true);
begin
    -- After a transaction's own pin ends, the setting is empty rather than missing.
    if pin is null or pin = '' then
        raise exception 'no tenant is pinned: app.tenant_id is not set' using errcode = 'RH001';
    end if;
    return pin::pg_catalog.uuid;
end
$$;
revoke all on function app_tenant_id() from public;
grant execute on function app_tenant_id() to tenant_app;

-- Later than the old time in every case, so that it can serve as a version: two changes never share one.
create function set_updated_at() returns trigger
language plpgsql
set search_path from current
as $$
begin
    new.updated_at := greatest(clock_timestamp(), old.updated_at + interval '1 microsecond');
    return new;
end
$$;
revoke all on function set_updated_at() from public;

-- One row a tenant: just one, except where tenants share. Written at provisioning, read by every new connection.
create table tenant_identity (
    tenant_id uuid not null default app_tenant_id(),
    isolation text not null,
    -- The placement's in `saas_platform` when this row was written. Nothing compares the two yet; a stale copy of a moved
    -- tenant can be told by it.
    generation bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tenant_identity_pkey primary key (tenant_id),
    constraint tenant_identity_isolation_check check (isolation in ('dedicated', 'schema', 'shared')),
    constraint tenant_identity_generation_check check (generation >= 0)
);
create trigger tenant_identity_set_updated_at before update on tenant_identity for each row execute function set_updated_at();
alter table tenant_identity enable row level security;
create policy tenant_isolation on tenant_identity to tenant_app using (tenant_id = app_tenant_id()) with check (tenant_id = app_tenant_id());
grant select on tenant_identity to tenant_app;

-- The history table is refinery's; a service looks into it to see whether the schema is one it can serve.
do $$
begin
    if to_regclass('refinery_schema_history') is not null then
        grant select on refinery_schema_history to tenant_app;
    end if;
end
$$;
