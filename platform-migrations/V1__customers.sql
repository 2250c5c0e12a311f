-- Why: who pays (organizations), what they have (tenants) and where that lives (clusters).
-- Locks: none that matter, the tables are new. Earlier releases: there are none.

create type subscription_tier as enum ('free', 'startup', 'business', 'enterprise');
create type subscription_status as enum ('active', 'suspended', 'cancelled');
create type actor_kind as enum ('system', 'platform_key', 'organization_key', 'tenant_key', 'user', 'anonymous');
create type cluster_status as enum ('active', 'draining', 'unreachable', 'retired');
create type cluster_tls_mode as enum ('disable', 'verify_full');
create type tenant_type as enum ('enterprise', 'standard', 'trial', 'demo');
create type tenant_status as enum ('provisioning', 'active', 'inactive', 'suspended', 'deleted', 'purged', 'failed');
create type tenant_isolation as enum ('dedicated', 'schema', 'shared');

-- Later than the old time in every case, so that it can serve as a version: two changes never share one.
create function set_updated_at() returns trigger
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
begin
    new.updated_at := greatest(clock_timestamp(), old.updated_at + interval '1 microsecond');
    return new;
end
$$;
revoke all on function set_updated_at() from public;

create table clusters (
    id uuid not null default gen_random_uuid(),
    name text not null,
    host text not null,
    port integer not null default 5432,
    -- The control plane's login there, and where its password is: under this name in `cluster_credentials` of the settings,
    -- or in this row, sealed under the master key. With neither it is the one that `saas_platform` is reached with.
    login text not null default 'rowhouse_control',
    credential_ref text,
    sealed_password bytea,
    -- What PostgreSQL calls itself (pg_control_system): the same server must not be registered under two addresses.
    system_identifier text,
    -- Whether its certificate is checked, and by whose (PEM); without any, by the authority of `platform.ca_file`.
    tls_mode cluster_tls_mode not null default 'verify_full',
    tls_ca text,
    labels jsonb not null default '{}',
    weight integer not null default 100,
    accepting boolean not null default true,
    -- Connections that all replicas of the data plane together hold at most; each leases a part (connection_leases).
    budget integer not null default 80,
    status cluster_status not null default 'active',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint clusters_pkey primary key (id),
    constraint clusters_name_key unique (name),
    constraint clusters_host_port_key unique (host, port),
    constraint clusters_system_identifier_key unique (system_identifier),
    constraint clusters_name_check check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint clusters_port_check check (port between 1 and 65535),
    constraint clusters_weight_check check (weight >= 0),
    constraint clusters_login_check check (login ~ '^[a-z_][a-z0-9_]{0,62}$'),
    constraint clusters_credentials_check check (credential_ref is null or sealed_password is null),
    constraint clusters_budget_check check (budget > 0),
    constraint clusters_labels_check check (jsonb_typeof(labels) = 'object')
);
create index clusters_status_idx on clusters (status, accepting);
create index clusters_labels_idx on clusters using gin (labels jsonb_path_ops);
create trigger clusters_set_updated_at before update on clusters for each row execute function set_updated_at();

-- What a subscription tier gives; an organization's own columns override it.
create table tier_limits (
    tier subscription_tier not null,
    storage_quota bigint not null,
    max_workspaces integer not null,
    max_members integer not null,
    max_tenants integer not null,
    feature_flags jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint tier_limits_pkey primary key (tier),
    constraint tier_limits_storage_quota_check check (storage_quota >= 0),
    constraint tier_limits_counts_check check (max_workspaces >= 0 and max_members >= 1 and max_tenants >= 0),
    constraint tier_limits_feature_flags_check check (jsonb_typeof(feature_flags) = 'object')
);
create index tier_limits_feature_flags_idx on tier_limits using gin (feature_flags jsonb_path_ops);
create trigger tier_limits_set_updated_at before update on tier_limits for each row execute function set_updated_at();

