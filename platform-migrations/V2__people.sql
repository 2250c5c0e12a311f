-- Why: persons, what they may do in organizations and tenants, and their storage accounts.
-- Locks: none that matter, the tables are new; short share locks on organizations and tenants for the foreign keys.

create type user_type as enum ('system_admin', 'regular', 'service_account', 'guest');
create type member_role as enum ('owner', 'admin', 'member');
create type tenant_role as enum ('owner', 'admin', 'member', 'viewer');
create type member_status as enum ('active', 'invited', 'suspended');

create table users (
    id uuid not null default gen_random_uuid(),
    first_name text not null default '',
    last_name text not null default '',
    email text not null,
    password_hash text,
    user_type user_type not null default 'regular',
    is_active boolean not null default true,
    -- Who the person is at an OIDC issuer, Keycloak and Auth0 among them.
    issuer text,
    subject text,
    metadata jsonb not null default '{}',
    last_active_at timestamptz,
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint users_pkey primary key (id),
    constraint users_issuer_subject_key unique (issuer, subject),
    constraint users_names_check check (length(first_name) <= 100 and length(last_name) <= 100),
    constraint users_email_check check (email like '%_@_%' and length(email) <= 254),
    constraint users_issuer_subject_check check ((issuer is null) = (subject is null)),
    constraint users_metadata_check check (jsonb_typeof(metadata) = 'object')
);
create unique index users_email_key on users (lower(email));
create index users_user_type_idx on users (user_type, id);
create index users_is_active_idx on users (is_active, id);
create index users_created_by_idx on users (created_by);
create index users_metadata_idx on users using gin (metadata jsonb_path_ops);
create trigger users_set_updated_at before update on users for each row execute function set_updated_at();

create table org_members (
    id uuid not null default gen_random_uuid(),
    organization_id uuid not null,
    -- Empty until the invitation is accepted.
    user_id uuid,
    role member_role not null default 'member',
    email text not null,
    name text,
    status member_status not null default 'active',
    permissions text[] not null default '{}',
    invited_at timestamptz,
    accepted_at timestamptz,
    joined_at timestamptz,
    created_by_kind actor_kind not null default 'system',
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint org_members_pkey primary key (id),
    constraint org_members_organization_id_user_id_key unique (organization_id, user_id),
    constraint org_members_organization_id_fkey foreign key (organization_id) references organizations (id) on delete cascade,
    constraint org_members_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint org_members_email_check check (email like '%_@_%' and length(email) <= 254),
    constraint org_members_name_check check (length(name) <= 200),
    constraint org_members_accepted_at_check check (accepted_at > invited_at),
    constraint org_members_accepted_user_check check (accepted_at is null or user_id is not null),
    constraint org_members_permissions_check check (array_position(permissions, null) is null)
);
create unique index org_members_organization_id_email_key on org_members (organization_id, lower(email));
create index org_members_organization_id_idx on org_members (organization_id, id);
create index org_members_user_id_idx on org_members (user_id);
create index org_members_email_idx on org_members (lower(email));
create index org_members_owners_idx on org_members (organization_id, status) where role = 'owner';
create trigger org_members_set_updated_at before update on org_members for each row execute function set_updated_at();

create table user_tenant_associations (
    user_id uuid not null,
    tenant_id uuid not null,
    role tenant_role not null default 'member',
    status member_status not null default 'active',
    invited_by uuid,
    invited_at timestamptz,
    accepted_at timestamptz,
    joined_at timestamptz,
    last_active_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint user_tenant_associations_pkey primary key (user_id, tenant_id),
    constraint user_tenant_associations_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint user_tenant_associations_tenant_id_fkey foreign key (tenant_id) references tenants (id) on delete cascade,
    constraint user_tenant_associations_invited_by_fkey foreign key (invited_by) references users (id) on delete set null,
    constraint user_tenant_associations_accepted_at_check check (accepted_at > invited_at)
);
create index user_tenant_associations_tenant_id_idx on user_tenant_associations (tenant_id, status, user_id);
create index user_tenant_associations_user_id_idx on user_tenant_associations (user_id, status);
create index user_tenant_associations_invited_by_idx on user_tenant_associations (invited_by);
create trigger user_tenant_associations_set_updated_at before update on user_tenant_associations
    for each row execute function set_updated_at();

create table accounts (
    id uuid not null default gen_random_uuid(),
    user_id uuid,
    auth0_user_id text,
    email text,
    organization_id uuid,
    tenant_id uuid,
    -- None: the tenant's and the organization's quotas alone hold.
    storage_quota bigint,
    used_storage bigint not null default 0,
    reserved_storage bigint not null default 0,
    is_active boolean not null default true,
    settings jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint accounts_pkey primary key (id),
    constraint accounts_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint accounts_organization_id_fkey foreign key (organization_id) references organizations (id) on delete cascade,
    constraint accounts_tenant_id_fkey foreign key (tenant_id) references tenants (id) on delete cascade,
    constraint accounts_email_check check (email like '%_@_%' and length(email) <= 254),
    constraint accounts_storage_quota_check check (storage_quota >= 0),
    constraint accounts_used_storage_check check (used_storage >= 0),
    constraint accounts_reserved_storage_check check (reserved_storage >= 0),
    constraint accounts_settings_check check (jsonb_typeof(settings) = 'object')
) with (fillfactor = 70);
create unique index accounts_user_id_organization_id_tenant_id_key on accounts (user_id, organization_id, tenant_id) nulls not distinct
    where user_id is not null;
create index accounts_user_id_idx on accounts (user_id);
create index accounts_auth0_user_id_idx on accounts (auth0_user_id);
create index accounts_created_at_idx on accounts (created_at);
create index accounts_is_active_idx on accounts (is_active);
create index accounts_organization_id_idx on accounts (organization_id);
create index accounts_tenant_id_idx on accounts (tenant_id);
create index accounts_settings_idx on accounts using gin (settings jsonb_path_ops);
create trigger accounts_set_updated_at before update on accounts for each row
    when ((old.used_storage, old.reserved_storage) is not distinct from (new.used_storage, new.reserved_storage))
    execute function set_updated_at();

grant select, insert, update, delete on users, org_members, user_tenant_associations, accounts to rowhouse_control;
grant select (id, organization_id, tenant_id, storage_quota, used_storage, reserved_storage, is_active) on accounts to rowhouse_data;
