-- Why: the data plane remembers what it was told of keys and tenants, and has to hear what of it is no longer so. Each change
-- that matters sends a notice with a number. The numbers follow the order of commits without gaps, so a lost notice shows.
-- Locks: SHARE ROW EXCLUSIVE for a moment on the five tables that get a trigger; writers wait for it.
-- Earlier releases: they send notices too and hear none, which is how they work anyway.

-- One row: the number of the last notice that was committed.
create table auth_sequence (
    is_only boolean not null default true,
    value bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint auth_sequence_pkey primary key (is_only),
    constraint auth_sequence_is_only_check check (is_only)
) with (fillfactor = 10);
create trigger auth_sequence_set_updated_at before update on auth_sequence for each row execute function set_updated_at();
insert into auth_sequence default values;

-- Called by deferred triggers, so at the commit and no sooner: from there on the row is locked until the commit is over. That
-- is what makes the numbers follow it, and what keeps long transactions from holding each other up. A number that is rolled
-- back was never there.
create function auth_notice() returns trigger
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
    most constant integer := 100;
    sent integer := coalesce(nullif(current_setting('rowhouse.notices_sent', true), ''), '0')::integer;
    number bigint;
begin
    -- One transaction that changes thousands of rows says once that everything may have changed.
    if sent > most then
        return null;
    end if;
    perform set_config('rowhouse.notices_sent', (sent + 1)::text, true);
    update auth_sequence set value = value + 1 returning value into strict number;
    perform pg_notify('rowhouse_auth', json_build_object(
        'number', number,
        'kind', case when sent < most then tg_argv[0] else 'everything' end,
        'id', case when tg_argv[0] = 'key' then to_jsonb(old) ->> 'key_prefix' else to_jsonb(old) ->> 'id' end
    )::text);
    return null;
end
$$;
revoke all on function auth_notice() from public;

-- A key is named by its prefix, which is no secret and how it is remembered.
create constraint trigger tenant_api_keys_auth_notice after update on tenant_api_keys
    deferrable initially deferred for each row
    when ((old.tenant_id, old.account_id, old.key_prefix, old.key_hash, old.pepper_version, old.scopes, old.expires_at, old.revoked_at)
        is distinct from
        (new.tenant_id, new.account_id, new.key_prefix, new.key_hash, new.pepper_version, new.scopes, new.expires_at, new.revoked_at))
    execute function auth_notice('key');
create constraint trigger tenant_api_keys_auth_notice_of_delete after delete on tenant_api_keys
    deferrable initially deferred for each row execute function auth_notice('key');

create constraint trigger tenants_auth_notice after update on tenants
    deferrable initially deferred for each row
    when ((old.organization_id, old.status, old.isolation, old.cluster_id, old.group_id, old.database_name, old.schema_name,
            old.role_name, old.credential_version, old.generation)
        is distinct from
        (new.organization_id, new.status, new.isolation, new.cluster_id, new.group_id, new.database_name, new.schema_name,
            new.role_name, new.credential_version, new.generation))
    execute function auth_notice('tenant');
-- The tenant is where it was, and its connections are as good as before: requests go on while it is migrated.
create constraint trigger tenants_auth_notice_of_version after update on tenants
    deferrable initially deferred for each row
    when (old.schema_version is distinct from new.schema_version)
    execute function auth_notice('schema_version');

create constraint trigger organizations_auth_notice after update on organizations
    deferrable initially deferred for each row
    when ((old.subscription_status, old.subscription_tier, old.deleted_at)
        is distinct from (new.subscription_status, new.subscription_tier, new.deleted_at))
    execute function auth_notice('organization');

create constraint trigger clusters_auth_notice after update on clusters
    deferrable initially deferred for each row
    when ((old.host, old.port, old.tls_mode, old.tls_ca) is distinct from (new.host, new.port, new.tls_mode, new.tls_ca))
    execute function auth_notice('cluster');

create constraint trigger group_databases_auth_notice after update on group_databases
    deferrable initially deferred for each row
    when ((old.cluster_id, old.database_name, old.role_name, old.credential_version)
        is distinct from (new.cluster_id, new.database_name, new.role_name, new.credential_version))
    execute function auth_notice('group');

grant select on auth_sequence to rowhouse_data;