insert into tier_limits (tier, storage_quota, max_workspaces, max_members, max_tenants, feature_flags) values
    ('free', 10737418240, 10, 5, 5, '{"semantic_search": true, "custom_domain": false, "audit_export": false}'),
    ('startup', 1099511627776, 100, 25, 100, '{"semantic_search": true, "custom_domain": false, "audit_export": false}'),
    ('business', 10995116277760, 1000, 250, 1000, '{"semantic_search": true, "custom_domain": true, "audit_export": false}'),
    ('enterprise', 109951162777600, 100000, 10000, 100000, '{"semantic_search": true, "custom_domain": true, "audit_export": true}');

create table organizations (
    id uuid not null default gen_random_uuid(),
    name text not null,
    display_name text not null,
    domain text,
    subscription_tier subscription_tier not null default 'free',
    subscription_status subscription_status not null default 'active',
    -- The organization's own status is its subscription's.
    status subscription_status not null generated always as (subscription_status) stored,
    email text,
    -- The contact's id at the identity provider.
    user_id text,
    technical_contact text,
    storage_quota bigint not null,
    used_storage bigint not null default 0,
    reserved_storage bigint not null default 0,
    -- Live workspaces of all its tenants that are not deleted.
    used_workspaces integer not null default 0,
    max_workspaces integer not null,
    max_members integer not null,
    max_tenants integer not null,
    api_key_prefix text not null,
    security_settings jsonb not null default '{}',
    feature_flags jsonb not null default '{}',
    status_reason text,
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint organizations_pkey primary key (id),
    constraint organizations_api_key_prefix_key unique (api_key_prefix),
    constraint organizations_name_check check (name <> '' and length(name) <= 200),
    constraint organizations_display_name_check check (display_name <> '' and length(display_name) <= 200),
    constraint organizations_email_check check (email like '%_@_%' and length(email) <= 254),
    -- Short enough that a key's random part still fits behind it.
    constraint organizations_api_key_prefix_check check (api_key_prefix ~ '^[A-Za-z0-9]{1,20}$'),
    constraint organizations_storage_quota_check check (storage_quota >= 0),
    constraint organizations_used_storage_check check (used_storage >= 0),
    constraint organizations_reserved_storage_check check (reserved_storage >= 0),
    constraint organizations_used_workspaces_check check (used_workspaces >= 0),
    constraint organizations_counts_check check (max_workspaces >= 0 and max_members >= 1 and max_tenants >= 0),
    constraint organizations_security_settings_check check (jsonb_typeof(security_settings) = 'object'),
    constraint organizations_feature_flags_check check (jsonb_typeof(feature_flags) = 'object')
) with (fillfactor = 70);
create unique index organizations_email_key on organizations (lower(email));
create index organizations_name_idx on organizations (name);
create index organizations_subscription_status_idx on organizations (subscription_status, id);
create index organizations_subscription_tier_idx on organizations (subscription_tier, id);
create index organizations_domain_idx on organizations (domain);
create index organizations_user_id_idx on organizations (user_id);
create index organizations_live_idx on organizations (id) where deleted_at is null;
create index organizations_security_settings_idx on organizations using gin (security_settings jsonb_path_ops);
create index organizations_feature_flags_idx on organizations using gin (feature_flags jsonb_path_ops);
-- Not for the counters: they move with every upload and would break an `If-Match` that has nothing to do with them.
create trigger organizations_set_updated_at before update on organizations for each row
    when ((old.used_storage, old.reserved_storage, old.used_workspaces)
        is not distinct from (new.used_storage, new.reserved_storage, new.used_workspaces))
    execute function set_updated_at();

-- What the creator leaves open comes from the tier.
create function organizations_tier_defaults() returns trigger
language plpgsql
set search_path = pg_catalog, public, pg_temp
as $$
declare
    tier tier_limits;
begin
    select * into strict tier from tier_limits where tier_limits.tier = new.subscription_tier;
    new.storage_quota := coalesce(new.storage_quota, tier.storage_quota);
    new.max_workspaces := coalesce(new.max_workspaces, tier.max_workspaces);
    new.max_members := coalesce(new.max_members, tier.max_members);
    new.max_tenants := coalesce(new.max_tenants, tier.max_tenants);
    new.feature_flags := tier.feature_flags || coalesce(new.feature_flags, '{}');
    return new;
