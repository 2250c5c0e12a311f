-- Why: the API keys of the three kinds of caller. A key is found by its prefix and compared by its keyed hash; the secret is nowhere.
-- Locks: none that matter, the tables are new; short share locks on organizations, tenants and accounts for the foreign keys.

create type key_environment as enum ('sandbox', 'production');

create table platform_api_keys (
    id uuid not null default gen_random_uuid(),
    key_name text not null,
    key_prefix text not null,
    key_hash bytea not null,
    pepper_version integer not null default 1,
    scopes text[] not null,
    environment key_environment not null default 'production',
    expires_at timestamptz,
    revoked_at timestamptz,
    -- Expiry is a matter of the clock and is checked beside it.
    is_active boolean not null generated always as (revoked_at is null) stored,
    last_used_at timestamptz,
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint platform_api_keys_pkey primary key (id),
    constraint platform_api_keys_key_prefix_key unique (key_prefix),
    constraint platform_api_keys_key_name_check check (key_name <> '' and length(key_name) <= 200),
    constraint platform_api_keys_key_prefix_check check (key_prefix ~ '^[A-Za-z0-9]{8,40}$'),
    constraint platform_api_keys_key_hash_check check (octet_length(key_hash) = 32),
    constraint platform_api_keys_scopes_check check (cardinality(scopes) > 0 and array_position(scopes, null) is null)
);
create index platform_api_keys_is_active_idx on platform_api_keys (is_active, id);
create trigger platform_api_keys_set_updated_at before update on platform_api_keys for each row
    when (old.last_used_at is not distinct from new.last_used_at) execute function set_updated_at();

create table org_api_keys (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    key_name text not null,
    key_prefix text not null,
    key_hash bytea not null,
    pepper_version integer not null default 1,
    scopes text[] not null,
    environment key_environment not null default 'production',
    expires_at timestamptz,
    revoked_at timestamptz,
    is_active boolean not null generated always as (revoked_at is null) stored,
    last_used_at timestamptz,
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint org_api_keys_pkey primary key (id),
    constraint org_api_keys_key_prefix_key unique (key_prefix),
    constraint org_api_keys_organization_id_fkey foreign key (organization_id) references organizations (id) on delete cascade,
    constraint org_api_keys_key_name_check check (key_name <> '' and length(key_name) <= 200),
    constraint org_api_keys_key_prefix_check check (key_prefix ~ '^[A-Za-z0-9]{8,40}$'),
    constraint org_api_keys_key_hash_check check (octet_length(key_hash) = 32),
    constraint org_api_keys_scopes_check check (cardinality(scopes) > 0 and array_position(scopes, null) is null)
);
create index org_api_keys_organization_id_idx on org_api_keys (organization_id, id);
create index org_api_keys_is_active_idx on org_api_keys (organization_id, is_active, id);
create trigger org_api_keys_set_updated_at before update on org_api_keys for each row
    when (old.last_used_at is not distinct from new.last_used_at) execute function set_updated_at();

create table tenant_api_keys (
    id uuid not null default gen_random_uuid(),
    tenant_id uuid not null,
    -- Whose quota its uploads are charged to as well; nobody's unless it names one.
    account_id uuid,
    key_name text not null,
    key_prefix text not null,
    key_hash bytea not null,
    pepper_version integer not null default 1,
    scopes text[] not null,
    environment key_environment not null default 'production',
    expires_at timestamptz,
    revoked_at timestamptz,
    is_active boolean not null generated always as (revoked_at is null) stored,
    last_used_at timestamptz,
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tenant_api_keys_pkey primary key (id),
    constraint tenant_api_keys_key_prefix_key unique (key_prefix),
    constraint tenant_api_keys_tenant_id_fkey foreign key (tenant_id) references tenants (id) on delete cascade,
    constraint tenant_api_keys_account_id_fkey foreign key (account_id) references accounts (id) on delete set null,
    constraint tenant_api_keys_key_name_check check (key_name <> '' and length(key_name) <= 200),
    constraint tenant_api_keys_key_prefix_check check (key_prefix ~ '^[A-Za-z0-9]{8,40}$'),
    constraint tenant_api_keys_key_hash_check check (octet_length(key_hash) = 32),
    constraint tenant_api_keys_scopes_check check (cardinality(scopes) > 0 and array_position(scopes, null) is null)
);
create index tenant_api_keys_tenant_id_idx on tenant_api_keys (tenant_id, id);
create index tenant_api_keys_is_active_idx on tenant_api_keys (tenant_id, is_active, id);
create index tenant_api_keys_account_id_idx on tenant_api_keys (account_id);
create trigger tenant_api_keys_set_updated_at before update on tenant_api_keys for each row
    when (old.last_used_at is not distinct from new.last_used_at) execute function set_updated_at();

-- Notes a tenant key's use, at most once a minute: a busy key must not make a busy row.
create function key_touch(key uuid) returns void
language sql security definer
set search_path = pg_catalog, public, pg_temp
as $$
    update tenant_api_keys set last_used_at = now()
    where id = (
        -- Nobody waits for the key's row: whoever holds it is noting the same, or changing the key.
        select id from tenant_api_keys
        where id = key and (last_used_at is null or last_used_at < now() - interval '1 minute') for update skip locked
    )
$$;
revoke all on function key_touch(uuid) from public;

grant select, insert, update, delete on platform_api_keys, org_api_keys, tenant_api_keys to rowhouse_control;
grant execute on function key_touch(uuid) to rowhouse_data;
grant select on tenant_api_keys to rowhouse_data;
-- Enough to tell a key of the wrong kind from an unknown one.
grant select (key_prefix) on platform_api_keys, org_api_keys to rowhouse_data;