end
$$;
revoke all on function organizations_tier_defaults() from public;
create trigger organizations_tier_defaults before insert on organizations for each row execute function organizations_tier_defaults();

-- Databases that several tenants live in: each in a schema of its own (`schema`), or all in one (`shared`).
create table group_databases (
    id uuid not null default gen_random_uuid(),
    cluster_id uuid not null,
    isolation tenant_isolation not null,
    database_name text not null,
    -- In `shared`, the one login that the pool of this database uses; the version enters its password's derivation.
    role_name text,
    credential_version integer not null default 1,
    -- In `shared`, the version of the one schema that all its tenants use.
    schema_version integer not null default 0,
    -- Whether it is made and may be filled.
    is_ready boolean not null default false,
    accepting boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint group_databases_pkey primary key (id),
    constraint group_databases_cluster_id_fkey foreign key (cluster_id) references clusters (id),
    constraint group_databases_cluster_id_database_name_key unique (cluster_id, database_name),
    constraint group_databases_isolation_check check (isolation <> 'dedicated'),
    constraint group_databases_role_name_check check ((isolation = 'shared') = (role_name is not null)),
    constraint group_databases_credential_version_check check (credential_version >= 1),
    constraint group_databases_schema_version_check check (schema_version >= 0)
);
create index group_databases_room_idx on group_databases (cluster_id, isolation, id) where accepting;
create trigger group_databases_set_updated_at before update on group_databases for each row execute function set_updated_at();

create table tenants (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    name text not null,
    external_id text,
    type tenant_type not null default 'standard',
    status tenant_status not null default 'provisioning',
    is_active boolean not null generated always as (status = 'active') stored,
    status_reason text,
    -- Who suspended it, kept while it is deleted: what an organization did not do itself is not its to lift.
    suspended_by_kind actor_kind,
    isolation tenant_isolation not null default 'dedicated',
    -- The placement; renaming a tenant changes none of it.
    cluster_id uuid,
    -- The database that it shares with others, where it does.
    group_id uuid,
    database_name text,
    schema_name text,
    role_name text,
    -- Enters the derivation of the login's password: raised to rotate it.
    credential_version integer not null default 1,
    -- Raised with every change of placement, so that whoever still holds the old one is told apart.
    generation bigint not null default 0,
    schema_version integer not null default 0,
    -- None of its own: the organization's quota alone holds.
    storage_quota bigint,
    used_storage bigint not null default 0,
    reserved_storage bigint not null default 0,
    -- Live workspaces. Part of the organization's count, except while the tenant is deleted.
    used_workspaces integer not null default 0,
    custom_domain text,
    -- A group at the identity provider that is mapped to roles in this tenant.
    identity_group text,
    settings jsonb not null default '{}',
    metadata jsonb not null default '{}',
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    -- Who deleted it: what an organization did not delete itself is not its to restore.
    deleted_by_kind actor_kind,
    purge_after timestamptz,
    -- From here on there is no way back: parts of it may be gone.
    purge_begun_at timestamptz,
    -- Where a restore leads back to.
    status_before_delete tenant_status,
    constraint tenants_pkey primary key (id),
    constraint tenants_organization_id_fkey foreign key (organization_id) references organizations (id),
    constraint tenants_cluster_id_fkey foreign key (cluster_id) references clusters (id),
    constraint tenants_group_id_fkey foreign key (group_id) references group_databases (id),
    constraint tenants_group_id_check check (database_name is null or (isolation = 'dedicated') = (group_id is null)),
    constraint tenants_name_check check (name <> '' and length(name) <= 200),
    constraint tenants_external_id_check check (external_id <> '' and length(external_id) <= 200),
    constraint tenants_custom_domain_check check (custom_domain <> '' and length(custom_domain) <= 253),
    constraint tenants_database_name_check check (database_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint tenants_schema_name_check check (schema_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint tenants_role_name_check check (role_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint tenants_placement_check check (
        status in ('provisioning', 'failed', 'deleted', 'purged')
        or (cluster_id is not null and database_name is not null and schema_name is not null and role_name is not null)
    ),
    constraint tenants_credential_version_check check (credential_version >= 1),
    constraint tenants_generation_check check (generation >= 0),
    constraint tenants_schema_version_check check (schema_version >= 0),
    constraint tenants_suspended_by_kind_check check (status <> 'suspended' or suspended_by_kind is not null),
    constraint tenants_storage_quota_check check (storage_quota >= 0),
    constraint tenants_used_storage_check check (used_storage >= 0),
    constraint tenants_reserved_storage_check check (reserved_storage >= 0),
    constraint tenants_used_workspaces_check check (used_workspaces >= 0),
    constraint tenants_identity_group_check check (identity_group <> '' and length(identity_group) <= 200),
    constraint tenants_deleted_at_check check ((status in ('deleted', 'purged')) = (deleted_at is not null)),
    constraint tenants_purge_begun_at_check check (purge_begun_at is null or deleted_at is not null),
    constraint tenants_purge_after_check check (purge_after >= deleted_at),
    constraint tenants_settings_check check (jsonb_typeof(settings) = 'object'),
    constraint tenants_metadata_check check (jsonb_typeof(metadata) = 'object')
) with (fillfactor = 70);
-- A deleted tenant gives its names free; restoring it then fails on them.
create unique index tenants_organization_id_name_key on tenants (organization_id, name) where deleted_at is null;
create unique index tenants_organization_id_external_id_key on tenants (organization_id, external_id) where deleted_at is null;
create unique index tenants_custom_domain_key on tenants (lower(custom_domain)) where deleted_at is null;
-- In `shared` many tenants have one place and one login.
create unique index tenants_cluster_id_database_name_schema_name_key on tenants (cluster_id, database_name, schema_name)
    where isolation <> 'shared';
create unique index tenants_cluster_id_role_name_key on tenants (cluster_id, role_name) where isolation <> 'shared';
create index tenants_group_id_idx on tenants (group_id, id);
create index tenants_cluster_id_idx on tenants (cluster_id, database_name);
create index tenants_organization_id_idx on tenants (organization_id, id);
create index tenants_organization_id_status_idx on tenants (organization_id, status, id);
create index tenants_external_id_idx on tenants (external_id);
create index tenants_status_idx on tenants (status, id);
create index tenants_type_idx on tenants (type, id);
create index tenants_schema_version_idx on tenants (schema_version, id);
create index tenants_purge_after_idx on tenants (purge_after) where status = 'deleted';
create index tenants_settings_idx on tenants using gin (settings jsonb_path_ops);
create index tenants_metadata_idx on tenants using gin (metadata jsonb_path_ops);
create trigger tenants_set_updated_at before update on tenants for each row
    when ((old.used_storage, old.reserved_storage, old.used_workspaces)
        is not distinct from (new.used_storage, new.reserved_storage, new.used_workspaces))
    execute function set_updated_at();

grant select, insert, update, delete on clusters, group_databases, organizations, tenants to rowhouse_control;
grant select, update on tier_limits to rowhouse_control;
-- What routing a request, and refusing one, takes.
grant select on group_databases, tier_limits to rowhouse_data;
-- Not the control plane's credentials.
grant select (id, name, host, port, tls_mode, tls_ca, budget, status) on clusters to rowhouse_data;
grant select (id, organization_id, name, type, status, is_active, isolation, cluster_id, group_id, database_name, schema_name, role_name,
    credential_version, generation, schema_version, storage_quota, used_storage, reserved_storage, settings, custom_domain,
    deleted_at, updated_at) on tenants to rowhouse_data;
grant select (id, subscription_tier, subscription_status, status, storage_quota, used_storage, reserved_storage, max_workspaces,
    api_key_prefix, feature_flags, deleted_at, updated_at) on organizations to rowhouse_data;

-- The history table is refinery's; a service looks into it to see whether the schema is one it can serve.
do $$
begin
    if to_regclass('refinery_schema_history') is not null then
        grant select on refinery_schema_history to rowhouse_control, rowhouse_data;
    end if;
end
$$;
